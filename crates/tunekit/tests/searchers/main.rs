//! Searchers: the contract of all of them, the Gaussian process, prior knowledge, and honest answers.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod contract;
mod gp;
mod honest;
mod transfer;
