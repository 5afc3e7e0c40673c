//! Ask whether work in hand shall be given up.

use std::sync::Arc;

/// A question that long work asks again and again: shall it be given up? Once answered with yes, it stays yes.
///
/// Whoever waits for chains then returns [`crate::LangevinError::Stopped`] within [`Stop::PATIENCE`], whatever the length of a step.
#[derive(Clone)]
pub struct Stop(Arc<dyn Fn() -> bool + Send + Sync>);

impl Stop {
    /// The longest time between two questions.
    pub const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

    /// Give up as soon as `asked` returns true, for example once a signal has come.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    /// Whether to give up.
    pub fn asked(&self) -> bool {
        (self.0)()
    }
}

impl Default for Stop {
    /// Never give up.
    fn default() -> Self {
        Self::when(|| false)
    }
}
