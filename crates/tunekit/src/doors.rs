//! Doors: the only places that touch files. Each foreign format has its own door.

pub(crate) mod checkpoints;
pub(crate) mod journal;
pub(crate) mod lock;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(feature = "report")]
pub(crate) mod picture;
#[cfg(feature = "process")]
pub(crate) mod process;
pub(crate) mod results;
#[cfg(feature = "cli")]
pub(crate) mod shared;
#[cfg(feature = "process")]
pub(crate) mod slurm;
