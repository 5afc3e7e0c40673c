//! Describe Algorithm 1, its ADAM, and the stabilisers that the paper does without.

use serde::Serialize;

use crate::{
    Schedule,
    fields::{Fields, POSITIVE, defaults, positive},
};

/// Algorithm 1 and its ADAM. The stabilisers at the end are off by default: the default is the paper's method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Updates of the weights, >= 1.
    pub updates: u64,
    /// Images and chains m in one update, >= 1.
    pub batch: usize,
    /// ADAM's rate by update.
    pub learning_rate: Schedule,
    /// Std σ of the noise put on observed images, in pixel units, by update; 0.03 in the paper.
    pub data_noise: Schedule,
    /// Seed of every random draw.
    pub seed: u64,
    /// ADAM's β₁ and β₂, each in [0, 1).
    pub betas: [f64; 2],
    /// ADAM's ε > 0.
    pub epsilon: f64,
    /// Decay of the running average of the weights that samples are drawn with, in [0, 1); `None`: no average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// α >= 0 of −α · mean(f(x⁺)² + f(x⁻)²), which keeps f near 0 (Du and Mordatch, arXiv 1903.08689, section 3.2: α = 1).
    #[serde(skip_serializing_if = "is_zero")]
    pub f_l2: f64,
    /// Largest 2-norm of the weights' gradient, over all weights, > 0: a longer one is shortened. `None`: no clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_parameter_gradient: Option<f64>,
    /// Decoupled weight decay >= 0 (Loshchilov and Hutter, arXiv 1711.05101): θ loses rate · decay · θ in an update.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// Spectral norm > 0 that every layer's weight matrix `[out, in·k·k]` is held to (Miyato et al., arXiv 1802.05957:
    /// 1). `None`: free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectral_norm: Option<f64>,
}

impl TrainConfig {
    /// `updates` updates of `batch` samples each at a constant rate; everything else at its default.
    pub fn new(updates: u64, batch: usize, learning_rate: f64) -> TrainConfig {
        let given = serde_json::json!({ "updates": 1, "batch": 1, "learning_rate": 1 });
        let learning_rate = Schedule::constant(learning_rate);
        TrainConfig { updates, batch, learning_rate, ..defaults(&given, TrainConfig::read) }
    }

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<TrainConfig> {
        let updates = fields.count("updates", None);
        let batch = fields.count("batch", None);
        let learning_rate = fields.read("learning_rate", None, Schedule::RULE, Schedule::from_value);
        // arXiv 1904.09770, section 4: sigma = 0.03
        let data_noise =
            fields.read("data_noise", Some(Schedule::constant(0.03)), Schedule::RULE, Schedule::from_value);
        let seed = fields.read("seed", Some(1), "must be a whole number from 0 to 2^64 - 1", crate::fields::whole);
        // ADAM's usual constants (arXiv 1412.6980, section 2); the published code keeps them
        let betas = fields.read("betas", Some([0.9, 0.999]), "must be two numbers, each in [0, 1)", |value| {
            match value.as_array()?.as_slice() {
                [first, second] => Some([first.as_f64()?, second.as_f64()?]),
                _ => None,
            }
            .filter(|betas| betas.iter().all(|beta| (0.0..1.0).contains(beta)))
        });
        let epsilon = fields.read("epsilon", Some(1e-8), POSITIVE, positive);
        let ema = fields.read("ema", Some(None), "must be a number in [0, 1), or absent", |value| {
            value.as_f64().filter(|decay| (0.0..1.0).contains(decay)).map(Some)
        });
        let f_l2 = fields.not_negative("f_l2", 0.0);
        let clip_parameter_gradient = fields.optional_positive("clip_parameter_gradient");
        let weight_decay = fields.not_negative("weight_decay", 0.0);
        let spectral_norm = fields.optional_positive("spectral_norm");
        Some(TrainConfig {
            updates: updates? as u64,
            batch: batch?,
            learning_rate: learning_rate?,
            data_noise: data_noise?,
            seed: seed?,
            betas: betas?,
            epsilon: epsilon?,
            ema: ema?,
            f_l2: f_l2?,
            clip_parameter_gradient: clip_parameter_gradient?,
            weight_decay: weight_decay?,
            spectral_norm: spectral_norm?,
        })
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
