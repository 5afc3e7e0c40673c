//! Describe what the presets of `cargo xtask ablate` sweep.

/// A preset by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    Cpu,
    Gpu,
}

/// A base run and the values that replace one of its settings at a time.
pub struct Preset {
    pub name: &'static str,
    pub config: &'static str,
    /// Updates of each run.
    pub updates: u64,
    /// Schedules by key, as shares of the updates.
    schedules: &'static [(&'static str, &'static [(f64, f64)])],
    /// Other settings of every run.
    base: &'static [(&'static str, f64)],
    pub sweeps: &'static [Sweep],
    /// Real images of the score, how to get them, how many of them, and samples of each score.
    pub data: &'static str,
    pub fetch: &'static str,
    pub real: usize,
    pub count: usize,
}

/// One table of the paper.
pub struct Sweep {
    pub key: &'static str,
    pub title: &'static str,
    pub values: &'static [f64],
}

impl Preset {
    /// The preset of that name.
    pub fn named(name: Name) -> Preset {
        match name {
            // Minutes per run: half its updates.
            Name::Cpu => Preset {
                name: "cpu",
                config: "configs/fashion32-plain.json",
                updates: 900,
                schedules: &[("train.learning_rate", &[(0.0, 6e-4), (0.45, 6e-4), (0.9, 3e-5), (1.0, 1e-5)])],
                base: &[("langevin.steps", 30.0), ("train.data_noise", 0.06), ("energy.features", 16.0)],
                sweeps: &[
                    Sweep { key: "langevin.steps", title: "Langevin steps K", values: &[5.0, 10.0, 20.0, 30.0, 50.0] },
                    Sweep {
                        key: "train.data_noise",
                        title: "noise on the data σ",
                        values: &[0.01, 0.03, 0.06, 0.12, 0.24],
                    },
                    Sweep { key: "energy.features", title: "features n", values: &[4.0, 8.0, 16.0, 32.0] },
                ],
                data: "data/fashion-mnist/fashion_mnist_32_train.npy",
                fetch: "cargo xtask fetch-fashion-mnist",
                real: 5000,
                count: 1000,
            },
            // The paper's data set and constants; its tables sweep the same three numbers.
            Name::Gpu => Preset {
                name: "gpu",
                config: "configs/celeba64.json",
                updates: 20_000,
                schedules: &[("train.learning_rate", &[(0.0, 1e-4), (0.8, 1e-4), (1.0, 1e-5)])],
                base: &[("langevin.steps", 100.0), ("train.data_noise", 0.03), ("energy.features", 64.0)],
                sweeps: &[
                    Sweep {
                        key: "langevin.steps",
                        title: "Langevin steps K",
                        values: &[5.0, 10.0, 25.0, 50.0, 75.0, 100.0],
                    },
                    Sweep {
                        key: "train.data_noise",
                        title: "noise on the data σ",
                        values: &[0.01, 0.03, 0.05, 0.08, 0.1],
                    },
                    Sweep { key: "energy.features", title: "features n", values: &[32.0, 64.0, 128.0] },
                ],
                data: "data/celeba/celeba_64_center178_train.npy",
                fetch: "cargo xtask fetch-celeba",
                real: 40_000,
                count: 10_000,
            },
        }
    }

    /// The settings of one point as `--set` takes them.
    pub fn settings(&self, updates: u64, sweep: &Sweep, value: f64) -> Vec<String> {
        let mut settings = vec![format!("train.updates={updates}")];
        for (key, knots) in self.schedules {
            let knots: Vec<String> =
                knots.iter().map(|(share, value)| format!("[{},{value}]", (share * updates as f64).round())).collect();
            settings.push(format!("{key}=[{}]", knots.join(",")));
        }
        for (key, usual) in self.base {
            settings.push(format!("{key}={}", if *key == sweep.key { value } else { *usual }));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_config::Config;

    #[test]
    fn every_point_of_every_preset_is_a_config_that_can_be_run() {
        for name in [Name::Cpu, Name::Gpu] {
            let preset = Preset::named(name);
            let file = crate::workspace::root().join(preset.config);
            let mut shared = Vec::new();
            for sweep in preset.sweeps {
                for &value in sweep.values {
                    let settings = preset.settings(preset.updates, sweep, value);
                    let config = Config::load(&file, &settings).unwrap();
                    assert_eq!(config.train.updates, preset.updates);
                    assert_eq!(config.train.learning_rate.at(preset.updates), 1e-5);
                    shared.push(settings);
                }
                let usual = preset.base.iter().find(|(key, _)| *key == sweep.key).unwrap().1;
                assert!(sweep.values.contains(&usual), "{}: the sweeps meet in one run", sweep.key);
            }
            let all = shared.len();
            shared.sort();
            shared.dedup();
            assert_eq!(shared.len(), all - 2, "{}", preset.name);
        }
    }
}
