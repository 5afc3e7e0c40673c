//! Read the values of one JSON object, noting every problem instead of stopping at the first.

use serde_json::{Map, Value};

use crate::Problem;

/// Every key whose name alone says where it belongs: a misplaced one is sent there. Names that several sections have are left out.
const KEYS: [&str; 48] = [
    "data.images",
    "data.count",
    "data.crop",
    "data.flip",
    "energy.size",
    "energy.channels",
    "energy.features",
    "energy.activation",
    "energy.any_size",
    "energy.reference_std",
    "langevin.steps",
    "langevin.grids",
    "langevin.gradient_scale",
    "langevin.noise_std",
    "langevin.delta_tau",
    "langevin.init",
    "langevin.block",
    "langevin.clip_gradient",
    "train.updates",
    "train.batch",
    "train.learning_rate",
    "train.data_noise",
    "train.seed",
    "train.betas",
    "train.epsilon",
    "train.weight_decay",
    "train.clip_parameter_gradient",
    "train.f_l2",
    "train.ema",
    "train.spectral_norm",
    "log.samples_every",
    "log.tensorboard",
    "checkpoint.keep_last",
    "checkpoint.keep_every",
    "checkpoint.keep_best",
    "checkpoint.on_write_error",
    "evaluate.features",
    "evaluate.images_count",
    "evaluate.averaged",
    "watch.rollbacks",
    "watch.window",
    "watch.gap_factor",
    "watch.gradient_factor",
    "watch.std_factor",
    "watch.rate_factor",
    "watch.std_limit",
    "watch.travel_limit",
    "watch.extra_noise",
];

/// A section with the defaults of its keys, and of `given` those that have none.
pub(crate) fn defaults<T>(given: &Value, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> T {
    Fields::open(given, "", &mut Vec::new(), read).expect("every other key of the section has a default")
}

/// One object of the tree, the keys asked of it so far, and the problems of the whole tree.
pub(crate) struct Fields<'a> {
    path: &'a str,
    map: Option<&'a Map<String, Value>>,
    asked: Vec<&'static str>,
    passed_over: Vec<&'static str>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// Read the object `tree` that stands at `path` ("" is the root) with `read`, then note unknown keys.
    pub(crate) fn open<T>(
        tree: &Value,
        path: &str,
        problems: &mut Vec<Problem>,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let map = tree.as_object();
        if map.is_none() {
            let rule = "must be an object { ... }".to_owned();
            problems.push(Problem { path: of_section(path), value: Some(brief(tree)), rule, hint: None });
        }
        let mut fields = Fields { path, map, asked: Vec::new(), passed_over: Vec::new(), problems };
        let found = read(&mut fields);
        fields.note_unknown();
        found
    }

    /// Whether the key is there (`null` counts as absent).
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Whether this section is no object at all, which is a problem noted already.
    pub(crate) fn is_broken(&self) -> bool {
        self.map.is_none()
    }

    /// Pass over keys that mean something to others: what they hold is not looked at.
    pub(crate) fn pass_over(&mut self, names: &[&'static str]) {
        self.passed_over.extend(names);
    }

    /// Note a problem of the section as a whole.
    pub(crate) fn problem(&mut self, found: &str, rule: &str, hint: Option<String>) {
        self.problems.push(Problem {
            path: of_section(self.path),
            value: None,
            rule: format!("{found}; {rule}"),
            hint,
        });
    }

    /// Read one value; without a default it must be there.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        default: Option<T>,
        rule: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(name);
        match (self.value(name), default) {
            (Some(value), _) => {
                let parsed = parse(value);
                if parsed.is_none() {
                    self.note(name, Some(brief(value)), rule);
                }
                parsed
            }
            (None, Some(default)) => Some(default),
            (None, None) => {
                if !self.is_broken() {
                    self.note(name, None, &format!("is missing; it {rule}"));
                }
                None
            }
        }
    }

    /// Read a value that must be there when `wanted`; otherwise only check it when it is there.
    pub(crate) fn read_if<T>(
        &mut self,
        wanted: bool,
        name: &'static str,
        rule: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        if wanted || self.has(name) {
            return self.read(name, None, rule, parse);
        }
        self.asked.push(name);
        None
    }

    /// Read a whole number >= 1.
    pub(crate) fn count(&mut self, name: &'static str, default: Option<usize>) -> Option<usize> {
        self.read(name, default, "must be a whole number >= 1", one_or_more)
    }

    /// Read a whole number >= 1 that may be absent.
    pub(crate) fn optional_count(&mut self, name: &'static str) -> Option<Option<usize>> {
        self.read(name, Some(None), "must be a whole number >= 1, or absent", |value| one_or_more(value).map(Some))
    }

    /// Read a number > 0 that may be absent.
    pub(crate) fn optional_positive(&mut self, name: &'static str) -> Option<Option<f64>> {
        self.read(name, Some(None), &format!("{POSITIVE}, or absent"), |value| positive(value).map(Some))
    }

    /// Read a number >= 0.
    pub(crate) fn not_negative(&mut self, name: &'static str, default: f64) -> Option<f64> {
        self.read(name, Some(default), NOT_NEGATIVE, not_negative)
    }

    /// Read a section that must be there.
    pub(crate) fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(name);
        if let Some(tree) = self.value(name) {
            return Fields::open(tree, name, self.problems, read);
        }
        if !self.is_broken() {
            self.note(name, None, "is missing; it must be an object { ... }");
        }
        None
    }

    /// Read a section whose values all have defaults.
    pub(crate) fn section_or_default<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(name);
        let empty = Value::Object(Map::new());
        Fields::open(self.value(name).unwrap_or(&empty), name, self.problems, read)
    }

    /// Read a list of objects that may be absent.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        read: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.read(name, Some(Vec::new()), rule, |value| value.as_array().cloned())?;
        let place = |i: usize| format!("{}[{i}]", self.dotted(name));
        let places: Vec<String> = (0..items.len()).map(place).collect();
        let found: Vec<Option<T>> =
            items.iter().zip(&places).map(|(item, place)| Fields::open(item, place, self.problems, &read)).collect();
        found.into_iter().collect()
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map?.get(name).filter(|value| !value.is_null())
    }

    fn dotted(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn note(&mut self, name: &str, value: Option<String>, rule: &str) {
        let path = self.dotted(name);
        self.problems.push(Problem { path, value, rule: rule.to_owned(), hint: None });
    }

    fn note_unknown(&mut self) {
        let Some(map) = self.map else { return };
        let known = |name: &str| self.asked.contains(&name) || self.passed_over.contains(&name);
        for (name, value) in map.iter().filter(|(name, _)| !known(name)) {
            let hint = match nearest(name, &self.asked) {
                Some(known) => format!("did you mean {}?", self.dotted(known)),
                None => match KEYS.iter().find(|key| key.rsplit('.').next() == Some(name)) {
                    Some(key) => format!("did you mean {key}?"),
                    None => format!("known here: {}", self.asked.join(", ")),
                },
            };
            self.problems.push(Problem {
                path: self.dotted(name),
                value: Some(brief(value)),
                rule: "is no known key".to_owned(),
                hint: Some(hint),
            });
        }
    }
}

/// What a section is called, "" being the root.
fn of_section(path: &str) -> String {
    if path.is_empty() { "the config" } else { path }.to_owned()
}

/// A whole number, also where it is written as 2e5 or 10.0.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        // beyond 2^53 a float no longer tells neighbouring whole numbers apart
        (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
    })
}

pub(crate) fn one_or_more(value: &Value) -> Option<usize> {
    whole(value).filter(|&number| number >= 1).and_then(|number| usize::try_from(number).ok())
}

/// What [`positive`] asks for.
pub(crate) const POSITIVE: &str = "must be a number > 0 that f32 holds, 1.2e-38 to 3.4e38";
/// What [`not_negative`] asks for.
pub(crate) const NOT_NEGATIVE: &str = "must be a number >= 0 that f32 holds, up to 3.4e38";

/// Whether a number is > 0 and neither 0 nor infinite in f32, in which nets and chains compute.
pub fn is_positive_f32(number: f64) -> bool {
    (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&number)
}

/// Whether a number is >= 0 and not infinite in f32; what is too small for it counts as 0.
pub fn is_not_negative_f32(number: f64) -> bool {
    (0.0..=f64::from(f32::MAX)).contains(&number)
}

/// A number > 0 as [`is_positive_f32`] takes it.
pub(crate) fn positive(value: &Value) -> Option<f64> {
    value.as_f64().filter(|&number| is_positive_f32(number))
}

/// A number >= 0 as [`is_not_negative_f32`] takes it.
pub(crate) fn not_negative(value: &Value) -> Option<f64> {
    value.as_f64().filter(|&number| is_not_negative_f32(number))
}

/// The value as JSON, cut to a length that fits a line.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(77).chain("...".chars()).collect() }
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|key| (distance(name, key), *key))
        .min()
        .filter(|&(edits, key)| edits <= 1.max(key.len() / 3).min(3))
        .map(|(_, key)| key)
}

/// Levenshtein distance: insertions, deletions and replacements that turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, &other) in to.iter().enumerate() {
            let replaced = corner + usize::from(letter != other);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[to.len()]
}
