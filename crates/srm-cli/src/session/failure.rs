//! Map what went wrong to an exit code.

use std::panic;

use srm_config::ConfigError;
use srm_energy::libtorch::{self, LESS_MEMORY};
use srm_eval::EvalError;
use srm_langevin::LangevinError;
use srm_latent::LatentError;

/// A failure that has an exit code of its own; everything else is 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was typed cannot be done: 2.
    Usage(String),
    /// The chains or the training blew up: 3.
    Diverged(String),
    /// Ctrl-C, with the state saved: 130.
    Interrupted(String),
    /// Ctrl-C in work of which nothing is kept: 130.
    Abandoned(String),
}

impl Failure {
    /// Whether chains or training blew up.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Failure::Diverged(_))
    }

    /// Whether a run ended early, with its state saved.
    pub fn is_outcome(&self) -> bool {
        matches!(self, Failure::Diverged(_) | Failure::Interrupted(_))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Diverged(text) | Failure::Interrupted(text) | Failure::Abandoned(text) => {
                out.write_str(text)
            }
        }
    }
}

impl std::error::Error for Failure {}

/// The error of a command line that cannot be obeyed.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Failure::Usage(text.into()).into()
}

/// Exit code of an error: 1 failed, 2 bad usage or config, 3 divergence, 130 interrupted.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<ConfigError>() {
            return 2;
        }
        if is_divergence(cause) {
            return 3;
        }
        if is_stop(cause) {
            return 130;
        }
        match cause.downcast_ref::<Failure>() {
            Some(Failure::Usage(_)) => return 2,
            Some(Failure::Diverged(_)) => return 3,
            Some(Failure::Interrupted(_) | Failure::Abandoned(_)) => return 130,
            None => {}
        }
    }
    1
}

/// Whether an error of a library says that chains blew up.
fn is_divergence(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(LatentError::Diverged { .. }))
        || matches!(error.downcast_ref(), Some(EvalError::ChainsDiverged { .. } | EvalError::MomentsRanAway { .. }))
}

/// Whether an error says that work in hand was given up because somebody asked for it.
pub fn is_stop(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(LangevinError::Stopped))
        || matches!(error.downcast_ref(), Some(EvalError::Langevin(LangevinError::Stopped)))
        || error.downcast_ref().is_some_and(LatentError::is_stop)
}

/// What a command gives, an error of libtorch's that tch panics with among it; such a panic says nothing of its own.
pub fn caught(command: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !libtorch::is_caught(panic.payload()) {
            tell(panic);
        }
    }));
    libtorch::caught(command).unwrap_or_else(|said| Err(anyhow::anyhow!("libtorch: {said}")))
}

/// The error and its causes in one line; a cause that the text before it already holds is not said twice, nor where in libtorch's
/// C++ it arose.
pub fn text(error: &anyhow::Error) -> String {
    let text = error.chain().skip(1).fold(error.to_string(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    });
    let of_stack = |line: &str| line.starts_with("frame #") || line.starts_with("Exception raised from ");
    let text = text.lines().filter(|line| !of_stack(line)).collect::<Vec<_>>().join("\n");
    if libtorch::is_out_of_memory(&text) && !text.contains(LESS_MEMORY) {
        return format!("{text}; {LESS_MEMORY}");
    }
    text
}
