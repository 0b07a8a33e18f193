//! Plain types, checked when they are made, so a configuration that exists is valid.
//!
//! This room uses no other room.

pub(crate) mod action;
pub(crate) mod batch;
pub(crate) mod batch_progress;
pub(crate) mod checkpoint;
pub(crate) mod checksum;
pub(crate) mod client_error;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod connections;
pub(crate) mod cut;
pub(crate) mod download_url;
pub(crate) mod durability;
pub(crate) mod failure;
pub(crate) mod found;
pub(crate) mod globs;
pub(crate) mod listing;
pub(crate) mod mtime;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod parameter;
pub(crate) mod piece;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod sink;
pub(crate) mod target;
pub(crate) mod timeline;
pub(crate) mod unfinished;
pub(crate) mod uri;
pub(crate) mod verdict;
