//! Rules: pure functions and state machines. Results, seeds and seconds come in as arguments. Nothing here reads a
//! clock, touches a file or uses global randomness.

mod acquisition;
pub(crate) mod advice;
pub(crate) mod aggregate;
mod cholesky;
#[cfg(feature = "process")]
pub(crate) mod command;
pub mod compare;
pub(crate) mod conformance;
mod distribution;
mod drift;
pub(crate) mod effects;
mod eigen;
mod encoding;
pub(crate) mod experiment;
mod fronts;
mod gp;
pub(crate) mod history;
pub(crate) mod importance;
mod lbfgs;
pub(crate) mod optuna;
pub mod pareto;
mod qmc;
#[cfg(feature = "process")]
pub(crate) mod report_line;
pub(crate) mod scheduler;
pub(crate) mod searcher;
#[cfg(feature = "process")]
pub(crate) mod slurm;
pub(crate) mod stop;
pub(crate) mod stream;
pub(crate) mod study;
pub(crate) mod tabulated;
pub(crate) mod transfer;
mod trees;

pub use encoding::DecodeError;
