//! The Pusher protocol (Channels, version 7) as data and state machines.
//!
//! Nothing here does I/O, reads a clock or draws a random number: callers pass in text, [`Instant`]s and numbers,
//! and get back values. Start at [`connection`], one socket's state machine; [`frame`] holds what is said on a
//! socket, [`api`] what is said over HTTP, [`auth`] how both are signed.
//!
//! What must be true of all this is written as data in `protocol-spec/` and run by `tests/vectors.rs`.
//!
//! [`Instant`]: std::time::Instant

pub mod api;
pub mod app;
pub mod auth;
pub mod cache;
pub mod channel;
pub mod close;
pub mod connection;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod limit;
pub mod member;
pub mod origin;
pub mod roster;
pub mod socket_id;
pub mod user;
pub mod webhook;

pub use app::App;
pub use channel::ChannelName;
pub use close::Close;
pub use connection::Connection;
pub use event::Publication;
pub use socket_id::SocketId;
