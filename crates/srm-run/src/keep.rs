//! Decide which checkpoints stay, and take the others away so that none ever stands there by half.

use crate::checkpoint::{REPLACED, remove_begun, write_text};
use crate::layout::{LATEST, checkpoint as name};
use crate::{Checkpoint, Result, RunError, checkpoints};
use srm_config::CheckpointConfig;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Prefix of a checkpoint that is being deleted.
const DISCARDED: &str = ".discarded-";

/// Bring the folder in order after a write, a replacement or a removal that was killed half-way.
pub(crate) fn clean_up(folder: &Path) -> Result<()> {
    remove_begun(folder)?;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = hidden.strip_prefix(REPLACED) {
            let place = folder.join(name);
            match place.exists() {
                true => remove_if_there(&entry.path())?,
                false => fs::rename(entry.path(), &place).map_err(RunError::io(&place))?,
            }
        } else if hidden.starts_with(DISCARDED) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Delete what the config does not keep. The newest stays, and of the regular ones the last `keep_last`, the last that
/// a rollback may go to, and what falls on `keep_every`.
pub(crate) fn prune(folder: &Path, config: &CheckpointConfig) -> Result<()> {
    let (mut regular_kept, mut calm_kept) = (0, false);
    for (age, (update, checkpoint)) in checkpoints(folder)?.into_iter().rev().enumerate() {
        let (regular, calm) =
            checkpoint.state().map_or((false, false), |file| (file.regular, file.regular && file.calm));
        let keep = age == 0
            || regular && regular_kept < config.keep_last
            || calm && !calm_kept
            || config.keep_every.is_some_and(|every| update.is_multiple_of(every));
        regular_kept += usize::from(regular);
        calm_kept |= calm;
        if !keep {
            discard(&checkpoint)?;
        }
    }
    Ok(())
}

/// Delete a checkpoint: under another name first, so that half a checkpoint never stands under its own.
fn discard(checkpoint: &Checkpoint) -> Result<()> {
    let path = checkpoint.path();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!("{DISCARDED}{name}"));
    remove_if_there(&hidden)?;
    fs::rename(path, &hidden).map_err(RunError::io(path))?;
    remove_if_there(&hidden)
}

/// Delete the checkpoints after `update`; `latest` names the newest that stays before the others go.
pub(crate) fn remove_after(folder: &Path, update: u64) -> Result<()> {
    let (stay, go): (Vec<_>, Vec<_>) = checkpoints(folder)?.into_iter().partition(|(found, _)| *found <= update);
    let pointed = point_to(folder, stay.last().map(|(found, _)| *found));
    // on a full disk, too, which this gives room
    go.iter().try_for_each(|(_, checkpoint)| discard(checkpoint)).and(pointed)
}

/// Put a damaged checkpoint out of the way, without deleting it; where it is then.
pub(crate) fn set_aside(checkpoint: &Checkpoint) -> Result<PathBuf> {
    let aside = checkpoint.path().with_extension("damaged");
    remove_if_there(&aside)?;
    fs::rename(checkpoint.path(), &aside).map_err(RunError::io(&aside))?;
    Ok(aside)
}

/// Write the name of the newest checkpoint to `latest`.
pub(crate) fn point_to_latest(folder: &Path) -> Result<()> {
    point_to(folder, checkpoints(folder)?.pop().map(|(update, _)| update))
}

/// Write the name of the checkpoint of `update` to `latest`, which goes where there is none.
pub(crate) fn point_to(folder: &Path, update: Option<u64>) -> Result<()> {
    let pointer = folder.join(LATEST);
    match update {
        Some(update) => write_text(&pointer, &format!("{}\n", name(update))),
        None => remove_if_there(&pointer),
    }
}

/// Delete a file or a folder; where there is none, all is well.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RunError::io(path)(error)),
        _ => Ok(()),
    }
}
