//! The `s3tune` command.
fn main() {}
