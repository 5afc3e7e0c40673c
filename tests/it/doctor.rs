//! The doctor from outside: it reports what is missing instead of failing.

use crate::common::{command, folder, srm};

#[test]
fn it_reports_every_part_as_one_json_object() {
    let said = srm(&["doctor", "--json"]).done().json();
    assert_eq!(said["command"], "doctor");
    assert!(said["libtorch"]["folder"].is_string(), "{said}");
    assert!(said["cpu"]["cores"].as_u64().is_some_and(|cores| cores >= 1));
    assert_eq!(said["cuda"]["available"], false);
    let problem = said["cuda"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("no CUDA build of libtorch was found"), "{said}");
    assert_eq!(said["mpi"].as_str().is_some_and(|name| !name.is_empty()), cfg!(feature = "mpi"), "{}", said["mpi"]);
    let configs = said["configs"].as_array().expect("a list");
    let smoke = configs.iter().find(|config| config["file"] == "configs/smoke.json").expect("smoke is there");
    assert_eq!(smoke["ready"], true, "the smoke config needs no download");
}

#[test]
fn it_names_remedies_in_a_folder_where_nothing_is() {
    let place = folder();
    let output = command(&["doctor"]).current_dir(place.path()).output().expect("the binary was built for this test");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for part in ["libtorch   2.", "cargo xtask setup --cuda", "fetch-celeba", "run srm in the repository's folder"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn it_says_which_file_under_data_is_damaged() {
    let place = folder();
    std::fs::create_dir_all(place.path().join("data/mine")).expect("a writable temporary folder");
    std::fs::write(place.path().join("data/mine/broken.npy"), "no array").expect("a writable temporary folder");
    let output = command(&["doctor", "--json"]).current_dir(place.path()).output().expect("the binary was built");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(said["data"][0]["file"], "data/mine/broken.npy");
    assert!(said["data"][0]["problem"].is_string(), "{said}");
}
