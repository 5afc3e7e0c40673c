//! Check that values of other classes beside the weights are passed over, and named where they stand among the weights.

use super::tests::{message, stream};
use crate::weights::load_bytes;
use crate::{Result, Trainable, Weights};
use std::path::Path;
use tch::Device;

/// A text as the pickle writes it.
fn text(content: &str) -> Vec<u8> {
    [b"X", &(content.len() as u32).to_le_bytes()[..], content.as_bytes()].concat()
}

/// The arguments of a tensor of this shape all of whose elements are element `offset` of storage `s`, as a tuple.
fn arguments(offset: u8, shape: &[u8]) -> Vec<u8> {
    let storage =
        [b"((", &text("storage")[..], b"ctorch\nFloatStorage\n", &text("s"), &text("cpu"), b"K\x08NtQ"].concat();
    let sizes: Vec<u8> = shape.iter().flat_map(|&size| [b'K', size]).collect();
    let strides = b"K\x00".repeat(shape.len());
    [&storage[..], &[b'K', offset], b"(", &sizes, b"t(", &strides, b"t\x89}t"].concat()
}

fn tensor(offset: u8, shape: &[u8]) -> Vec<u8> {
    [b"ctorch._utils\n_rebuild_tensor_v2\n", &arguments(offset, shape)[..], b"R"].concat()
}

/// A dict of these keys and values.
fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &items[..], b"u"].concat()
}

/// A net of one feature at 32 px: the elements of tensor i are i mod 8.
fn net() -> Vec<(&'static str, Vec<u8>)> {
    let shapes: [(&str, &[u8]); 10] = [
        ("f.0.weight", &[1, 1, 3, 3]),
        ("f.0.bias", &[1]),
        ("f.2.weight", &[2, 1, 4, 4]),
        ("f.2.bias", &[2]),
        ("f.4.weight", &[4, 2, 4, 4]),
        ("f.4.bias", &[4]),
        ("f.6.weight", &[8, 4, 4, 4]),
        ("f.6.bias", &[8]),
        ("f.8.weight", &[1, 8, 4, 4]),
        ("f.8.bias", &[1]),
    ];
    shapes.iter().enumerate().map(|(i, (name, shape))| (*name, tensor(i as u8 % 8, shape))).collect()
}

fn load(program: &[u8]) -> Result<Weights> {
    load_bytes(Path::new("x.pth"), &stream(program), None, Device::Cpu)
}

#[track_caller]
fn assert_loads(program: &[u8]) {
    for (i, (name, tensor)) in load(program).unwrap().net.named_parameters().into_iter().enumerate() {
        let (least, most) = (tensor.min().double_value(&[]), tensor.max().double_value(&[]));
        assert_eq!((least, most), ((i % 8) as f64, (i % 8) as f64), "{name}");
    }
}

#[test]
fn classes_beside_the_weights_are_passed_over() {
    let call = |global: &str, arguments: &[u8]| [b"c", global.as_bytes(), b"\n", arguments, b"R"].concat();
    let one = [text("1"), b"\x85".to_vec()].concat();
    // what torch.load(weights_only=True) takes, and what it does not
    let beside = [
        call("collections\nCounter", b"}(K\x64K\x01u\x85"),
        call(
            "numpy._core.multiarray\nscalar",
            &[b"cnumpy\ndtype\n", &text("f8")[..], b"\x89\x88\x87Rq\x00", &text("bytes"), b"\x86"].concat(),
        ),
        [&call("collections\ndefaultdict", b"cbuiltins\nlist\n\x85")[..], &text("a"), b"]s"].concat(),
        call("collections\nOrderedDict", b")"),
        call("datetime\ndatetime", &one),
        call("pathlib\nPosixPath", &one),
        call("torch\nSize", b"(K\x01K\x02t\x85"),
        call("torch\ndevice", &text("cpu").into_iter().chain([0x85]).collect::<Vec<_>>()),
        b"ctorch\nfloat32\n".to_vec(),
        // argparse.Namespace: NEWOBJ, then BUILD
        [b"cargparse\nNamespace\n)\x81", &dict(&[("lr", b"G\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc".to_vec())])[..], b"b"]
            .concat(),
        // a list and a dict of a class of its own, filled by APPENDS and SETITEMS
        [b"c__main__\nBag\n)\x81(K\x01K\x02e", &b"("[..], &text("k"), b"K\x01u"].concat(),
        // sets, and a number of 300 bytes
        b"\x8f(K\x01\x90".to_vec(),
        b"(K\x01\x91".to_vec(),
        [&b"\x8b\x2c\x01\x00\x00"[..], &[1; 300]].concat(),
        call("os\nsystem", &one),
    ];
    for value in beside {
        assert_loads(&dict(&[("before", value.clone()), ("model", dict(&net())), ("after", value)]));
    }
}

#[test]
fn an_average_of_torch_and_a_defaultdict_hold_a_net() {
    let mut averaged = vec![("n_averaged".to_owned(), tensor(7, &[]))];
    averaged.extend(net().into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)));
    let averaged: Vec<_> = averaged.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    // n_averaged is i64 in PyTorch; its kind does not matter, since it is not read
    assert_loads(&dict(&averaged));
    let items = net().into_iter().flat_map(|(name, tensor)| [text(name), tensor].concat()).collect::<Vec<_>>();
    assert_loads(&[b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R(", &items[..], b"u"].concat());
    // one dict under two keys is one net
    assert_loads(&[b"}(", &text("model")[..], &dict(&net()), b"q\x01", &text("ema"), b"h\x01u"].concat());
    // in a list
    assert_loads(&dict(&[("states", [b"]", &dict(&net())[..], b"a"].concat())]));
}

#[test]
fn tensors_of_a_subclass_are_tensors() {
    let mut items = net();
    let state = [b"ctorch.nn.parameter\nBuffer\n", &arguments(0, &[1, 1, 3, 3])[..], b"}"].concat();
    items[0].1 =
        [b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n", &state[..], b"tR"].concat();
    items[1].1 = [b"ctorch._utils\n_rebuild_parameter_with_state\n(", &items[1].1[..], b"\x88}}tR"].concat();
    assert_loads(&dict(&items));
}

#[test]
fn a_stranger_among_the_weights_is_named() {
    for at in [0, 1, 9] {
        let mut items = net();
        let name = items[at].0;
        items[at].1 = b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec();
        let text = message(&stream(&dict(&[("model", dict(&items))])));
        assert!(text.contains(&format!("`model.{name}` is a value of torch._utils._rebuild_sparse_tensor")), "{text}");
    }
    // among the layers, but none of them
    let mut items = net();
    items.push(("f.0.hook", b"c__main__\nHook\n)R".to_vec()));
    let text = message(&stream(&dict(&items)));
    assert!(text.contains("`f.0.hook` is a value of __main__.Hook"), "{text}");
    // a whole net
    let text = message(&stream(&[b"c__main__\nF\n)\x81", &dict(&net())[..], b"b"].concat()));
    assert!(
        text.contains("an object of __main__.F, whose code is not run") && text.contains("net.state_dict()"),
        "{text}"
    );
}
