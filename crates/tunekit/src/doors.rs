//! Doors: the only places that touch files. Each foreign format has one.

pub(crate) mod checkpoints;
pub(crate) mod journal;
pub(crate) mod results;
