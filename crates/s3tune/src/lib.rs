//! Finds, proves and exports a better S3 transfer configuration.
//!
//! Thin glue: [`s3xfer`] moves the bytes, [`tunekit`] searches, [`s3lab`] is the embedded S3. This crate
//! joins them: a verified, timed download as the objective, boto3's defaults as the time to beat, a comparison in turn
//! as the proof, and a folder with the results. The same by hand, in about sixty lines, is `examples/tune_download.rs`.
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

/// The examples of this crate's README and of the workspace's are compiled, and run where they can be. The second file
/// is not in the package.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../README.md")]
    struct OfCrate;

    #[doc = include_str!("../../../README.md")]
    struct OfWorkspace;
}
