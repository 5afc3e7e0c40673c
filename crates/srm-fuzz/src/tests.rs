//! Try a few inputs at every door, and those that once broke something.

use crate::{Bounds, DOORS, Dice, Door, LARGEST, SLOWEST, mutate};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Mutated inputs a door.
const INPUTS: usize = 150;

/// One input at a time: the count of memory is the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Let the door read the input; what it broke, if anything.
fn broken(door: &Door, bytes: &[u8], folder: &Path) -> Option<String> {
    let bounds = Bounds::begin();
    let entered = catch_unwind(AssertUnwindSafe(|| (door.enter)(bytes, folder)));
    let cost = bounds.cost();
    match entered {
        Err(_) => Some("panics".to_owned()),
        Ok(()) if cost.refused => Some(format!("asks for {} MB", cost.peak >> 20)),
        Ok(()) if cost.time > SLOWEST => Some(format!("takes {:?}", cost.time)),
        Ok(()) => None,
    }
}

fn corpus(door: &Door) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(door.name);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn doors_have_names_of_their_own_and_seeds_that_pass_the_first_look() {
    for (i, door) in DOORS.iter().enumerate() {
        assert!(DOORS[..i].iter().all(|other| other.name != door.name), "{}", door.name);
        let seeds = (door.seeds)();
        assert!(!seeds.is_empty(), "{}", door.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!((door.header)(seed), "{}: seed {number}", door.name);
            assert!(seed.len() <= door.longest, "{}: seed {number} of {} bytes", door.name, seed.len());
        }
        for source in door.sources {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(source);
            assert!(path.exists() || path.with_extension("rs").exists(), "{}: {source}", door.name);
        }
    }
}

#[test]
fn nothing_of_a_few_hundred_inputs_breaks_a_door() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut found = Vec::new();
    for door in DOORS {
        let folder = tempfile::tempdir().unwrap();
        let (seeds, mut dice, mut passed) = ((door.seeds)(), Dice::new(1), 0);
        for (number, seed) in seeds.iter().enumerate() {
            found.extend(broken(door, seed, folder.path()).map(|how| format!("{}: seed {number} {how}", door.name)));
        }
        for number in 0..INPUTS {
            let mut bytes = dice.one_of(&seeds);
            mutate(door, &mut bytes, &mut dice, &mut |_| false);
            passed += usize::from((door.header)(&bytes));
            found.extend(broken(door, &bytes, folder.path()).map(|how| format!("{}: input {number} {how}", door.name)));
        }
        assert!(2 * passed >= INPUTS, "{}: {passed} of {INPUTS} inputs pass the first look", door.name);
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn what_once_broke_a_door_breaks_it_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for door in DOORS {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in corpus(door) {
            assert_eq!(broken(door, &bytes, folder.path()), None, "{}", path.display());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    let made = |seed| {
        let (mut dice, mut bytes) = (Dice::new(seed), (DOORS[0].seeds)().swap_remove(0));
        mutate(DOORS[0], &mut bytes, &mut dice, &mut |_| false);
        bytes
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
}

#[test]
fn more_than_a_gibibyte_is_refused_and_counted() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let bounds = Bounds::begin();
    let mut bytes: Vec<u8> = Vec::new();
    assert!(bytes.try_reserve_exact(2 << 30).is_err());
    let cost = bounds.cost();
    // other threads of the test runner may give back a few bytes meanwhile
    assert!(cost.refused && cost.peak > LARGEST, "{cost:?}");
    assert!(!Bounds::begin().cost().refused);
}
