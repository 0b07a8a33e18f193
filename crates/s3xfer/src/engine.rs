//! Async code that moves data between the doors. Cancelling is dropping: each file says what remains after.

pub(crate) mod client;
pub(crate) mod download;
pub(crate) mod fetch;
pub(crate) mod limits;
pub(crate) mod write;
