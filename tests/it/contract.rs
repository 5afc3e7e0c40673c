//! Hold what each command says and leaves to what was recorded before the house was rebuilt: names and kinds, not numbers.
//!
//! `SRM_RECORD=1` writes contract.json anew: for a change that is meant.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::common::{folder, root, smoke, srm, text};

/// The commands, a name and the words each; `RUN`, `X.npy` and `OUT` stand for a trained run, images and a folder.
const COMMANDS: &[(&str, &str)] = &[
    ("dry run", "train --config configs/smoke.json --dry-run --json"),
    ("train", "train --config configs/smoke.json --set train.updates=3 --run OUT/run --device cpu --json"),
    ("resume", "train --run OUT/run --resume --set train.updates=5 --json"),
    ("sample", "sample --weights RUN --count 5 --out OUT/x.png --chain OUT/c.png --animate OUT/a.png --json"),
    ("sample folder", "sample --weights RUN --count 3 --out OUT/pngs --steps 4 --block 2 --json"),
    ("sample nearest", "sample --weights RUN --count 3 --out OUT/n.png --nearest X.npy --columns 2 --json"),
    ("interpolate", "interpolate --weights RUN --pairs 2 --points 3 --out OUT/i.png --npy OUT/i.npy --json"),
    ("reconstruct", "reconstruct --weights RUN --images X.npy --iterations 3 --out OUT/r.png --npy OUT/r.npy --json"),
    (
        "evaluate",
        "evaluate --weights RUN --newest --data X.npy --count 12 --out OUT/e.json --nearest OUT/near.png --json",
    ),
    ("evaluate samples", "evaluate --samples X.npy --data X.npy --self-check --out OUT/s.json --json"),
    ("statistics", "evaluate --data X.npy --save-stats OUT/stats.npz --out OUT/t.json --json"),
    ("against statistics", "evaluate --weights RUN --newest --count 12 --data OUT/stats.npz --out OUT/u.json --json"),
    (
        "reconstruction",
        "evaluate --weights RUN --newest --count 12 --data X.npy --reconstruct X.npy --reconstruct-count 2 --out OUT/v.json --json",
    ),
    ("moments", "diagnose moments --weights RUN --newest --data X.npy --count 20 --out OUT/moments --json"),
    ("frozen", "diagnose moments --weights RUN --data X.npy --count 20 --frozen --updates 3 --out OUT/frozen --json"),
    ("toy", "diagnose moments --toy --updates 3 --out OUT/toy --json"),
    (
        "chains",
        "diagnose chains --weights RUN --data X.npy --chains 8 --long-steps 40 --long-chains 2 --out OUT/chains --json",
    ),
    ("report", "report OUT/run --iterations 2 --json"),
    ("export", "export --hub OUT/hub OUT/run --json"),
    ("export again", "export --hub OUT/hub OUT/run --json"),
    ("no flags", "sample"),
    ("bad key", "train --config configs/smoke.json --set train.nonsense=1 --run OUT/bad --json"),
    ("no weights", "sample --weights OUT/none.pth --out OUT/y.png --json"),
    ("bad form", "sample --weights RUN --out OUT/y.gif --json"),
    ("two points", "interpolate --weights RUN --points 1 --out OUT/y.png --json"),
    ("no temperature", "sample --weights RUN --steps 0 --out OUT/y.png"),
];

#[test]
fn commands_say_and_leave_what_they_did() {
    let place = folder();
    let (out, images) = (place.path().join("out"), place.path().join("X.npy"));
    fs::create_dir(&out).expect("a writable temporary folder");
    srm(&["sample", "--weights", text(&smoke().0), "--count", "40", "--out", text(&images)]).done();
    let mut found = Map::new();
    for (name, words) in COMMANDS {
        let own = |word: &str| match word {
            "RUN" => text(&smoke().0).to_owned(),
            "X.npy" => text(&images).to_owned(),
            word => word.replace("OUT", text(&out)),
        };
        let words: Vec<String> = words.split(' ').map(own).collect();
        let before = files(&out);
        let run = srm(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let said = if run.stdout.is_empty() { Value::Null } else { kinds(&run.json()) };
        let new: Vec<String> = files(&out).into_iter().filter(|file| !before.contains(file)).collect();
        found.insert((*name).to_owned(), json!({ "code": run.code, "said": said, "files": new }));
    }
    let record = root().join("tests/it/contract.json");
    if std::env::var_os("SRM_RECORD").is_some() {
        fs::write(&record, format!("{:#}\n", Value::Object(found))).expect("a writable checkout");
        return;
    }
    let recorded: Map<String, Value> =
        serde_json::from_slice(&fs::read(&record).expect("it is in the repository")).expect("it is JSON");
    assert_eq!(found.len(), recorded.len());
    for (name, was) in &recorded {
        assert_eq!(&found[name], was, "{name}");
    }
}

/// The same with the kind of each value in its place; of an array its first value's.
fn kinds(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), kinds(value))).collect(),
        Value::Array(values) => values.first().map(kinds).into_iter().collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("yes or no"),
        Value::Null => Value::Null,
    }
}

/// Every file below a folder, sorted; names with a time in them, cut.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("it is there") {
            let path = entry.expect("it is there").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = text(path.strip_prefix(folder).expect("below it")).to_owned();
                    found.push(name.split("tfevents").next().unwrap_or_default().to_owned());
                }
            }
        }
    }
    found.sort();
    found
}
