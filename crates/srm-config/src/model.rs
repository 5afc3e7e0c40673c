//! Describe the net f and the Langevin chain: the part of a config that travels inside a weights file.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::{
    fields::{Fields, NOT_NEGATIVE, POSITIVE, not_negative, positive},
    raw,
};

/// Chains per block at most, as `--block` takes them. A block is computed whole, whatever the batch.
const LARGEST_BLOCK: usize = u16::MAX as usize;

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
    fn from_value(value: &Value) -> Option<Activation> {
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
    /// Height and width of the images in pixels: 32, 64 or 128.
    pub size: usize,
    /// Channels of the images: 1 (grey), 3 (RGB) or 4 (RGBA).
    pub channels: usize,
    /// Features n of the first layer, 1 to 1024; published: 64 (enijkamp/short_run, train_cifar10_minimal.py).
    pub features: usize,
    /// Nonlinearity between the convolutions.
    pub activation: Activation,
}

impl EnergyConfig {
    /// `[h, w, c]` of the images.
    pub fn shape(&self) -> [usize; 3] {
        [self.size, self.size, self.channels]
    }
}

/// Where chains start. JSON: `"uniform"`, `"gaussian"`, `"data"`, `"persistent"` or
/// `{"persistent": {"size": 10000, "restart": 0.05}}`.
///
/// The first two are the method of the paper: noise p_0, anew at every update. The others are its neighbours, for
/// comparison; they matter to training alone, and samples of such nets start from uniform noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Uniform on [-1, 1], the paper's choice.
    #[default]
    Uniform,
    /// Standard normal N(0, I).
    Gaussian,
    /// At the observed images of the update, noise included: contrastive divergence (Hinton 2002).
    Data,
    /// At samples of earlier updates, kept in a bank: persistent chains (Tieleman 2008; Du and Mordatch, arXiv 1903.08689).
    Persistent(Bank),
}

/// The chains that persistent training keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bank {
    /// Images in the bank, >= 1 and at least a batch; 10,000 in Du and Mordatch's code and in JEM's.
    pub size: usize,
    /// Probability in [0, 1] that a chain taken from the bank starts anew from uniform noise; 0.05 in both.
    pub restart: f64,
}

impl Default for Bank {
    fn default() -> Bank {
        Bank { size: 10_000, restart: 0.05 }
    }
}

impl Init {
    const RULE: &'static str =
        r#"must be "uniform", "gaussian", "data" or {"persistent": {"size": images >= 1, "restart": 0 to 1}}"#;

    fn from_value(value: &Value) -> Option<Init> {
        match value {
            Value::String(name) => match name.as_str() {
                "uniform" => Some(Init::Uniform),
                "gaussian" => Some(Init::Gaussian),
                "data" => Some(Init::Data),
                "persistent" => Some(Init::Persistent(Bank::default())),
                _ => None,
            },
            Value::Object(map) if map.len() == 1 => {
                let given = map.get("persistent")?.as_object()?;
                let mut bank = Bank::default();
                for (key, value) in given {
                    match key.as_str() {
                        "size" => bank.size = crate::fields::one_or_more(value)?,
                        "restart" => bank.restart = value.as_f64().filter(|share| (0.0..=1.0).contains(share))?,
                        _ => return None,
                    }
                }
                Some(Init::Persistent(bank))
            }
            _ => None,
        }
    }
}

/// Step sizes of x ← x + gradient_scale · f'(x) + noise_std · U, in either of two forms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Drift {
    /// The published code's form, a tempered Langevin step: gradient scale > 0 and noise std >= 0 set apart.
    Tempered {
        /// Factor before f'(x), > 0.
        gradient_scale: f64,
        /// Std of the noise added at each step, in pixel units (images span [-1, 1]), >= 0.
        noise_std: f64,
    },
    /// Eq. (4) of arXiv 1904.09770: gradient scale Δτ/2 and noise std √Δτ.
    DeltaTau {
        /// Δτ > 0.
        delta_tau: f64,
    },
}

/// The Langevin chain: how many steps, how large, from where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LangevinConfig {
    /// Steps K of a chain, >= 1; 100 in the paper.
    pub steps: usize,
    /// Step sizes.
    #[serde(flatten)]
    pub drift: Drift,
    /// Start of the chains.
    pub init: Init,
    /// Largest ‖f'(x)‖₂ per image in a step, > 0: a longer gradient is shortened to it. `None`, as in the paper: no clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_gradient: Option<f64>,
    /// Chains that run together as one block, 1 to 65,535; `None`: chosen by the program, then written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
}

impl LangevinConfig {
    /// Factor before f'(x) in one step.
    pub fn gradient_scale(&self) -> f64 {
        match self.drift {
            Drift::Tempered { gradient_scale, .. } => gradient_scale,
            Drift::DeltaTau { delta_tau } => delta_tau / 2.0,
        }
    }

    /// Std of the noise added in one step, in pixel units.
    pub fn noise_std(&self) -> f64 {
        match self.drift {
            Drift::Tempered { noise_std, .. } => noise_std,
            Drift::DeltaTau { delta_tau } => delta_tau.sqrt(),
        }
    }

    /// Temperature T at which the step is plain Langevin on f / T: noise_std² / (2 gradient_scale); 1 for Δτ.
    pub fn temperature(&self) -> f64 {
        self.noise_std().powi(2) / (2.0 * self.gradient_scale())
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<LangevinConfig> {
        let steps = fields.count("steps", Some(100));
        let drift = read_drift(fields);
        let init = fields.read("init", Some(Init::Uniform), Init::RULE, Init::from_value);
        let clip_gradient = fields.optional_positive("clip_gradient");
        let block = fields.read("block", Some(None), "must be a whole number from 1 to 65535, or absent", |value| {
            crate::fields::one_or_more(value).filter(|&block| block <= LARGEST_BLOCK).map(Some)
        });
        Some(LangevinConfig { steps: steps?, drift: drift?, init: init?, clip_gradient: clip_gradient?, block: block? })
    }
}

fn read_drift(fields: &mut Fields<'_>) -> Option<Drift> {
    let tempered = fields.has("gradient_scale") || fields.has("noise_std");
    let delta = fields.has("delta_tau");
    if tempered == delta && !fields.is_broken() {
        let found = if delta { "both forms are given" } else { "the step size is missing" };
        fields.problem(
            found,
            "give exactly one form: gradient_scale and noise_std (published code: 1.0 and 0.01), or delta_tau",
            delta.then(|| "--set langevin.KEY=null removes a key".to_owned()),
        );
    }
    let scale = fields.read_if(tempered, "gradient_scale", POSITIVE, positive);
    let noise = fields.read_if(tempered, "noise_std", NOT_NEGATIVE, not_negative);
    let delta_tau = fields.read_if(delta, "delta_tau", POSITIVE, positive);
    match (tempered, delta) {
        (true, false) => Some(Drift::Tempered { gradient_scale: scale?, noise_std: noise? }),
        (false, true) => Some(Drift::DeltaTau { delta_tau: delta_tau? }),
        _ => None,
    }
}

impl EnergyConfig {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<EnergyConfig> {
        let size = fields.read("size", None, "must be 32, 64 or 128 (pixels)", |value| {
            crate::fields::whole(value).filter(|size| [32, 64, 128].contains(size)).map(|size| size as usize)
        });
        let channels = fields.read("channels", None, "must be 1 (grey), 3 (RGB) or 4 (RGBA)", |value| {
            crate::fields::whole(value)
                .filter(|channels| [1, 3, 4].contains(channels))
                .map(|channels| channels as usize)
        });
        let features = fields.read("features", Some(64), "must be a whole number from 1 to 1024", |value| {
            crate::fields::whole(value)
                .filter(|features| (1..=1024).contains(features))
                .map(|features| features as usize)
        });
        let rule = r#"must be {"leaky_relu": slope >= 0}, "relu", "silu", "softplus" or "gelu""#;
        let activation = fields.read("activation", Some(Activation::default()), rule, Activation::from_value);
        Some(EnergyConfig { size: size?, channels: channels?, features: features?, activation: activation? })
    }
}

impl<'de> Deserialize<'de> for EnergyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EnergyConfig, D::Error> {
        let tree = Value::deserialize(deserializer)?;
        raw::read_section(&tree, "energy", EnergyConfig::read).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for LangevinConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LangevinConfig, D::Error> {
        let tree = Value::deserialize(deserializer)?;
        raw::read_section(&tree, "langevin", LangevinConfig::read).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Activation, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Activation::from_value(&value).ok_or_else(|| D::Error::custom(format!("{value} is no activation")))
    }
}
