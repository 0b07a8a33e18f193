//! Which parameters matter, and which have no effect.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod effects;
mod importances;
