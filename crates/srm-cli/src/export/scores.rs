//! Take from what `srm evaluate` has left in a run folder the scores of the weights that are exported.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::data_set::DataSet;

/// Scores of one weights file.
pub struct Scores {
    /// The network whose features are compared.
    pub network: Network,
    /// The real images.
    pub data: DataSet,
    /// Its file, without its path.
    pub file: String,
    /// How many there are.
    pub images: Option<u64>,
    /// A line for each set of samples.
    pub rows: Vec<Row>,
}

/// What computes the features.
#[derive(Deserialize)]
pub struct Network {
    pub name: String,
    pub is_fid: bool,
    sha256: Option<String>,
}

/// One set of samples.
#[derive(Deserialize)]
pub struct Row {
    sha256: String,
    pub count: u64,
    pub seed: Option<u64>,
    pub steps: Option<u64>,
    #[serde(default)]
    pub quiet_tail: Option<u64>,
    pub truncation: Option<f64>,
    frechet: Option<f64>,
    kernel: Option<Mean>,
    precision: Option<f64>,
    recall: Option<f64>,
    inception_score: Option<Mean>,
}

#[derive(Deserialize)]
struct Mean {
    mean: Option<f64>,
}

#[derive(Deserialize)]
struct Report {
    data: Data,
    features: Network,
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Data {
    file: String,
    count: Option<u64>,
    #[serde(default)]
    manifest: Value,
}

/// A number with its type and name for the hub.
pub struct Metric {
    pub kind: &'static str,
    pub name: String,
    pub value: f64,
}

impl Scores {
    /// The scores of the file with this checksum; the error says why there are none.
    ///
    /// # Errors
    /// The report is none of `srm evaluate`, or is of other weights.
    pub fn of(report: Value, sha256: &str) -> Result<Scores, String> {
        let Report { data, features, results } = serde_json::from_value(report).map_err(|problem| {
            format!("evaluation.json is no report of `srm evaluate` ({problem}): the card has no scores")
        })?;
        let rows: Vec<Row> = results.into_iter().filter(|row| row.sha256 == sha256).collect();
        if rows.is_empty() {
            return Err("evaluation.json scores other weights: the card has no scores; \
                        `srm evaluate --weights RUN --newest --data X.npy` scores these"
                .to_owned());
        }
        let path = Path::new(&data.file);
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Scores {
            network: features,
            data: DataSet::of(path, data.manifest["source"]["name"].as_str()),
            file,
            images: data.count,
            rows,
        })
    }

    /// The numbers of a row; those that are missing are left out. A distance is the FID by Inception's own weights alone.
    pub fn metrics(&self, row: &Row) -> Vec<Metric> {
        let Network { name, is_fid, .. } = &self.network;
        let mean = |value: &Option<Mean>| value.as_ref().and_then(|value| value.mean);
        let (distances, other) = match is_fid {
            true => ([("fid", "FID"), ("kid", "KID"), ("inception_score", "Inception score")], String::new()),
            false => (
                [
                    ("frechet_distance", "Fréchet distance"),
                    ("kernel_distance", "Kernel distance"),
                    ("class_score", "Score by classes"),
                ],
                format!(" ({name} features)"),
            ),
        };
        let [frechet, kernel, classes] = distances.map(|(kind, words)| (kind, format!("{words}{other}")));
        let share = |kind, words: &str| (kind, format!("{words}{other}"));
        let all = [
            (frechet, row.frechet),
            (kernel, mean(&row.kernel)),
            (classes, mean(&row.inception_score)),
            (share("improved_precision", "Precision"), row.precision),
            (share("improved_recall", "Recall"), row.recall),
        ];
        let number = |((kind, name), value): ((&'static str, String), Option<f64>)| {
            value.filter(|value| value.is_finite()).map(|value| Metric { kind, name, value })
        };
        all.into_iter().filter_map(number).collect()
    }

    /// The entry `results` of a card's `model-index`.
    pub fn index(&self) -> Value {
        let facts = self.data.facts();
        let kind = facts.and_then(|facts| facts.hub).unwrap_or("own-images");
        let entry = |row: &Row| {
            let arguments = json!({
                "samples": row.count, "seed": row.seed, "steps": row.steps, "quiet_tail": row.quiet_tail,
                "truncation": row.truncation,
            });
            let arguments = without_nulls(&arguments);
            let metric = |Metric { kind, name, value }: Metric| json!({ "type": kind, "value": value, "name": name, "args": arguments });
            json!({
                "task": { "type": "unconditional-image-generation", "name": "Unconditional image generation" },
                "dataset": { "type": kind, "name": self.title() },
                "metrics": self.metrics(row).into_iter().map(metric).collect::<Vec<_>>(),
            })
        };
        self.rows.iter().filter(|row| !self.metrics(row).is_empty()).map(entry).collect()
    }

    /// The real images in words.
    pub fn title(&self) -> String {
        match self.data.facts() {
            Some(facts) => format!("{} ({})", facts.name, self.file),
            None => self.file.clone(),
        }
    }

    /// The network in words, with the beginning of its checksum.
    pub fn features(&self) -> String {
        let sum = self.network.sha256.as_deref().and_then(|sum| sum.get(..12));
        sum.map_or_else(|| self.network.name.clone(), |sum| format!("{}, SHA-256 {sum}…", self.network.name))
    }
}

fn without_nulls(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report of two checkpoints, the second with the checksum `bb`.
    pub fn report(network: &str, is_fid: bool) -> Value {
        let row = |sha256: &str, frechet: f64| {
            json!({
                "samples": "/home/me/runs/x/checkpoints/000010/weights.safetensors", "sha256": sha256, "update": 10,
                "seed": 1, "steps": 30, "quiet_tail": 0, "count": 1000, "frechet": frechet,
                "kernel": { "mean": -3.5e-5, "std": 1e-5 },
                "precision": 0.875, "recall": null, "inception_score": { "mean": 2.5, "std": 0.1 }, "seconds": 3.0,
            })
        };
        json!({
            "command": "evaluate",
            "data": { "file": "/home/me/data/celeba/celeba_32_center178_test.npy", "count": 99, "manifest": null },
            "features": { "name": network, "is_fid": is_fid, "dimension": 144, "file": "/home/me/x.pt", "sha256": null },
            "results": [row("aa", 9.0), row("bb", 0.1804)],
        })
    }

    #[test]
    fn only_the_scores_of_these_weights_are_taken_and_only_inception_makes_a_fid() {
        let scores = Scores::of(report("random-conv", false), "bb").unwrap();
        assert_eq!((scores.rows.len(), &scores.data, scores.images), (1, &DataSet::CelebA, Some(99)));
        let metrics = scores.metrics(&scores.rows[0]);
        let kinds: Vec<_> = metrics.iter().map(|metric| metric.kind).collect();
        assert_eq!(kinds, ["frechet_distance", "kernel_distance", "class_score", "improved_precision"]);
        assert_eq!((metrics[0].value, &*metrics[0].name), (0.1804, "Fréchet distance (random-conv features)"));
        assert!(!scores.index().to_string().to_lowercase().contains("fid"), "{}", scores.index());
        assert!(!scores.index().to_string().contains("/home"), "no path");

        let scores = Scores::of(report("inception", true), "bb").unwrap();
        let entry = &scores.index()[0];
        assert_eq!((&entry["metrics"][0]["type"], &entry["metrics"][0]["name"]), (&json!("fid"), &json!("FID")));
        assert_eq!(entry["metrics"][0]["args"], json!({ "samples": 1000, "seed": 1, "steps": 30, "quiet_tail": 0 }));
        assert_eq!(entry["dataset"]["name"], "CelebA (celeba_32_center178_test.npy)");

        assert!(Scores::of(report("inception", true), "cc").err().unwrap().contains("other weights"));
        assert!(Scores::of(json!({ "results": 3 }), "cc").err().unwrap().contains("no report"));
    }
}
