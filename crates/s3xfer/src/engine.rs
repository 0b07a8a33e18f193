//! Async code that moves data between the doors. Cancelling is dropping: each file says what remains after.

pub(crate) mod client;
pub(crate) mod counters;
pub(crate) mod download;
pub(crate) mod expected;
pub(crate) mod fetch;
pub(crate) mod file;
pub(crate) mod limits;
pub(crate) mod pieces;
pub(crate) mod place;
pub(crate) mod sink;
pub(crate) mod stream;
pub(crate) mod transfer;
pub(crate) mod turns;
pub(crate) mod write;
