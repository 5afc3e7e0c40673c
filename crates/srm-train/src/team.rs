//! Share one run among the processes of a team: the ranks.
//!
//! Every rank holds the whole state of the run and draws the same keyed data; what is shared is the work on blocks of chains
//! and of gradients. An update exchanges the samples (every rank gets all) and one sum of the weights' gradient, by the fixed
//! tree of [`crate::tree`], so that any number of ranks gives the same bits. Whatever a rank decides, it decides from numbers
//! that all have. Files are rank 0's.

use crate::tree::{PartialSum, Place};
use crate::{Named, Result, Saved, State, TrainError, Trainer, tensor_file};
use srm_energy::Trainable;
use srm_langevin::{Chains, Outcome, Sampler, Samples};
use std::collections::BTreeMap;
use std::ops::Range;
use tch::Tensor;

/// How the ranks of a run talk. srm-cli plugs in MPI.
pub trait Team {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Ranks there are, at least 1.
    fn size(&self) -> usize;

    /// Send bytes to another rank, which receives them.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    fn send(&self, to: usize, bytes: &[u8]) -> Result<()>;

    /// Wait for the bytes that a rank sends to this one.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    fn receive(&self, from: usize) -> Result<Vec<u8>>;

    /// The bytes of rank 0, at every rank; the others' are not looked at.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// The bytes of all ranks in their order, at every rank.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>>;

    /// Wait until rank 0 comes here too, however long it takes.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    fn wait_for_first(&self) -> Result<()> {
        self.broadcast(Vec::new()).map(drop)
    }
}

/// The team of one.
pub struct Alone;

impl Team for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn send(&self, to: usize, _bytes: &[u8]) -> Result<()> {
        Err(TrainError::Team { rank: 0, reason: format!("there is no rank {to} in a team of one") })
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        Err(TrainError::Team { rank: 0, reason: format!("there is no rank {from} in a team of one") })
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(bytes)
    }

    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        Ok(vec![bytes])
    }
}

/// The blocks that are this rank's, of so many: neighbours, so that they are few whole nodes of the tree.
pub(crate) fn share(team: &dyn Team, blocks: usize) -> Range<usize> {
    let (rank, size) = (team.rank(), team.size());
    rank * blocks / size..(rank + 1) * blocks / size
}

/// The sum over all blocks of all ranks, at every rank, in the tree's order. The partial sums go up a tree of ranks in
/// log₂ steps.
pub(crate) fn sum(team: &dyn Team, mut mine: PartialSum) -> Result<Vec<Tensor>> {
    let (rank, size) = (team.rank(), team.size());
    let mut step = 1;
    while step < size {
        if rank & step != 0 {
            team.send(rank - step, &tensor_file::to_bytes(&named(&mine))?)?;
            break;
        }
        if rank + step < size {
            for (place, tensors) in places(&team.receive(rank + step)?)? {
                mine.add(place, tensors)?;
            }
        }
        step *= 2;
    }
    if size == 1 {
        return mine.into_root().ok_or_else(|| missing(rank));
    }
    if rank == 0 {
        let root = mine.into_root().ok_or_else(|| missing(rank))?;
        let name = |(i, tensor): (usize, &Tensor)| (format!("{i:06}"), tensor.shallow_clone());
        team.broadcast(tensor_file::to_bytes(&root.iter().enumerate().map(name).collect::<Named>())?)?;
        return Ok(root);
    }
    let mut root = tensor_file::from_bytes(&team.broadcast(Vec::new())?)?;
    root.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(root.into_iter().map(|(_, tensor)| tensor).collect())
}

fn missing(rank: usize) -> TrainError {
    TrainError::Team { rank, reason: "a block of the gradient is missing".to_owned() }
}

/// The nodes of a partial sum as tensors with names: first block, level, tensor.
fn named(sum: &PartialSum) -> Named {
    let nodes = sum.nodes().flat_map(|((first, level), tensors)| {
        tensors.iter().enumerate().map(move |(i, tensor)| (format!("{first} {level} {i:06}"), tensor.shallow_clone()))
    });
    nodes.collect()
}

/// What [`named`] has written.
fn places(bytes: &[u8]) -> Result<BTreeMap<Place, Vec<Tensor>>> {
    let mut tensors = tensor_file::from_bytes(bytes)?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut nodes: BTreeMap<Place, Vec<Tensor>> = BTreeMap::new();
    for (name, tensor) in tensors {
        let mut words = name.split(' ').map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(level))) = (words.next(), words.next()) else { continue };
        nodes.entry((first, level as u32)).or_default().push(tensor);
    }
    Ok(nodes)
}

/// Run chains, each rank its blocks; every rank gets all samples and all r, as [`Sampler::run_with_gradient_norms`] gives them.
pub(crate) fn chains<E: Trainable + 'static>(
    team: &dyn Team,
    sampler: &Sampler<E>,
    z: Option<&Tensor>,
    all: &Chains,
) -> Result<(Outcome, Tensor)> {
    if team.size() == 1 {
        return Ok(sampler.run_with_gradient_norms(z, all)?);
    }
    let (count, block) = ((all.ids.end - all.ids.start) as usize, sampler.block());
    let blocks = share(team, count.div_ceil(block));
    let mine = (blocks.start * block).min(count)..(blocks.end * block).min(count);
    let z = z.map(|z| z.f_narrow(0, mine.start as i64, mine.len() as i64)).transpose()?;
    let ids = all.ids.start + mine.start as u64..all.ids.start + mine.end as u64;
    let (outcome, r) = sampler.run_with_gradient_norms(z.as_ref(), &Chains { key: all.key, ids })?;
    let (x, step) = match outcome {
        Outcome::Finished(Samples { x }) => (x, None),
        Outcome::Diverged { step, x } => (x, Some(step)),
    };
    let device = x.device();
    // −1 where all is finite: steps are far below 2^24, beyond which a float loses whole numbers
    let flag = Tensor::f_from_slice(&[step.map_or(-1.0, |step| step as f32)])?;
    let message = [("flag", flag), ("r", r), ("x", x)].map(|(name, tensor)| (name.to_owned(), tensor));
    let (mut images, mut norms, mut first_bad) = (Vec::new(), Vec::new(), None);
    for bytes in team.all_gather(tensor_file::to_bytes(&message)?)? {
        for (name, tensor) in tensor_file::from_bytes(&bytes)? {
            match name.as_str() {
                "r" => norms.push(tensor),
                "x" => images.push(tensor),
                _ => {
                    let step = tensor.f_double_value(&[0])?;
                    first_bad =
                        if step < 0.0 { first_bad } else { Some(first_bad.map_or(step, |bad: f64| bad.min(step))) };
                }
            }
        }
    }
    let x = Tensor::f_cat(&images, 0)?.f_to_device(device)?;
    let outcome = match first_bad {
        Some(step) => Outcome::Diverged { step: step as usize, x },
        None => Outcome::Finished(Samples { x }),
    };
    Ok((outcome, Tensor::f_cat(&norms, 0)?.f_to_device(device)?))
}

/// All ranks' numbers in the order of the ranks, at every rank.
pub(crate) fn gather_numbers(team: &dyn Team, mine: Tensor) -> Result<Tensor> {
    if team.size() == 1 {
        return Ok(mine);
    }
    let device = mine.device();
    let bytes = tensor_file::to_bytes(&[("f".to_owned(), mine)])?;
    let mut all = Vec::new();
    for bytes in team.all_gather(bytes)? {
        all.extend(tensor_file::from_bytes(&bytes)?.into_iter().map(|(_, tensor)| tensor));
    }
    Ok(Tensor::f_cat(&all, 0)?.f_to_device(device)?)
}

impl Trainer {
    /// Share this run with a team: all ranks have built a trainer for the same config and images. Where they stand is taken from
    /// rank 0, which may have gone on from a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Team`].
    pub fn join(&mut self, team: Box<dyn Team>) -> Result<()> {
        self.team = team;
        self.follow_first()
    }

    /// Take the state of rank 0.
    pub(crate) fn follow_first(&mut self) -> Result<()> {
        if self.team.size() == 1 {
            return Ok(());
        }
        let unreadable = |error: serde_json::Error| TrainError::Team { rank: 0, reason: error.to_string() };
        let state = serde_json::to_vec(&self.state).map_err(unreadable)?;
        let state: State = serde_json::from_slice(&self.team.broadcast(state)?).map_err(unreadable)?;
        let ema = self.ema.as_ref().map(|ema| ema.net().named_parameters()).unwrap_or_default();
        let bank = self.bank().map(|bank| vec![("images".to_owned(), bank.shallow_clone())]).unwrap_or_default();
        let groups = [self.net.named_parameters(), self.optimizer_tensors(), ema, bank];
        let mut received = Vec::new();
        for group in groups {
            received.push(tensor_file::from_bytes(&self.team.broadcast(tensor_file::to_bytes(&group)?)?)?);
        }
        let [weights, optimizer, ema, mut bank] = <[Named; 4]>::try_from(received).unwrap_or_default();
        if self.team.rank() == 0 {
            return Ok(());
        }
        let seconds = self.seconds();
        let (ema, bank) = ((!ema.is_empty()).then_some(ema), bank.pop().map(|(_, images)| images));
        self.restore(&Saved { state, weights, optimizer, ema, bank })?;
        self.begun = (std::time::Instant::now(), seconds);
        Ok(())
    }

    /// Whether any rank says yes.
    pub(crate) fn any(&self, yes: bool) -> Result<bool> {
        Ok(match self.team.size() {
            1 => yes,
            _ => self.team.all_gather(vec![u8::from(yes)])?.iter().any(|one| one == &[1]),
        })
    }
}
