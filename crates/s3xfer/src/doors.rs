//! The only places that touch the outside: one file for S3, one for the disk, one for what is kept to
//! continue a download.
//!
//! Names only the words.

#[allow(dead_code, unused_imports, reason = "the engine takes up what it needs")]
pub(crate) mod disk;
#[allow(dead_code, reason = "the engine takes up what it needs")]
pub(crate) mod journal;
pub(crate) mod s3;
