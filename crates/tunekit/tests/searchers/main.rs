//! Searchers: the contract of all of them, and of one's own, the Gaussian process, prior knowledge, and honest answers.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod conformance;
mod contract;
mod gp;
mod honest;
mod transfer;
