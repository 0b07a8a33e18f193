//! Words: plain types that are valid once they exist. They name no other room.

#[cfg(feature = "process")]
pub(crate) mod backend;
pub(crate) mod domain;
#[cfg(feature = "report")]
pub(crate) mod drawing;
pub(crate) mod event;
pub(crate) mod hash;
pub(crate) mod measurement;
pub(crate) mod metric;
pub(crate) mod name;
pub(crate) mod plan;
pub(crate) mod predicate;
#[cfg(feature = "process")]
pub(crate) mod program;
pub(crate) mod schedule;
pub(crate) mod space;
pub(crate) mod table;
pub(crate) mod trial;
pub(crate) mod value;
