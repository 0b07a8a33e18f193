//! The only places that touch the outside: S3, the network below it, the disk.
//!
//! Names only the words.

pub(crate) mod connector;
pub(crate) mod disk;
pub(crate) mod s3;
