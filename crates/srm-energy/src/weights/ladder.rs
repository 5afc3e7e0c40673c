//! Read the nets of a ladder from a file of ours, where each grid's names have its own prefix.

use super::archive::Archive;
use super::named;
use crate::{ConvNet, EnergyError, Ladder, Result, StateDict, Trainable};
use srm_config::EnergyConfig;
use tch::{Device, Tensor};

/// The ladder of `nets`, coarse to fine, whose weights are all that the file holds.
///
/// # Errors
/// [`EnergyError::InFile`] around a tensor that is missing, too many, of another shape or kind.
pub(super) fn read_ladder(archive: &mut Archive<'_>, nets: &[EnergyConfig], device: Device) -> Result<Ladder<ConvNet>> {
    let path = archive.path.to_owned();
    let in_file = |source| EnergyError::InFile { path: path.clone(), source: Box::new(source) };
    let all = named(archive, "")?;
    let ladder = Ladder::of_nets(nets, |prefix, net| {
        let of_grid =
            |(name, tensor): &(String, Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()));
        let own: StateDict = all.iter().filter_map(of_grid).collect();
        ConvNet::from_tensors(net, &own, device).map_err(|error| named_whole(error, prefix))
    });
    let ladder = ladder.map_err(in_file)?;
    let known = ladder.named_parameters();
    match all.into_iter().find(|(name, _)| known.iter().all(|(known, _)| known != name)) {
        None => Ok(ladder),
        Some((name, _)) => {
            let sizes = nets.iter().map(|net| net.size).collect();
            Err(in_file(EnergyError::ExtraInLadder { name, sizes }))
        }
    }
}

/// The error with the tensor's whole name.
fn named_whole(mut error: EnergyError, prefix: &str) -> EnergyError {
    if let EnergyError::MissingTensor { name, .. } | EnergyError::TensorShape { name, .. } = &mut error {
        name.insert_str(0, prefix);
    }
    error
}
