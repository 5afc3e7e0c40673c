//! Take a chain's steps on a GPU by replaying one that was recorded: all kernels of a step are started at a time.
//!
//! A recorded step reads and writes the same tensors each time. It does what the loop in `short_run` does between two calls of the
//! observer, in the same order, and draws from the device's own generator; so both give the same bits.

use crate::short_run::{Stretch, Tally};
use crate::{Noise, Observer, Result};
use srm_energy::cuda::{Graph, Recording};
use tch::Tensor;

/// The fewest steps that are worth recording.
const FEWEST: usize = 4;

/// Where the tensors of a recording are in its list.
const X: usize = 0;
const NEXT: usize = 1;
const F: usize = 2;
const GRADIENT: usize = 3;

impl Stretch<'_> {
    /// The state after the steps, where they can be recorded: of an energy that can, with noise that the device draws, or none.
    pub(crate) fn recorded(
        &self,
        x: &Tensor,
        noise: &mut dyn Noise,
        tally: &mut Tally,
        observer: &mut dyn Observer,
    ) -> Result<Option<Tensor>> {
        let Some(recordings) = self.energy.recordings(x)? else { return Ok(None) };
        let draws = self.kernel.noise_std > 0.0;
        if self.steps.len() < FEWEST || draws && !noise.is_of_device(x)? {
            return Ok(None);
        }
        let of = format!("{:?} {:?}", x.size(), self.kernel);
        let mut steps = self.steps.clone();
        let kept = match recordings.find(&of) {
            Some(kept) => {
                kept.tensors[NEXT].shallow_clone().f_copy_(x)?;
                kept
            }
            None => {
                let first = steps.next().expect("there are some");
                let (recording, [x, f, gradient]) = self.record(of, x, draws)?;
                observer.step(first, &x, &f, &gradient)?;
                tally.see(&f)?;
                recordings.keep(recording)
            }
        };
        for step in steps {
            kept.graph.replay()?;
            observer.step(step, &kept.tensors[X], &kept.tensors[F], &kept.tensors[GRADIENT])?;
            tally.see(&kept.tensors[F])?;
        }
        Ok(Some(kept.tensors[NEXT].f_detach_copy()?))
    }

    /// Take a step from x, and record the next. What the first leaves: its state before, f and f'.
    fn record(&self, of: String, x: &Tensor, draws: bool) -> Result<(Recording, [Tensor; 3])> {
        let (mut state, mut next) = (x.f_empty_like()?, x.f_detach_copy()?);
        let mut left = Vec::new(); // f and f' of the step that is taken, and of the one that is recorded
        let graph = Graph::record(x.device(), &mut || -> Result<()> {
            state.f_copy_(&next)?;
            let (f, gradient) = self.energy.f_and_grad(&state)?;
            let u = if draws { Some(state.f_randn_like()?) } else { None };
            next.f_copy_(&self.kernel.step(&state, &self.kernel.drift(&gradient)?, u.as_ref())?)?;
            left.push([f, gradient]);
            Ok(())
        })?;
        let [taken, [f, gradient]] = <[_; 2]>::try_from(left).expect("the work is done twice");
        let [taken_f, taken_gradient] = taken;
        let before = state.f_detach_copy()?;
        Ok((Recording { of, tensors: vec![state, next, f, gradient], graph }, [before, taken_f, taken_gradient]))
    }
}
