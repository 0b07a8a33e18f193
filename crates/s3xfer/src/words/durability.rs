//! [`Durability`]: the events that a finished file survives.

use serde::{Deserialize, Serialize};

/// The events that a finished file survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// Any end of this process: the kernel has the bytes. A crash of the machine within the next half minute or so may
    /// lose them. Nothing waits for the device.
    #[default]
    PageCache,
    /// A crash of the machine, too: the bytes are on the device before the file gets its name, and the name is on the
    /// device before the download is reported as done. This takes the time that the device needs for bytes it has not
    /// written yet.
    Synced,
}
