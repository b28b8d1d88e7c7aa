//! tidings-server
fn main() {}
