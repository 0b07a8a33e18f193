//! The only places that touch the outside: one file for S3, one for the disk.
//!
//! Names only the words.

pub(crate) mod disk;
pub(crate) mod machine;
pub(crate) mod s3;
