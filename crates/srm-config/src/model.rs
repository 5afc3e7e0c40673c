//! Describe the Langevin chain: the part of a config that travels inside a weights file beside the net.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::{
    ColourStart, Schedule,
    fields::{Fields, POSITIVE, is_positive_f32, positive},
    grids::{GridConfig, read_grids},
    raw,
};

/// Chains per block at most, as `--block` takes them. A block is computed whole, whatever the batch.
const LARGEST_BLOCK: usize = u16::MAX as usize;

/// Where chains start. JSON: `"uniform"`, `"gaussian"`, `"colours"`, `{"colours": {"size": 4}}`, `"data"`, `"persistent"` or
/// `{"persistent": {"size": 10000, "restart": 0.05}}`.
///
/// The first two are the method of the paper: noise p_0, anew at every update. Colours are a law of their own too, that of
/// multigrid sampling, whose coarsest grid is one pixel (Gao et al. 2018). The others are neighbours, for comparison; they matter to
/// training alone, and samples of such nets start from uniform noise.
#[derive(Clone, Debug, PartialEq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Uniform on [-1, 1], the paper's choice.
    #[default]
    Uniform,
    /// Standard normal N(0, I).
    Gaussian,
    /// At 0 in every coordinate: all that tells one sample from another is the noise of the steps (Xie, Lu, Zhu and Wu, ICML 2016).
    Zeros,
    /// An image of one pixel, or of a few, drawn as the observed images averaged down to it are spread: the start of multigrid
    /// sampling, and the informative one of JEM++ (Yang and Ji, ICCV 2021) on a coarse grid.
    Colours(ColourStart),
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
    /// Probability in [0, 1] that a chain taken from the bank starts anew; 0.05 in both.
    pub restart: f64,
    /// Whether chains start anew at 0 and not at uniform noise, the bank's first ones too: the warm start of Xie, Lu, Zhu and Wu,
    /// ICML 2016, where `restart` is 0 and the bank as large as a batch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub zeros: bool,
}

impl Default for Bank {
    fn default() -> Bank {
        Bank { size: 10_000, restart: 0.05, zeros: false }
    }
}

impl Init {
    /// Whether chains start at 0, those of a bank where they start anew.
    pub fn is_zeros(&self) -> bool {
        matches!(self, Init::Zeros | Init::Persistent(Bank { zeros: true, .. }))
    }

    const RULE: &'static str = r#"must be "uniform", "gaussian", "zeros", "colours", {"colours": {"size": 1, 2 or 4}}, "data" or {"persistent": {"size": images >= 1, "restart": 0 to 1, "zeros": true or false}}"#;

    fn from_value(value: &Value) -> Option<Init> {
        match value {
            Value::String(name) => match name.as_str() {
                "uniform" => Some(Init::Uniform),
                "gaussian" => Some(Init::Gaussian),
                "zeros" => Some(Init::Zeros),
                "colours" => Some(Init::Colours(ColourStart::Unmeasured(1))),
                "data" => Some(Init::Data),
                "persistent" => Some(Init::Persistent(Bank::default())),
                _ => None,
            },
            Value::Object(map) if map.len() == 1 => {
                if let Some(colours) = map.get("colours") {
                    return ColourStart::from_value(colours).map(Init::Colours);
                }
                let given = map.get("persistent")?.as_object()?;
                let mut bank = Bank::default();
                for (key, value) in given {
                    match key.as_str() {
                        "size" => bank.size = crate::fields::one_or_more(value)?,
                        "restart" => bank.restart = value.as_f64().filter(|share| (0.0..=1.0).contains(share))?,
                        "zeros" => bank.zeros = value.as_bool()?,
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Drift {
    /// The published code's form, a tempered Langevin step: gradient scale > 0 and noise std >= 0 set apart, each a number or
    /// `[[step, value], …]` along the chain, whose steps count from 0 through all grids.
    Tempered {
        /// Factor before f'(x), > 0.
        gradient_scale: Schedule,
        /// Std of the noise added at each step, in pixel units (images span [-1, 1]), >= 0.
        noise_std: Schedule,
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
    /// Steps K of a chain, >= 1; 100 in the paper. With grids: those of all of them.
    pub steps: usize,
    /// The grids of a ladder, coarse to fine; empty for the paper's plain chain. Energy has the net of the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grids: Vec<GridConfig>,
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
    /// Factor before f'(x) at step k of a chain, from 0.
    pub fn gradient_scale_at(&self, k: usize) -> f64 {
        match &self.drift {
            Drift::Tempered { gradient_scale, .. } => gradient_scale.at(k as u64),
            Drift::DeltaTau { delta_tau } => delta_tau / 2.0,
        }
    }

    /// Std of the noise added at step k of a chain, in pixel units.
    pub fn noise_std_at(&self, k: usize) -> f64 {
        match &self.drift {
            Drift::Tempered { noise_std, .. } => noise_std.at(k as u64),
            Drift::DeltaTau { delta_tau } => delta_tau.sqrt(),
        }
    }

    /// Factor before f'(x) at the last step, where a longer chain stays.
    pub fn gradient_scale(&self) -> f64 {
        self.gradient_scale_at(self.steps.saturating_sub(1))
    }

    /// Std of the noise at the last step, in pixel units.
    pub fn noise_std(&self) -> f64 {
        self.noise_std_at(self.steps.saturating_sub(1))
    }

    /// Temperature T at which the last step is plain Langevin on f / T: noise_std² / (2 gradient_scale); 1 for Δτ.
    pub fn temperature(&self) -> f64 {
        self.temperature_at(self.steps.saturating_sub(1))
    }

    /// T at step k of a chain.
    pub fn temperature_at(&self, k: usize) -> f64 {
        self.noise_std_at(k).powi(2) / (2.0 * self.gradient_scale_at(k))
    }

    /// The last knot of what changes along the chain.
    pub fn last_knot(&self) -> Option<u64> {
        let Drift::Tempered { gradient_scale, noise_std } = &self.drift else { return None };
        let knots = gradient_scale.knots().iter().chain(noise_std.knots()).map(|&(knot, _)| knot);
        knots.max().filter(|&knot| knot > 0)
    }

    /// The same chain without noise in its last `steps` steps.
    #[must_use]
    pub fn with_quiet_tail(&self, steps: usize) -> LangevinConfig {
        let first = self.steps.saturating_sub(steps);
        let (gradient_scale, noise) = match self.drift.clone() {
            Drift::Tempered { gradient_scale, noise_std } => (gradient_scale, noise_std),
            Drift::DeltaTau { delta_tau } => ((delta_tau / 2.0).into(), delta_tau.sqrt().into()),
        };
        let noise_std = if steps == 0 { noise } else { noise.zero_from(first as u64) };
        LangevinConfig { drift: Drift::Tempered { gradient_scale, noise_std }, ..self.clone() }
    }

    /// The same chain with so many steps in all; those of a ladder are added to, or taken from, its last grid. `None` where that
    /// would have none left.
    pub fn with_steps(&self, steps: usize) -> Option<LangevinConfig> {
        let mut changed = self.clone();
        changed.steps = steps;
        if let Some((last, coarser)) = changed.grids.split_last_mut() {
            let before: usize = coarser.iter().map(|grid| grid.steps).sum();
            last.steps = steps.checked_sub(before).filter(|&left| left > 0)?;
        }
        Some(changed)
    }

    /// The same chain from starts whose distance from the mean of the data's law is `psi` times what it was. `None` where chains
    /// start at no such law.
    #[must_use]
    pub fn with_truncation(&self, psi: f64) -> Option<LangevinConfig> {
        let Init::Colours(ColourStart::Law(law)) = &self.init else { return None };
        Some(LangevinConfig { init: Init::Colours(ColourStart::Law(law.truncated(psi))), ..self.clone() })
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<LangevinConfig> {
        let grids = read_grids(fields);
        let of_grids = grids.as_ref().map_or(0, |grids| grids.iter().map(|grid| grid.steps).sum());
        let default = if of_grids == 0 { 100 } else { of_grids };
        let steps = fields.count("steps", Some(default));
        if let Some(steps) = steps.filter(|&steps| of_grids > 0 && steps != of_grids) {
            let found = format!("langevin.steps is {steps}, its grids have {of_grids} together");
            fields.problem(
                &found,
                "leave langevin.steps out where there are grids",
                Some("--set langevin.steps=null takes it out".to_owned()),
            );
        }
        let drift = read_drift(fields);
        let init = fields.read("init", Some(Init::Uniform), Init::RULE, Init::from_value);
        if of_grids > 0 && matches!(init, Some(Init::Data | Init::Persistent(_))) {
            let rule = "a ladder starts from noise on its coarsest grid: langevin.init \"uniform\", \"gaussian\" or \"colours\"";
            fields.problem("chains of a ladder cannot start at data or in a bank", rule, None);
        }
        let clip_gradient = fields.optional_positive("clip_gradient");
        let block = fields.read("block", Some(None), "must be a whole number from 1 to 65535, or absent", |value| {
            crate::fields::one_or_more(value).filter(|&block| block <= LARGEST_BLOCK).map(Some)
        });
        Some(LangevinConfig {
            steps: steps?,
            grids: grids?,
            drift: drift?,
            init: init?,
            clip_gradient: clip_gradient?,
            block: block?,
        })
    }
}

/// What a factor along the chain must look like.
const SCALE_RULE: &str =
    "must be a number > 0 that f32 holds, 1.2e-38 to 3.4e38, or [[step, value], ...] of such numbers along the chain";
/// What a noise along the chain must look like.
const NOISE_RULE: &str =
    "must be a number >= 0 that f32 holds, up to 3.4e38, or [[step, value], ...] of such numbers along the chain";

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
    let scale = fields.read_if(tempered, "gradient_scale", SCALE_RULE, |value| {
        Schedule::from_value(value).filter(|along| along.knots().iter().all(|&(_, scale)| is_positive_f32(scale)))
    });
    let noise = fields.read_if(tempered, "noise_std", NOISE_RULE, Schedule::from_value);
    let delta_tau = fields.read_if(delta, "delta_tau", POSITIVE, positive);
    match (tempered, delta) {
        (true, false) => Some(Drift::Tempered { gradient_scale: scale?, noise_std: noise? }),
        (false, true) => Some(Drift::DeltaTau { delta_tau: delta_tau? }),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for LangevinConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LangevinConfig, D::Error> {
        let tree = Value::deserialize(deserializer)?;
        raw::read_section(&tree, "langevin", LangevinConfig::read).map_err(D::Error::custom)
    }
}
