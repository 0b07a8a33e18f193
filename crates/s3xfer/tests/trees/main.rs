//! Many objects and files: prefixes into folders, folders below prefixes, prefixes below prefixes.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../refusing/mod.rs"]
mod refusing;

mod batches;
mod prefixes;
mod scene;
