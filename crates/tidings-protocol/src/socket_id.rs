//! The id of a connection.

use std::{fmt, str::FromStr};

/// A connection's id, two numbers written with a dot between: `123.456`.
///
/// The caller draws the numbers: unpredictable, because channel signatures are bound to the id, and below
/// [`SocketId::BOUND`].
///
/// Source: the server libraries check `^\d+\.\d+$` before they sign or publish.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketId {
    high: u32,
    low: u32,
}

/// The text is not `<digits>.<digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid socket id")]
pub struct SocketIdError;

impl SocketId {
    /// Each of the two numbers is drawn from `1..BOUND`, as Reverb does.
    pub const BOUND: u32 = 1_000_000_000;

    /// The id of the two drawn numbers.
    #[must_use]
    pub const fn new(high: u32, low: u32) -> Self {
        SocketId { high, low }
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.high, self.low)
    }
}

impl FromStr for SocketId {
    type Err = SocketIdError;

    /// A well-formed id whose numbers are too large to be ours is an id that nobody has.
    fn from_str(text: &str) -> Result<Self, SocketIdError> {
        let (high, low) = text.split_once('.').ok_or(SocketIdError)?;
        Ok(SocketId { high: number(high)?, low: number(low)? })
    }
}

fn number(digits: &str) -> Result<u32, SocketIdError> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SocketIdError);
    }
    Ok(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        let id = SocketId::new(123, 456);
        assert_eq!(id.to_string(), "123.456");
        assert_eq!("123.456".parse(), Ok(id));
        assert!("99999999999999999999.1".parse::<SocketId>().is_ok());
        for bad in ["", ".", "1.", ".1", "1", "a.b", "1.2.3", "1.2\n", " 1.2", "1:2", "-1.2", "+1.2"] {
            assert_eq!(bad.parse::<SocketId>(), Err(SocketIdError), "{bad:?}");
        }
    }
}
