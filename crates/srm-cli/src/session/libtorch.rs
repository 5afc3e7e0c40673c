//! Settle which libtorch runs: the one by the path built in, or another of the same version that LD_LIBRARY_PATH names.
//!
//! The path is an RPATH, which goes before LD_LIBRARY_PATH: a libtorch of another version there would end the program in the
//! loader with a symbol lookup error, `srm doctor` too. One that fits still wins, as a GPU machine wants whose PyTorch has
//! CUDA: it is loaded first by starting the program once more with LD_PRELOAD.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use srm_build::folder;
use srm_energy::libtorch::loaded_from;

const FILE: &str = "libtorch_cpu.so";
/// What the program needs of libtorch, each after what it needs itself. Not libtorch.so: an empty library that needs CUDA's.
const NEEDED: [&str; 2] = ["libc10.so", FILE];

/// A libtorch of LD_LIBRARY_PATH that this process does not run on.
struct PassedOver {
    /// The folder of its libraries.
    folder: PathBuf,
    version: Option<String>,
}

impl PassedOver {
    fn fits(&self) -> bool {
        self.version.as_deref().is_some_and(folder::fits)
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("of unknown version");
        write!(out, "LD_LIBRARY_PATH names libtorch {version} in {}", self.folder.display())?;
        match self.fits() {
            true => write!(out, ", which does not load")?,
            false => write!(out, ", but srm needs {}", folder::VERSION)?,
        }
        let own = loaded_from().map_or("its own".to_owned(), |folder| format!("the one in {}", folder.display()));
        write!(out, ": it runs on {own} (env -u LD_LIBRARY_PATH srm … says so no more)")
    }
}

/// Go on with the libtorch that should run: start again on a fitting one of LD_LIBRARY_PATH, or warn of one that does not fit.
pub fn settle() {
    let Some(named) = passed_over() else { return };
    if named.fits() {
        start_again(&named.folder);
    }
    tracing::warn!("{named}");
}

/// Why the libtorch that the environment names is not the one that runs, or would not be the one of the next build.
pub fn problems() -> Vec<String> {
    let mut problems: Vec<String> = passed_over().iter().map(ToString::to_string).collect();
    let root = loaded_from().and_then(|folder| folder.parent().map(Path::to_owned)).unwrap_or_default();
    for setting in folder::misleading(&root, |name| env::var_os(name)) {
        let name = setting.split('=').next().unwrap_or_default();
        problems.push(format!("{setting} stops the next build of srm: unset {name}, or build by cargo xtask"));
    }
    problems
}

/// The first libtorch on LD_LIBRARY_PATH, where another one runs.
fn passed_over() -> Option<PassedOver> {
    let path = env::var_os("LD_LIBRARY_PATH")?;
    // An empty entry is the working folder: nobody means it.
    let mut named = env::split_paths(&path).filter(|folder| folder.is_absolute() && folder.join(FILE).is_file());
    let folder = named.next()?;
    let real = fs::canonicalize(folder.join(FILE)).ok()?;
    if loaded_from().is_some_and(|loaded| real == loaded.join(FILE)) {
        return None;
    }
    let version = folder.parent().and_then(folder::version);
    Some(PassedOver { folder, version })
}

/// Replace this process by the same program on the libtorch in `folder`. It comes back where that does not load.
fn start_again(folder: &Path) {
    const PRELOAD: &str = "LD_PRELOAD";
    let before = env::var_os(PRELOAD).unwrap_or_default();
    let libraries = NEEDED.map(|name| folder.join(name).into_os_string());
    // Tried before and not loaded, or a name that LD_PRELOAD cannot hold.
    let tried = |library: &str| before.to_string_lossy().contains(library);
    if libraries.iter().map(|library| library.to_string_lossy()).any(|name| tried(&name) || name.contains([' ', ':'])) {
        return;
    }
    let mut list = libraries.join(&OsString::from(":"));
    if !before.is_empty() {
        list.push(":");
        list.push(before);
    }
    let Ok(program) = env::current_exe() else { return };
    let tried = Command::new(&program).arg("--version").env(PRELOAD, &list).output();
    if tried.is_ok_and(|output| output.status.success()) {
        let mut words = env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = words.next() {
            again.arg0(name);
        }
        let error = again.args(words).env(PRELOAD, list).exec();
        tracing::warn!("cannot start again: {error}");
    }
}
