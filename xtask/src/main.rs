//! `cargo xtask ci` and `cargo xtask tidy`.
fn main() {}
