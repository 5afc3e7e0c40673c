//! Gather mean and covariance of features from any number of images in bounded memory.

use crate::{EvalError, Result};
use ndarray::{Array1, Array2, Ix1, Ix2};
use ndarray_npy::{NpzReader, NpzWriter};
use srm_data::write_whole;
use std::{fs::File, io, path::Path};
use tch::{Device, Kind, Tensor};

/// Mean and covariance of features, f64.
#[derive(Debug)]
pub struct Moments {
    /// μ `[d]`
    pub mean: Tensor,
    /// Σ `[d, d]`, with 1/(n − 1) as numpy's `cov` has it.
    pub covariance: Tensor,
    /// Images; 0 where a file does not say.
    pub count: usize,
}

/// Sums over features that come batch by batch: d² + d numbers, whatever the number of images.
pub struct MomentSums {
    /// Mean of the first batch. Sums of distances from it do not cancel as sums of raw squares would.
    origin: Option<Tensor>,
    sum: Tensor,
    squares: Tensor,
    count: usize,
}

impl MomentSums {
    /// No images yet.
    pub fn new(dimension: usize) -> Self {
        let (d, options) = (dimension as i64, (Kind::Double, Device::Cpu));
        Self { origin: None, sum: Tensor::zeros([d], options), squares: Tensor::zeros([d, d], options), count: 0 }
    }

    /// Add features `[b, d]`.
    ///
    /// # Errors
    /// [`EvalError::Dimension`], [`EvalError::NotFinite`].
    pub fn add(&mut self, features: &Tensor) -> Result<()> {
        let x = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let (expected, got) = (self.sum.size()[0] as usize, x.size().get(1).copied().unwrap_or(0) as usize);
        if expected != got {
            return Err(EvalError::Dimension { expected, got });
        }
        let finite = x.f_isfinite()?.f_all_dim(1, false)?;
        if finite.f_all()?.f_int64_value(&[])? == 0 {
            let row = finite.f_to_kind(Kind::Int64)?.f_argmin(0, false)?.f_int64_value(&[])?;
            let hint = "look at that image, and at the feature network's input range";
            return Err(EvalError::NotFinite { image: self.count + row as usize, hint });
        }
        let origin = match &self.origin {
            Some(origin) => origin.shallow_clone(),
            None => x.f_mean_dim([0i64].as_slice(), false, Kind::Double)?,
        };
        let moved = x.f_sub(&origin)?;
        self.sum = self.sum.f_add(&moved.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?)?;
        self.squares = self.squares.f_add(&moved.f_tr()?.f_mm(&moved)?)?;
        self.count += x.size()[0] as usize;
        self.origin = Some(origin);
        Ok(())
    }

    /// Mean and covariance.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] for fewer than two.
    pub fn finish(&self) -> Result<Moments> {
        let (Some(origin), true) = (&self.origin, self.count >= 2) else {
            return Err(EvalError::TooFewImages { what: "a covariance", needed: 2, got: self.count });
        };
        let n = self.count as f64;
        let mean = self.sum.f_div_scalar(n)?;
        let outer = mean.f_outer(&self.sum)?;
        let covariance = self.squares.f_sub(&outer)?.f_div_scalar(n - 1.0)?;
        Ok(Moments { mean: mean.f_add(origin)?, covariance, count: self.count })
    }
}

impl Moments {
    /// d.
    pub fn dimension(&self) -> usize {
        self.mean.size()[0] as usize
    }

    /// Write `mu` and `sigma` as `.npz`, as pytorch-fid and its kin do.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let d = self.dimension();
        let mu = Array1::from_vec(numbers(&self.mean)?);
        let sigma = Array2::from_shape_vec((d, d), numbers(&self.covariance)?).map_err(|e| wrong(e.to_string()))?;
        let written = write_whole(path, |file| {
            let mut file = NpzWriter::new_compressed(file);
            file.add_array("mu", &mu).and_then(|()| file.add_array("sigma", &sigma)).map_err(io::Error::other)?;
            file.finish().map(drop).map_err(io::Error::other)
        });
        written.map_err(|e| wrong(format!("cannot write: {e}")))
    }

    /// Read `mu` and `sigma`, f64 or f32, from a `.npz`.
    ///
    /// # Errors
    /// [`EvalError::File`] for a file of another form.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let form = "statistics are a .npz with mu [d] and sigma [d, d], f64 or f32";
        let mut file = NpzReader::new(File::open(path).map_err(|e| wrong(format!("cannot read: {e}")))?)
            .map_err(|e| wrong(format!("{form}: {e}")))?;
        let mu: Array1<f64> = match file.by_name::<_, Ix1>("mu") {
            Ok(mu) => mu,
            Err(_) => file
                .by_name::<ndarray::OwnedRepr<f32>, Ix1>("mu")
                .map_err(|e| wrong(format!("{form}: {e}")))?
                .mapv(f64::from),
        };
        let sigma: Array2<f64> = match file.by_name::<_, Ix2>("sigma") {
            Ok(sigma) => sigma,
            Err(_) => file
                .by_name::<ndarray::OwnedRepr<f32>, Ix2>("sigma")
                .map_err(|e| wrong(format!("{form}: {e}")))?
                .mapv(f64::from),
        };
        let d = mu.len();
        if sigma.shape() != [d, d] {
            return Err(wrong(format!("{form}: mu has {d} numbers and sigma the shape {:?}", sigma.shape())));
        }
        if mu.iter().chain(&sigma).any(|value| !value.is_finite()) {
            return Err(wrong("holds numbers that are not finite; make the statistics anew".to_owned()));
        }
        let sigma: Vec<f64> = sigma.iter().copied().collect();
        let covariance = Tensor::f_from_slice(&sigma)?.f_reshape([d as i64, d as i64])?;
        Ok(Self { mean: Tensor::f_from_slice(&mu.to_vec())?, covariance, count: 0 })
    }
}

fn numbers(t: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(t.f_contiguous()?.f_view([-1])?)?)
}
