//! Engine: what moves trials between a study, a journal and the code that is tuned.

pub(crate) mod load;
pub(crate) mod open;
#[cfg(feature = "cli")]
pub(crate) mod serve;
pub(crate) mod simulator;
pub(crate) mod stop;
pub(crate) mod trial_run;
pub(crate) mod tuner;
