//! Check defaults, messages and the round trip of configs.

use serde_json::{Value, json};

use crate::{Activation, Config, ConfigError, Drift, EnergyConfig, Init, LangevinConfig, Problem, RawConfig, Schedule};

fn small() -> Value {
    json!({
        "data": { "images": "a.npy" },
        "energy": { "size": 32, "channels": 1 },
        "langevin": { "gradient_scale": 1.0, "noise_std": 0.01 },
        "train": { "updates": 10, "batch": 4, "learning_rate": 1e-4 },
    })
}

fn load(tree: &Value, overrides: &[&str]) -> Result<Config, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Config::from_json(&tree.to_string(), &overrides)
}

fn problems(tree: &Value, overrides: &[&str]) -> Vec<Problem> {
    match load(tree, overrides) {
        Err(ConfigError::Invalid { problems, .. }) => problems,
        other => panic!("expected problems, found {other:?}"),
    }
}

#[test]
fn the_defaults_are_the_published_ones() {
    let config = load(&small(), &[]).expect("the small config is sound");
    assert_eq!(config.energy.features, 64);
    assert_eq!(config.energy.activation, Activation::LeakyRelu(0.2));
    assert_eq!(config.langevin.steps, 100);
    assert_eq!(config.langevin.init, Init::Uniform);
    assert_eq!(config.langevin.block, None);
    assert_eq!(config.train.data_noise.at(7), 0.03);
    assert_eq!((config.train.seed, config.train.betas, config.train.epsilon), (1, [0.9, 0.999], 1e-8));
    assert_eq!((config.log.every, config.log.samples_every), (50, 500));
    assert_eq!((config.checkpoint.every, config.checkpoint.keep_last), (1000, 3));
    assert_eq!((config.data.count, config.data.flip), (None, false));
}

#[test]
fn what_a_model_hub_wants_in_a_config_is_passed_over() {
    let mut tree = small();
    tree["model_type"] = json!("srm-short-run");
    tree["architectures"] = json!(["ShortRunConvNet"]);
    assert_eq!(load(&tree, &[]).expect("sound"), load(&small(), &[]).expect("sound"));
    tree["train"]["model_type"] = json!("x"); // at the top alone
    assert_eq!(problems(&tree, &[])[0].path, "train.model_type");
}

#[test]
fn the_two_forms_of_the_step_agree_where_they_are_the_same_chain() {
    let tempered = load(&small(), &["langevin.gradient_scale=5e-5"]).expect("sound").langevin;
    let delta = ["langevin.gradient_scale=null", "langevin.noise_std=null", "langevin.delta_tau=1e-4"];
    let delta = load(&small(), &delta).expect("sound").langevin;
    assert_eq!(delta.drift, Drift::DeltaTau { delta_tau: 1e-4 });
    // each side rounds once or twice in f64
    for (one, other) in [
        (tempered.gradient_scale(), delta.gradient_scale()),
        (tempered.noise_std(), delta.noise_std()),
        (tempered.temperature(), delta.temperature()),
        (delta.temperature(), 1.0),
    ] {
        assert!((one - other).abs() <= 1e-12 * other, "{one} is not {other}");
    }
    // the published constants run at T = 0.01^2 / 2
    let published = load(&small(), &[]).expect("sound").langevin;
    assert!((published.temperature() - 5e-5).abs() < 1e-18);
}

#[test]
fn every_problem_is_reported_at_once_with_path_value_rule_and_hint() {
    let tree = json!({
        "data": { "image": "a.npy", "count": 0 },
        "energy": { "size": 48, "channels": 5, "activation": "selu" },
        "langevin": { "steps": -3, "gradient_scale": 0.0, "noise_std": "small", "delta_tau": 1e-4 },
        "train": { "updates": 1.5, "batch": 4, "learning_rate": [[5, 1e-4], [1, 1e-4]], "betas": [0.9, 1.0], "steps": 4 },
        "logs": {},
        "checkpoint": 7,
    });
    let found = problems(&tree, &["train.batch", "train.seed=[1"]);
    let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "--set train.batch",
            "--set train.seed=[1",
            "data.images",
            "data.count",
            "data.image",
            "energy.size",
            "energy.channels",
            "energy.activation",
            "langevin.steps",
            "langevin",
            "langevin.gradient_scale",
            "langevin.noise_std",
            "train.updates",
            "train.learning_rate",
            "train.betas",
            "train.steps",
            "checkpoint",
            "logs",
        ]
    );
    let text = load(&tree, &[]).expect_err("many problems").to_string();
    for line in [
        "16 problems in the config:",
        "data.count = 0: must be a whole number >= 1, or absent",
        "data.image = \"a.npy\": is no known key (did you mean data.images?)",
        "energy.size = 48: must be 4, 8, 16, 32, 64 or 128 (pixels)",
        "langevin.noise_std = \"small\": must be a number >= 0 that f32 holds, up to 3.4e38",
        "langevin: both forms are given; give exactly one form",
        "train.steps = 4: is no known key (did you mean langevin.steps?)",
        "logs = {}: is no known key (did you mean log?)",
        "checkpoint = 7: must be an object { ... }",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn a_misplaced_key_of_the_watch_is_sent_there() {
    for name in ["window", "gap_factor", "gradient_factor", "std_factor"] {
        let found = problems(&small(), &[&format!("train.{name}=3")]);
        assert_eq!(found[0].hint.as_deref(), Some(&*format!("did you mean watch.{name}?")));
    }
}

#[test]
fn a_missing_step_size_and_missing_sections_are_named() {
    let paths: Vec<String> = problems(&json!({ "langevin": {} }), &[]).into_iter().map(|one| one.to_string()).collect();
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(paths[0].starts_with("data: is missing"));
    assert!(paths[2].starts_with("langevin: the step size is missing; give exactly one form"));
    let half = problems(&small(), &["langevin.noise_std=null"]);
    assert_eq!(half.len(), 1);
    assert!(half[0].to_string().starts_with("langevin.noise_std: is missing"), "{}", half[0]);
}

#[test]
fn broken_json_names_its_place_and_a_missing_file_its_path() {
    let error = Config::from_json("{\n  \"data\": }", &[]).expect_err("no JSON").to_string();
    assert!(error.starts_with("the config is no valid JSON at line 2, column 11: "), "{error}");
    let error = Config::load("no/such/config.json", &[]).expect_err("no file").to_string();
    assert!(error.starts_with("cannot read the config no/such/config.json; "), "{error}");
    assert!(problems(&json!([1]), &[])[0].to_string().starts_with("the config = [1]: must be an object"));
}

#[test]
fn overrides_take_json_bare_words_and_null_in_order() {
    let config = load(
        &small(),
        &[
            "data.images=b c.npy",
            "train.batch=8",
            "train.batch=2e1",
            "energy.activation={\"leaky_relu\": 0.1}",
            "log.every=5",
            "train.learning_rate=[[0, 1e-3], [10, 0]]",
            "data.count=7",
            "data.count=null",
        ],
    )
    .expect("sound");
    assert_eq!(config.data.images.to_str(), Some("b c.npy"));
    assert_eq!((config.train.batch, config.log.every, config.data.count), (20, 5, None));
    assert_eq!(config.energy.activation, Activation::LeakyRelu(0.1));
    assert_eq!(config.train.learning_rate.at(5), 5e-4);
    let found = problems(&small(), &["=3", "a..b=1", "train.batch.size=3", "nonsense.key=1"]);
    let rules: Vec<&str> = found.iter().map(|problem| problem.rule.as_str()).collect();
    let path = "must start with a dotted path";
    assert_eq!(rules, [path, path, "leads through a value that is no object", "is no known key"]);
}

#[test]
fn schedules_are_linear_between_knots_constant_outside_and_jump() {
    let schedule = Schedule::from_knots(vec![(10, 1.0), (20, 3.0), (20, 8.0), (40, 0.0)]).expect("sound knots");
    for (update, value) in [(0, 1.0), (10, 1.0), (15, 2.0), (19, 2.8), (20, 8.0), (30, 4.0), (40, 0.0), (u64::MAX, 0.0)]
    {
        // one interpolation rounds a few times in f64
        assert!((schedule.at(update) - value).abs() < 1e-12, "at {update}: {}", schedule.at(update));
    }
    assert_eq!(Schedule::from_knots(vec![(99, 0.5)]), Some(Schedule::constant(0.5)));
    for wrong in [vec![], vec![(2, 1.0), (1, 1.0)], vec![(1, 1.0); 3], vec![(0, -1.0)], vec![(0, f64::NAN)]] {
        assert_eq!(Schedule::from_knots(wrong.clone()), None, "{wrong:?}");
    }
}

#[test]
fn sections_alone_are_checked_too() {
    let energy: EnergyConfig = serde_json::from_value(json!({ "size": 64, "channels": 3 })).expect("sound");
    assert_eq!(serde_json::from_value::<EnergyConfig>(json!(energy)).expect("round trip"), energy);
    let wrong = serde_json::from_value::<LangevinConfig>(json!({ "steps": 0, "delta_tau": 1, "start": "x" }));
    let text = wrong.expect_err("two problems").to_string();
    assert!(text.contains("langevin.steps = 0") && text.contains("langevin.start = \"x\""), "{text}");
}

#[test]
fn numbers_that_f32_does_not_hold_are_refused_each_by_name() {
    for key in [
        "langevin.gradient_scale",
        "langevin.noise_std",
        "langevin.clip_gradient",
        "train.learning_rate",
        "train.data_noise",
        "train.epsilon",
        "train.f_l2",
        "train.weight_decay",
        "train.clip_parameter_gradient",
        "train.spectral_norm",
        "watch.extra_noise",
    ] {
        for value in ["1e39", "1e308", "-1e-9"] {
            let text = load(&small(), &[&format!("{key}={value}")]).expect_err(key).to_string();
            assert!(text.contains(key) && text.contains("f32 holds"), "{text}");
        }
    }
    for key in ["langevin.gradient_scale", "train.epsilon", "train.spectral_norm"] {
        let text = load(&small(), &[&format!("{key}=1e-50")]).expect_err(key).to_string();
        assert!(text.contains(key) && text.contains("f32 holds"), "{text}");
    }
    assert!(load(&small(), &["train.learning_rate=[[0,1e-4],[9,1e39]]"]).is_err());
    assert!(load(&small(), &[r#"energy.activation={"leaky_relu":1e39}"#]).is_err());
    // nothing and next to nothing are no mistakes
    for sound in ["train.learning_rate=1e-40", "train.learning_rate=0", "train.data_noise=1e-50"] {
        assert!(load(&small(), &[sound]).is_ok(), "{sound}");
    }
}

#[test]
fn a_block_has_an_upper_limit() {
    assert!(load(&small(), &["langevin.block=65535"]).is_ok());
    let text = load(&small(), &["langevin.block=1000000"]).expect_err("too many").to_string();
    assert!(text.contains("langevin.block = 1000000: must be a whole number from 1 to 65535, or absent"), "{text}");
}

/// A random but sound config: values from a small counter-based generator (splitmix64), so a failure repeats.
fn random_config(seed: u64) -> Config {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let draw = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    // any mantissa of an f64, with an exponent from -100 to 99, which f32 holds
    let mut number = {
        let mut draw = draw;
        move || (draw(), f64::from_bits((draw() & 0x000F_FFFF_FFFF_FFFF) | (923 + draw() % 200) << 52))
    };
    let mut config = load(&small(), &[]).expect("sound");
    let (bits, real) = number();
    config.about = ["", "one", "two\nlines", "quotes \" and \\ and ünïcödé\n\n"][(bits % 4) as usize].to_owned();
    config.data.images = format!("folder {bits}/a\"b.npy").into();
    config.data.count = (bits % 3 > 0).then_some((bits % 99) as usize + 1);
    config.data.flip = bits % 2 == 0;
    config.energy.size = [32, 64, 128][(bits % 3) as usize];
    config.energy.channels = [1, 3, 4][(bits % 3) as usize];
    config.energy.activation =
        [Activation::LeakyRelu(real), Activation::Relu, Activation::Silu, Activation::Softplus, Activation::Gelu]
            [(bits % 5) as usize];
    let (bits, scale) = number();
    let noise_std = number().1;
    config.langevin.drift = match bits % 2 {
        0 => Drift::Tempered { gradient_scale: scale.into(), noise_std: noise_std.into() },
        _ => Drift::DeltaTau { delta_tau: scale },
    };
    config.langevin.init = if bits % 3 == 0 { Init::Gaussian } else { Init::Uniform };
    config.langevin.block = (bits % 5 > 1).then_some((bits >> 49) as usize + 1);
    config.train.seed = number().0;
    config.train.epsilon = number().1;
    config.train.betas = [number().1 % 1.0, number().1 % 1.0];
    config.train.updates = number().0 >> 20 | 1;
    let mut update = 0;
    let knots = (0..=bits % 6).map(|knot| {
        let (gap, value) = number();
        update += (gap >> 50) + knot % 2;
        (update, value)
    });
    config.train.learning_rate = Schedule::from_knots(knots.collect()).unwrap_or(Schedule::constant(scale));
    config
}

#[test]
fn what_is_written_loads_back_equal_and_writes_the_same_text() {
    for seed in 0..2000 {
        let config = random_config(seed);
        let text = config.to_json();
        let back = Config::from_json(&text, &[]).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(back, config, "seed {seed}");
        assert_eq!(back.to_json(), text, "seed {seed}");
    }
}

#[test]
fn a_schedule_stays_between_the_smallest_and_largest_knot() {
    for seed in 0..500 {
        let schedule = random_config(seed).train.learning_rate;
        let values = schedule.knots().iter().map(|knot| knot.1);
        let (low, high) = values.fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        for update in (0..200).map(|step| step * 997) {
            // the weights of the two knots sum to 1 up to rounding
            let value = schedule.at(update);
            assert!(value >= low * (1.0 - 1e-15) && value <= high * (1.0 + 1e-15), "seed {seed}, update {update}");
        }
    }
}

#[test]
fn the_text_keeps_numbers_of_a_schedule_on_one_line() {
    let config = load(&small(), &["train.learning_rate=[[0, 0.5], [9, 0.25]]", "about=[\"a\", \"b\"]"]).expect("sound");
    let text = config.to_json();
    assert!(text.contains("\n    \"learning_rate\": [[0, 0.5], [9, 0.25]],\n"), "{text}");
    assert!(text.starts_with("{\n  \"about\": [\n    \"a\",\n    \"b\"\n  ],\n"), "{text}");
    assert!(text.contains("\"activation\": { \"leaky_relu\": 0.2 }"), "{text}");
    let origin = RawConfig::parse(text.as_bytes(), "x.json")
        .expect("JSON")
        .with_overrides(&["energy.size=1".to_owned()])
        .check();
    assert!(origin.expect_err("wrong size").to_string().starts_with("1 problem in x.json:\n  energy.size = 1: "));
}

#[test]
fn every_config_of_the_repository_loads_and_says_what_it_is() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is part of the repository") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            continue; // pictures
        }
        let config = Config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.about.len() > 80, "{}: about must give data, sources, device and minutes", path.display());
        assert!(config.train.learning_rate.at(config.train.updates) > 0.0, "{}: the rate ends at 0", path.display());
        names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    let faces = ["celeba128", "celeba32-cpu", "celeba64"];
    let others =
        ["celeba64-cpu", "cifar10", "fashion32", "fashion32-plain", "grids32-cpu", "lsun64", "multigrid64", "object"];
    assert_eq!(names, [&faces[..], &others, &["smoke", "texture"]].concat());
}

#[test]
fn overrides_in_other_languages_are_refused_with_the_json_that_was_meant() {
    for (text, hint) in [
        ("train.learning_rate=.5", "write 0.5"),
        ("train.learning_rate=1e", "must be"),
        ("train.updates=1_000", "write 1000"),
        ("train.updates=+5", "write 5"),
        ("data.flip=True", "write true"),
        ("train.ema=None", "write null"),
        ("train.data_noise=nan", "every setting is finite"),
        ("train.data_noise=-Infinity", "every setting is finite"),
        ("train.betas=[0.9,]", "a comma stands before this closing bracket"),
        ("langevin.init={\"a\": 1, \"a\": 2}", "stands here twice"),
        ("train.batch=", "write null to remove the key"),
    ] {
        let found = problems(&small(), &[text]);
        assert!(found.len() == 1 && found[0].to_string().contains(hint), "{text}: {found:?}");
    }
    let config =
        load(&small(), &["train.learning_rate=1e-4", "data.images=\"None\"", "data.flip= true "]).expect("JSON");
    assert_eq!(config.data.images.to_str(), Some("None"));
    assert!(config.data.flip);
}

#[test]
fn a_folder_and_a_file_without_end_are_no_configs() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    let said = Config::load(here, &[]).unwrap_err().to_string();
    assert!(said.contains("is a folder; give --config a JSON file, such as ") && said.contains("configs/"), "{said}");
    let said = Config::load("/dev/zero", &[]).unwrap_err().to_string();
    assert!(said.contains("/dev/zero is longer than"), "{said}");
}
