//! The whole server, in this process and over real sockets.

mod bad_input;
mod conformance;
mod delivery;
mod harness;
mod http_api;
mod leaving;
mod lifecycle;
mod metrics;
