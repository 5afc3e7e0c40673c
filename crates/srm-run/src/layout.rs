//! Name the files of a run folder: how they are called.
//!
//! ```text
//! config.json             what the run is: its resolved settings
//! history.jsonl           starts, resumes with what changed, rollbacks, ends
//! metrics.jsonl           a line per logged update, and a line per rollback
//! scores.jsonl            a line per score
//! events.out.tfevents.*   the same for TensorBoard, with grids and histograms
//! samples/x_000100.png    grids of images; of other samples arrays, x_000100.npy
//! checkpoints/000100/     see below
//! divergence/x_000142_0.{png,json}   what was seen at trouble; of samples that are no images .npy
//! ```
//!
//! A checkpoint is a folder in `checkpoints`:
//!
//! ```text
//! 000100/weights.safetensors      the net, a weights file like any other
//!        optimizer.safetensors    ADAM's moments; the tensors of the spectral norm
//!        ema.safetensors          the averaged net, where train.ema is on; bank.safetensors likewise
//!        state.json               every scalar that the next update reads, lengths of the logs, config (and
//!                                 the settings of an own net), environment
//!        SHA256SUMS               of the files above; `sha256sum -c SHA256SUMS` checks them too
//! best/                           like the others: the state that was scored best
//! latest                          the name of the newest
//! ```

/// What the run is: the resolved settings, or another program's description.
pub const CONFIG: &str = "config.json";
/// Logged updates and rollbacks.
pub const METRICS: &str = "metrics.jsonl";
/// Scores.
pub const SCORES: &str = "scores.jsonl";
/// Starts, resumes, rollbacks and ends.
pub const HISTORY: &str = "history.jsonl";
/// Folder of sample grids, or of arrays of samples.
pub const SAMPLES: &str = "samples";
/// Folder of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Folder with the evidence of trouble.
pub const DIVERGENCE: &str = "divergence";
/// Folder that `srm report` looks in for what `srm diagnose` leaves.
pub const DIAGNOSTICS: &str = "diagnostics";
/// What `srm evaluate` leaves.
pub const EVALUATION: &str = "evaluation.json";
/// What `srm report` leaves.
pub const REPORT: &str = "report.html";
/// The lock file; it stays, the lock on it goes with the process, however that ends.
pub const LOCK: &str = ".lock";

/// A checkpoint's weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// Its optimiser's tensors.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// Its averaged weights, where there are some.
pub const EMA: &str = "ema.safetensors";
/// Its bank of persistent chains, where there is one.
pub const BANK: &str = "bank.safetensors";
/// Its scalars.
pub const STATE: &str = "state.json";
/// The checksums of its files.
pub const SUMS: &str = "SHA256SUMS";
/// The checkpoint that was scored best.
pub const BEST: &str = "best";
/// What names the newest checkpoint: a file with its name, in a copy also a link to it.
pub const LATEST: &str = "latest";

/// What a run, its scores and its report leave in its folder, in the order of deletion: settings last, so that what is
/// left of a folder half deleted never goes on under other settings.
pub(crate) const LEFT_BY_A_RUN: [&str; 9] =
    [REPORT, EVALUATION, CHECKPOINTS, SAMPLES, DIVERGENCE, SCORES, METRICS, HISTORY, CONFIG];

/// The folder's name of a checkpoint.
pub fn checkpoint(update: u64) -> String {
    format!("{update:06}")
}

/// The name of samples in `samples`; `ending`: `png` or `npy`.
pub fn sample(update: u64, ending: &str) -> String {
    format!("x_{update:06}.{ending}")
}

/// The name of a piece of evidence in `divergence`; `ending`: `png`, `npy` or `json`.
pub fn evidence(update: u64, attempt: u32, ending: &str) -> String {
    format!("x_{update:06}_{attempt}.{ending}")
}
