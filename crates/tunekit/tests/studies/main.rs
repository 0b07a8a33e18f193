//! Studies: asking and telling, journals, workers that run on paper, checkpoints, and measurements.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod again;
mod asking;
mod best;
mod checkpoints;
mod cut_off;
mod measured;
mod tuner;
