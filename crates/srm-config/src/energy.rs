//! Describe the net f: the part of a config that travels inside a weights file beside the chain.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::{
    fields::{Fields, is_positive_f32, not_negative},
    raw,
};

/// Nonlinearity between the convolutions. JSON: `{"leaky_relu": 0.2}`, `"relu"`, `"silu"`, `"softplus"` or `"gelu"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0) + slope · min(x, 0), slope >= 0. The published net has 0.2 (enijkamp/short_run, train_cifar10_minimal.py).
    LeakyRelu(f64),
    /// max(x, 0).
    Relu,
    /// x · sigmoid(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// x · Φ(x), the exact form with the error function.
    Gelu,
}

impl Default for Activation {
    fn default() -> Activation {
        Activation::LeakyRelu(0.2)
    }
}

impl Activation {
    /// What an activation in JSON must look like.
    pub(crate) const RULE: &'static str = r#"must be {"leaky_relu": slope >= 0}, "relu", "silu", "softplus" or "gelu""#;

    pub(crate) fn from_value(value: &Value) -> Option<Activation> {
        match value {
            Value::String(name) => match name.as_str() {
                "relu" => Some(Activation::Relu),
                "silu" => Some(Activation::Silu),
                "softplus" => Some(Activation::Softplus),
                "gelu" => Some(Activation::Gelu),
                "leaky_relu" => Some(Activation::default()),
                _ => None,
            },
            Value::Object(map) if map.len() == 1 => not_negative(map.get("leaky_relu")?).map(Activation::LeakyRelu),
            _ => None,
        }
    }
}

/// Shape of the ConvNet f.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnergyConfig {
    /// Height and width of the images in pixels: 4, 8, 16, 32, 64 or 128. Where [`EnergyConfig::any_size`] is on, of the smallest.
    pub size: usize,
    /// Channels of the images: 1 (grey), 3 (RGB) or 4 (RGBA).
    pub channels: usize,
    /// Features n of the first layer, 1 to 1024; published: 64 (enijkamp/short_run, train_cifar10_minimal.py).
    pub features: usize,
    /// Nonlinearity between the convolutions.
    pub activation: Activation,
    /// Whether images may be larger: f is then the sum of the last layer's responses at all places where it fits, as in "A theory of
    /// generative ConvNet" (Xie, Lu, Zhu and Wu, ICML 2016), so that one net serves images of any height and width. Off by default.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_size: bool,
    /// s > 0 of a reference distribution N(0, s² I), whose −‖x‖²/(2 s²) is added to f; `None`: none, as in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_std: Option<f64>,
}

impl EnergyConfig {
    /// A net for images of one size.
    pub fn new(size: usize, channels: usize, features: usize, activation: Activation) -> EnergyConfig {
        EnergyConfig { size, channels, features, activation, any_size: false, reference_std: None }
    }

    /// Pixels from one place of the last layer to the next: sides of images are multiples of it.
    pub fn stride(&self) -> usize {
        (self.size / 4).max(1)
    }

    /// Places of the last layer on images of these sides.
    pub fn places(&self, sides: [usize; 2]) -> usize {
        sides.iter().map(|side| (side / self.stride()).saturating_sub(3)).product()
    }

    /// Whether images of this height and width have an f.
    pub fn takes(&self, sides: [usize; 2]) -> bool {
        let larger = |side: usize| self.any_size && side >= self.size && side.is_multiple_of(self.stride());
        sides.iter().all(|&side| side == self.size || larger(side))
    }

    /// `[h, w, c]` of the images.
    pub fn shape(&self) -> [usize; 3] {
        [self.size, self.size, self.channels]
    }
}

/// What `size` must be.
pub(crate) const SIZE_RULE: &str = "must be 4, 8, 16, 32, 64 or 128 (pixels)";
/// What `features` must be.
pub(crate) const FEATURES_RULE: &str = "must be a whole number from 1 to 1024";

pub(crate) fn size_of_net(value: &Value) -> Option<usize> {
    crate::fields::one_or_more(value).filter(|size| [4, 8, 16, 32, 64, 128].contains(size))
}

pub(crate) fn features_of_net(value: &Value) -> Option<usize> {
    crate::fields::one_or_more(value).filter(|&features| features <= 1024)
}

impl EnergyConfig {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<EnergyConfig> {
        let size = fields.read("size", None, SIZE_RULE, size_of_net);
        let channels = fields.read("channels", None, "must be 1 (grey), 3 (RGB) or 4 (RGBA)", |value| {
            crate::fields::whole(value)
                .filter(|channels| [1, 3, 4].contains(channels))
                .map(|channels| channels as usize)
        });
        let features = fields.read("features", Some(64), FEATURES_RULE, features_of_net);
        let activation =
            fields.read("activation", Some(Activation::default()), Activation::RULE, Activation::from_value);
        let any_size = fields.read("any_size", Some(false), "must be true or false", Value::as_bool);
        let rule = "must be a number > 0 whose square f32 holds, or absent";
        let reference_std = fields.read("reference_std", Some(None), rule, |value| {
            value.as_f64().filter(|&s| is_positive_f32(s) && is_positive_f32(s * s)).map(Some)
        });
        Some(EnergyConfig {
            any_size: any_size?,
            reference_std: reference_std?,
            ..EnergyConfig::new(size?, channels?, features?, activation?)
        })
    }
}

impl<'de> Deserialize<'de> for EnergyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EnergyConfig, D::Error> {
        let tree = Value::deserialize(deserializer)?;
        raw::read_section(&tree, "energy", EnergyConfig::read).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Activation, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Activation::from_value(&value).ok_or_else(|| D::Error::custom(format!("{value} is no activation")))
    }
}
