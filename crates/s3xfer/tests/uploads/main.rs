//! Uploads and copies in a lab within the process, in virtual time.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../refusing/mod.rs"]
mod refusing;

mod checksums;
mod copy;
mod odd_servers;
mod oracle;
mod resume;
mod sources;
