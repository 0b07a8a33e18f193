//! Engine: moves trials between a study, a journal and the code that is tuned.

#[cfg(feature = "process")]
mod greeting;
#[cfg(feature = "cli")]
mod line;
#[cfg(feature = "cli")]
pub(crate) mod listen;
#[cfg(feature = "process")]
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod open;
#[cfg(feature = "process")]
pub(crate) mod pool;
#[cfg(feature = "process")]
pub(crate) mod program;
#[cfg(feature = "report")]
pub(crate) mod report;
#[cfg(feature = "cli")]
pub(crate) mod serve;
#[cfg(feature = "process")]
pub(crate) mod show;
pub(crate) mod simulator;
#[cfg(feature = "process")]
pub(crate) mod slurm;
pub(crate) mod stop;
#[cfg(feature = "process")]
pub(crate) mod study_file;
#[cfg(feature = "process")]
pub(crate) mod study_folder;
#[cfg(feature = "process")]
pub(crate) mod token;
pub(crate) mod trial_run;
pub(crate) mod tuner;
#[cfg(feature = "cli")]
pub(crate) mod worker;
