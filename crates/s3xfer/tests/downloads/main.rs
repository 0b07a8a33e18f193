//! Downloads in a lab within the process, mostly in virtual time: faults, sinks, arguments, what is continued.
//!
//! One program of many files, for what they share takes long to compile. Programs of their own have what counts or
//! lowers something of the process, what kills processes, and what may use every connection that the process may have.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../journal/mod.rs"]
mod journal;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../wire/mod.rs"]
mod wire;

mod arguments;
mod config;
mod faults;
mod integrity;
mod resume;
mod sharing;
mod sinks;
mod urls;
