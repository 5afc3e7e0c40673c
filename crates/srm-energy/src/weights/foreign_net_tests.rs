//! Check that a net is found under every name that others save it by, and that its values are those of PyTorch.

use super::*;
use std::path::PathBuf;

/// Name, shape and values.
type NamedTensor = (String, Vec<usize>, Vec<f32>);
/// The tensors of a file.
type Tensors = Vec<NamedTensor>;

/// Numbers without a pattern in [-1, 1), from the name.
fn values(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let value =
        |i: usize| (seed.wrapping_add(i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(value).collect()
}

fn tensor(name: &str, shape: &[usize]) -> NamedTensor {
    (name.to_owned(), shape.to_vec(), values(name, shape.iter().product()))
}

fn net() -> Tensors {
    let weights: [[usize; 4]; 5] = [[1, 1, 3, 3], [2, 1, 4, 4], [4, 2, 4, 4], [8, 4, 4, 4], [1, 8, 4, 4]];
    let layer = |(i, shape): (usize, [usize; 4])| {
        [tensor(&format!("f.{}.weight", 2 * i), &shape), tensor(&format!("f.{}.bias", 2 * i), &shape[..1])]
    };
    weights.into_iter().enumerate().flat_map(layer).collect()
}

/// The net with every name changed.
fn renamed(change: impl Fn(&str) -> String) -> Tensors {
    net().into_iter().map(|(name, shape, values)| (change(&name), shape, values)).collect()
}

/// A safetensors file of them.
fn file(tensors: &Tensors) -> Vec<u8> {
    file_with(tensors, None)
}

/// [`file`] with a counter of this name, a whole number without axes, as batch normalisation counts its batches.
fn file_with(tensors: &Tensors, counter: Option<&str>) -> Vec<u8> {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let raw: Vec<_> = tensors.iter().map(|(name, shape, values)| (name, shape, bytes(values))).collect();
    let views = raw
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap()));
    let counter = counter.map(|name| (name, TensorView::new(Dtype::I64, vec![], &[5, 0, 0, 0, 0, 0, 0, 0]).unwrap()));
    safetensors::serialize(views.chain(counter), None).unwrap()
}

#[test]
fn a_counter_is_left_out_whatever_its_name() {
    for name in ["n_averaged", "f.num_batches", "f.1.bias", "f.1.weight", "f.3.weight_u", "f.11.bias"] {
        let bytes = file_with(&net(), Some(name));
        let loaded = load_bytes(Path::new("x.safetensors"), &bytes, None, Device::Cpu);
        assert_holds(&loaded.unwrap_or_else(|error| panic!("{name}: {error}")), &net(), 0.0);
    }
}

fn load(tensors: &Tensors, key: Option<&str>) -> Result<Weights> {
    load_bytes(Path::new("x.safetensors"), &file(tensors), key, Device::Cpu)
}

fn refused(tensors: &Tensors, key: Option<&str>) -> String {
    load(tensors, key).err().expect("no net is there").to_string()
}

/// Whether the net's parameters are these, to a relative error of some roundings in f32.
#[track_caller]
fn assert_holds(weights: &Weights, expected: &Tensors, tolerance: f32) {
    for ((name, tensor), (_, shape, values)) in weights.net.named_parameters().iter().zip(expected) {
        assert_eq!(tensor.size(), shape.iter().map(|&side| side as i64).collect::<Vec<_>>(), "{name}");
        let found: Vec<f32> = Vec::try_from(tensor.contiguous().reshape([-1])).unwrap();
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (one, other) in found.iter().zip(values) {
            assert!((one - other).abs() <= tolerance * largest, "{name}: {one} for {other}");
        }
    }
}

#[test]
fn whatever_stands_before_the_names_is_dropped() {
    for prefix in [
        "module.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "module.module._orig_mod.module.",
        "_forward_module.",
        "_fsdp_wrapped_module.",
        "model.",
        "net.",
        "energy.ebm.",
        "state_dict.ebm._orig_mod.",
        "0.",
    ] {
        let tensors = renamed(|name| format!("{prefix}{name}"));
        assert_holds(&load(&tensors, None).unwrap(), &net(), 0.0);
        // the bare Sequential, and one that was compiled by itself or layer by layer
        for change in [("f.", ""), ("f.", "layers."), ("f.", "f._orig_mod."), (".weight", "._orig_mod.weight")] {
            let tensors = renamed(|name| format!("{prefix}{}", name.replace(change.0, change.1)));
            assert_holds(&load(&tensors, None).unwrap(), &net(), 0.0);
        }
    }
    assert_holds(&load(&renamed(|name| name.replace("f.", "")), None).unwrap(), &net(), 0.0);
}

#[test]
fn the_attribute_that_is_a_net_is_taken_and_two_are_listed() {
    let mut tensors = renamed(|name| format!("ebm.{name}"));
    tensors.push(tensor("metric.inception.0.weight", &[8, 3, 3, 3]));
    tensors.push(tensor("head.weight", &[1, 8]));
    assert_holds(&load(&tensors, None).unwrap(), &net(), 0.0);
    assert_holds(&load(&tensors, Some("ebm")).unwrap(), &net(), 0.0);
    let text = refused(&tensors, Some("metric"));
    assert!(text.contains("1 layers of one module"), "{text}");
    tensors.extend(renamed(|name| format!("ema.{name}")).into_iter().map(|(name, shape, mut values)| {
        values.iter_mut().for_each(|value| *value *= 0.5);
        (name, shape, values)
    }));
    let text = refused(&tensors, None);
    assert!(text.contains("several nets, at") && text.contains("ebm") && text.contains("ema"), "{text}");
    assert!(!text.contains("metric") && text.contains("--key NAME"), "{text}");
    let half: Tensors =
        net().into_iter().map(|(n, s, v)| (n, s, v.iter().map(|value| value * 0.5).collect())).collect();
    assert_holds(&load(&tensors, Some("ema")).unwrap(), &half, 0.0);
    assert_holds(&load(&tensors, Some("ebm")).unwrap(), &net(), 0.0);
    let text = refused(&tensors, Some("teacher"));
    assert!(text.contains("no net at the key `teacher`; it has") && text.contains("ema"), "{text}");
}

#[test]
fn what_would_change_the_net_is_refused() {
    for (name, shape) in
        [("f.log_scale", &[1][..]), ("scale", &[1]), ("f.1.weight", &[1]), ("f.0.lora_A.weight", &[1, 9])]
    {
        for prefix in ["", "ebm."] {
            let mut tensors = renamed(|name| format!("{prefix}{name}"));
            tensors.push(tensor(&format!("{prefix}{name}"), shape));
            let text = refused(&tensors, None);
            assert!(text.contains(&format!("tensor `{prefix}{name}` is one too many")), "{text}");
        }
    }
}

#[test]
fn where_no_net_is_the_first_names_are_shown() {
    let text = refused(&vec![tensor("fc.weight", &[10, 5]), tensor("fc.bias", &[10])], None);
    assert!(text.contains("fc.weight [10, 5]") && text.contains("fc.bias [10]"), "{text}");
    let many: Tensors = (0..40).map(|i| tensor(&format!("block.w{i}"), &[1])).collect();
    assert!(refused(&many, None).contains("and 34 more"));
}

/// The parts of each weight in place of the weight, by `part(name, shape)`, the biases as they are.
fn parted(part: impl Fn(&str, &[usize]) -> Tensors) -> Tensors {
    let one = |(name, shape, values): NamedTensor| match name.strip_suffix(".weight") {
        Some(layer) => part(layer, &shape),
        None => vec![(name, shape, values)],
    };
    net().into_iter().flat_map(one).collect()
}

/// The net whose weights are `weight(row-major parts)`, computed in f64.
fn expected(parts: &Tensors, compute: impl Fn(&[&Vec<f32>], usize) -> Vec<f32>) -> Tensors {
    let of = |name: &str, shape: Vec<usize>| {
        let layer = name.strip_suffix("weight").unwrap();
        let own: Vec<_> =
            parts.iter().filter(|(part, ..)| part.starts_with(layer) && !part.ends_with("bias")).collect();
        let values: Vec<_> = own.iter().map(|(.., values)| values).collect();
        (name.to_owned(), shape.clone(), compute(&values, shape[0]))
    };
    let one = |(name, shape, values): NamedTensor| {
        if name.ends_with("weight") { of(&name, shape) } else { (name, shape, values) }
    };
    net().into_iter().map(one).collect()
}

#[test]
fn a_spectral_norm_gives_the_weight_over_sigma() {
    let forms = [
        ["weight_orig", "weight_u", "weight_v"],
        ["parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"],
    ];
    for [original, u, v] in forms {
        let parts = parted(|layer, shape| {
            let inputs = shape[1..].iter().product();
            vec![
                tensor(&format!("{layer}.{original}"), shape),
                tensor(&format!("{layer}.{u}"), &shape[..1]),
                tensor(&format!("{layer}.{v}"), &[inputs]),
            ]
        });
        // σ = Σ u_i W_ij v_j in f64 by hand
        let divided = expected(&parts, |parts, rows| {
            let (w, u, v) = (parts[0], parts[1], parts[2]);
            let columns = w.len() / rows;
            let term = |i: usize| f64::from(u[i / columns]) * f64::from(w[i]) * f64::from(v[i % columns]);
            let sigma: f64 = (0..w.len()).map(term).sum();
            w.iter().map(|&value| (f64::from(value) / sigma) as f32).collect()
        });
        // the sum of at most 512 products in f32 cancels down to a hundredth at worst
        assert_holds(&load(&parts, None).unwrap(), &divided, 1e-4);
        let broken = |change: &dyn Fn(&mut NamedTensor)| {
            let mut parts = parts.clone();
            parts.iter_mut().for_each(change);
            refused(&parts, None)
        };
        let text = broken(&|(name, _, values)| {
            if name.ends_with(u) {
                values.fill(0.0);
            }
        });
        assert!(text.contains("spectral norm 0"), "{text}");
        let text = broken(&|(name, shape, _)| {
            if *name == format!("f.2.{v}") {
                *shape = vec![4, 4];
            }
        });
        assert!(text.contains(&format!("f.2.{v}` has shape [4, 4], the net needs [16]")), "{text}");
        let text = broken(&|(name, ..)| *name = name.replace("f.4.", if name.ends_with(u) { "g.4." } else { "f.4." }));
        assert!(text.contains("`f.4.weight` is stored as"), "{text}");
    }
}

#[test]
fn what_pytorch_before_1_0_divided_itself_is_taken() {
    let parts = parted(|layer, shape| {
        vec![
            tensor(&format!("{layer}.weight"), shape),
            tensor(&format!("{layer}.weight_orig"), shape),
            tensor(&format!("{layer}.weight_u"), &shape[..1]),
        ]
    });
    assert_holds(&load(&parts, None).unwrap(), &net(), 0.0);
}

#[test]
fn a_weight_norm_gives_rows_of_length_g() {
    let forms = [["weight_g", "weight_v"], ["parametrizations.weight.original0", "parametrizations.weight.original1"]];
    for [g, v] in forms {
        // one length per row, and one for the whole
        for whole in [false, true] {
            let parts = parted(|layer, shape| {
                let lengths = if whole { vec![] } else { vec![shape[0], 1, 1, 1] };
                vec![tensor(&format!("{layer}.{g}"), &lengths), tensor(&format!("{layer}.{v}"), shape)]
            });
            let scaled = expected(&parts, |parts, rows| {
                let (g, v) = (parts[0], parts[1]);
                let chunk = if whole { v.len() } else { v.len() / rows };
                let of = |(row, values): (usize, &[f32])| {
                    let norm = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
                    let factor = f64::from(g[row]) / norm;
                    values.iter().map(|&value| (f64::from(value) * factor) as f32).collect::<Vec<_>>()
                };
                v.chunks(chunk).enumerate().flat_map(of).collect()
            });
            assert_holds(&load(&parts, None).unwrap(), &scaled, 1e-6);
        }
    }
}

#[test]
fn a_pruned_weight_is_masked() {
    let parts = parted(|layer, shape| {
        let (name, shape, mut mask) = tensor(&format!("{layer}.weight_mask"), shape);
        mask.iter_mut().for_each(|value| *value = if *value > 0.0 { 1.0 } else { 0.0 });
        vec![tensor(&format!("{layer}.weight_orig"), &shape), (name, shape, mask)]
    });
    let masked = expected(&parts, |parts, _| parts[0].iter().zip(parts[1]).map(|(value, mask)| value * mask).collect());
    assert_holds(&load(&parts, None).unwrap(), &masked, 0.0);
}

#[test]
fn what_is_no_weights_file_is_named() {
    for (bytes, parts) in [
        (&b""[..], ["an empty file", "download it again"]),
        (b"\n<!DOCTYPE html><html>", ["a web page", "download the file itself"]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", ["a Git LFS pointer", "git lfs pull"]),
        (b"\x93NUMPY\x01\x00", ["a numpy array", "--data"]),
        (b"{\"energy\": {}}", ["JSON", "--config"]),
        (b"\x1f\x8b\x08", ["gzip", "gunzip"]),
    ] {
        let loaded = load_bytes(&PathBuf::from("x.pth"), bytes, None, Device::Cpu);
        let text = loaded.err().expect("no weights").to_string();
        assert!(text.contains("x.pth") && parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
