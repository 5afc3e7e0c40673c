//! Hold the nets of a ladder, one a grid, as one energy over images of several sizes.

use crate::cuda::Recordings;
use crate::{ConvNet, Curved, Energy, EnergyError, Precision, Replicate, Result, StateDict, Trainable};
use serde_json::Value as Json;
use srm_config::EnergyConfig;
use tch::{Device, Tensor};

/// Energies of grids of growing size as one: f(x) is that of the grid whose images are as wide as x.
///
/// A ladder of one energy is that energy, whatever its samples are: its weights have no other names. In one of several the
/// weights of a grid of 8 pixels are named `grid8.f.0.weight` and so on. Multigrid modelling: Gao et al., CVPR 2018.
pub struct Ladder<E> {
    grids: Vec<Grid<E>>,
}

/// One grid of a ladder.
struct Grid<E> {
    /// Its pixels in the names of its weights; 0 for the only one.
    name: i64,
    /// Width of the samples that it takes.
    width: i64,
    energy: E,
}

impl<E> Grid<E> {
    fn new(width: i64, energy: E) -> Self {
        Self { name: width, width, energy }
    }

    fn with<F>(&self, energy: F) -> Grid<F> {
        Grid { name: self.name, width: self.width, energy }
    }
}

/// What stands before the names of the weights of a ladder's grid of so many pixels: `grid8.`.
pub fn grid_prefix(width: i64) -> String {
    format!("grid{width}.")
}

impl<E> From<E> for Ladder<E> {
    fn from(energy: E) -> Self {
        Self { grids: vec![Grid::new(0, energy)] }
    }
}

impl<E: Energy> Ladder<E> {
    /// Energies with the width of their images, coarse to fine.
    ///
    /// # Errors
    /// [`EnergyError::Grids`] where there is none, or one is not wider than that before it.
    pub fn new(grids: Vec<(i64, E)>) -> Result<Self> {
        let widths: Vec<i64> = grids.iter().map(|(width, _)| *width).collect();
        match !widths.is_empty() && widths.windows(2).all(|pair| pair[0] < pair[1]) {
            true => Ok(Self { grids: grids.into_iter().map(|(width, energy)| Grid::new(width, energy)).collect() }),
            false => Err(EnergyError::Grids { widths }),
        }
    }

    /// The energy of the finest grid.
    pub fn finest(&self) -> &E {
        &self.grids[self.grids.len() - 1].energy
    }

    /// The energies, coarse to fine.
    pub fn energies(&self) -> impl Iterator<Item = &E> {
        self.grids.iter().map(|grid| &grid.energy)
    }

    /// The first so many grids alone, at least one.
    #[must_use]
    pub fn first_grids(mut self, grids: usize) -> Self {
        self.grids.truncate(grids.max(1));
        self
    }

    /// The same grids for samples of another width: each takes as much of it as before.
    ///
    /// # Errors
    /// [`EnergyError::NoGrid`] where that is no whole number of pixels.
    pub fn resize(&mut self, width: i64) -> Result<()> {
        let before = match &self.grids[..] {
            [.., last] if self.grids.len() > 1 => last.width,
            _ => return Ok(()), // one alone takes any
        };
        if self.grids.iter().any(|grid| grid.width * width % before != 0) {
            return Err(self.no_grid(vec![width]));
        }
        self.grids.iter_mut().for_each(|grid| grid.width = grid.width * width / before);
        Ok(())
    }

    /// How many grids there are.
    pub fn grids(&self) -> usize {
        self.grids.len()
    }

    /// The energy that takes `x`.
    fn on_grid_of(&self, x: &Tensor) -> Result<&E> {
        self.on_grid(&x.size()).ok_or_else(|| self.no_grid(x.size()))
    }

    fn no_grid(&self, got: Vec<i64>) -> EnergyError {
        EnergyError::NoGrid { widths: self.grids.iter().map(|grid| grid.width).collect(), got }
    }

    /// The energy of samples of this shape, `[…, width]`.
    fn on_grid(&self, shape: &[i64]) -> Option<&E> {
        if let [only] = &self.grids[..] {
            return Some(&only.energy);
        }
        self.grids.iter().find(|grid| shape.last() == Some(&grid.width)).map(|grid| &grid.energy)
    }

    /// The same grids with other energies.
    fn map<F>(&self, change: impl Fn(&E) -> Result<F>) -> Result<Ladder<F>> {
        let grids = self.grids.iter().map(|grid| Ok(grid.with(change(&grid.energy)?)));
        Ok(Ladder { grids: grids.collect::<Result<_>>()? })
    }
}

impl<E: Energy> Energy for Ladder<E> {
    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.on_grid_of(x)?.f_and_grad(x)
    }

    fn f(&self, x: &Tensor) -> Result<Tensor> {
        self.on_grid_of(x)?.f(x)
    }

    fn recordings(&self, x: &Tensor) -> Result<Option<&Recordings>> {
        self.on_grid_of(x)?.recordings(x)
    }
}

impl<E: Curved> Curved for Ladder<E> {
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.on_grid_of(x)?.hvp(x, v)
    }

    fn has_curvature(&self) -> bool {
        self.energies().any(E::has_curvature)
    }
}

impl<E: Replicate> Replicate for Ladder<E> {
    fn replica(&self) -> Self {
        Self { grids: self.grids.iter().map(|grid| grid.with(grid.energy.replica())).collect() }
    }

    fn device(&self) -> Device {
        self.finest().device()
    }
}

impl<E: Trainable> Trainable for Ladder<E> {
    /// The gradients are those in the weights of the grid that takes `x`.
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        self.on_grid_of(x)?.f_and_parameter_grad(x, coefficients)
    }

    fn named_parameters(&self) -> StateDict {
        match &self.grids[..] {
            [only] => only.energy.named_parameters(),
            grids => {
                let named = |grid: &Grid<E>| {
                    let prefix = grid_prefix(grid.name);
                    grid.energy
                        .named_parameters()
                        .into_iter()
                        .map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
                };
                grids.iter().flat_map(named).collect()
            }
        }
    }

    fn fork(&self) -> Result<Self> {
        self.map(E::fork)
    }

    fn places(&self, shape: &[i64]) -> f64 {
        self.on_grid(shape).map_or(1.0, |energy| energy.places(shape))
    }

    /// What the finest says.
    fn describe(&self) -> Json {
        self.finest().describe()
    }
}

impl Ladder<ConvNet> {
    /// ConvNets with fresh weights as [`ConvNet::new`] has them, keyed by (seed, name); `nets`: coarse to fine.
    ///
    /// # Errors
    /// [`EnergyError::Grids`], [`EnergyError::Torch`] where the device refuses.
    pub fn fresh(nets: &[EnergyConfig], seed: u64, device: Device) -> Result<Self> {
        Self::of_nets(nets, |prefix, config| ConvNet::fresh(config, prefix, seed, device))
    }

    /// ConvNets of these shapes, each made by `make(prefix of its names, config)`.
    pub(crate) fn of_nets(
        nets: &[EnergyConfig],
        mut make: impl FnMut(&str, &EnergyConfig) -> Result<ConvNet>,
    ) -> Result<Self> {
        let width = |config: &EnergyConfig| config.size as i64;
        match nets {
            [only] => Ok(make("", only)?.into()),
            nets => Self::new(
                nets.iter().map(|net| Ok((width(net), make(&grid_prefix(width(net)), net)?))).collect::<Result<_>>()?,
            ),
        }
    }

    /// Compute images whose opposite borders touch from now on, see [`ConvNet::close_borders`].
    pub fn close_borders(&mut self) {
        self.grids.iter_mut().for_each(|grid| grid.energy.close_borders());
    }

    /// The shape of the finest net.
    pub fn config(&self) -> &EnergyConfig {
        self.finest().config()
    }

    /// The shapes of all nets, coarse to fine.
    pub fn configs(&self) -> Vec<EnergyConfig> {
        self.energies().map(|net| net.config().clone()).collect()
    }

    /// The shape of an image of the finest, `[c, h, w]`.
    pub fn image(&self) -> [i64; 3] {
        self.finest().image()
    }

    /// The same nets computing in other numbers, see [`ConvNet::in_precision`].
    ///
    /// # Errors
    /// [`EnergyError::Torch`].
    pub fn in_precision(self, precision: Precision) -> Result<Self> {
        let grids = self
            .grids
            .into_iter()
            .map(|Grid { name, width, energy }| Ok(Grid { name, width, energy: energy.in_precision(precision)? }));
        Ok(Self { grids: grids.collect::<Result<_>>()? })
    }
}
