//! The only places that touch the outside: one file for S3, one for the disk, one for what is kept to continue a download,
//! one for targets that are no files, one for what the machine gives.
//!
//! Names only the words.

pub(crate) mod disk;
pub(crate) mod journal;
pub(crate) mod machine;
pub(crate) mod s3;
pub(crate) mod special;
