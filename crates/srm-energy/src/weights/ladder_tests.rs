//! Check the weights files of ladders: round trip, names, and a clear error for each kind of damage.

use super::tests::Folder;
use super::*;
use crate::{Energy, Trainable, check};
use srm_config::{Activation, Drift, GridConfig, Init};

fn energy() -> EnergyConfig {
    EnergyConfig::new(16, 3, 4, Activation::Silu)
}

fn langevin() -> LangevinConfig {
    let grid = |size, features, activation| GridConfig { size, steps: 5, from: 0, features, activation };
    LangevinConfig {
        steps: 15,
        grids: vec![grid(4, Some(8), Some(Activation::Relu)), grid(8, Some(2), None), grid(16, None, None)],
        drift: Drift::Tempered { gradient_scale: 1.0.into(), noise_std: 0.01.into() },
        init: Init::Uniform,
        clip_gradient: None,
        block: Some(8),
    }
}

fn ladder() -> Ladder<ConvNet> {
    Ladder::fresh(&langevin().nets(&energy()), 1, Device::Cpu).unwrap()
}

fn images(size: i64) -> Tensor {
    Tensor::linspace(-1.0, 1.0, 2 * 3 * size * size, (Kind::Float, Device::Cpu)).reshape([2, 3, size, size])
}

#[test]
fn a_ladder_comes_back_whole_and_each_size_finds_its_net() {
    let folder = Folder::new("ladder");
    let path = folder.0.join("w.safetensors");
    let ladder = ladder();
    save_weights(&path, &ladder, Some(&langevin())).unwrap();
    let read = load_weights(&path, Device::Cpu).unwrap();
    assert_eq!((read.net.configs(), read.grids, read.langevin), (langevin().nets(&energy()), 3, Some(langevin())));
    let names: Vec<String> = read.net.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        (names.len(), &*names[0], &*names[4], &*names[17]),
        (18, "grid4.f.0.weight", "grid8.f.0.weight", "grid16.f.6.bias")
    );
    for (width, net) in [4, 8, 16].into_iter().zip(ladder.energies()) {
        let x = images(width);
        assert_eq!(read.net.f(&x).unwrap(), net.f(&x).unwrap());
        check::contract(&read.net, &x).unwrap();
        let gradients = ladder.f_and_parameter_grad(&x, &Tensor::ones([2], (Kind::Float, Device::Cpu))).unwrap().1;
        assert_eq!(gradients.len(), net.named_parameters().len(), "those of the grid alone");
    }
    // two nets of one size and seed would else begin alike
    let first = |net: &ConvNet| net.named_parameters()[0].1.flatten(0, -1).narrow(0, 0, 9);
    assert_ne!(first(ladder.energies().next().unwrap()), first(ladder.finest()));
    let error = ladder.f(&images(32)).unwrap_err().to_string();
    assert_eq!(error, "the ladder takes images of [4, 8, 16] pixels, got shape [2, 3, 32, 32]");
    let error = Ladder::new(
        vec![(8, 1), (8, 2)]
            .into_iter()
            .map(|(width, seed)| (width, ConvNet::new(&energy(), seed, Device::Cpu).unwrap()))
            .collect(),
    )
    .map(drop)
    .unwrap_err();
    assert!(error.to_string().contains("[8, 8]"), "{error}");
}

#[test]
fn one_net_is_a_ladder_without_other_names() {
    let plain = ConvNet::new(&energy(), 1, Device::Cpu).unwrap();
    let one = Ladder::fresh(&[energy()], 1, Device::Cpu).unwrap();
    assert_eq!(one.named_parameters(), plain.named_parameters());
    assert_eq!(one.f(&images(16)).unwrap(), plain.f(&images(16)).unwrap());
}

#[test]
fn a_bare_file_of_a_small_net_tells_its_size() {
    let folder = Folder::new("ladder-bare");
    for size in [4, 8, 16, 128] {
        let path = folder.0.join(format!("{size}.safetensors"));
        let net = ConvNet::new(&EnergyConfig { size, ..energy() }, 1, Device::Cpu).unwrap();
        let named: Vec<_> =
            net.named_parameters().into_iter().map(|(name, tensor)| (name, tensor.contiguous())).collect();
        Tensor::write_safetensors(&named, &path).unwrap();
        let read = load_weights(&path, Device::Cpu).unwrap();
        assert_eq!((read.net.config().size, read.langevin), (size, None));
        assert_eq!(read.net.named_parameters(), net.named_parameters());
    }
}

#[test]
fn what_is_wrong_with_a_ladders_file_is_said() {
    let folder = Folder::new("ladder-bad");
    let path = folder.0.join("w.safetensors");
    let ladder = ladder();
    let refused = |key| load_weights_at(&path, key, Device::Cpu).err().expect("the file is bad").to_string();
    let write = |weights: StateDict, langevin: &LangevinConfig| {
        write_weights(&path, &weights, ladder.describe(), Some(langevin)).unwrap();
    };
    let all = || ladder.named_parameters();
    let mut less = all();
    drop(less.remove(5));
    write(less, &langevin());
    assert!(refused(None).contains("no tensor `grid8.f.0.bias`"), "{}", refused(None));
    let mut more = all();
    more.push(("grid32.f.0.bias".into(), Tensor::from_slice(&[0.0f32])));
    write(more, &langevin());
    let said =
        "tensor `grid32.f.0.bias` is one too many; the file says that it holds a ladder of grids of [4, 8, 16] pixels";
    assert!(refused(None).contains(said), "{}", refused(None));
    let mut other = all();
    other[1].1 = Tensor::from_slice(&[0.0f32; 3]);
    write(other, &langevin());
    assert!(refused(None).contains("tensor `grid4.f.0.bias` has shape [3]"), "{}", refused(None));
    write(all(), &langevin());
    assert!(refused(Some("grid4")).contains("leave --key out"), "{}", refused(Some("grid4")));
    // metadata that contradict one another
    let mut contradictory = langevin();
    contradictory.grids.pop();
    contradictory.steps = 10;
    contradictory.grids[1].features = None;
    write(all(), &contradictory);
    assert!(refused(None).contains("the last of langevin.grids has size 8, energy.size is 16"), "{}", refused(None));
}
