//! Take a chain's steps on a GPU by replaying one that was recorded: all kernels of a step are started at a time.
//!
//! A recorded step reads and writes the same tensors each time. It does what the loop in `short_run` does between two calls of the
//! observer, in the same order, and what the device draws it draws itself; so both give the same bits.

use crate::short_run::{Stretch, Tally};
use crate::{LangevinError, Noise, Observer, Result};
use srm_energy::cuda::{Graph, Recording};
use tch::Tensor;

/// The fewest steps that are worth recording.
const FEWEST: usize = 4;

/// Where the tensors of a recording are in its list; u is there where it is given.
const X: usize = 0;
const NEXT: usize = 1;
const F: usize = 2;
const GRADIENT: usize = 3;
const U: usize = 4;

/// Where a recorded step has its noise from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draws {
    Nothing,
    /// Made by the step itself.
    OnDevice,
    /// Put into a tensor before each step.
    Given,
}

impl Stretch<'_> {
    /// The state after the steps, where the energy is one that can be recorded.
    pub(crate) fn recorded(
        &self,
        x: &Tensor,
        noise: &mut dyn Noise,
        tally: &mut Tally,
        observer: &mut dyn Observer,
    ) -> Result<Option<Tensor>> {
        let Some(recordings) = self.energy.recordings(x)?.filter(|_| self.steps.len() >= FEWEST) else {
            return Ok(None);
        };
        let mut steps = self.steps.clone();
        let (draws, mut u) = match () {
            () if self.kernel.noise_std == 0.0 => (Draws::Nothing, None),
            () if noise.is_of_device(x)? => (Draws::OnDevice, None),
            () => match noise.draw(steps.start, x)? {
                Some(u) => (Draws::Given, Some(u)),
                None => (Draws::Nothing, None),
            },
        };
        let of = format!("{:?} {:?} {:?} {:?} {draws:?}", x.size(), x.stride(), x.kind(), self.kernel);
        let kept = match recordings.find(&of) {
            Some(kept) => {
                kept.tensors[NEXT].shallow_clone().f_copy_(x)?;
                kept
            }
            None => {
                let first = steps.next().expect("there are some");
                let (recording, [x, f, gradient]) = self.record(of, x, draws, u.take())?;
                observer.step(first, &x, &f, &gradient)?;
                tally.see(&f)?;
                recordings.keep(recording)
            }
        };
        for step in steps {
            if draws == Draws::Given {
                let u = u.take().map_or_else(|| noise.draw(step, x), |u| Ok(Some(u)))?;
                let given = u.ok_or(LangevinError::NoiseRanOut { recorded: step, step })?;
                kept.tensors[U].shallow_clone().f_copy_(&given)?;
            }
            kept.graph.replay()?;
            observer.step(step, &kept.tensors[X], &kept.tensors[F], &kept.tensors[GRADIENT])?;
            tally.see(&kept.tensors[F])?;
        }
        Ok(Some(copy(&kept.tensors[NEXT])?))
    }

    /// Take a step from x, with u where it is given, and record the next. What the first leaves: its state before, f and f'.
    fn record(&self, of: String, x: &Tensor, draws: Draws, u: Option<Tensor>) -> Result<(Recording, [Tensor; 3])> {
        let (mut state, mut next) = (x.f_empty_like()?, copy(x)?);
        let given = u.map(|u| copy(&u)).transpose()?;
        let mut left = Vec::new(); // f and f' of the step that is taken, and of the one that is recorded
        let graph = Graph::record(x.device(), &mut || -> Result<()> {
            state.f_copy_(&next)?;
            let (f, gradient) = self.energy.f_and_grad(&state)?;
            let drawn = if draws == Draws::OnDevice { Some(state.f_randn_like()?) } else { None };
            let u = drawn.as_ref().or(given.as_ref());
            next.f_copy_(&self.kernel.step(&state, &self.kernel.drift(&gradient)?, u)?)?;
            left.push([f, gradient]);
            Ok(())
        })?;
        let [taken, [f, gradient]] = <[_; 2]>::try_from(left).expect("the work is done twice");
        let [taken_f, taken_gradient] = taken;
        let before = copy(&state)?;
        let tensors = [state, next, f, gradient].into_iter().chain(given).collect();
        Ok((Recording { of, tensors, graph }, [before, taken_f, taken_gradient]))
    }
}

/// A copy that lies in memory as the tensor does, so that what is drawn in its shape is the same.
fn copy(x: &Tensor) -> Result<Tensor> {
    let mut copy = x.f_empty_like()?;
    copy.f_copy_(x)?;
    Ok(copy)
}
