//! The rules of others, as they publish them, on the same model.

use crate::network::Time;
use crate::play::{Part, Rule};

/// Always so many requests of so many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed {
    pub(crate) requests: u32,
    pub(crate) part_bytes: u64,
}

impl Rule for Fixed {
    fn first_bytes(&self) -> u64 {
        self.part_bytes
    }
    fn target(&self) -> u32 {
        self.requests
    }
    fn part_bytes(&self, _: u64) -> u64 {
        self.part_bytes
    }
    fn ended(&mut self, _: Time, _: Part) {}
}
