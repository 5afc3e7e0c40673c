//! Record what a step starts on a GPU and replay it, and compute in one pass what libtorch computes in two.
//!
//! tch has no door to libtorch's CUDA graphs. A small library of C++, `cuda/graph.cpp`, is one: `cargo xtask setup --cuda` compiles it
//! beside libtorch_cuda, where [`switch_on`] finds it, or `SRM_CUDA_SHIM` names it. Nothing here is on unless `SRM_CUDA_TRY` says so,
//! and all is as it was without.

#![allow(unsafe_code)] // calls of a C library; see the SAFETY comments

use crate::{EnergyError, Result, libtorch};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::cell::{Ref, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, ptr};
use tch::{Device, Tensor};

/// The variable that names what is tried: words of [`Switches::NAMES`], with commas between them.
pub const SWITCH: &str = "SRM_CUDA_TRY";
const SHIM: &str = "SRM_CUDA_SHIM";
/// The library's name beside libtorch_cuda.
pub const FILE: &str = "libsrm_cuda.so";

/// What is tried on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// Record a Langevin step, all kernels that it starts, and replay it.
    pub graph: bool,
    /// In bf16 give images eight channels, the rest zeros: what tensor cores take at a time.
    pub pad: bool,
    /// Add a layer's bias and apply LeakyReLU or ReLU in one pass over its output.
    pub fuse: bool,
    /// The same bits in each process: no search for the fastest of cuDNN's kernels, and none that adds in any order.
    pub same: bool,
}

impl Switches {
    /// Their names in [`SWITCH`].
    pub const NAMES: [&str; 4] = ["graph", "pad", "fuse", "same"];

    fn read(text: &str) -> std::result::Result<Self, String> {
        let mut switches = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "graph" => switches.graph = true,
                "pad" => switches.pad = true,
                "fuse" => switches.fuse = true,
                "same" => switches.same = true,
                _ => return Err(format!("{SWITCH}={text}: no {word}; it takes {}", Self::NAMES.join(", "))),
            }
        }
        Ok(switches)
    }

    /// Those that are on, as [`SWITCH`] has them; empty where none is.
    pub fn names(self) -> String {
        let on = [self.graph, self.pad, self.fuse, self.same];
        let named = Self::NAMES.into_iter().zip(on).filter_map(|(name, on)| on.then_some(name));
        named.collect::<Vec<_>>().join(",")
    }
}

static ON: OnceLock<(Switches, Option<Shim>)> = OnceLock::new();

/// Switch on what [`SWITCH`] names, once in a process and before the first net is made; `cuda` is the libtorch_cuda that
/// [`libtorch::open_cuda`] has opened.
///
/// # Errors
/// A word that is none, or the library is not there or was made for another libtorch: what to do.
pub fn switch_on(cuda: &Path) -> std::result::Result<Switches, String> {
    let switches = Switches::read(&env::var(SWITCH).unwrap_or_default())?;
    let Switches { graph, fuse, same, .. } = switches;
    let shim = if graph || fuse || same { Some(Shim::open(&place(cuda))?) } else { None };
    if let Some(shim) = shim.as_ref().filter(|_| same) {
        // SAFETY: a flag of libtorch's.
        unsafe { (shim.same)() };
    }
    Ok(ON.get_or_init(|| (switches, shim)).0)
}

static RECORDS: AtomicBool = AtomicBool::new(true);

/// Record nothing in this process, whatever is on: while one thread records, no other may draw on that device.
pub fn never_record() {
    RECORDS.store(false, Ordering::Relaxed);
}

pub(crate) fn records() -> bool {
    switches().graph && RECORDS.load(Ordering::Relaxed)
}

/// What is on; nothing before [`switch_on`].
pub fn switches() -> Switches {
    ON.get().map_or_else(Switches::default, |on| on.0)
}

/// The library that [`SWITCH`] may need, where it is there, beside libtorch_cuda or as named.
pub fn library(cuda: &Path) -> Option<PathBuf> {
    Some(place(cuda)).filter(|file| file.is_file())
}

fn place(cuda: &Path) -> PathBuf {
    env::var_os(SHIM).map_or_else(|| cuda.with_file_name(FILE), PathBuf::from)
}

fn shim() -> Result<&'static Shim> {
    let shim = ON.get().and_then(|on| on.1.as_ref());
    shim.ok_or_else(|| EnergyError::Gpu {
        what: format!("{SWITCH} has not been read, or names nothing that needs {FILE}"),
    })
}

/// The functions of `cuda/graph.h`.
struct Shim {
    error: unsafe extern "C" fn() -> *const c_char,
    same: unsafe extern "C" fn(),
    capture: unsafe extern "C" fn(c_int, unsafe extern "C" fn(*mut c_void) -> c_int, *mut c_void) -> *mut c_void,
    replay: unsafe extern "C" fn(*mut c_void) -> c_int,
    forget: unsafe extern "C" fn(*mut c_void),
    bias_leaky_relu: unsafe extern "C" fn(*const c_void, *const c_void, f64) -> *mut c_void,
}

impl Shim {
    fn open(file: &Path) -> std::result::Result<Self, String> {
        let told = |problem: String| {
            format!(
                "{SWITCH}: {}: {problem}; `cargo xtask setup --cuda` makes it, {SHIM} names another",
                file.display()
            )
        };
        // SAFETY: the library's initialisers are those of C++ alone. It is never closed.
        let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(|error| told(libtorch::reason(&error)))?;
        let opened = || -> std::result::Result<(Self, String), libloading::Error> {
            // SAFETY: the types are those of cuda/graph.h, which both sides are written to.
            unsafe {
                let made_for: unsafe extern "C" fn() -> *const c_char = *library.get(b"srm_cuda_libtorch")?;
                let shim = Self {
                    error: *library.get(b"srm_cuda_error")?,
                    same: *library.get(b"srm_cuda_same")?,
                    capture: *library.get(b"srm_cuda_capture")?,
                    replay: *library.get(b"srm_cuda_replay")?,
                    forget: *library.get(b"srm_cuda_forget")?,
                    bias_leaky_relu: *library.get(b"srm_cuda_bias_leaky_relu")?,
                };
                Ok((shim, CStr::from_ptr(made_for()).to_string_lossy().into_owned()))
            }
        };
        let (shim, made_for) = opened().map_err(|error| told(libtorch::reason(&error)))?;
        let runs = srm_build::folder::VERSION;
        if made_for != runs {
            return Err(told(format!("made for libtorch {made_for}, and this is {runs}")));
        }
        std::mem::forget(library);
        Ok(shim)
    }

    fn problem(&self, what: &str) -> EnergyError {
        // SAFETY: a string that ends in 0 and that the library keeps until this thread's next call.
        let said = unsafe { CStr::from_ptr((self.error)()) }.to_string_lossy();
        EnergyError::Gpu { what: format!("{what}: {said}") }
    }
}

/// LeakyReLU of a + bias in one pass, slope >= 0.
///
/// # Shapes
/// `a`: `[b, c, h, w]`; `bias`: `[c]`.
pub(crate) fn bias_leaky_relu(a: &Tensor, bias: &Tensor, slope: f64) -> Result<Tensor> {
    let shim = shim()?;
    // SAFETY: both are at::Tensor of this process's libtorch, which the library was compiled against, and it keeps neither. What it
    // gives is a new at::Tensor of the caller's, as tch's own functions give.
    let made = unsafe { (shim.bias_leaky_relu)(a.as_ptr().cast(), bias.as_ptr().cast(), slope) };
    if made.is_null() {
        return Err(shim.problem("bias and activation in one pass"));
    }
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(made.cast()) })
}

/// The kernels that a piece of work has started on a GPU, and the tensors that they read and write.
pub struct Graph {
    raw: *mut c_void,
}

// SAFETY: a graph may be replayed and forgotten by any one thread at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// Do `work` once, on a stream of its own, and once more to record what it starts on the device without doing it. Tensors that the
    /// work leaves from its second time are filled by each [`Graph::replay`]; it must not read one on the host, nor make one larger.
    ///
    /// Whoever keeps the graph keeps what it reads and writes for as long, and lets no other thread draw on that device or record
    /// meanwhile.
    ///
    /// # Errors
    /// What the work returns; [`EnergyError::Gpu`] where the device refuses, or `SRM_CUDA_TRY` does not name `graph`.
    pub fn record<E: From<EnergyError>>(
        device: Device,
        work: &mut dyn FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let Device::Cuda(index) = device else {
            return Err(EnergyError::Gpu { what: "a graph is recorded on a GPU alone".to_owned() }.into());
        };
        let shim = shim()?;
        let mut call = Call { work, failed: None };
        // SAFETY: `again` gets the pointer that is given here and is not called after this returns.
        let raw = unsafe { (shim.capture)(index as c_int, again::<E>, ptr::from_mut(&mut call).cast()) };
        match (call.failed, raw.is_null()) {
            (Some(error), _) => Err(error),
            (None, true) => Err(shim.problem("recording a step").into()),
            (None, false) => Ok(Self { raw }),
        }
    }

    /// Start what was recorded, on the same tensors; draws go on in the stream of the device's generator.
    ///
    /// # Errors
    /// [`EnergyError::Gpu`].
    pub fn replay(&self) -> Result<()> {
        let shim = shim()?;
        // SAFETY: `raw` is a graph of this library that nobody has forgotten.
        match unsafe { (shim.replay)(self.raw) } {
            0 => Ok(()),
            _ => Err(shim.problem("replaying a step")),
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Ok(shim) = shim() {
            // SAFETY: `raw` is forgotten here and nowhere else.
            unsafe { (shim.forget)(self.raw) };
        }
    }
}

/// A step of chains that was recorded.
pub struct Recording {
    /// What for: the shape of the chains, and all that went into the step as a number.
    pub of: String,
    /// The tensors that it reads and writes.
    pub tensors: Vec<Tensor>,
    /// What it starts.
    pub graph: Graph,
}

/// Steps recorded over one energy; a replica has its own.
#[derive(Default)]
pub struct Recordings(RefCell<Vec<Recording>>);

impl Recordings {
    /// The most that are kept, each with the memory of all that lies between its operations; one more takes the place of the oldest.
    const MOST: usize = 4;

    /// The one for `of`.
    pub fn find(&self, of: &str) -> Option<Ref<'_, Recording>> {
        Ref::filter_map(self.0.borrow(), |all| all.iter().find(|one| one.of == of)).ok()
    }

    /// Keep one more.
    pub fn keep(&self, recording: Recording) -> Ref<'_, Recording> {
        let mut all = self.0.borrow_mut();
        if all.len() == Self::MOST {
            all.remove(0);
        }
        all.push(recording);
        drop(all);
        Ref::map(self.0.borrow(), |all| &all[all.len() - 1])
    }
}

/// Work that the library calls back, and the error that it has returned.
struct Call<'a, E> {
    work: &'a mut dyn FnMut() -> std::result::Result<(), E>,
    failed: Option<E>,
}

/// Call the work; no panic may cross C++.
unsafe extern "C" fn again<E: From<EnergyError>>(call: *mut c_void) -> c_int {
    // SAFETY: the pointer that `record` has given, to what it keeps until the library returns.
    let call = unsafe { &mut *call.cast::<Call<E>>() };
    call.failed = match catch_unwind(AssertUnwindSafe(|| libtorch::caught(|| (call.work)()))) {
        Ok(Ok(Ok(()))) => return 0,
        Ok(Ok(Err(error))) => Some(error),
        Ok(Err(said)) => Some(EnergyError::from(tch::TchError::Torch(said)).into()),
        Err(_) => Some(EnergyError::Gpu { what: "the work to record panicked".to_owned() }.into()),
    };
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_and_named() {
        assert_eq!(Switches::read(""), Ok(Switches::default()));
        let both = Switches::read(" graph, pad").unwrap();
        assert_eq!((both.names(), both.fuse), ("graph,pad".to_owned(), false));
        assert_eq!(Switches::read("graph,pad,fuse,same").unwrap().names(), Switches::NAMES.join(","));
        let refused = Switches::read("graphs").unwrap_err();
        assert!(refused.contains("graphs") && refused.contains("graph, pad, fuse, same"), "{refused}");
    }

    #[test]
    fn a_library_that_is_not_there_or_another_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Shim::open(&folder.path().join(FILE)).err().unwrap();
        assert!(missing.contains(FILE) && missing.contains("setup --cuda"), "{missing}");
        let other = libtorch::loaded_from().unwrap().join("libtorch_cpu.so");
        let other = Shim::open(&other).err().unwrap();
        assert!(other.contains("srm_cuda_libtorch"), "{other}");
        assert!(shim().is_err() && switches() == Switches::default(), "nobody has switched anything on");
    }
}
