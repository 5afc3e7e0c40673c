//! Describe how a run scores itself while it trains.

use serde::Serialize;
use std::path::PathBuf;

use crate::fields::Fields;

/// Scores during training; off unless `every` is given. The score is the Fréchet distance in the features of a network, the
/// number that `srm evaluate --newest` gives with the same counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateConfig {
    /// Updates between two scores, >= 1; the last update is scored too. `None`: no scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Samples drawn for a score, >= 2; the bias of the distance falls with their number, so compare equal counts.
    pub count: usize,
    /// Real images to compare with, a `.npy` file, or their statistics, a `.npz`; `None`: those of `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Of the real images the first so many, >= 2; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_count: Option<usize>,
    /// `random-conv`, or the file of a feature network as `srm evaluate --features` takes it.
    pub features: String,
    /// Score the averaged weights where `train.ema` is on; false: always the weights themselves.
    pub averaged: bool,
}

impl EvaluateConfig {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<EvaluateConfig> {
        let every = fields.optional_count("every");
        let two_or_more = |value: &serde_json::Value| crate::fields::one_or_more(value).filter(|&count| count >= 2);
        let count = fields.read("count", Some(1000), "must be a whole number >= 2", two_or_more);
        let path = |value: &serde_json::Value| value.as_str().filter(|path| !path.trim().is_empty()).map(str::to_owned);
        let rule = "must be the path of a .npy file, u8 [n, h, w, c], or of a .npz of statistics, or absent";
        let images = fields.read("images", Some(None), rule, |value| path(value).map(|path| Some(path.into())));
        let images_count = fields.read("images_count", Some(None), "must be a whole number >= 2, or absent", |value| {
            two_or_more(value).map(Some)
        });
        let rule = r#"must be "random-conv" or the file of a feature network"#;
        let features = fields.read("features", Some("random-conv".to_owned()), rule, path);
        let averaged = fields.read("averaged", Some(true), "must be true or false", serde_json::Value::as_bool);
        Some(EvaluateConfig {
            every: every?.map(|updates| updates as u64),
            count: count?,
            images: images?,
            images_count: images_count?,
            features: features?,
            averaged: averaged?,
        })
    }
}
