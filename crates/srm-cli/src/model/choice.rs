//! Turn the flags that say which net and how its chains run into values that are checked.

use anyhow::Result;
use srm_config::Config;

use crate::flags::ModelFlags;

/// What is asked of a net, apart from the file.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Of a file with several nets the one under this name.
    pub key: Option<String>,
    /// Of a run folder the checkpoint of this update; `None`: the newest.
    pub update: Option<u64>,
    /// Where the Langevin settings come from instead of the file; it must describe the same net.
    pub config: Option<Config>,
    /// Langevin steps K; `None`: as trained.
    pub steps: Option<usize>,
    /// The last so many steps run without noise.
    pub quiet_tail: usize,
    /// How far from the mean of the data's law chains start, as a share of what training's did; `None`: all.
    pub truncation: Option<f64>,
    /// Chains per block; `None`: as trained.
    pub block: Option<usize>,
}

impl Choice {
    /// What flags ask for, the config read: before a command makes any folder.
    ///
    /// # Errors
    /// A config that is not there or not valid.
    pub fn of(flags: &ModelFlags) -> Result<Choice> {
        Ok(Choice {
            key: flags.key.clone(),
            update: flags.update,
            config: flags.config.as_deref().map(|path| Config::load(path, &[])).transpose()?,
            steps: flags.steps.map(|steps| steps as usize),
            quiet_tail: flags.quiet_tail as usize,
            truncation: flags.truncation,
            block: flags.block.map(usize::from),
        })
    }
}
