//! Engine: what moves trials between a study, a journal and the code that is tuned.

#[cfg(feature = "cli")]
pub(crate) mod listen;
pub(crate) mod load;
pub(crate) mod open;
#[cfg(feature = "process")]
pub(crate) mod program;
#[cfg(feature = "report")]
pub(crate) mod report;
#[cfg(feature = "cli")]
pub(crate) mod serve;
#[cfg(feature = "process")]
pub(crate) mod show;
pub(crate) mod simulator;
pub(crate) mod stop;
#[cfg(feature = "process")]
pub(crate) mod study_file;
#[cfg(feature = "process")]
pub(crate) mod study_folder;
pub(crate) mod trial_run;
pub(crate) mod tuner;
#[cfg(feature = "cli")]
pub(crate) mod worker;
