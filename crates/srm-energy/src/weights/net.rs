//! Choose the one net among the tensors of a file and read its parameters.

use super::archive::{Archive, shown, summary};
use super::layers::{Layers, published};
use super::names::{Group, PARAMETERS, groups};
use super::parameter::Form;
use crate::{EnergyError, Result, StateDict, layer_shapes};
use srm_config::EnergyConfig;

/// Nets that a message lists at most.
const MOST_LISTED: usize = 12;

/// The net of a file, its parameters under the published names, and its config: the given one, or that which its shapes
/// tell, with the published activation, LeakyReLU 0.2 (enijkamp/short_run, train_cifar10_minimal.py). Of several nets, that
/// at `key`.
///
/// # Errors
/// [`EnergyError::NoKey`], [`EnergyError::SeveralNets`], and [`EnergyError::InFile`] around [`EnergyError::UnknownNet`] or
/// what is wrong with the only net.
pub(super) fn read_net(
    archive: &mut Archive<'_>,
    key: Option<&str>,
    config: Option<&EnergyConfig>,
) -> Result<(EnergyConfig, StateDict)> {
    let path = archive.path;
    let in_file = |source| EnergyError::InFile { path: path.to_owned(), source: Box::new(source) };
    let (group, energy) = choose(archive, key, config)?;
    let layers = Layers { entries: &archive.entries, group: &group };
    layers.refuse_more(&energy, config.is_some()).map_err(in_file)?;
    layers.tell_of_the_rest(path);
    let mut named = StateDict::new();
    // counters may stand at other numbers
    for layer in (0..layer_shapes(&energy).len()).map(|layer| 2 * layer) {
        for (parameter, parts) in PARAMETERS.iter().zip(&group.layers[&layer]) {
            let name = published(layer, parameter);
            let form = Form::of(parts).expect("its form was checked");
            let (values, sigma) = form.values(|part| archive.float(parts[part]))?;
            match sigma {
                Some(sigma) if !sigma.is_normal() => return Err(in_file(EnergyError::SpectralNorm { name, sigma })),
                _ => named.push((name, values)),
            }
        }
    }
    Ok((energy, named))
}

/// The group of layers that makes a net, and the net's config.
fn choose(archive: &Archive<'_>, key: Option<&str>, config: Option<&EnergyConfig>) -> Result<(Group, EnergyConfig)> {
    let (path, entries) = (archive.path.to_owned(), &archive.entries[..]);
    let checked = |group: Group| {
        let layers = Layers { entries, group: &group };
        let energy = config.cloned().map_or_else(|| layers.infer(), Ok);
        let energy = energy.and_then(|energy| layers.check(&energy).map(|()| energy));
        (group, energy)
    };
    let mut all: Vec<_> = groups(entries).into_iter().map(checked).collect();
    let any_whole = all.iter().any(|(_, energy)| energy.is_ok());
    let labels = |all: &[(Group, Result<EnergyConfig>)]| {
        let whole = all.iter().filter(|(_, energy)| energy.is_ok() || !any_whole);
        whole.take(MOST_LISTED).map(|(group, _)| shown(group.label())).collect::<Vec<_>>().join(", ")
    };
    if let Some(key) = key {
        let best = all.iter().map(|(group, _)| group.meant_by(key)).max().unwrap_or(0);
        if best == 0 {
            let nets = if all.is_empty() { summary(entries) } else { labels(&all) };
            return Err(EnergyError::NoKey { path, key: key.to_owned(), nets });
        }
        all.retain(|(group, _)| group.meant_by(key) == best);
    }
    let in_file = |source| EnergyError::InFile { path: path.clone(), source: Box::new(source) };
    if all.iter().any(|(_, energy)| energy.is_ok()) {
        let nets = labels(&all);
        let mut whole = all.into_iter().filter_map(|(group, energy)| Some((group, energy.ok()?)));
        let first = whole.next().expect("there is one");
        let objects = |group: &Group| Layers { entries, group }.objects();
        return match whole.all(|(other, _)| objects(&other) == objects(&first.0)) {
            true => Ok(first), // names of one and the same net
            false => Err(EnergyError::SeveralNets { path, nets }),
        };
    }
    // the group that comes nearest says what it lacks
    let nearest = all.into_iter().max_by_key(|(group, _)| group.weights());
    Err(in_file(match nearest {
        Some((_, Err(error))) => error,
        _ => EnergyError::UnknownNet { layers: 0, found: summary(entries) },
    }))
}
