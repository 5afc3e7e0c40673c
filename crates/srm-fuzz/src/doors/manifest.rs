//! Hand in the manifest of a TorchScript network; the file of the network itself is libtorch's to read.

use super::{Door, file, no_mending};
use crate::tree::change_json;
use srm_eval::FeatureNetwork;
use std::path::Path;
use tch::{CModule, Device, Kind, Tensor};

pub(super) const MANIFEST: Door = Door {
    name: "manifest",
    what: "the JSON beside a TorchScript network, by way of `srm evaluate --features X.pt`",
    sources: &["crates/srm-eval/src/network.rs"],
    longest: 1 << 10,
    seeds: || {
        let plain = r#"{"input": [-1, 1], "dimension": 3}"#;
        let full = r#"{"input": [0, 255], "size": 8, "arguments": [true], "dimension": 3}"#;
        vec![plain.into(), plain.replace("\"dim", "\"size\": 4, \"dim").into(), full.into()]
    },
    header: |bytes| serde_json::from_slice::<serde_json::Value>(bytes).is_ok(),
    change: |bytes, dice| *bytes = change_json(bytes, dice),
    mend: no_mending,
    enter,
};

/// The means of the channels as a network of three features.
fn network(path: &Path) {
    let mut means = |inputs: &[Tensor]| vec![inputs[0].mean_dim([2i64, 3].as_slice(), false, Kind::Float)];
    let images = Tensor::zeros([1, 3, 4, 4], (Kind::Float, Device::Cpu));
    CModule::create_by_tracing("Means", "forward", &[images], &mut means)
        .and_then(|module| module.save(path))
        .expect("a small network is traced and saved");
}

fn enter(bytes: &[u8], folder: &Path) {
    let path = folder.join("network.pt");
    if !path.exists() {
        network(&path);
    }
    file(folder, "network.json", bytes);
    if let Ok(network) = FeatureNetwork::open(&path.to_string_lossy(), Device::Cpu) {
        let _ = network.run(&Tensor::zeros([2, 6, 6, 3], (Kind::Uint8, Device::Cpu)));
    }
}
