//! Pure functions and state machines: the answers of S3, and the times at which the emulated network delivers them.
//!
//! This room uses words only. Time comes in as an argument; randomness follows from a seed and a request's number.

pub(crate) mod checksum;
pub(crate) mod conditions;
pub(crate) mod faults;
pub(crate) mod listing;
pub(crate) mod multipart;
pub(crate) mod network;
pub(crate) mod range;
pub(crate) mod uri;
