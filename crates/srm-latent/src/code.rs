//! Lay out what a search moves: z alone, or z and a start of its own on each finer grid of a ladder.

use crate::{Latent, Result};
use srm_langevin::{Dynamics, up_to};
use tch::Tensor;

/// The parts of a code.
pub(crate) struct Layout {
    /// The shape of each part, coarse to fine, without the batch.
    shapes: Vec<Vec<i64>>,
}

impl Layout {
    /// The code of samples of a shape: for all but [`Latent::Grids`] z alone.
    pub(crate) fn new(latent: Latent, dynamics: &Dynamics, sample: &[i64]) -> Self {
        let mut shapes = dynamics.shapes(sample);
        if latent != Latent::Grids {
            shapes.truncate(1);
        }
        Self { shapes }
    }

    /// The code with z, `[n, …]`, where training has it: nothing is put onto the chain on finer grids.
    pub(crate) fn of_start(&self, z: Tensor) -> Result<Tensor> {
        let nothing = |shape: &Vec<i64>| {
            let all = [&[z.size()[0]], &shape[..]].concat();
            Ok(Tensor::f_zeros(all, (z.kind(), z.device()))?)
        };
        let finer = self.shapes[1..].iter().map(nothing);
        self.joined(&std::iter::once(Ok(z.shallow_clone())).chain(finer).collect::<Result<Vec<_>>>()?)
    }

    /// The parts as one code: `[n, …]` of one, `[n, numbers of all]` of several.
    pub(crate) fn joined(&self, parts: &[Tensor]) -> Result<Tensor> {
        match parts {
            [z] => Ok(z.shallow_clone()),
            parts => {
                let flat = parts.iter().map(|part| Ok(part.f_flatten(1, -1)?)).collect::<Result<Vec<_>>>()?;
                Ok(Tensor::f_cat(&flat, 1)?)
            }
        }
    }

    /// The parts of a code, each `[n, …]` on its grid.
    pub(crate) fn parts(&self, code: &Tensor) -> Result<Vec<Tensor>> {
        if self.shapes.len() == 1 {
            return Ok(vec![code.shallow_clone()]);
        }
        let mut first = 0;
        let part = |shape: &Vec<i64>| {
            let count = shape.iter().product();
            let part = code.f_narrow(1, first, count)?;
            first += count;
            Ok(part.f_reshape([&[-1], &shape[..]].concat())?)
        };
        self.shapes.iter().map(part).collect()
    }

    /// The images of a generator that does nothing, `[n, …]` in the size of `x`: the parts up-sampled and added.
    pub(crate) fn unmoved(&self, code: &Tensor, x: &Tensor) -> Result<Tensor> {
        let parts = self.parts(code)?;
        let mut sum = up_to(&parts[0], &x.size())?;
        for part in &parts[1..] {
            sum = sum.f_add(&up_to(part, &x.size())?)?;
        }
        Ok(sum)
    }
}
