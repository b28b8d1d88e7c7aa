//! tidings-bench
fn main() {}
