//! The rules of others on the same model, as they publish them. Each sees the same as its own client would; where a
//! rule leaves something open, it gets the kinder reading.

use crate::at_once::Beside;
use crate::network::Time;
use crate::play::{Part, Rule};

const MIB: u64 = 1 << 20;

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
}

/// Names and numbers of clients that do not adapt: boto3; AWS's C runtime for 10 Gbit/s; AzCopy on up to four cores;
/// s5cmd; rclone.
pub(crate) const FIXED: [(&str, Fixed); 5] = [
    ("boto3", Fixed { requests: 10, part_bytes: 8 * MIB }),
    ("CRT", Fixed { requests: 25, part_bytes: 8 * MIB }),
    ("AzCopy", Fixed { requests: 32, part_bytes: 8 * MIB }),
    ("s5cmd", Fixed { requests: 5, part_bytes: 50 * MIB }),
    ("rclone", Fixed { requests: 4, part_bytes: 64 * MIB }),
];

/// A number of requests that follows the bytes of windows.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    kind: Kind,
    requests: f64,
    /// The level before this one, and its bytes per second.
    before: Option<(f64, f64)>,
    began_at: Time,
    began_with: f64,
    due_at: Time,
    completed: u32,
    rejected: u32,
    first_byte: f64,
    least_first_byte: f64,
    most_rate: f64,
}

/// The rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// syq 0.7: 64 at first, doubled in windows of a quarter second as long as the rate rises by 5 % of the share
    /// added.
    Syq,
    /// aws-sdk-s3-transfer-manager 0.3: slow start from 32 to 256 in windows of 300 ms, as long as 10 % are gained.
    TransferManager,
    /// AzCopy's AUTO: fourfold from 4, 4 s to settle and 4 s to measure each step.
    AzCopyAuto,
    /// Polars: bytes in flight, twice the bandwidth and delay product, thrice it for one second of three.
    Polars,
    /// xet-core: one more in half a second, from 4 to 64.
    Xet,
}

impl Kind {
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("syq", Self::Syq),
        ("TM 0.3", Self::TransferManager),
        ("AzCopy AUTO", Self::AzCopyAuto),
        ("Polars", Self::Polars),
        ("xet", Self::Xet),
    ];

    fn window(self) -> Time {
        match self {
            Self::Syq => 0.25,
            Self::TransferManager => 0.3,
            Self::AzCopyAuto => 8.0,
            Self::Polars => 0.1,
            Self::Xet => 0.5,
        }
    }
}

impl Windows {
    pub(crate) fn new(kind: Kind) -> Self {
        let requests = match kind {
            Kind::Syq => 64.0,
            Kind::TransferManager => 32.0,
            Kind::AzCopyAuto | Kind::Polars | Kind::Xet => 4.0,
        };
        Self {
            kind,
            requests,
            before: None,
            began_at: 0.0,
            began_with: 0.0,
            due_at: kind.window(),
            completed: 0,
            rejected: 0,
            first_byte: 0.0,
            least_first_byte: f64::INFINITY,
            most_rate: 0.0,
        }
    }

    fn window(&mut self, now: Time, rate: f64) {
        let Self { requests, before, .. } = *self;
        let gain = before.map(|(_, rate_before)| rate / rate_before.max(1.0) - 1.0);
        let added = before.map_or(1.0, |(requests_before, _)| requests / requests_before - 1.0);
        match self.kind {
            Kind::Syq if self.rejected == 0 => match gain {
                Some(gain) if gain < 0.05 * added => {
                    self.rejected = 1;
                    self.requests = before.map_or(requests, |(requests, _)| requests);
                }
                _ => self.step_to((2.0 * requests).min(4096.0), rate),
            },
            Kind::TransferManager if self.rejected < 4 && requests < 256.0 => match gain {
                Some(gain) if gain < 0.1 => self.rejected += 1,
                _ => self.step_to((requests + requests.min(32.0)).min(256.0), rate),
            },
            Kind::AzCopyAuto if self.rejected == 0 => {
                let times = if requests < 256.0 { 4.0 } else { 2.0 };
                match gain {
                    Some(gain) if gain < 0.2 * added => {
                        self.rejected = 1;
                        self.requests = before.map_or(requests, |(requests, _)| requests);
                    }
                    _ => self.step_to(times * requests, rate),
                }
            }
            Kind::Polars => {
                self.most_rate = self.most_rate.max(rate);
                let gains = if now % 3.0 > 2.0 { 3.0 } else { 2.0 };
                let delay = self.first_byte.min(10.0 * self.least_first_byte);
                let budget = gains * (self.most_rate * delay).max(32.0 * MIB as f64);
                self.requests = (budget / (8 * MIB) as f64).clamp(1.0, 512.0);
            }
            Kind::Xet => self.requests = (requests + 1.0).min(64.0),
            _ => {}
        }
    }

    fn step_to(&mut self, requests: f64, rate: f64) {
        self.before = Some((self.requests, rate));
        self.requests = requests;
    }
}

impl Rule for Windows {
    fn first_bytes(&self) -> u64 {
        8 * MIB
    }

    fn target(&self) -> u32 {
        self.requests.round().max(1.0) as u32
    }

    fn part_bytes(&self, _: u64) -> u64 {
        8 * MIB
    }

    fn answered(&mut self, _: Time, waited: Time, _: Beside) {
        self.least_first_byte = self.least_first_byte.min(waited);
        self.first_byte += 0.1 * (waited - self.first_byte) + if self.first_byte == 0.0 { 0.9 * waited } else { 0.0 };
    }

    fn ended(&mut self, _: Time, _: Part) {
        self.completed += 1;
    }

    fn look(&mut self, now: Time, received: f64) {
        let least = if self.kind == Kind::Syq { 16 } else { 0 };
        if now < self.due_at {
            return;
        }
        if self.completed < least {
            self.due_at = now + self.kind.window() / 4.0;
            return;
        }
        self.due_at = now + self.kind.window();
        // The second half of AzCopy's step counts; the first is for settling.
        let rate = (received - self.began_with) / (now - self.began_at).max(1e-9);
        (self.began_at, self.began_with, self.completed) = (now, received, 0);
        self.window(now, rate);
    }

    fn due(&self, _: bool) -> Option<Time> {
        Some(self.due_at)
    }
}
