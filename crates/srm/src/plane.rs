//! Draw energies and points of the plane as a picture.

use ndarray::{Array4, s};
use srm_data::{DataError, write_grid};
use srm_energy::{Energy, EnergyError, Result};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Pixels of a picture's side.
const SIDE: usize = 400;

/// Pictures side by side of the square [-range, range]², white where nothing is.
///
/// ```no_run
/// # use srm::prelude::*;
/// # let (energy, points) = (Quadratic::new(Tensor::from(0.0f32), 0.5), Tensor::zeros([1, 2], (Kind::Float, Device::Cpu)));
/// Plane::new(1.5).energy(&energy)?.points(&points, [0, 0, 0])?.write("plane.png".as_ref())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Plane {
    range: f64,
    pictures: Vec<Array4<u8>>,
}

impl Plane {
    /// An empty picture of [-range, range]².
    pub fn new(range: f64) -> Self {
        Self { range, pictures: vec![Array4::from_elem((1, SIDE, SIDE, 3), 255)] }
    }

    /// Go on with an empty picture to the right.
    #[must_use]
    pub fn beside(mut self) -> Self {
        self.pictures.push(Array4::from_elem((1, SIDE, SIDE, 3), 255));
        self
    }

    /// Colour the picture by f: dark where it is highest, white where it is below its median.
    ///
    /// # Errors
    /// What the energy returns.
    pub fn energy(mut self, energy: &dyn Energy) -> Result<Self> {
        let axis = Tensor::f_linspace(-self.range, self.range, SIDE as i64, (Kind::Float, Device::Cpu))?;
        let (x, y) =
            (axis.f_repeat([SIDE as i64])?, axis.f_flip([0])?.f_repeat_interleave_self_int(SIDE as i64, 0, None)?);
        let f = tch::no_grad(|| energy.f(&Tensor::f_stack(&[x, y], 1)?))?.f_to_kind(Kind::Float)?;
        let (low, high) = (f.f_median()?.f_double_value(&[])?, f.f_max()?.f_double_value(&[])?);
        let shares = f.f_sub_scalar(low)?.f_div_scalar((high - low).max(1e-12))?.f_clamp_min(0.0)?;
        let shares = Vec::<f32>::try_from(shares)?;
        for (mut pixel, share) in self.last().lanes_mut(ndarray::Axis(3)).into_iter().zip(shares) {
            for (channel, floor) in pixel.iter_mut().zip([40.0, 90.0, 160.0]) {
                *channel = (255.0 - (255.0 - floor) * share) as u8;
            }
        }
        Ok(self)
    }

    /// Put points into the picture; those outside it are left out.
    ///
    /// # Shapes
    /// `points`: `[n, 2]`.
    ///
    /// # Errors
    /// [`EnergyError::Shape`] for another shape.
    pub fn points(mut self, points: &Tensor, colour: [u8; 3]) -> Result<Self> {
        let got = points.size();
        if got.len() != 2 || got[1] != 2 {
            return Err(EnergyError::Shape { what: "the batch of points", expected: vec![-1, 2], got });
        }
        let flat = Vec::<f64>::try_from(points.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
        let scale = (SIDE - 1) as f64 / (2.0 * self.range);
        let range = self.range;
        for point in flat.as_chunks::<2>().0 {
            let (column, row) = ((point[0] + range) * scale, (range - point[1]) * scale);
            if column >= 1.0 && row >= 1.0 && column < (SIDE - 2) as f64 && row < (SIDE - 2) as f64 {
                let (column, row) = (column as usize, row as usize);
                self.last().slice_mut(s![0, row..row + 2, column..column + 2, ..]).assign(&ndarray::arr1(&colour));
            }
        }
        Ok(self)
    }

    /// Write the pictures as PNG.
    ///
    /// # Errors
    /// [`DataError::Io`], [`DataError::Picture`].
    pub fn write(&self, path: &Path) -> std::result::Result<(), DataError> {
        let views: Vec<_> = self.pictures.iter().map(|picture| picture.view()).collect();
        let all = ndarray::concatenate(ndarray::Axis(0), &views).unwrap_or_default();
        write_grid(path, &all.view(), self.pictures.len(), 4)
    }

    fn last(&mut self) -> &mut Array4<u8> {
        self.pictures.last_mut().expect("there is one from the beginning")
    }
}
