//! Keep mean and covariance of features in a `.npz`, and read those of other programs.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use ndarray::{ArrayViewD, IxDyn, ShapeError};
use serde_json::{Value, json};
use srm_data::{NpyNumber, npy};
use srm_files::write_whole;
use tch::{Kind, Tensor};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    EvalError, Identity, Moments, Result,
    npz::{Npz, Numbers},
};

/// Names of the mean: pytorch-fid and its kin, and others.
const MEANS: [&str; 3] = ["mu", "m", "mean"];
/// Names of the covariance.
const COVARIANCES: [&str; 5] = ["sigma", "C", "cov", "covariance", "s"];
/// How far Σ may be from symmetric and from positive, as a share of its largest number or eigenvalue: f32 and f16 round.
const ROUNDING: f64 = 1e-3;
const FORM: &str = "statistics are a .npz with mu [d] and sigma [d, d]";

impl Moments {
    /// Whether a file is one of statistics, by its first bytes: a zip archive, as every `.npz` is.
    pub fn is_file(path: &Path) -> bool {
        Npz::is_file(path)
    }

    /// Write `mu` and `sigma` as `.npz`, as pytorch-fid and its kin do, with `count`, the number of images, where it is known, and
    /// `features`, what the network is, as JSON in UTF-8.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn save(&self, path: &Path, network: &Identity) -> Result<()> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let d = self.dimension();
        let (mu, sigma) = (numbers(&self.mean)?, numbers(&self.covariance)?);
        let features = essence(network).to_string().into_bytes();
        let write = |file: &mut BufWriter<&File>| {
            let mut file = ZipWriter::new(file);
            add(&mut file, "mu", &[d], &mu)?;
            add(&mut file, "sigma", &[d, d], &sigma)?;
            if let Some(count) = self.count {
                add(&mut file, "count", &[], &[count as u64])?;
            }
            add(&mut file, "features", &[features.len()], &features)?;
            Ok(file.finish().map(drop)?)
        };
        write_whole(path, write).map_err(|error| wrong(format!("cannot write: {error}")))
    }

    /// Read a `.npz` of statistics: the mean as `mu`, `m` or `mean`, `[d]` or `[1, d]`; the covariance as `sigma`, `C`, `cov`,
    /// `covariance` or `s`, `[d, d]`; f64, f32 or f16 of either byte and axis order. `network` must be the one whose features they
    /// are, as far as the file tells.
    ///
    /// # Errors
    /// [`EvalError::File`] for a file of another form, or numbers that are no mean and covariance; [`EvalError::OtherFeatures`],
    /// [`EvalError::StatisticsDimension`].
    pub fn load(path: &Path, network: &Identity) -> Result<Self> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let mut file = Npz::open(path).map_err(|reason| wrong(format!("{FORM}: this {reason}")))?;
        let names = file.names();
        let find =
            |wanted: &[&'static str]| wanted.iter().find(|name| names.iter().any(|found| found == *name)).copied();
        let (Some(mean), Some(covariance)) = (find(&MEANS), find(&COVARIANCES)) else {
            return Err(wrong(format!("{FORM}: {}", held(&mut file, &names, path))));
        };
        let mu = file.numbers(mean).map_err(wrong)?;
        let d = sides(&mu, 1).ok_or_else(|| wrong(format!("{FORM}: {mean} has the shape {:?}", mu.header.shape)))?;
        if names.iter().any(|name| name == "features") {
            let theirs = file.bytes("features").ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let theirs =
                theirs.ok_or_else(|| wrong("its entry features is not srm's JSON; leave that entry out".to_owned()))?;
            if theirs != essence(network) {
                let (expected, got) = (described(&theirs), described(&essence(network)));
                return Err(EvalError::OtherFeatures { path: path.to_owned(), expected, got });
            }
        }
        if d != network.dimension {
            let (name, hint) = (network.name, maker(d));
            return Err(EvalError::StatisticsDimension {
                path: path.to_owned(),
                got: d,
                expected: network.dimension,
                name,
                hint,
            });
        }
        let sigma = file.numbers(covariance).map_err(wrong)?;
        if sides(&sigma, 2) != Some(d) {
            let shape = &sigma.header.shape;
            return Err(wrong(format!("{FORM}: {mean} has {d} numbers and {covariance} the shape {shape:?}")));
        }
        if mu.values.iter().chain(&sigma.values).any(|value| !value.is_finite()) {
            return Err(wrong("holds numbers that are not finite; make the statistics anew".to_owned()));
        }
        let count = match names.iter().any(|name| name == "count") {
            true => Some(count(&mut file).map_err(wrong)?),
            false => None,
        };
        let raw = Tensor::f_from_slice(&sigma.values)?.f_reshape([d as i64, d as i64])?;
        match fault(&raw)? {
            Some(fault) => Err(wrong(format!("{covariance} is no covariance: {fault}"))),
            None => Ok(Self { mean: Tensor::f_from_slice(&mu.values)?, covariance: raw, count }),
        }
    }
}

/// Add an array to a `.npz`, compressed.
fn add<A: NpyNumber>(
    file: &mut ZipWriter<&mut BufWriter<&File>>,
    name: &str,
    shape: &[usize],
    numbers: &[A],
) -> io::Result<()> {
    file.start_file(format!("{name}.npy"), SimpleFileOptions::default())?;
    let array = ArrayViewD::from_shape(IxDyn(shape), numbers).map_err(|e: ShapeError| io::Error::other(e))?;
    npy(file, &array)
}

/// The count of images that a file gives.
fn count(file: &mut Npz) -> std::result::Result<usize, String> {
    let values = file.numbers("count")?.values;
    match values[..] {
        [count] if count >= 2.0 && count.fract() == 0.0 && count < 1e15 => Ok(count as usize),
        _ => Err("its entry count is no whole number of at least 2".to_owned()),
    }
}

/// d of `[d]` (`axes` 1) or `[d, d]` (2), axes of length 1 aside.
fn sides(numbers: &Numbers, axes: usize) -> Option<usize> {
    let d = (numbers.values.len() as f64).powf(1.0 / axes as f64).round() as usize;
    let longer: Vec<usize> = numbers.header.shape.iter().copied().filter(|&side| side != 1).collect();
    let expected = if d == 1 { Vec::new() } else { vec![d; axes] };
    (d > 0 && longer == expected).then_some(d)
}

/// Why a matrix is no covariance, rounding aside; `None` where it is one.
fn fault(matrix: &Tensor) -> Result<Option<String>> {
    let largest = |t: &Tensor| -> Result<f64> { Ok(t.f_abs()?.f_max()?.f_double_value(&[])?) };
    let (size, apart) = (largest(matrix)?, largest(&matrix.f_sub(&matrix.f_tr()?)?)?);
    if apart > ROUNDING * size {
        return Ok(Some(format!("it is not symmetric, numbers are up to {apart:.3e} apart")));
    }
    let values = matrix.f_linalg_eigvalsh("L")?;
    let (least, most) = (values.f_min()?.f_double_value(&[])?, largest(&values)?);
    Ok((least < -ROUNDING * most).then(|| format!("it has the negative eigenvalue {least:.3e}")))
}

/// What a file without statistics holds, and what makes some of it.
fn held(file: &mut Npz, names: &[String], path: &Path) -> String {
    if names.is_empty() {
        return "this archive is empty".to_owned();
    }
    let arrays: Vec<(&String, Option<crate::npz::Header>)> =
        names.iter().take(8).map(|name| (name, file.header(name).ok())).collect();
    let images = arrays
        .iter()
        .find(|(_, header)| header.as_ref().is_some_and(|header| header.dtype == "|u1" && header.shape.len() == 4));
    if let Some((name, _)) = images {
        let (from, to) = (path.display(), path.with_extension("npy"));
        return format!(
            "this holds the images themselves; `python3 -c 'import numpy; numpy.save(\"{}\", numpy.load(\"{from}\")[\"{name}\"])'` \
             makes a .npy of them, which serves as --data and --samples",
            to.display()
        );
    }
    let shown = |(name, header): &(&String, Option<crate::npz::Header>)| match header {
        Some(header) => format!("{name} {:?}", header.shape),
        None => format!("{name}, which is no array"),
    };
    let list: Vec<String> = arrays.iter().map(shown).collect();
    format!("this holds {}{}", list.join(", "), if names.len() > list.len() { ", …" } else { "" })
}

/// What decides about the features of a network.
fn essence(network: &Identity) -> Value {
    let Identity { name, dimension, sha256, input, .. } = network;
    json!({ "name": name, "dimension": dimension, "sha256": sha256, "input": input })
}

/// A network for people: `inception, sha256 b8b0…`.
fn described(essence: &Value) -> String {
    let name = essence["name"].as_str().unwrap_or("a network without name");
    match essence["sha256"].as_str() {
        Some(sum) => format!("{name} (sha256 {}, input {})", sum.get(..12).unwrap_or(sum), essence["input"]),
        None => name.to_owned(),
    }
}

/// Who gives features of this dimension.
fn maker(dimension: usize) -> &'static str {
    match dimension {
        2048 => "2048 are Inception's: `cargo xtask fetch-inception`, then --features with the file that it names",
        64 | 192 | 768 => "pytorch-fid's other layers give so many; make the statistics with its --dims 2048",
        crate::random_conv::RandomConv::DIMENSION => "random-conv gives so many",
        _ => "give --features the network that they were made with",
    }
}

fn numbers(t: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(t.f_to_kind(Kind::Double)?.f_contiguous()?.f_view([-1])?)?)
}

#[cfg(test)]
mod tests;
