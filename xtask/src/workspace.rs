//! Find the folders that every task works in, and run the programs that tasks call.

use crate::libtorch;
use anyhow::{Context, Result, bail, ensure};
pub use srm_fetch::size;
use srm_terminal::{Bars, ProgressBar, Unit};
use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// The root of the workspace. Cargo sets the variable for a program that it runs; a binary run by hand falls back to where it was built.
pub fn root() -> PathBuf {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|folder| folder.join("src/workspace.rs").exists());
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// The folder in the user's cache that all checkouts share: `$XDG_CACHE_HOME/srm`, else `~/.cache/srm`.
pub fn cache() -> Result<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let base = named.or_else(|| env::home_dir().filter(absolute).map(|home| home.join(".cache")));
    Ok(base
        .context("no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path; set one of them")?
        .join("srm"))
}

/// `path` as a person reads it: relative to the workspace where it lies inside.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A progress bar in bytes on stderr; lines now and then where that is no terminal.
pub fn bar(name: &str, total: Option<u64>, start: u64) -> ProgressBar {
    let bar = Bars::new().bar(total, Unit::BytesOf(name.to_owned())).with_position(start);
    bar.reset_eta(); // what was there before took no time
    bar
}

/// A duration as a person says it.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// A cargo command in the workspace root, with the cargo that runs this task.
pub fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    // What cargo sets for this task describes the xtask package, not the one that is built next.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    // Set for other projects, these would build the bindings on another libtorch than the one that is set up.
    for name in libtorch::folder::OTHER_VARIABLES {
        command.env_remove(name);
    }
    match libtorch::of_user() {
        Some(path) => command.env("LIBTORCH", path),
        None => command.env_remove("LIBTORCH"), // .cargo/config.toml gives it
    };
    command
}

/// What cargo knows about the workspace.
pub fn metadata() -> Result<serde_json::Value> {
    let output =
        cargo(["metadata", "--no-deps", "--format-version", "1"]).output().context("cargo metadata did not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")
}

/// Run `command` to its end with its output shown.
///
/// # Errors
/// When it cannot start or fails; the message names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let line = described(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("`{line}` did not start"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); its own message stands above");
    }
    Ok(())
}

/// Run `command` to its end and show its output then, in one piece.
///
/// # Errors
/// As for [`run`].
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let line = described(command);
    let ended = command.stdin(Stdio::null()).output().with_context(|| format!("`{line}` did not start"))?;
    let words = [ended.stderr, ended.stdout].concat();
    eprintln!("$ {line}\n{}", String::from_utf8_lossy(&words).trim_end());
    ensure!(ended.status.success(), "`{line}` failed ({}); its own message stands above", ended.status);
    Ok(())
}

/// Run `command` to its end with `input` on its stdin.
///
/// # Errors
/// When it cannot start or fails; the message names the command.
pub fn fed(command: &mut Command, input: &[u8]) -> Result<()> {
    let line = described(command);
    let mut child = command.stdin(Stdio::piped()).spawn().with_context(|| format!("`{line}` did not start"))?;
    // one that ends early does not read it all: its status says more than the broken pipe
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let status = child.wait().with_context(|| format!("`{line}` did not start"))?;
    ensure!(status.success(), "`{line}` failed ({status}); its own message stands above");
    Ok(())
}

/// Whether a command runs and ends well; what it prints is not shown.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Delete a folder; where there is none, all is well.
///
/// # Errors
/// It cannot be deleted.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display())),
        false => Ok(()),
    }
}

/// Whether an MPI library can be built against, with the libclang that its bindings need, and run.
pub fn has_mpi() -> bool {
    let runs = |program: &str| succeeds(Command::new(program).arg("--version"));
    runs("mpicc") && runs("mpirun") && (env::var_os("LIBCLANG_PATH").is_some() || has_libclang(Path::new("/usr")))
}

/// Whether libclang lies where distributions put it.
fn has_libclang(usr: &Path) -> bool {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let versions =
        entries(&usr.join("lib")).filter(|path| path.to_string_lossy().contains("llvm")).map(|path| path.join("lib"));
    let usual = ["lib", "lib64", "lib/x86_64-linux-gnu", "local/lib"].map(|folder| usr.join(folder));
    usual.into_iter().chain(versions).any(|folder| {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        entries(&folder).map(|path| name(&path)).any(|name| {
            // not libclang-cpp, which is another library
            name.starts_with("libclang") && name.contains(".so") && !name.starts_with("libclang-cpp")
        })
    })
}

/// Build the program of the users and return its path; called by it, nothing is built again meanwhile.
///
/// # Errors
/// The build fails.
pub fn build_srm() -> Result<PathBuf> {
    build_srm_with(&[])
}

/// [`build_srm`] with more arguments for cargo.
///
/// # Errors
/// The build fails.
pub fn build_srm_with(more: &[&str]) -> Result<PathBuf> {
    build(cargo(["build", "--package", "srm-cli"]).args(more), &[], "srm")
}

/// Run a build of cargo's, with `last` after all other words; where the program of that name lies then.
///
/// # Errors
/// The build fails.
pub fn build(command: &mut Command, last: &[&str], program: &str) -> Result<PathBuf> {
    let (line, ended) = captured(command.arg("--message-format=json-render-diagnostics").args(last))?;
    if !ended.status.success() {
        bail!("`{line}` failed ({}); its own message stands above", ended.status);
    }
    executable(&ended.stdout, program).with_context(|| format!("`{line}` names no executable"))
}

/// Where cargo's messages say that a program lies: a target folder and a target machine of the user's own change it.
fn executable(messages: &[u8], program: &str) -> Option<PathBuf> {
    let messages = serde_json::Deserializer::from_slice(messages).into_iter::<serde_json::Value>().flatten();
    let mut found = messages.filter(|message| message["target"]["name"] == program);
    found.find_map(|message| Some(message["executable"].as_str()?.into()))
}

/// Run srm in the workspace root and show what it prints.
///
/// # Errors
/// It fails; the message names the command.
pub fn srm(program: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new(program).args(arguments).current_dir(root()))
}

/// Run srm with `--json` and return its object; `None` where it ends with one of the other exit codes that are expected.
///
/// # Errors
/// It ends otherwise, or prints no JSON.
pub fn srm_json<'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
    expected: &[i32],
) -> Result<Option<serde_json::Value>> {
    let mut command = Command::new(program);
    let (line, ended) = captured(command.args(arguments).current_dir(root()))?;
    match ended.status.code() {
        Some(0) => Ok(Some(serde_json::from_slice(&ended.stdout).with_context(|| format!("`{line}` gave no JSON"))?)),
        Some(code) if expected.contains(&code) => Ok(serde_json::from_slice(&ended.stdout).ok()),
        _ => bail!("`{line}` failed ({}); its own message stands above", ended.status),
    }
}

/// Run `command` with its stderr shown: how it is typed, and its status and stdout.
fn captured(command: &mut Command) -> Result<(String, Output)> {
    let line = described(command);
    eprintln!("$ {line}");
    let ended = command.stdout(Stdio::piped()).spawn().and_then(Child::wait_with_output);
    let ended = ended.with_context(|| format!("`{line}` did not start"))?;
    Ok((line, ended))
}

/// The command as it would be typed.
fn described(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_workspace() {
        assert!(root().join("Cargo.toml").exists() && root().join("crates").is_dir());
    }

    #[test]
    fn libclang_is_found_in_its_usual_places_and_no_other_library_is_taken_for_it() {
        let usr = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = usr.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        assert!(!has_libclang(usr.path()));
        put("lib/x86_64-linux-gnu/libclang-cpp.so.14");
        assert!(!has_libclang(usr.path()));
        put("lib/llvm-14/lib/libclang-14.so.1");
        assert!(has_libclang(usr.path()));
    }

    #[test]
    fn times_carry_units() {
        assert_eq!(duration(Duration::from_millis(3_240)), "3.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn cargo_builds_on_the_libtorch_that_is_set_up_whatever_else_is_set() {
        let command = cargo(["build"]);
        let value = |name: &str| command.get_envs().find(|(known, _)| *known == name).map(|(_, value)| value);
        for name in
            ["LIBTORCH_USE_PYTORCH", "LIBTORCH_LIB", "LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", "LIBTORCH_STATIC"]
        {
            assert_eq!(value(name), Some(None), "{name}");
        }
        let user = libtorch::of_user();
        assert_eq!(value("LIBTORCH"), Some(user.as_deref().map(Path::as_os_str)));
    }

    #[test]
    fn srm_is_where_cargo_says_even_below_a_target_machine() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"srm_config"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"srm"},"executable":"/t/x86_64-unknown-linux-gnu/debug/srm"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, "srm").unwrap(), Path::new("/t/x86_64-unknown-linux-gnu/debug/srm"));
        assert_eq!(executable(b"", "srm"), None);
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c exit 3") && error.contains("exit status: 3"), "{error}");
    }
}
