//! Pure functions and state machines. Time, randomness and I/O come in as arguments.
//!
//! This room uses the words only.

pub(crate) mod admission;
pub(crate) mod at_once;
pub(crate) mod checksum;
pub(crate) mod coalesce;
pub(crate) mod compare;
pub(crate) mod concurrency;
pub(crate) mod content_range;
pub(crate) mod control;
pub(crate) mod crest;
pub(crate) mod ending;
pub(crate) mod floor;
pub(crate) mod globs;
pub(crate) mod in_place;
pub(crate) mod key_space;
pub(crate) mod lateness;
pub(crate) mod media_type;
pub(crate) mod merge;
pub(crate) mod meter;
pub(crate) mod names;
pub(crate) mod pace;
pub(crate) mod pacing;
pub(crate) mod part_size;
pub(crate) mod parts;
pub(crate) mod plan;
pub(crate) mod ranges;
pub(crate) mod refusals;
pub(crate) mod retire;
pub(crate) mod retry;
pub(crate) mod split;
pub(crate) mod verdict;
