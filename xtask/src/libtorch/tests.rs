//! Damage libtorch folders in every way, and run the build script that all crates on libtorch share under wrong settings.

use super::*;
use std::{
    process::Command,
    time::{Duration, SystemTime},
};

fn write(folder: &Path, name: &str, text: &str) -> Entry {
    fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    fs::write(folder.join(name), text).unwrap();
    Entry { sha256: hex(&Sha256::digest(text)), bytes: text.len() as u64, path: name.to_owned() }
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("libtorch");
    replace(&folder, |new| Ok(vec![write(new, "lib/a.so", "library"), write(new, "include/a.h", "header")])).unwrap();
    (cache, folder)
}

#[test]
fn a_fresh_folder_is_whole_and_nothing_lies_beside_it() {
    let (cache, folder) = made();
    assert_eq!(check(&folder, true).unwrap(), State::Whole);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    assert_eq!(check(&cache.path().join("other"), false).unwrap(), State::Missing);
    assert_eq!(folder::version(&folder).as_deref(), Some(VERSION));
}

#[test]
fn every_kind_of_damage_is_seen() {
    type Damage = fn(&Path);
    let cut: Damage = |folder| fs::write(folder.join("lib/a.so"), "libr").unwrap();
    let gone: Damage = |folder| fs::remove_file(folder.join("include/a.h")).unwrap();
    let changed: Damage = |folder| {
        fs::write(folder.join("lib/a.so"), "Library").unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        File::options().write(true).open(folder.join("lib/a.so")).unwrap().set_modified(later).unwrap();
    };
    let list: Damage = |folder| fs::write(folder.join(MANIFEST), "abc 3\n").unwrap();
    for (damage, message) in [
        (cut, "lib/a.so has 4 instead of 7 bytes"),
        (gone, "include/a.h is missing"),
        (changed, "wrong checksum"),
        (list, "broken line"),
    ] {
        let (_cache, folder) = made();
        damage(&folder);
        match check(&folder, false).unwrap() {
            State::Damaged(cause) => assert!(cause.contains(message), "{cause}"),
            other => panic!("{message}: {other:?}"),
        }
        replace(&folder, |new| Ok(vec![write(new, "lib/a.so", "library")])).unwrap();
        assert_eq!(check(&folder, true).unwrap(), State::Whole);
    }
}

#[test]
fn a_failed_fill_leaves_the_old_folder() {
    let (_cache, folder) = made();
    assert!(replace(&folder, |_| bail!("no connection")).is_err());
    assert_eq!(check(&folder, true).unwrap(), State::Whole);
}

#[test]
fn another_version_or_no_libtorch_is_refused_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let message = |folder: &Path| usable(folder).unwrap_err().to_string();
    assert!(message(folder.path()).contains("lib/libtorch_cpu.so is missing"));
    for name in ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "include/torch/csrc/autograd/engine.h"] {
        write(folder.path(), name, "");
    }
    assert!(message(folder.path()).contains("does not say its version"));
    write(
        folder.path(),
        "include/torch/headeronly/version.h",
        "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 10\n#define TORCH_VERSION_PATCH 1\n",
    );
    assert!(message(folder.path()).contains("is libtorch 2.10.1, but tch 0.24.0 needs 2.11.0"));
    write(folder.path(), "build-version", "2.11.0+cpu\n");
    assert_eq!(usable(folder.path()).unwrap(), "2.11.0+cpu");
}

#[test]
fn a_link_is_made_over_a_broken_one_and_what_a_killed_set_up_left() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join(".libtorch"), folder.path().join("target"));
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.path().join(".libtorch.new")).unwrap();
    fs::create_dir(&target).unwrap();
    point(&link, &target).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), target);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_is_used_as_it_is() {
    // Root cannot create a file in /sys either.
    assert!(lock(Path::new("/sys")).unwrap().is_none());
    let cache = tempfile::tempdir().unwrap();
    assert!(lock(cache.path()).unwrap().is_some());
}

/// What the build script of srm-energy tells cargo with these variables.
fn build_script(set: &[(&str, &Path)]) -> String {
    static PROGRAM: std::sync::OnceLock<(tempfile::TempDir, PathBuf)> = std::sync::OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (program, main) = (folder.path().join("build"), folder.path().join("main.rs"));
        let library = workspace::root().join("crates/srm-build/src/lib.rs");
        let calls = "fn main() { srm_build::check(); srm_build::rpath(); }";
        fs::write(&main, format!("#[path = {library:?}]\nmod srm_build;\n{calls}\n")).unwrap();
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-A", "warnings", "-o"]).arg(&program).arg(main);
        assert!(rustc.status().unwrap().success());
        (folder, program)
    });
    let mut script = Command::new(program);
    for name in folder::OTHER_VARIABLES.iter().chain(&["LIBTORCH"]) {
        script.env_remove(name);
    }
    let output = script.envs(set.iter().copied()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_build_script_gives_the_path_of_a_fitting_libtorch_and_refuses_what_leads_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let good = &*place.path().join("a folder, with a comma");
    for name in ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "include/torch/csrc/autograd/engine.h"] {
        write(good, name, "");
    }
    write(good, "build-version", "2.11.0+cpu");
    let (one, zero) = (Path::new("1"), Path::new("0"));
    // The same folder by another name, and settings that change nothing.
    let same = &*good.join("lib/..");
    for set in [
        &[("LIBTORCH", good)] as &[_],
        &[
            ("LIBTORCH", good),
            ("LIBTORCH_LIB", same),
            ("LIBTORCH_INCLUDE", same),
            ("LIBTORCH_BYPASS_VERSION_CHECK", one),
        ],
        &[("LIBTORCH", good), ("LIBTORCH_CXX11_ABI", one), ("LIBTORCH_STATIC", zero)],
    ] {
        let said = build_script(set);
        let lib = fs::canonicalize(good.join("lib")).unwrap();
        assert!(said.ends_with(&format!("cargo:rustc-link-arg={}\n", lib.display())), "{said}");
        assert!(said.contains("cargo:rustc-link-arg=--disable-new-dtags") && !said.contains("cargo::error"), "{said}");
    }
    for (name, value) in [
        ("LIBTORCH_USE_PYTORCH", one),
        ("LIBTORCH_LIB", place.path()),
        ("LIBTORCH_INCLUDE", place.path()),
        ("LIBTORCH_CXX11_ABI", zero),
        ("LIBTORCH_STATIC", one),
    ] {
        let said = build_script(&[("LIBTORCH", good), (name, value)]);
        let error = format!(
            "cargo::error={name}={} would build the bindings on another libtorch than {}; leave it out: env -u {name} cargo …",
            value.display(),
            good.display()
        );
        assert!(said.contains(&error), "{said}");
    }
    write(good, "build-version", "2.5.1");
    for (set, error) in [
        (
            &[("LIBTORCH", good), ("LIBTORCH_BYPASS_VERSION_CHECK", one)] as &[_],
            "is libtorch 2.5.1, but tch 0.24.0 needs 2.11.0; `cargo xtask setup`",
        ),
        (&[("LIBTORCH", place.path())], "lib/libtorch_cpu.so is missing"),
        (&[("LIBTORCH", Path::new(""))], "is no absolute path: unset it"),
        (&[], "LIBTORCH is not set: in srm's own folder .cargo/config.toml sets it; a project of your own"),
    ] {
        let said = build_script(set);
        assert!(said.contains("cargo::error=") && said.contains(error), "{said}");
    }
}
