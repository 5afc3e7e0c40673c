//! Check weights files: equal bytes, round trip, and a clear error for each kind of damage.

use super::*;
use srm_config::{Activation, Drift, Init};
use std::path::PathBuf;

/// A folder of its own for each test, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("srm-energy-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(size: usize) -> EnergyConfig {
    EnergyConfig::new(size, 3, 4, Activation::Silu)
}

fn langevin() -> LangevinConfig {
    let drift = Drift::Tempered { gradient_scale: 1.0.into(), noise_std: 0.01.into() };
    LangevinConfig { steps: 40, grids: Vec::new(), drift, init: Init::Uniform, clip_gradient: None, block: Some(8) }
}

fn refused(path: &Path) -> String {
    load_weights(path, Device::Cpu).err().expect("the file is bad").to_string()
}

/// A safetensors file with the given metadata and tensors of zeros.
fn zeros_file(path: &Path, metadata: Option<&str>, kind: Dtype, tensors: &[(&str, &[usize])]) {
    let bytes = vec![0u8; 1 << 16];
    let width = kind.bitsize() / 8;
    let views = tensors.iter().map(|(name, shape)| {
        let numel: usize = shape.iter().product();
        (*name, TensorView::new(kind, shape.to_vec(), &bytes[..numel * width]).unwrap())
    });
    let metadata = metadata.map(|text| HashMap::from([("srm".to_owned(), text.to_owned())]));
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

const NET_32: [(&str, &[usize]); 10] = [
    ("f.0.weight", &[2, 1, 3, 3]),
    ("f.0.bias", &[2]),
    ("f.2.weight", &[4, 2, 4, 4]),
    ("f.2.bias", &[4]),
    ("f.4.weight", &[8, 4, 4, 4]),
    ("f.4.bias", &[8]),
    ("f.6.weight", &[16, 8, 4, 4]),
    ("f.6.bias", &[16]),
    ("f.8.weight", &[1, 16, 4, 4]),
    ("f.8.bias", &[1]),
];

#[test]
fn what_is_saved_loads_and_equal_weights_are_equal_files() {
    let folder = Folder::new("round-trip");
    for size in [32, 64, 128] {
        let net = ConvNet::new(&config(size), 7, Device::Cpu).unwrap();
        let (a, b) = (folder.0.join("a.safetensors"), folder.0.join("b.safetensors"));
        save_weights(&a, &net, Some(&langevin())).unwrap();
        let loaded = load_weights(&a, Device::Cpu).unwrap();
        assert_eq!(loaded.net.config(), net.config());
        assert_eq!(loaded.langevin, Some(langevin()));
        for ((name, ours), (other, theirs)) in net.named_parameters().iter().zip(loaded.net.named_parameters()) {
            assert_eq!(*name, other);
            assert!(ours.equal(&theirs), "{name}");
        }
        save_weights(&b, &loaded.net, loaded.langevin.as_ref()).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        let leftovers = std::fs::read_dir(&folder.0).unwrap().count();
        assert_eq!(leftovers, 2, "the temporary files are gone");
    }
}

#[test]
fn the_metadata_is_one_line_of_sorted_json() {
    let net = ConvNet::new(&config(64), 1, Device::Cpu).unwrap();
    let text = metadata(net.describe(), Some(&langevin()));
    let expected = concat!(
        r#"{"data_range":[-1.0,1.0],"energy":{"activation":"silu","channels":3,"features":4,"size":64},"#,
        r#""langevin":{"block":8,"gradient_scale":1.0,"init":"uniform","noise_std":0.01,"steps":40}}"#
    );
    assert_eq!(text, expected);
}

#[test]
fn without_langevin_none_comes_back() {
    let folder = Folder::new("no-langevin");
    let path = folder.0.join("w.safetensors");
    save_weights(&path, &ConvNet::new(&config(32), 1, Device::Cpu).unwrap(), None).unwrap();
    let loaded = load_weights(&path, Device::Cpu).unwrap();
    assert!(loaded.langevin.is_none());
    assert_eq!(loaded.net.config().activation, Activation::Silu);
}

#[test]
fn a_file_cut_off_anywhere_is_refused_by_name() {
    let folder = Folder::new("cut-off");
    let (whole, part) = (folder.0.join("w.safetensors"), folder.0.join("part.safetensors"));
    zeros_file(&whole, None, Dtype::F32, &NET_32);
    let bytes = std::fs::read(&whole).unwrap();
    for length in (1..bytes.len()).step_by(97) {
        std::fs::write(&part, &bytes[..length]).unwrap();
        let text = refused(&part);
        assert!(text.contains("part.safetensors") && text.contains("write the file again"), "{length}: {text}");
    }
}

#[test]
fn without_our_metadata_the_shapes_say_which_net() {
    let folder = Folder::new("foreign");
    let path = folder.0.join("w.safetensors");
    for kind in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16] {
        zeros_file(&path, None, kind, &NET_32);
        let loaded = load_weights(&path, Device::Cpu).unwrap();
        let expected = EnergyConfig::new(32, 1, 2, Activation::LeakyRelu(0.2));
        assert_eq!(*loaded.net.config(), expected);
        assert_eq!(loaded.net.named_parameters()[0].1.kind(), Kind::Float);
    }
    let renamed: Vec<_> = NET_32.iter().map(|(name, shape)| (name.replace("f.", "module."), *shape)).collect();
    let renamed: Vec<_> = renamed.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    zeros_file(&path, None, Dtype::F32, &renamed);
    assert_eq!(load_weights(&path, Device::Cpu).unwrap().net.config().size, 32);
}

#[test]
fn each_mistake_has_its_message() {
    let folder = Folder::new("mistakes");
    let path = folder.0.join("w.safetensors");
    let energy =
        |size: usize| format!(r#"{{"energy":{{"size":{size},"channels":1,"features":2,"activation":"relu"}}}}"#);
    let expect = |part: &str| {
        let text = refused(&path);
        assert!(text.contains("w.safetensors") && text.contains(part), "expected `{part}` in: {text}");
    };
    zeros_file(&path, Some(&energy(64)), Dtype::F32, &NET_32);
    expect("tensor `f.8.weight` has shape [1, 16, 4, 4], the net needs [16, 16, 4, 4]");
    zeros_file(&path, Some(&energy(32)), Dtype::F32, &NET_32[..9]);
    expect("no tensor `f.8.bias`; a net of 32 px has 10 tensors");
    let mut more = NET_32.to_vec();
    more.push(("f.10.bias", &[1]));
    zeros_file(&path, Some(&energy(32)), Dtype::F32, &more);
    expect("tensor `f.10.bias` is one too many");
    let mut twice = NET_32.to_vec();
    twice.push(("0.bias", &[2]));
    zeros_file(&path, Some(&energy(32)), Dtype::F32, &twice);
    expect("tensor `0.bias` is one too many");
    zeros_file(&path, Some(&energy(32)), Dtype::I32, &NET_32);
    expect("holds i32, weights must be f32");
    zeros_file(&path, None, Dtype::F32, &NET_32[..6]);
    expect("3 layers of one module N.weight, N.bias; 32 px has 5");
    expect("the file holds f.0.bias [2], f.0.weight [2, 1, 3, 3]");
    zeros_file(&path, Some("{"), Dtype::F32, &NET_32);
    expect("the metadata `srm` is no JSON");
    zeros_file(&path, Some("{}"), Dtype::F32, &NET_32);
    expect("has no `energy`");
    zeros_file(&path, Some(&energy(33)), Dtype::F32, &NET_32);
    expect("wrong `energy`");
    let range = energy(32).replacen('{', r#"{"data_range":[0,1],"#, 1);
    zeros_file(&path, Some(&range), Dtype::F32, &NET_32);
    expect("data_range [0,1]");
    std::fs::remove_file(&path).unwrap();
    expect("No such file");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = Folder::new("failed-write");
    let net = ConvNet::new(&config(32), 1, Device::Cpu).unwrap();
    let target = folder.0.join("w.safetensors");
    std::fs::create_dir(&target).unwrap(); // a folder cannot be replaced by a file
    let text = save_weights(&target, &net, None).unwrap_err().to_string();
    assert!(text.contains("w.safetensors"), "{text}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}
