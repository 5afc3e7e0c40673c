//! Say which libtorch runs, and open its CUDA half at run time, so that one binary serves machines with and without a GPU.
//!
//! [`open_cuda`] must be called before any other libtorch call: libtorch asks once which backends there are. The search order is
//! `SRM_LIBTORCH_CUDA` (a folder or the file itself), beside the loaded libtorch_cpu, the cache that
//! `cargo xtask setup --cuda` fills.

#![allow(unsafe_code)] // opening a shared library runs its initialisers; see the SAFETY comment

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use srm_build::folder;
use std::{
    any::Any,
    cell::Cell,
    env, fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
};

const FILE: &str = "libtorch_cuda.so";

/// The folder of the libtorch_cpu that this process runs on.
pub fn loaded_from() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Path::new(&line[line.find('/')?..]).parent().map(Path::to_owned)
}

/// The version of the libtorch that this process runs on.
pub fn version() -> Option<String> {
    folder::version(loaded_from()?.parent()?)
}

/// Why CUDA's half of libtorch is not there.
#[derive(Debug)]
#[non_exhaustive]
pub enum MissingCuda {
    /// No file in any of these places.
    NotFound(Vec<PathBuf>),
    /// The file is there but cannot be opened.
    NotOpened {
        /// The file.
        file: PathBuf,
        /// What the loader says.
        reason: String,
    },
}

impl std::error::Error for MissingCuda {}

impl fmt::Display for MissingCuda {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingCuda::NotFound(places) => {
                let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
                write!(out, "no CUDA build of libtorch was found ({FILE} is not in {})", places.join(", "))
            }
            MissingCuda::NotOpened { file, reason } => write!(out, "{} cannot be opened: {reason}", file.display()),
        }
    }
}

/// Open libtorch_cuda, before the program starts any other thread, for the rest of the process and give its path. With `true_f32`, products of f32 numbers stay so: by
/// default cuDNN's convolutions cut them to TF32, forward and backward, and tch has no switch for that.
///
/// # Errors
/// It is not found or cannot be opened, and then why.
pub fn open_cuda(true_f32: bool) -> Result<PathBuf, MissingCuda> {
    const SWITCH: &str = "NVIDIA_TF32_OVERRIDE";
    if true_f32 && env::var_os(SWITCH).is_none_or(|set| set != "0") {
        // SAFETY: as documented, no other thread runs yet that could read the environment meanwhile.
        unsafe { env::set_var(SWITCH, "0") };
    }
    let places = places();
    let file = places.iter().find(|place| place.is_file()).ok_or_else(|| {
        MissingCuda::NotFound(places.iter().filter_map(|place| place.parent()).map(Path::to_owned).collect())
    })?;
    // SAFETY: the file is libtorch's own CUDA library, whose initialisers register its backend and are made to run at
    // any time after libtorch_cpu is loaded. It is never closed, so nothing that it registered can dangle.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        Ok(library) => {
            std::mem::forget(library);
            Ok(file.clone())
        }
        Err(error) => Err(MissingCuda::NotOpened { file: file.clone(), reason: reason(&error) }),
    }
}

/// What libtorch said, of a panic that tch made of it: an operation that fails with a number among its arguments ends so in tch 0.24,
/// since the number is dropped before the error is read.
fn said_in_panic(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>()?;
    let said = text.strip_prefix("called `Result::unwrap()` on an `Err` value: Torch(\"")?;
    Some(said.split("\\n").next().unwrap_or(said).trim_end_matches("\")").replace("\\\"", "\""))
}

thread_local! {
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Do `work`; where tch panics with what libtorch said, that is the error. Other panics go on.
///
/// # Errors
/// What libtorch said.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHES.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHES.set(before);
    done.map_err(|panic| said_in_panic(&*panic).unwrap_or_else(|| resume_unwind(panic)))
}

/// Whether a panic of this thread becomes the error of [`caught`], so that a hook need not tell of it.
pub fn is_caught(payload: &(dyn Any + Send)) -> bool {
    CATCHES.get() && said_in_panic(payload).is_some()
}

/// What helps where memory is out.
pub const LESS_MEMORY: &str = "smaller blocks take less memory (--block, langevin.block), and so does a smaller batch";

/// Whether libtorch, CUDA or cuDNN says that there is too little memory. In its search for the fastest kernel cuDNN says it by finding
/// none.
pub fn is_out_of_memory(said: &str) -> bool {
    ["out of memory", "can't allocate memory", "ALLOC_FAILED", "unable to find an engine to execute this computation"]
        .iter()
        .any(|words| said.contains(words))
}

fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(named) = env::var_os("SRM_LIBTORCH_CUDA").map(PathBuf::from) {
        places.push(if named.is_dir() { named.join(FILE) } else { named });
    }
    places.extend(loaded_from().map(|folder| folder.join(FILE)));
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|cache| cache.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    places.extend(cache.map(|cache| cache.join("srm/libtorch-2.11.0-cuda/torch/lib").join(FILE)));
    places
}

pub(crate) fn reason(error: &libloading::Error) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic;

    #[test]
    fn what_libtorch_said_is_read_from_the_panic_that_tch_makes_of_it() {
        let x = tch::Tensor::from_slice(&[1.0f32, 2.0]);
        let refused = caught(|| x.f_leaky_relu_backward(&tch::Tensor::from_slice(&[1.0f32; 3]), 0.2, false).map(drop));
        match refused {
            Ok(result) => assert!(result.is_err(), "tch reads the error first: `said_in_panic` has had its day"),
            Err(said) => assert!(said.starts_with("The size of tensor a (2)") && !said.contains("frame"), "{said}"),
        }
        assert_eq!(caught(|| 3), Ok(3));
        assert!(panic::catch_unwind(|| caught(|| panic!("another"))).is_err());
        assert!(!is_caught(&"another".to_owned()) && !CATCHES.get());
    }

    #[test]
    fn too_little_memory_is_known_by_its_words() {
        for said in [
            "CUDA out of memory. Tried to allocate 96 MiB",
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes",
            "FIND was unable to find an engine to execute this computation",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        ] {
            assert!(is_out_of_memory(said), "{said}");
        }
        assert!(!is_out_of_memory("The size of tensor a (2) must match"));
    }
}
