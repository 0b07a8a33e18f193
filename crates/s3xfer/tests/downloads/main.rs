//! Downloads in a lab within the process, mostly in virtual time: faults, sinks, arguments, resumed downloads.
//!
//! One program of many files, because their common code takes long to compile. Tests that count or lower a limit of the
//! process, that kill processes, or that may use every connection of the process are programs of their own.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../journal/mod.rs"]
mod journal;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../wire/mod.rs"]
mod wire;

mod arguments;
mod config;
mod conformance;
mod faults;
mod integrity;
mod resume;
mod sharing;
mod sinks;
mod urls;
