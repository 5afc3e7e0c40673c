//! Share one run among the processes of a team: the ranks.
//!
//! Every rank holds the whole state of the run and draws the same keyed data; what is shared is the work on blocks: a rank runs
//! its chains and makes the gradients of its samples and of as many data images. An update exchanges a few numbers an image and
//! one sum of the weights' gradient ([`crate::exchange`]), so that any number of ranks gives the same bits. Whatever a rank
//! decides, it decides from numbers that all have. Files are rank 0's.

use crate::{Result, Snapshot, TrainError, Trainer, tensor_file};
use ndarray::Array4;
use srm_energy::{StateDict, Trainable};
use srm_langevin::Chains;
use srm_run::State;
use std::ops::Range;

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

/// The blocks that are this rank's, of so many: neighbours, so that they are few whole nodes of the tree. Rank 0, whose progress
/// is shown, never has fewer than another.
fn share(team: &dyn Team, blocks: usize) -> Range<usize> {
    let (rank, size) = (team.rank(), team.size());
    (rank * blocks).div_ceil(size)..((rank + 1) * blocks).div_ceil(size)
}

/// The rows that are this rank's, of `count` in blocks of `block`: whole blocks, but for the last row's.
pub fn rows(team: &dyn Team, count: usize, block: usize) -> Range<usize> {
    let blocks = share(team, count.div_ceil(block));
    (blocks.start * block).min(count)..(blocks.end * block).min(count)
}

/// The chains that are this rank's, of all.
pub fn part(team: &dyn Team, all: &Chains, block: usize) -> Chains {
    let first = all.ids.start;
    let mine = rows(team, (all.ids.end - first) as usize, block);
    Chains { ids: first + mine.start as u64..first + mine.end as u64, ..all.clone() }
}

/// The images of all ranks in their order, at rank 0; the others keep their own.
///
/// # Shapes
/// u8 `[n, h, w, c]`; every rank has its own n, 0 too.
///
/// # Errors
/// [`TrainError::Team`].
pub fn gather_images(team: &dyn Team, mine: Array4<u8>) -> Result<Array4<u8>> {
    if team.size() == 1 {
        return Ok(mine);
    }
    let (_, h, w, c) = mine.dim();
    let bytes = mine.as_standard_layout();
    let bytes = bytes.as_slice().unwrap_or_default();
    if team.rank() > 0 {
        team.send(0, bytes)?;
        return Ok(mine);
    }
    let mut all = bytes.to_vec();
    for rank in 1..team.size() {
        all.extend(team.receive(rank)?);
    }
    let refused = |_| TrainError::Team { rank: 0, reason: format!("the ranks' images are not all {h}×{w}×{c}") };
    Array4::from_shape_vec((all.len() / (h * w * c).max(1), h, w, c), all).map_err(refused)
}

/// The numbers of all ranks in their order, at every rank.
///
/// # Errors
/// [`TrainError::Team`].
pub fn gather_numbers(team: &dyn Team, mine: &[f64]) -> Result<Vec<Vec<f64>>> {
    let bytes = mine.iter().flat_map(|number| number.to_le_bytes()).collect();
    let numbers = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Ok(team.all_gather(bytes)?.into_iter().map(numbers).collect())
}

impl<E: Trainable> Trainer<E> {
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
        if let Some(reason) = state.problem() {
            return Err(TrainError::Team { rank: 0, reason });
        }
        let ema = self.averaged_net().map(E::named_parameters).unwrap_or_default();
        let bank = self.bank().map(|bank| vec![("images".to_owned(), bank.shallow_clone())]).unwrap_or_default();
        let groups = [self.net().named_parameters(), self.optimizer_tensors(), ema, bank];
        let mut received = Vec::new();
        for group in groups {
            received.push(tensor_file::from_bytes(&self.team.broadcast(tensor_file::to_bytes(&group)?)?)?);
        }
        let [weights, optimizer, ema, mut bank] = <[StateDict; 4]>::try_from(received).unwrap_or_default();
        if self.team.rank() == 0 {
            return Ok(());
        }
        let seconds = self.seconds();
        let (ema, bank) = ((!ema.is_empty()).then_some(ema), bank.pop().map(|(_, images)| images));
        let net = self.net().describe();
        self.restore(&Snapshot { state, weights, net, optimizer, ema, bank, calm: false, regular: false })?;
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
