//! How a run can end before its time.

use std::io;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The call makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The target did not start, or cannot be connected to.
    #[error("{0}")]
    Unreachable(String),
    /// The target failed in a way that leaves nothing to measure.
    #[error("{0}")]
    Broken(String),
    /// The machine refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failure {
    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Broken(_) | Self::Io(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}
