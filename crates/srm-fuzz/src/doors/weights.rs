//! Hand in a PyTorch state_dict, `.pth`, of either format.

use super::{Door, file};
use crate::formats::{mend_zip, zip_end};
use crate::mutate::change_bytes;
use std::path::Path;
use tch::Device;

pub(super) const PTH: Door = Door {
    name: "pth",
    what: "a state_dict of torch.save, by way of `--weights X.pth`; pickles are never run",
    sources: &["crates/srm-energy/src/pth"],
    longest: 1 << 15,
    seeds: || {
        let files: [&[u8]; 7] = [
            include_bytes!("../../../srm-energy/fixtures/pth/f16.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/f16.legacy.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/nested.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/protocol4.legacy.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/shared.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/parameters.legacy.pth"),
            include_bytes!("../../../srm-energy/fixtures/pth/optimizer.legacy.pth"),
        ];
        files.map(<[u8]>::to_vec).into()
    },
    header: |bytes| match bytes.starts_with(b"PK\x03\x04") {
        true => zip_end(bytes).is_some(),
        // a pickle that begins with torch's magic number, in protocol 4 behind the length of its frame
        false => bytes.first() == Some(&0x80) && bytes.iter().take(14).any(|byte| *byte == 0x8A),
    },
    change: |bytes, dice| {
        // the pickle, where something is decided, is the beginning of the file but for the tensors
        let pickle = bytes.len().min(2048);
        let mut tensors = bytes.split_off(pickle);
        change_bytes(bytes, dice);
        bytes.append(&mut tensors);
    },
    mend: |bytes| {
        if bytes.starts_with(b"PK") {
            mend_zip(bytes);
        }
    },
    enter,
};

fn enter(bytes: &[u8], folder: &Path) {
    let path = file(folder, "weights.pth", bytes);
    let _ = srm_energy::read_state_dict(&path, "f.0.weight");
    let _ = srm_energy::load_weights(&path, Device::Cpu);
}
