//! The only places that touch the outside: S3 and the network below it, the disk and the files that continue a
//! download, targets that are no files, the machine's memory and processors, and threads that may block.
//!
//! This room uses the words only.

pub(crate) mod blocking;
pub(crate) mod close;
pub(crate) mod connector;
pub(crate) mod disk;
pub(crate) mod journal;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod s3;
pub(crate) mod source;
pub(crate) mod special;
pub(crate) mod tree;
