//! Engine: what moves trials between a study, a journal and the code that is tuned.

pub(crate) mod load;
pub(crate) mod stop;
pub(crate) mod tuner;
