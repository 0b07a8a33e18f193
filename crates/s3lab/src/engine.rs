//! The running parts: the store behind the protocol, the gate every request passes, and the two faces.

mod backend;
mod body;
mod clock;
mod counters;
mod gate;
mod lab;
mod line;
#[cfg(feature = "sdk")]
mod sdk;
mod server;
mod store;

pub use lab::{BuildError, Lab, LabBuilder};
pub use server::{Server, StartError};
