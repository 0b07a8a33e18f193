//! Schedulers: the contract of all of them and of one's own, racing, and populations.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod conformance;
mod constrained;
mod contract;
mod dyhpo;
mod ends;
mod population;
mod racing;
