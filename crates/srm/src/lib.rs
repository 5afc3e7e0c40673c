//! Short-run MCMC learning of energy-based models (Nijkamp, Hill, Zhu and Wu, NeurIPS 2019), as a library.
//!
//! Everything is one `use srm::prelude::*;` away: an energy is whatever implements [`Energy`](energy::Energy), a net of your own
//! becomes one by [`Autograd`](energy::Autograd), a [`Sampler`](langevin::Sampler) runs its chains, a
//! [`Trainer`](train::Trainer) learns it, and [`ShortRun`](latent::ShortRun) uses it as a generator.
//!
//! ```
//! use srm::prelude::*;
//!
//! // learn a ring from 512 points of it: own data, own net, Algorithm 1
//! let angle = Tensor::arange(512, (Kind::Float, Device::Cpu)) * (std::f64::consts::TAU / 512.0);
//! let ring = Tensor::stack(&[angle.cos() * 0.7, angle.sin() * 0.7], 1);
//! let net = Autograd::new(fresh_weights(1, &[("hidden", &[32, 2]), ("out", &[1, 32])])?, |w, x| {
//!     let h = x.linear(&w["hidden.weight"], Some(&w["hidden.bias"])).silu();
//!     h.linear(&w["out.weight"], Some(&w["out.bias"]))
//! })?;
//! let kernel = Kernel { gradient_scale: 0.02, noise_std: 0.05, clip: None };
//! let dynamics = Dynamics::new(kernel, 20, Start::Uniform);
//! let settings = Settings::new(dynamics, 20, 64, 1e-3);
//! let mut trainer = Trainer::new(net, ring, settings, Spread { threads: 2, block: 32 })?;
//! let end = trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default())?;
//! assert_eq!(end, End::Finished);
//! assert_eq!(trainer.samples(1, 10)?.size(), [10, 2]);
//! # Ok::<(), srm::train::TrainError>(())
//! ```
//!
//! With a [`RunFolder`](train::RunFolder) in the place of the store, a run of any net is on disk: a process that is
//! killed loses what came after its last checkpoint alone, and the next goes on bit for bit. [`Run`](run::Run) reads
//! what it has written.
//!
//! The examples of this crate are short and read like the paper: `mixture_2d`, `train_2d`, `own_net`, `reconstruct`.
//!
//! # A cargo project of your own
//!
//! 1. **libtorch.** `cargo xtask setup` in a checkout of srm puts libtorch 2.11.0 into your cache folder and prints these lines with
//!    the path filled in. In your project's `.cargo/config.toml`:
//!
//!    ```toml
//!    [env]
//!    LIBTORCH = "/home/you/.cache/srm/libtorch-2.11.0-cpu"
//!    ```
//!
//! 2. **Dependencies, and the profile.** In your `Cargo.toml`; by git, `git = "…"` in place of `path`. Without the profile's lines
//!    a debug build computes dozens of times slower, and says so by a `tracing` warning:
//!
//!    ```toml
//!    [dependencies]
//!    srm = { path = "/path/to/srm/crates/srm" }
//!
//!    [build-dependencies]
//!    srm-build = { path = "/path/to/srm/crates/srm-build" }
//!
//!    [profile.dev.package."*"]
//!    debug = false
//!    [profile.dev.package.srm-energy]
//!    opt-level = 3
//!    debug-assertions = false
//!    overflow-checks = false
//!    [profile.dev.package.srm-random]
//!    opt-level = 3
//!    [profile.dev.package.rand_chacha]
//!    opt-level = 3
//!    [profile.dev.package.ppv-lite86]
//!    opt-level = 3
//!    ```
//!
//! 3. **Finding libtorch at run time.** cargo hands no library path from a dependency on to your program, so your own `build.rs`
//!    says it, in one line:
//!
//!    ```text
//!    fn main() {
//!        srm_build::rpath();
//!    }
//!    ```
//!
//!    Or set `LD_LIBRARY_PATH` to `$LIBTORCH/lib` whenever you start it.
//!
//! tch is re-exported as [`tch`], in the one version that goes with the libtorch above.
//!
//! # On a GPU
//!
//! Call [`energy::libtorch::open_cuda`] before anything else, and build nets on [`tch::Device::Cuda`]; everything else follows the
//! net's device. `cargo xtask setup --cuda` fetches the libraries. [`energy::cuda::switch_on`] switches on what `SRM_CUDA_TRY` names.

#![deny(missing_docs)]

mod plane;

pub use plane::Plane;
pub use serde_json;
pub use srm_config as config;
pub use srm_data as data;
pub use srm_energy as energy;
pub use srm_eval as eval;
pub use srm_langevin as langevin;
pub use srm_latent as latent;
pub use srm_random as random;
pub use srm_ranks as ranks;
pub use srm_report as report;
pub use srm_run as run;
pub use srm_train as train;
pub use tch;

/// What most programs use.
pub mod prelude {
    pub use crate::Plane;
    pub use srm_config::{Activation, Config, EnergyConfig, Schedule};
    pub use srm_data::{ImageSet, write_grid};
    pub use srm_energy::{
        Autograd, ConvNet, Curved, Energy, GaussianMixture, Ladder, Quadratic, Replicate, Trainable, check,
        fresh_weights, load_weights, load_weights_into, save_weights,
    };
    pub use srm_langevin::{
        ChainKey, Chains, Dynamics, Kernel, KeyedNoise, NoNoise, Observer, Outcome, Path, Rise, Sampler, Samples,
        Spread, Start, Stop, Workers, short_run, start,
    };
    pub use srm_latent::{ChainNoise, Latent, Method, ReconstructOptions, ShortRun, ShortRunOptions, mix, rhos};
    pub use srm_run::{PerImage, Run, StepRecord};
    pub use srm_train::{Data, End, MemoryStore, RunFolder, Settings, Sink, Store, Trainer, to_bytes};
    pub use tch::{Device, Kind, Tensor};
}
