//! Hold the law of images of one pixel: how the mean colours of a set of images are spread.

use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::Value;

/// Channels of an image at most.
const MOST: usize = 4;

/// The normal law of a set's mean colours, an image each, on the [-1, 1] scale: its 1 × 1 grid. JSON:
/// `{"mean": [r, g, b], "covariance": [[…], […], […]]}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    channels: usize,
    mean: [f64; MOST],
    covariance: [[f64; MOST]; MOST],
}

impl Colours {
    /// The law with this mean and covariance, 1 to 4 channels. `None` where their lengths differ, a number is not finite, or the
    /// covariance is no covariance: symmetric and positive semidefinite.
    pub fn new(mean: &[f64], covariance: &[Vec<f64>]) -> Option<Colours> {
        let channels = mean.len();
        let square = covariance.len() == channels && covariance.iter().all(|row| row.len() == channels);
        let finite = mean.iter().chain(covariance.iter().flatten()).all(|number| number.is_finite());
        if !(1..=MOST).contains(&channels) || !square || !finite {
            return None;
        }
        let symmetric = |i: usize| (0..i).all(|j| covariance[i][j] == covariance[j][i]) && covariance[i][i] >= 0.0;
        let mut colours = Colours { channels, mean: [0.0; MOST], covariance: [[0.0; MOST]; MOST] };
        colours.mean[..channels].copy_from_slice(mean);
        for (own, row) in colours.covariance.iter_mut().zip(covariance) {
            own[..channels].copy_from_slice(row);
        }
        ((0..channels).all(symmetric) && colours.is_law()).then_some(colours)
    }

    /// Those of images of which `mean_colours` gives the mean colour, one after the other, each of as many channels.
    pub fn of(mean_colours: impl Iterator<Item = Vec<f64>>) -> Option<Colours> {
        let all: Vec<Vec<f64>> = mean_colours.collect();
        let (count, channels) = (all.len().max(1) as f64, all.first()?.len());
        let mean: Vec<f64> = (0..channels).map(|c| all.iter().map(|one| one[c]).sum::<f64>() / count).collect();
        let product = |i: usize, j: usize| all.iter().map(|one| (one[i] - mean[i]) * (one[j] - mean[j])).sum::<f64>();
        let row = |i: usize| (0..channels).map(|j| product(i.max(j), i.min(j)) / count).collect();
        Colours::new(&mean, &(0..channels).map(row).collect::<Vec<_>>())
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The mean, channel by channel.
    pub fn mean(&self) -> &[f64] {
        &self.mean[..self.channels]
    }

    /// The colour that `normals`, N(0, 1) one a channel, give: mean + L normals, where L Lᵀ is the covariance.
    pub fn colour(&self, normals: &[f64]) -> Vec<f64> {
        let spread = |row: &[f64; MOST]| row.iter().zip(normals).map(|(one, other)| one * other).sum::<f64>();
        self.mean().iter().zip(&self.factor()).map(|(mean, row)| mean + spread(row)).collect()
    }

    /// L, below its diagonal; Cholesky's.
    fn factor(&self) -> [[f64; MOST]; MOST] {
        let mut factor = [[0.0; MOST]; MOST];
        for j in 0..self.channels {
            let own = self.covariance[j][j] - factor[j][..j].iter().map(|one| one * one).sum::<f64>();
            // of channels that depend on one another, as in grey pictures, rounding leaves next to nothing
            let pivot = if own > 1e-12 { own.sqrt() } else { continue };
            factor[j][j] = pivot;
            for i in j + 1..self.channels {
                let both: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
                factor[i][j] = (self.covariance[i][j] - both) / pivot;
            }
        }
        factor
    }

    /// Whether L Lᵀ is the covariance: no other is that of any colours.
    fn is_law(&self) -> bool {
        let (factor, largest) = (self.factor(), (0..MOST).map(|c| self.covariance[c][c]).fold(1e-3, f64::max));
        let product =
            |i: usize, j: usize| factor[i].iter().zip(&factor[j]).map(|(one, other)| one * other).sum::<f64>();
        let off = |(i, j): (usize, usize)| (product(i, j) - self.covariance[i][j]).abs();
        (0..MOST).flat_map(|i| (0..MOST).map(move |j| (i, j))).all(|place| off(place) <= 1e-6 * largest)
    }

    pub(crate) fn from_value(value: &Value) -> Option<Colours> {
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let given = value.as_object().filter(|given| given.len() == 2)?;
        let covariance = given.get("covariance")?.as_array()?.iter().map(numbers).collect::<Option<Vec<_>>>()?;
        Colours::new(&numbers(given.get("mean")?)?, &covariance)
    }
}

impl Serialize for Colours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let covariance: Vec<&[f64]> =
            self.covariance[..self.channels].iter().map(|row| &row[..self.channels]).collect();
        let mut object = serializer.serialize_struct("Colours", 2)?;
        object.serialize_field("mean", self.mean())?;
        object.serialize_field("covariance", &covariance)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_mean_and_covariance_of_their_images() {
        let images = [[0.5, 0.1, 0.2], [-0.5, 0.3, 0.2], [0.1, 0.2, 0.2], [0.3, -0.6, 0.2]];
        let colours = Colours::of(images.iter().map(|image| image.to_vec())).unwrap();
        assert!((colours.mean()[0] - 0.1).abs() < 1e-15 && colours.mean()[1].abs() < 1e-15);
        // unit normals give the columns of L, and L Lᵀ is the covariance again; the third channel never moves
        let column = |c: usize| {
            let unit: Vec<f64> = (0..3).map(|i| f64::from(u8::from(i == c))).collect();
            let colour = colours.colour(&unit);
            colour.iter().zip(colours.mean()).map(|(one, mean)| one - mean).collect::<Vec<f64>>()
        };
        let columns: Vec<Vec<f64>> = (0..3).map(column).collect();
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                let expected =
                    images.iter().map(|image| (image[i] - colours.mean()[i]) * (image[j] - colours.mean()[j]));
                assert!((product - expected.sum::<f64>() / 4.0).abs() < 1e-12, "{i} {j}");
            }
        }
        assert_eq!(colours.colour(&[0.0; 3]), colours.mean());
        let json = serde_json::to_value(colours).unwrap();
        assert_eq!(Colours::from_value(&json), Some(colours));
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
        ] {
            assert_eq!(Colours::from_value(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
        assert_eq!(Colours::of(std::iter::empty()), None);
    }
}
