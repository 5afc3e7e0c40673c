//! Write a snapshot's tensors as the files of a checkpoint, and read them back.

use crate::{Result, Snapshot, tensor_file};
use srm_config::LangevinConfig;
use srm_energy::{StateDict, read_tensors, write_weights};
use srm_run::layout::{BANK, EMA, OPTIMIZER, WEIGHTS};
use srm_run::{Checkpoint, StateFile};
use std::path::Path;

/// Write the tensors into a folder.
pub(crate) fn write(folder: &Path, snapshot: &Snapshot, langevin: Option<&LangevinConfig>) -> Result<()> {
    let write_net =
        |name: &str, weights: &StateDict| write_weights(&folder.join(name), weights, snapshot.net.clone(), langevin);
    write_net(WEIGHTS, &snapshot.weights)?;
    tensor_file::save(&folder.join(OPTIMIZER), &snapshot.optimizer)?;
    if let Some(ema) = &snapshot.ema {
        write_net(EMA, ema)?;
    }
    if let Some(replay_buffer) = &snapshot.replay_buffer {
        tensor_file::save(&folder.join(BANK), &[("images".to_owned(), replay_buffer.shallow_clone())])?;
    }
    Ok(())
}

/// The snapshot of a checkpoint that is whole.
pub(crate) fn read(checkpoint: &Checkpoint, file: &StateFile) -> Result<Snapshot> {
    let path = |name| checkpoint.path().join(name);
    let (bank, ema) = (path(BANK), path(EMA));
    Ok(Snapshot {
        state: file.state.clone(),
        weights: read_tensors(&path(WEIGHTS))?,
        net: serde_json::Value::Null,
        optimizer: tensor_file::load(&path(OPTIMIZER))?,
        ema: if ema.is_file() { Some(read_tensors(&ema)?) } else { None },
        replay_buffer: if bank.is_file() { tensor_file::load(&bank)?.pop().map(|(_, images)| images) } else { None },
        calm: file.calm,
        regular: file.regular,
    })
}
