//! What went wrong in a run: counted by kind, the first few told in words.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How many faults are told in words; the rest is only counted.
const TOLD: usize = 12;

/// A way in which a server broke its promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// A delivery that never came.
    Lost,
    /// A delivery that came more than once.
    Doubled,
    /// A delivery that came after a later one of the same publisher.
    Swapped,
    /// A delivery to a socket that should not have had it, or of an event nobody published.
    Stray,
    /// A delivery whose content is not what was published.
    Altered,
    /// A trigger, subscription or client event that the server refused.
    Refused,
    /// A socket that the server closed, or that could not connect.
    Closed,
    /// A presence view that is not the truth.
    View,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Swapped => "out of order",
            Self::Stray => "not meant for the socket",
            Self::Altered => "altered",
            Self::Refused => "refused",
            Self::Closed => "sockets closed or failed",
            Self::View => "presence views wrong",
        })
    }
}

/// All faults of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Faults {
    pub(crate) counts: BTreeMap<Fault, u64>,
    pub(crate) told: Vec<String>,
}

impl Faults {
    /// Counts `many` faults; `tell` is called only while there is room for its words.
    pub(crate) fn note(&mut self, fault: Fault, many: u64, tell: impl FnOnce() -> String) {
        *self.counts.entry(fault).or_default() += many;
        if self.told.len() < TOLD {
            self.told.push(format!("{fault}: {}", tell()));
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    #[cfg(test)]
    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.counts.get(&fault).copied().unwrap_or(0)
    }
}
