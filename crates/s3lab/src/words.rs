//! Plain types, checked when they are made: the lab's objects, its network, its faults.
//!
//! No clock, no I/O, no other room.

mod content;
mod fault;
mod object;
mod profile;
mod stats;
mod synthetic;

pub(crate) use content::Content;
pub use fault::{Fault, FaultKind, FaultPlan, FaultPlanError, Requests};
pub(crate) use object::{Algorithm, Checksums, Object, StandardHeaders};
pub use profile::{NetworkProfile, ProfileError};
pub use stats::{RequestKind, RequestRecord, Stats};
pub use synthetic::{SyntheticObject, WrongByte};
