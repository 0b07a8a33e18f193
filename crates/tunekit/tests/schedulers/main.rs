//! Schedulers: the contract of all of them, racing, and populations.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod constrained;
mod contract;
mod dyhpo;
mod population;
mod racing;
