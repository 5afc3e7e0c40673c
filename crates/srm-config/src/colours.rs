//! Hold the law of coarse images: how the colours of a set of images, averaged down to a few pixels, are spread.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// Channels of an image at most.
const MOST: usize = 4;

/// The normal law of a set's images on a grid of 1, 2 or 4 px, on the [-1, 1] scale; of one pixel: of their mean colours. JSON:
/// `{"mean": [r, g, b], "covariance": [[…], […], […]]}`, and on a larger grid `"size": 4` and as many numbers as its images have,
/// channel by channel and row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Colours(Arc<Law>);

#[derive(Debug, PartialEq)]
struct Law {
    size: usize,
    mean: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    /// L, below its diagonal, where L Lᵀ is the covariance.
    factor: Vec<Vec<f64>>,
}

impl Colours {
    /// The law on a grid of `size` px with this mean and covariance, 1 to 4 channels. `None` where their lengths differ or are no
    /// images of that size, a number is not finite, or the covariance is no covariance: symmetric and positive semidefinite.
    pub fn new(size: usize, mean: &[f64], covariance: &[Vec<f64>]) -> Option<Colours> {
        let length = mean.len();
        let is_image = matches!(size, 1 | 2 | 4) && (1..=MOST).any(|channels| channels * size * size == length);
        let square = covariance.len() == length && covariance.iter().all(|row| row.len() == length);
        let finite = mean.iter().chain(covariance.iter().flatten()).all(|number| number.is_finite());
        if !is_image || !square || !finite {
            return None;
        }
        let symmetric = |i: usize| (0..i).all(|j| covariance[i][j] == covariance[j][i]) && covariance[i][i] >= 0.0;
        let factor = cholesky(covariance);
        let law = Law { size, mean: mean.to_vec(), covariance: covariance.to_vec(), factor };
        ((0..length).all(symmetric) && law.is_one()).then(|| Colours(Arc::new(law)))
    }

    /// That of `images` on a grid of `size` px, channel by channel, one after the other, each of as many numbers.
    pub fn of(size: usize, images: impl Iterator<Item = Vec<f64>>) -> Option<Colours> {
        let all: Vec<Vec<f64>> = images.collect();
        let (count, length) = (all.len().max(1) as f64, all.first()?.len());
        let mean: Vec<f64> = (0..length).map(|c| all.iter().map(|one| one[c]).sum::<f64>() / count).collect();
        let mut products = vec![vec![0.0; length]; length];
        for one in &all {
            let apart: Vec<f64> = one.iter().zip(&mean).map(|(number, mean)| number - mean).collect();
            for (i, row) in products.iter_mut().enumerate() {
                row.iter_mut().zip(&apart[..=i]).for_each(|(sum, other)| *sum += apart[i] * other);
            }
        }
        let row = |i: usize| (0..length).map(|j| products[i.max(j)][i.min(j)] / count).collect();
        Colours::new(size, &mean, &(0..length).map(row).collect::<Vec<_>>())
    }

    /// Height and width of its images in pixels.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.0.mean.len() / (self.0.size * self.0.size)
    }

    /// The mean, `[c, size, size]`.
    pub fn mean(&self) -> &[f64] {
        &self.0.mean
    }

    /// The image `[c, size, size]` that `normals`, N(0, 1) one a number, give: mean + L normals, where L Lᵀ is the covariance.
    pub fn colour(&self, normals: &[f64]) -> Vec<f64> {
        let spread = |row: &[f64]| row.iter().zip(normals).map(|(one, other)| one * other).sum::<f64>();
        self.0.mean.iter().zip(&self.0.factor).map(|(mean, row)| mean + spread(row)).collect()
    }

    /// The law of these images' distances from the mean, each times `psi`: the truncation trick, which gives up variety for images
    /// nearer the usual (Brock, Donahue and Simonyan, ICLR 2019, by redrawing; Karras et al., CVPR 2019, by scaling, as here).
    #[must_use]
    pub fn truncated(&self, psi: f64) -> Colours {
        let times = |rows: &[Vec<f64>], factor: f64| {
            rows.iter().map(|row| row.iter().map(|number| number * factor).collect()).collect()
        };
        let Law { size, mean, covariance, factor } = &*self.0;
        let (covariance, factor) = (times(covariance, psi * psi), times(factor, psi));
        Colours(Arc::new(Law { size: *size, mean: mean.clone(), covariance, factor }))
    }

    fn from_value(value: &Value) -> Option<Colours> {
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let given = value.as_object()?;
        let size = given.get("size").map_or(Some(1), Value::as_u64)?;
        let is_known = given.keys().all(|key| ["size", "mean", "covariance"].contains(&key.as_str()));
        let covariance = given.get("covariance")?.as_array()?.iter().map(numbers).collect::<Option<Vec<_>>>()?;
        Colours::new(usize::try_from(size).ok()?, &numbers(given.get("mean")?)?, &covariance).filter(|_| is_known)
    }
}

impl Law {
    /// Whether L Lᵀ is the covariance: no other is that of any colours.
    fn is_one(&self) -> bool {
        let length = self.mean.len();
        let largest = (0..length).map(|c| self.covariance[c][c]).fold(1e-3, f64::max);
        let product = |i: usize, j: usize| {
            self.factor[i].iter().zip(&self.factor[j]).map(|(one, other)| one * other).sum::<f64>()
        };
        let off = |(i, j): (usize, usize)| (product(i, j) - self.covariance[i][j]).abs();
        (0..length).flat_map(|i| (0..length).map(move |j| (i, j))).all(|place| off(place) <= 1e-6 * largest)
    }
}

/// Cholesky's factor of a matrix that is square.
fn cholesky(covariance: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let length = covariance.len();
    let mut factor = vec![vec![0.0; length]; length];
    for j in 0..length {
        let own = covariance[j][j] - factor[j][..j].iter().map(|one| one * one).sum::<f64>();
        // of channels that depend on one another, as in grey pictures, rounding leaves next to nothing
        let pivot = if own > 1e-12 { own.sqrt() } else { continue };
        factor[j][j] = pivot;
        for i in j + 1..length {
            let both: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            factor[i][j] = (covariance[i][j] - both) / pivot;
        }
    }
    factor
}

/// The law of coarse images that chains start from: measured, or to be.
#[derive(Clone, Debug, PartialEq)]
pub enum ColourStart {
    /// That of the observed images on a grid of so many pixels, 1, 2 or 4: the program measures it when a run begins, and writes it
    /// down.
    Unmeasured(usize),
    /// This law.
    Law(Colours),
}

impl ColourStart {
    /// The law, once it is measured.
    pub fn law(&self) -> Option<&Colours> {
        match self {
            ColourStart::Unmeasured(_) => None,
            ColourStart::Law(law) => Some(law),
        }
    }

    /// Height and width in pixels of the images that the law is of.
    pub fn size(&self) -> usize {
        match self {
            ColourStart::Unmeasured(size) => *size,
            ColourStart::Law(law) => law.size(),
        }
    }

    pub(crate) fn from_value(value: &Value) -> Option<ColourStart> {
        let bare = || value.as_object().filter(|given| given.len() == 1)?.get("size")?.as_u64();
        match (value, bare()) {
            (Value::Null, _) => Some(ColourStart::Unmeasured(1)),
            (_, Some(size @ (1 | 2 | 4))) => Some(ColourStart::Unmeasured(size as usize)),
            _ => Colours::from_value(value).map(ColourStart::Law),
        }
    }
}

impl Serialize for ColourStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == ColourStart::Unmeasured(1) {
            return serializer.serialize_none();
        }
        let mut map = serializer.serialize_map(None)?;
        if self.size() > 1 {
            map.serialize_entry("size", &self.size())?;
        }
        if let Some(Colours(law)) = self.law() {
            map.serialize_entry("mean", &law.mean)?;
            map.serialize_entry("covariance", &law.covariance)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the law adds to its mean for a unit normal at each place: the columns of L.
    fn columns(colours: &Colours) -> Vec<Vec<f64>> {
        let length = colours.mean().len();
        let unit = |c: usize| (0..length).map(|i| f64::from(u8::from(i == c))).collect::<Vec<f64>>();
        let added =
            |c: usize| colours.colour(&unit(c)).iter().zip(colours.mean()).map(|(one, mean)| one - mean).collect();
        (0..length).map(added).collect()
    }

    fn has_the_covariance_of(colours: &Colours, images: &[Vec<f64>]) {
        let (columns, mean, count) = (columns(colours), colours.mean(), images.len() as f64);
        for i in 0..mean.len() {
            for j in 0..mean.len() {
                let product: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                let expected = images.iter().map(|image| (image[i] - mean[i]) * (image[j] - mean[j])).sum::<f64>();
                assert!((product - expected / count).abs() < 1e-12, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_law_has_the_mean_and_covariance_of_its_images() {
        // the third channel never moves
        let images = [[0.5, 0.1, 0.2], [-0.5, 0.3, 0.2], [0.1, 0.2, 0.2], [0.3, -0.6, 0.2]].map(|one| one.to_vec());
        let colours = Colours::of(1, images.iter().cloned()).unwrap();
        assert!((colours.mean()[0] - 0.1).abs() < 1e-15 && colours.mean()[1].abs() < 1e-15);
        has_the_covariance_of(&colours, &images);
        assert_eq!(colours.colour(&[0.0; 3]), colours.mean());
        let halved = images.clone().map(|image| (0..3).map(|c| (image[c] + colours.mean()[c]) / 2.0).collect());
        has_the_covariance_of(&colours.truncated(0.5), &halved);
        assert_eq!(colours.truncated(0.0).colour(&[3.0; 3]), colours.mean());
        assert_eq!(colours.truncated(1.0), colours);
        // four images of 2 px in two channels: eight numbers of which three are free
        let image = |i: usize| (0..8).map(|at| ((i * 8 + at) as f64 * 0.618).fract() - 0.5).collect::<Vec<f64>>();
        let images: Vec<Vec<f64>> = (0..4).map(image).collect();
        let colours = Colours::of(2, images.iter().cloned()).unwrap();
        assert_eq!((colours.channels(), colours.size()), (2, 2));
        has_the_covariance_of(&colours, &images);
    }

    #[test]
    fn a_start_is_read_as_it_was_written() {
        let of_grey = |size: usize| {
            let images = (0..9).map(|i| (0..size * size).map(|at| f64::from((i * 7 + at as i32) % 5)).collect());
            ColourStart::Law(Colours::of(size, images).unwrap())
        };
        for start in [ColourStart::Unmeasured(1), ColourStart::Unmeasured(4), of_grey(1), of_grey(2), of_grey(4)] {
            assert_eq!(ColourStart::from_value(&serde_json::to_value(&start).unwrap()), Some(start));
        }
        let json = |start: &ColourStart| serde_json::to_string(start).unwrap();
        assert_eq!(json(&ColourStart::Unmeasured(1)), "null");
        assert_eq!(json(&ColourStart::Unmeasured(2)), r#"{"size":2}"#);
        let law = Colours::new(1, &[0.25], &[vec![0.5]]).unwrap();
        assert_eq!(json(&ColourStart::Law(law)), r#"{"mean":[0.25],"covariance":[[0.5]]}"#);
    }

    #[test]
    fn what_is_no_law_is_refused() {
        for text in [
            r#"{"mean": [0.1]}"#,
            r#"{"mean": [0.1], "covariance": [[-1]]}"#,
            r#"{"mean": [0.1, 0.2], "covariance": [[1, 0]]}"#,
            r#"{"mean": [0.1, 0.2], "covariance": [[1, 0.5], [0.4, 1]]}"#,
            r#"{"mean": [0, 0, 0], "covariance": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}"#,
            r#"{"mean": [], "covariance": []}"#,
            r#"{"mean": [0, 0, 0, 0, 0], "covariance": []}"#,
            r#"{"mean": ["a"], "covariance": [[1]]}"#,
            r#"{"mean": [0.1], "covariance": [[1]], "more": 1}"#,
            r#"{"size": 2, "mean": [0.1], "covariance": [[1]]}"#,
            r#"{"size": 3}"#,
            "4",
        ] {
            assert_eq!(ColourStart::from_value(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
        assert_eq!(Colours::of(1, std::iter::empty()), None);
    }
}
