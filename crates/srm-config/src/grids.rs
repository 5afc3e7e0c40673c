//! Describe the grids of a ladder: nets of growing size, whose chains start at the up-sampled end of the one before.

use serde::Serialize;

use crate::{
    Activation, ColourStart, EnergyConfig, Init, LangevinConfig,
    energy::{FEATURES_RULE, SIZE_RULE, features_of_net, size_of_net},
    fields::{Fields, one_or_more, whole},
};

/// One grid of a ladder: its size, its steps, and the net where it is another than `energy` has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GridConfig {
    /// Height and width of its images in pixels: 4, 8, 16, 32, 64 or 128, a multiple of the grid's before.
    pub size: usize,
    /// Langevin steps on it, >= 1.
    pub steps: usize,
    /// Updates after which it joins, as a copy of the grid before where its layers allow; 0: it learns from the first on.
    #[serde(skip_serializing_if = "is_zero")]
    pub from: u64,
    /// Features n of the first layer, 1 to 1024; `None`: those of `energy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<usize>,
    /// Nonlinearity between the convolutions; `None`: that of `energy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
}

impl LangevinConfig {
    /// The nets of the ladder, coarse to fine; of a chain without grids the one net.
    pub fn nets(&self, energy: &EnergyConfig) -> Vec<EnergyConfig> {
        let net = |grid: &GridConfig| EnergyConfig {
            size: grid.size,
            features: grid.features.unwrap_or(energy.features),
            activation: grid.activation.unwrap_or(energy.activation),
            ..energy.clone()
        };
        match &self.grids[..] {
            [] => vec![energy.clone()],
            grids => grids.iter().map(net).collect(),
        }
    }

    /// The chain on the first so many grids alone, at least one; of one without grids, itself.
    #[must_use]
    pub fn first_grids(&self, grids: usize) -> LangevinConfig {
        let mut shorter = self.clone();
        shorter.grids.truncate(grids.max(1));
        if let Some(last) = shorter.grids.last_mut().filter(|_| grids < self.grids.len()) {
            (last.features, last.activation) = (None, None); // its net is that of the whole now
        }
        if !shorter.grids.is_empty() {
            shorter.steps = shorter.grids.iter().map(|grid| grid.steps).sum();
        }
        shorter
    }

    /// A number along the chain in the words of `write`: the same at every step, or from the first to the last.
    pub fn along(&self, at: impl Fn(&LangevinConfig, usize) -> f64, write: impl Fn(f64) -> String) -> String {
        match (at(self, 0), at(self, self.steps.saturating_sub(1))) {
            (first, last) if first == last => write(first),
            (first, last) => format!("{} to {}", write(first), write(last)),
        }
    }

    /// The grids in words, coarse to fine; empty without any.
    pub fn on_grids(&self) -> String {
        let on = |grid: &GridConfig| format!("{} at {} px", grid.steps, grid.size);
        match &self.grids[..] {
            [] => String::new(),
            grids => format!(" ({})", grids.iter().map(on).collect::<Vec<_>>().join(", ")),
        }
    }

    /// What in grids and start does not fit the net of the whole, which is that of the last grid; a config has been checked for it.
    pub fn misfit(&self, energy: &EnergyConfig) -> Option<String> {
        if let Some(last) = self.grids.last().filter(|last| last.size != energy.size) {
            return Some(format!("the last of langevin.grids has size {}, energy.size is {}", last.size, energy.size));
        }
        match &self.init {
            Init::Colours(ColourStart::Law(law)) if law.channels() != energy.channels => {
                let (init, net) = (law.channels(), energy.channels);
                Some(format!("langevin.init has colours of {init} channels, energy.channels is {net}"))
            }
            _ => None,
        }
    }
}

fn is_zero(from: &u64) -> bool {
    *from == 0
}

/// Read `grids`; what is wrong with their order is noted.
pub(crate) fn read_grids(fields: &mut Fields<'_>) -> Option<Vec<GridConfig>> {
    let rule = r#"must be a list of grids, coarse to fine: [{"size": 8, "steps": 15}, {"size": 16, "steps": 15}, ...]"#;
    let grids = fields.list("grids", rule, GridConfig::read)?;
    match fault(&grids) {
        None => Some(grids),
        Some((found, rule)) => {
            fields.problem(&found, rule, None);
            None
        }
    }
}

/// What makes grids no ladder, and the rule that it breaks.
fn fault(grids: &[GridConfig]) -> Option<(String, &'static str)> {
    let pairs = || grids.windows(2).map(|pair| (&pair[0], &pair[1]));
    if let Some((coarse, fine)) =
        pairs().find(|(coarse, fine)| fine.size <= coarse.size || fine.size % coarse.size != 0)
    {
        let rule = match fine.size <= coarse.size {
            true => "grids go from coarse to fine, each larger than the one before",
            false => "each size must be a multiple of the one before",
        };
        return Some((format!("langevin.grids has size {} after {}", fine.size, coarse.size), rule));
    }
    let first = grids.first().map(|first| (0, first.from)).filter(|(_, from)| *from > 0);
    let joins = pairs().map(|(coarse, fine)| (coarse.from, fine.from)).find(|(before, from)| from < before);
    if let Some((before, from)) = first.or(joins) {
        let rule = "the first grid learns from update 0 on, and a finer one joins no earlier than a coarser";
        return Some((format!("langevin.grids has from {from} where {before} stands before it"), rule));
    }
    let last = grids.last().filter(|last| last.features.is_some() || last.activation.is_some())?;
    let found = format!("the last of langevin.grids, of size {}, names its net", last.size);
    Some((found, "its features and activation are those of energy; set them there"))
}

impl GridConfig {
    fn read(fields: &mut Fields<'_>) -> Option<GridConfig> {
        let rule = format!("{SIZE_RULE}; a grid of one pixel is no net but a start: \"init\": \"colours\"");
        let size = fields.read("size", None, &rule, size_of_net);
        let rule = "must be a whole number from 1 to 4294967295";
        let steps =
            fields.read("steps", None, rule, |value| one_or_more(value).filter(|&steps| u32::try_from(steps).is_ok()));
        let optional = |rule: &str| format!("{rule}, or absent");
        let features =
            fields.read("features", Some(None), &optional(FEATURES_RULE), |value| features_of_net(value).map(Some));
        let activation = fields.read("activation", Some(None), &optional(Activation::RULE), |value| {
            Activation::from_value(value).map(Some)
        });
        let from = fields.read("from", Some(0), "must be a whole number of updates >= 0", whole);
        Some(GridConfig { size: size?, steps: steps?, from: from?, features: features?, activation: activation? })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activation, Config, ConfigError, Schedule};

    const GRIDS: &str =
        r#"[{"size": 8, "steps": 15, "features": 16}, {"size": 16, "steps": 10}, {"size": 32, "steps": 20}]"#;

    fn load(grids: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
        let text = format!(
            r#"{{ "data": {{ "images": "a.npy" }}, "energy": {{ "size": 32, "channels": 1 }},
                "langevin": {{ "grids": {grids}, "gradient_scale": 1, "noise_std": [[0, 0.015], [44, 0]] }},
                "train": {{ "updates": 1, "batch": 4, "learning_rate": 1e-4 }} }}"#
        );
        Config::from_json(&text, &overrides.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn grids_give_their_nets_and_steps_and_come_back_from_json() {
        let config = load(GRIDS, &["energy.activation=silu"]).unwrap();
        assert_eq!(config.langevin.steps, 45);
        assert_eq!(Config::from_json(&config.to_json(), &[]).unwrap(), config);
        let nets = config.langevin.nets(&config.energy);
        assert_eq!(nets.iter().map(|net| (net.size, net.features)).collect::<Vec<_>>(), [(8, 16), (16, 64), (32, 64)]);
        assert!(nets.iter().all(|net| net.activation == Activation::Silu && net.channels == 1));
        assert_eq!(nets[2], config.energy);
        assert_eq!((config.langevin.noise_std_at(0), config.langevin.noise_std()), (0.015, 0.0));
        let plain = load("[]", &[]).unwrap();
        assert_eq!((plain.langevin.steps, plain.langevin.nets(&plain.energy)), (100, vec![plain.energy.clone()]));
        assert!(!plain.to_json().contains("grids"), "a config without grids looks as ever");
    }

    #[test]
    fn steps_are_added_to_the_finest_grid_and_a_tail_is_made_quiet() {
        let langevin = load(GRIDS, &["langevin.noise_std=0.01"]).unwrap().langevin;
        let longer = langevin.with_steps(60).unwrap();
        assert_eq!((longer.steps, longer.grids[2].steps, longer.grids[1].steps), (60, 35, 10));
        assert_eq!((langevin.with_steps(26).unwrap().grids[2].steps, langevin.with_steps(25)), (1, None));
        let quiet = langevin.with_quiet_tail(5);
        assert_eq!([0, 39, 40, 44].map(|k| quiet.noise_std_at(k)), [0.01, 0.01, 0.0, 0.0]);
        assert_eq!(langevin.with_quiet_tail(99).noise_std_at(0), 0.0);
        assert_eq!(langevin.with_quiet_tail(0), langevin);
        let along = Schedule::from_knots(vec![(0, 0.2), (10, 0.1)]).unwrap();
        assert_eq!(along.zero_from(6).knots(), [(0, 0.2), (5, 0.15000000000000002), (6, 0.0)]);
    }

    #[test]
    fn grids_that_make_no_ladder_are_refused() {
        let grid = |size: usize| format!(r#"{{"size": {size}, "steps": 3}}"#);
        let of = |sizes: &[usize]| format!("[{}]", sizes.iter().map(|&size| grid(size)).collect::<Vec<_>>().join(","));
        let refused = |grids: &str, overrides: &[&str]| load(grids, overrides).unwrap_err().to_string();
        for (found, said) in [
            (refused(&of(&[16, 8, 32]), &[]), "size 8 after 16; grids go from coarse to fine"),
            (refused(&of(&[8, 8, 32]), &[]), "size 8 after 8; grids go from coarse to fine"),
            (refused(&of(&[8, 24, 32]), &[]), "langevin.grids[1].size = 24: must be 4, 8, 16, 32, 64 or 128"),
            (refused(&of(&[8, 16]), &[]), "  the config: the last of langevin.grids has size 16, energy.size is 32"),
            (refused(&of(&[8, 32]), &["langevin.steps=10"]), "langevin.steps is 10, its grids have 6 together"),
            (refused(&of(&[8, 32]), &["langevin.init=data"]), "cannot start at data or in a bank"),
            (refused(r#"[{"size": 8, "step": 3}]"#, &[]), "langevin.grids[0].steps: is missing"),
            (refused(r#"[{"size": 8, "step": 3}]"#, &[]), "langevin.grids[0].step = 3: is no known key (did you mean"),
            (refused(r#"[{"size": 32, "steps": 3, "features": 8}]"#, &[]), "are those of energy"),
            (
                refused(r#"[{"size": 32, "steps": 18446744073709551615}]"#, &[]),
                "must be a whole number from 1 to 4294967295",
            ),
            (refused(r#"[{"size": 1, "steps": 3}, {"size": 32, "steps": 3}]"#, &[]), "\"init\": \"colours\""),
            (refused(r#"[8, 16]"#, &[]), "langevin.grids[0] = 8: must be an object"),
            (refused(r#"{"size": 8}"#, &[]), "must be a list of grids, coarse to fine"),
            (
                refused(r#"[{"size": 8, "steps": 3, "from": 2}, {"size": 32, "steps": 3, "from": 2}]"#, &[]),
                "from 2 where 0 stands",
            ),
            (
                refused(
                    r#"[{"size": 8, "steps": 3}, {"size": 16, "steps": 3, "from": 5}, {"size": 32, "steps": 3}]"#,
                    &["train.updates=9"],
                ),
                "from 0 where 5 stands before it; the first grid learns from update 0 on",
            ),
            (
                refused(r#"[{"size": 8, "steps": 3}, {"size": 32, "steps": 3, "from": 9}]"#, &["train.updates=9"]),
                "joins after update 9, train.updates is 9; every grid must join before the run ends",
            ),
            (refused("[]", &["langevin.gradient_scale=[[0,1],[5,0]]"]), "must be a number > 0 that f32 holds"),
        ] {
            assert!(found.contains(said), "{said:?} is not in\n{found}");
        }
    }

    #[test]
    fn steps_of_a_grid_may_change_in_a_run_that_goes_on_and_nets_may_not() {
        let before = load(GRIDS, &[]).unwrap();
        let change = |from: &str, to: &str| {
            let changes = before.changes(&load(&GRIDS.replacen(from, to, 1), &[]).unwrap());
            changes.into_iter().find(|change| change.path == "langevin.grids").unwrap()
        };
        assert_eq!(change(r#""steps": 15"#, r#""steps": 12"#).refusal(), None);
        assert!(change(r#""features": 16"#, r#""features": 8"#).refusal().is_some());
        assert!(change(r#"{"size": 16, "steps": 10}, "#, "").refusal().is_some());
        let later = |from: u64| {
            let grids = GRIDS.replace(r#""steps": 20}"#, &format!(r#""steps": 20, "from": {from}}}"#));
            load(&grids, &["train.updates=9"]).unwrap()
        };
        assert!(later(3).changes(&later(4))[0].refusal().is_some(), "when a grid joins may not change either");
        let single = load(r#"[{"size": 32, "steps": 100}]"#, &[]).unwrap();
        let to_single = load("[]", &[]).unwrap().changes(&single);
        assert_eq!(
            to_single.iter().map(|change| (&change.path[..], change.refusal())).collect::<Vec<_>>(),
            [("langevin.grids", None)]
        );
    }
}
