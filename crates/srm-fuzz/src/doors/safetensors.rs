//! Hand in safetensors files: weights with our metadata, and saved chains.

use super::{Door, file};
use crate::formats::{change_safetensors, is_safetensors, join_safetensors, mend_safetensors, split_safetensors};
use crate::{Dice, tree::change_json};
use serde_json::Value;
use srm_config::{Activation, EnergyConfig, LangevinConfig};
use srm_energy::{ConvNet, load_weights, read_state_dict, save_weights};
use srm_eval::{LongRun, LongRunSettings, Plan, Variant};
use std::path::Path;
use tch::Device;

pub(super) const WEIGHTS: Door = Door {
    name: "safetensors",
    what: "weights with the metadata `srm`, by way of `--weights X.safetensors`",
    sources: &["crates/srm-energy/src/weights"],
    longest: 1 << 14,
    seeds: || {
        let written = in_memory(|path| {
            let net = ConvNet::new(&energy(), 1, Device::Cpu).expect("a small net is made");
            save_weights(path, &net, Some(&langevin())).expect("a small net is saved");
        });
        let (header, data) = split_safetensors(&written).expect("what was saved is whole");
        let mut plain: Value = serde_json::from_slice(header).expect("what was saved is whole");
        plain["__metadata__"] = serde_json::json!({});
        vec![join_safetensors(plain.to_string().as_bytes(), data), written]
    },
    header: is_safetensors,
    change,
    mend: |bytes| mend_safetensors(bytes),
    enter: |bytes, folder| {
        let path = file(folder, "weights.safetensors", bytes);
        let _ = read_state_dict(&path, "f.0.weight");
        let _ = load_weights(&path, Device::Cpu);
    },
};

pub(super) const CHAINS: Door = Door {
    name: "chains",
    what: "saved long chains, by way of `srm diagnose chains`",
    sources: &["crates/srm-eval/src/chains/saved.rs"],
    longest: 1 << 13,
    seeds: || {
        vec![in_memory(|path| {
            LongRun::new(chains(), Plan::every_step(2, &[0]), Device::Cpu)
                .and_then(|run| run.save(path))
                .expect("short chains are saved");
        })]
    },
    header: is_safetensors,
    change,
    mend: |bytes| mend_safetensors(bytes),
    enter: |bytes, folder| {
        let path = file(folder, "chains.safetensors", bytes);
        if let Ok(run) = LongRun::load(&path, chains(), Plan::every_step(2, &[0]), Device::Cpu) {
            assert!(run.step() <= 2);
            let _ = run.table();
        }
    },
};

/// Another word of the metadata, or of the header and its numbers.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    match dice.one_in(3) {
        true => change_metadata(bytes, dice),
        false => change_safetensors(bytes, dice),
    }
}

/// The bytes of a file that `write` writes.
pub(super) fn in_memory(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let path = folder.path().join("x.safetensors");
    write(&path);
    std::fs::read(&path).expect("what was just written is read")
}

pub(super) fn energy() -> EnergyConfig {
    EnergyConfig::new(32, 1, 1, Activation::default())
}

fn langevin() -> LangevinConfig {
    serde_json::from_str(r#"{ "steps": 2, "gradient_scale": 1.0, "noise_std": 0.01 }"#)
        .expect("these are Langevin settings")
}

fn chains() -> LongRunSettings {
    LongRunSettings {
        variant: Variant::Langevin,
        weights: "0123".to_owned(),
        langevin: langevin(),
        seed: 1,
        chains: 2,
        block: 1,
        image: vec![1, 2, 2],
        device: "cpu f32".to_owned(),
    }
}

/// Change the JSON inside a text of the metadata.
fn change_metadata(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let Some((header, data)) = split_safetensors(bytes) else { return };
    let Ok(mut header) = serde_json::from_slice::<Value>(header) else { return };
    let metadata = header.get_mut("__metadata__").and_then(Value::as_object_mut);
    for text in metadata.into_iter().flat_map(|metadata| metadata.values_mut()) {
        let changed = change_json(text.as_str().unwrap_or_default().as_bytes(), dice);
        *text = String::from_utf8_lossy(&changed).into();
    }
    *bytes = join_safetensors(header.to_string().as_bytes(), data);
}
