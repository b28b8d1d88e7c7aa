//! The one source of randomness: the operating system's.

use tidings_protocol::SocketId;

/// Random bytes, fit for secrets.
///
/// # Panics
/// If the operating system has none to give; nothing could be kept secret then.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// An unpredictable id for a connection.
#[must_use]
pub fn socket_id() -> SocketId {
    SocketId::new(below(SocketId::BOUND), below(SocketId::BOUND))
}

/// A number from `1..bound`, evenly enough: the draw is 32 bits wider than the bound.
///
/// # Panics
/// If `bound` is below 2.
#[must_use]
pub fn below(bound: u32) -> u32 {
    let draw = u64::from_ne_bytes(bytes()) % u64::from(bound - 1);
    u32::try_from(draw).expect("below a bound of 32 bits") + 1
}
