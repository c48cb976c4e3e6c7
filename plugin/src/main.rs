//! The `berth` executable.

fn main() {}
