//! Hold part of an image still while chains draw the rest: inpainting, and growing a picture outwards.

use crate::grids::averaged;
use crate::{LangevinError, Noise, Result};
use srm_energy::Energy;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// What is known of an image, on each grid of its chain.
#[derive(Clone, Debug)]
pub struct Known {
    grids: Arc<Vec<OnGrid>>,
}

/// The same on one grid, as numbers that threads can share.
#[derive(Debug)]
struct OnGrid {
    /// `[c, h, w]`
    shape: [i64; 3],
    /// The image, of any values where it is free.
    image: Vec<f32>,
    /// 1 where it is free, 0 where it is known.
    free: Vec<f32>,
}

impl Known {
    /// `image` where `free` is 0. A pixel of a coarser grid is free where one of those that it is the mean of is.
    ///
    /// # Shapes
    /// `image`, `free`: `[c, h, w]`, `free` 0 or 1; `shapes`: those of a chain's states, coarse to fine, the last that of the image.
    ///
    /// # Errors
    /// [`LangevinError::Shape`] where the shapes differ.
    pub fn new(image: &Tensor, free: &Tensor, shapes: &[Vec<i64>]) -> Result<Self> {
        let expected = shapes.last().cloned().unwrap_or_default();
        for (what, tensor) in [("what is known of an image", image), ("the places that are free", free)] {
            if tensor.size() != expected || expected.len() != 3 {
                return Err(LangevinError::Shape { what, expected, got: tensor.size() });
            }
        }
        let numbers = |t: &Tensor| Ok::<_, LangevinError>(Vec::try_from(t.f_flatten(0, -1)?.f_to_kind(Kind::Float)?)?);
        let on_grid = |shape: &Vec<i64>| {
            let factor = expected[2] / shape[2];
            let free = averaged(free, factor)?.f_gt(0.0)?;
            Ok(OnGrid {
                shape: [shape[0], shape[1], shape[2]],
                image: numbers(&averaged(image, factor)?)?,
                free: numbers(&free)?,
            })
        };
        Ok(Self { grids: Arc::new(shapes.iter().map(on_grid).collect::<Result<_>>()?) })
    }

    /// The grid of the states `x`.
    fn on_grid_of(&self, x: &Tensor) -> Result<&OnGrid> {
        let size = x.size();
        self.grids.iter().find(|grid| size[1..] == grid.shape).ok_or_else(|| LangevinError::Shape {
            what: "a state of which a part is known",
            expected: self.grids.last().map(|grid| grid.shape.to_vec()).unwrap_or_default(),
            got: size,
        })
    }

    /// 1 where `x` is free, 0 where it is known.
    fn free(&self, x: &Tensor) -> Result<Tensor> {
        let grid = self.on_grid_of(x)?;
        grid.like(x, &grid.free)
    }

    /// x with what is known in its place.
    ///
    /// # Shapes
    /// `x`: `[b, c, h, w]` on any of the grids.
    ///
    /// # Errors
    /// [`LangevinError::Shape`], [`LangevinError::Torch`].
    pub fn put_into(&self, x: &Tensor) -> Result<Tensor> {
        let grid = self.on_grid_of(x)?;
        let (image, free) = (grid.like(x, &grid.image)?, grid.like(x, &grid.free)?);
        Ok(image.f_expand_as(x)?.f_where_self(&free.f_expand_as(x)?.f_eq(0.0)?, x)?)
    }
}

impl OnGrid {
    /// `[c, h, w]` of these numbers, of the kind and on the device of x.
    fn like(&self, x: &Tensor, numbers: &[f32]) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(numbers)?.f_reshape(self.shape)?.f_to_kind(x.kind())?.f_to_device(x.device())?)
    }
}

/// An energy whose gradient is 0 at what is known, so that no step moves it.
pub(crate) struct HeldEnergy<'a, E> {
    pub energy: &'a E,
    pub known: &'a Known,
}

impl<E: Energy> Energy for HeldEnergy<'_, E> {
    fn f(&self, x: &Tensor) -> srm_energy::Result<Tensor> {
        self.energy.f(x)
    }

    fn f_and_grad(&self, x: &Tensor) -> srm_energy::Result<(Tensor, Tensor)> {
        let (f, gradient) = self.energy.f_and_grad(x)?;
        let free = self.known.free(x).map_err(|error| srm_energy::EnergyError::Other(Box::new(error)))?;
        Ok((f, gradient.f_mul(&free)?))
    }
}

/// Noise that leaves what is known alone, and puts it in its place on each finer grid.
pub(crate) struct HeldNoise<'a, N> {
    pub noise: N,
    pub known: &'a Known,
}

impl<N: Noise> Noise for HeldNoise<'_, N> {
    fn draw(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(u) = self.noise.draw(step, x)? else { return Ok(None) };
        let free = self.known.free(x)?;
        Ok(Some(u.f_mul(&free)?))
    }

    fn rise(&mut self, step: usize, x: &Tensor) -> Result<Option<Tensor>> {
        let x = match self.noise.rise(step, x)? {
            Some(start) => x.f_add(&start)?,
            None => x.shallow_clone(),
        };
        Ok(Some(self.known.put_into(&x)?.f_sub(&x)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChainKey, Dynamics, Kernel, Outcome, Rise, Sampler, Spread, Start};
    use srm_energy::Quadratic;
    use tch::Device;

    #[test]
    fn what_is_known_stays_and_the_rest_moves_on_every_grid() {
        let shape = [1i64, 8, 8];
        let image = Tensor::arange(64, (Kind::Float, Device::Cpu)).reshape(shape) / 64.0;
        let free = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let _ = free.narrow(2, 3, 5).fill_(1.0); // columns 3 to 7; on the coarse grid 1 to 3
        let mut dynamics =
            Dynamics::new(Kernel { gradient_scale: 0.1, noise_std: 0.2, clip: None }, 6, Start::Gaussian);
        dynamics.course.rises = vec![Rise { step: 3, factor: 2 }];
        let known = Known::new(&image, &free, &dynamics.shapes(&shape)).unwrap();
        let coarse = Tensor::ones([2, 1, 4, 4], (Kind::Float, Device::Cpu));
        let put = known.put_into(&coarse).unwrap();
        assert_eq!(put.narrow(3, 0, 1), averaged(&image, 2).unwrap().narrow(2, 0, 1).expand([2, 1, 4, 1], false));
        assert_eq!(put.narrow(3, 1, 3), coarse.narrow(3, 1, 3));
        let hill = Quadratic::new(Tensor::from(0.5f32), 1.0);
        let mut sampler = Sampler::new(&hill, dynamics, &shape, Spread { threads: 1, block: 2 });
        sampler.hold(Some(known.clone()));
        let chains = crate::Chains { key: ChainKey { seed: 1, attempt: 0, update: 0 }, ids: 0..3 };
        let (outcome, _) = sampler.run(&chains, |_| ()).unwrap();
        let Outcome::Finished(samples) = outcome else { panic!("chains of a hill are finite") };
        assert_eq!(samples.x.narrow(3, 0, 3), image.narrow(2, 0, 3).expand([3, 1, 8, 3], false), "to the bit");
        assert!(samples.x.narrow(3, 3, 5).std(false).double_value(&[]) > 0.1);
        assert!(known.put_into(&Tensor::zeros([1, 1, 5, 5], (Kind::Float, Device::Cpu))).is_err());
        assert!(Known::new(&image, &free.narrow(1, 0, 4), &[vec![1, 8, 8]]).is_err());
    }
}
