//! Hold the weights that come with the program: a first picture needs neither data nor training nor network.

use std::path::Path;

use serde::Serialize;
use srm_config::{Config, ConfigError};

/// Weights inside the program, taken by their name.
#[derive(Debug, Serialize)]
pub struct Shipped {
    pub name: &'static str,
    /// What they draw.
    pub draws: &'static str,
    /// Config, commit, what they reach.
    pub made_by: &'static str,
    /// The update that they are of.
    pub update: u64,
    /// The config that trained them.
    #[serde(skip)]
    config: &'static str,
    /// The weights file, safetensors.
    #[serde(skip)]
    pub bytes: &'static [u8],
}

impl Shipped {
    /// The config that trained them.
    ///
    /// # Errors
    /// None for what is here: a test reads them all.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::from_json(self.config, &[])
    }
}

/// All of them. Data of the MIT licence alone, so that they may be passed on; together below 2 MB.
pub const SHIPPED: &[Shipped] = &[Shipped {
    name: "fashion32",
    draws: "garments, 32 px, gray",
    made_by: "configs/fashion32.json of b23afff, 2,300 updates of seed 1: Fréchet distance by random-conv 0.049 from \
              2,000 test images (1,000 samples)",
    update: 2300,
    config: include_str!("../../../../configs/fashion32.json"),
    bytes: include_bytes!("../../weights/fashion32.safetensors"),
}];

/// The weights of a name; none where there is a file of that name, which wins, as weights in a folder of that name do
/// ([`super::weights::locate`]).
pub fn named(path: &Path) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| path.as_os_str() == shipped.name && !path.is_file())
}

/// The names, for messages.
pub fn names() -> String {
    SHIPPED.iter().map(|shipped| shipped.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use srm_energy::load_bytes;
    use tch::Device;

    use super::*;

    #[test]
    fn what_comes_with_srm_is_what_the_config_of_its_name_trains_and_small() {
        for shipped in SHIPPED {
            let (name, config) = (shipped.name, shipped.config().unwrap());
            let weights = load_bytes(Path::new(name), shipped.bytes, None, Device::Cpu).unwrap();
            assert_eq!(weights.net.configs(), config.langevin.nets(&config.energy), "{name}");
            let mut trained = weights.langevin.unwrap();
            trained.block = config.langevin.block; // training fills it in
            assert_eq!(trained, config.langevin, "{name}");
        }
        assert!(SHIPPED.iter().map(|shipped| shipped.bytes.len()).sum::<usize>() < 2_000_000);
    }
}
