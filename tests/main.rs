//! The whole server, in this process and over real sockets; and the contracts of its seams.

mod bad_input;
mod conformance;
mod contract;
mod delivery;
mod fallbacks;
mod harness;
mod http_api;
mod leaving;
mod lifecycle;
mod metrics;
mod tls;
mod webhooks;
