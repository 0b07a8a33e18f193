//! Finds, proves and exports a better S3 transfer configuration.
//!
//! [`s3xfer`] moves the bytes, [`tunekit`] searches, and [`s3lab`] is the embedded S3. This crate joins them: a
//! verified, timed download is the objective, the defaults are the time to beat, a comparison in turn is the proof, and
//! a folder holds the results. `examples/tune_download.rs` shows the core in 67 lines.
//!
//! | module | contents |
//! |---|---|
//! | [`cli`], [`commands`] | the command line, and the work of each command |
//! | [`run`] | a run from the default's measurement to the results' folder |
//! | [`object`], [`engines`], [`measure`] | the object, the engine that downloads it, and its timed, checked download |
//! | [`lab`] | the embedded S3 |
//! | [`results`] | the files of a run's folder |
//! | [`export`] | the recommendation of a run, for other programs |
//! | [`cp`], [`folders`] | one copy, or those of a folder, with a configuration that was found |
//! | [`show`], [`size`], [`failure`] | progress, sizes and errors as people see them |

pub(crate) mod checksum;
pub mod cli;
pub mod commands;
pub mod cp;
pub mod engines;
pub mod export;
pub mod failure;
pub mod folders;
pub mod lab;
pub mod measure;
pub mod object;
pub mod results;
pub mod run;
pub mod show;
pub mod size;

/// The examples of the READMEs of this crate and of the workspace are compiled, and run if possible. The workspace's
/// file is not in the package.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../README.md")]
    struct OfCrate;

    #[doc = include_str!("../../../README.md")]
    struct OfWorkspace;
}
