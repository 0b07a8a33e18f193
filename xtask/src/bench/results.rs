//! The results of the runs of one workload. Plain values; `race` fills them, `table` shows them.

use super::workloads::Entrant;

/// The cost of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measure {
    pub(super) wall_s: f64,
    /// User and system time of the client alone.
    pub(super) cpu_s: f64,
    /// The peak of its memory.
    pub(super) peak_mib: f64,
}

/// The end of one run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Every byte was right.
    Fine(Measure),
    /// It reported success, but the bytes were not the object's.
    Wrong(String),
    /// It reported a failure, or did not end in time.
    Failed(String),
    /// It cannot do this workload.
    Unable(String),
}

/// Wrong or failed runs after which an entrant is not called again.
const PATIENCE: usize = 2;

/// One entrant's runs.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) entrant: Entrant,
    /// The good runs by round; only these are averaged.
    pub(super) fine: Vec<(u32, Measure)>,
    /// The failures, one sentence per run.
    pub(super) bad: Vec<String>,
    pub(super) unable: Option<String>,
}

impl Row {
    pub(super) fn new(entrant: Entrant) -> Self {
        Self { entrant, fine: Vec::new(), bad: Vec::new(), unable: None }
    }

    pub(super) fn record(&mut self, round: u32, outcome: Outcome) {
        match outcome {
            Outcome::Fine(measure) => self.fine.push((round, measure)),
            Outcome::Wrong(what) => self.bad.push(format!("wrong bytes: {what}")),
            Outcome::Failed(what) => self.bad.push(format!("failed: {what}")),
            Outcome::Unable(what) => self.unable = Some(what),
        }
    }

    /// Not worth another run.
    pub(super) fn is_over(&self) -> bool {
        self.unable.is_some() || self.bad.len() >= PATIENCE
    }

    /// One figure of every good run, by round.
    pub(super) fn each(&self, figure: impl Fn(&Measure) -> f64) -> Vec<(u32, f64)> {
        self.fine.iter().map(|(round, measure)| (*round, figure(measure))).collect()
    }
}

/// All runs of a workload.
#[derive(Debug, Clone)]
pub(super) struct Results {
    pub(super) rows: Vec<Row>,
    /// The least and the largest load average before a run.
    pub(super) load: (f64, f64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workloads::Job;

    #[test]
    fn a_bad_run_is_kept_apart_and_two_are_enough() {
        let entrant = Entrant { label: "a".into(), engine: "tm", job: Job::File { bytes: 1 }, concurrency: None };
        let mut row = Row::new(entrant);
        let measure = Measure { wall_s: 1.0, cpu_s: 2.0, peak_mib: 3.0 };
        row.record(0, Outcome::Fine(measure));
        row.record(1, Outcome::Wrong("byte 3".into()));
        assert!(!row.is_over());
        row.record(2, Outcome::Failed("refused".into()));
        assert!(row.is_over());
        assert_eq!(row.each(|measure| measure.cpu_s), [(0, 2.0)]);
        assert_eq!(row.bad, ["wrong bytes: byte 3", "failed: refused"]);
    }
}
