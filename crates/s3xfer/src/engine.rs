//! Async code that moves data between the doors. Dropping a future cancels it; each file says which state remains then.
//!
//! The files at the top know no direction of the bytes. Each direction has a folder.

pub(crate) mod batch;
pub(crate) mod client;
pub mod conformance;
pub(crate) mod copy;
pub(crate) mod counters;
pub(crate) mod crew;
pub(crate) mod deadline;
pub(crate) mod download;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod lookahead;
pub(crate) mod memory;
pub(crate) mod session;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod spans;
pub(crate) mod stale;
pub(crate) mod steering;
pub(crate) mod target;
pub(crate) mod turns;
pub(crate) mod upload;
pub(crate) mod write;
