//! `Backend`: the starter of a study's programs, and the options of a Slurm cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The starter of a study's programs.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// The process that runs the study.
    #[default]
    Process,
    /// Agents in a Slurm cluster.
    Slurm(Box<SlurmOptions>),
}

/// The way from trials to Slurm jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlurmMode {
    /// One job with an agent on each node; the agents take one trial after the other. A trial starts within
    /// milliseconds.
    #[default]
    Pilot,
    /// One job per trial, for sites that require it. Each trial waits in the queue.
    Job,
}

/// The options of a study's Slurm jobs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SlurmOptions {
    /// The way from trials to jobs.
    pub mode: SlurmMode,
    /// The nodes of a pilot; `None`: as many as the study's workers need.
    pub nodes: Option<usize>,
    /// The trials that run at once on a node of a pilot.
    pub workers_per_node: usize,
    /// Whether a job has its nodes for itself.
    pub exclusive: bool,
    /// The time limit of a job. Slurm ends the job then, and its agents end themselves before. `None`: the partition's
    /// limit.
    pub time_limit: Option<Duration>,
    /// The longest wait of a job in the queue before the study gives up.
    pub queue_timeout: Duration,
    /// Further options of `sbatch`, one word each: `--partition=gpu`.
    pub options: Vec<String>,
    /// The address that agents connect to. Nodes must reach it.
    pub listen: SocketAddr,
    /// The program `tunekit` on the nodes; `None`: the running program.
    pub tunekit: Option<PathBuf>,
}

impl Default for SlurmOptions {
    fn default() -> Self {
        Self {
            mode: SlurmMode::Pilot,
            nodes: None,
            workers_per_node: 1,
            exclusive: true,
            time_limit: None,
            queue_timeout: Duration::from_secs(24 * 3600),
            options: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tunekit: None,
        }
    }
}

/// Why these options cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlurmOptionsError {
    /// A number that must be at least 1 is 0.
    #[error("{name} is 0; use at least 1")]
    Zero {
        /// The option.
        name: &'static str,
    },
    /// A word is not an option.
    #[error("`{0}` is not an option of sbatch; write each option as a separate word, such as \"--partition=gpu\"")]
    NotAnOption(String),
    /// The option is set by the tuner.
    #[error("`{0}` is set by tunekit; leave it out")]
    Reserved(String),
    /// The address is not a single one that nodes can connect to.
    #[error("listen is {0}; name one address that the nodes reach, with port 0 for a free one")]
    Unspecified(SocketAddr),
}

/// Options of `sbatch` on which the tuner relies.
const RESERVED: [&str; 28] = [
    "--parsable",
    "--no-requeue",
    "--requeue",
    "--array",
    "--wrap",
    "--wait",
    "--job-name",
    "--chdir",
    "--output",
    "--error",
    "--input",
    "--nodes",
    "--ntasks",
    "--ntasks-per-node",
    "--time",
    "--test-only",
    // squeue and scancel would ask another cluster than the one with the jobs.
    "--clusters",
    "-a",
    "-J",
    "-D",
    "-M",
    "-o",
    "-N",
    "-W",
    "-e",
    "-i",
    "-n",
    "-t",
];

impl SlurmOptions {
    /// The same options, if they can be used.
    ///
    /// # Errors
    /// The wrong option, and the remedy.
    pub fn checked(self) -> Result<Self, SlurmOptionsError> {
        for (name, number) in [("nodes", self.nodes.unwrap_or(1)), ("workers_per_node", self.workers_per_node)] {
            if number == 0 {
                return Err(SlurmOptionsError::Zero { name });
            }
        }
        for option in &self.options {
            let name = option.split('=').next().unwrap_or_default();
            let is_option = option.starts_with('-') && name.trim_start_matches('-').starts_with(char::is_alphabetic);
            if !is_option || option.contains(char::is_control) {
                return Err(SlurmOptionsError::NotAnOption(option.clone()));
            }
            let is_short =
                |reserved: &str| reserved.len() == 2 && option.starts_with(reserved) && !option.starts_with("--");
            // sbatch takes a long option by any beginning of its name.
            let is_long = |reserved: &str| name.len() > 3 && reserved.len() > 2 && reserved.starts_with(name);
            if RESERVED.iter().any(|reserved| is_short(reserved) || is_long(reserved)) {
                return Err(SlurmOptionsError::Reserved(option.clone()));
            }
        }
        if self.listen.ip().is_unspecified() {
            return Err(SlurmOptionsError::Unspecified(self.listen));
        }
        Ok(self)
    }

    /// The nodes of a pilot for this number of workers.
    pub fn nodes_for(&self, workers: usize) -> usize {
        self.nodes.unwrap_or_else(|| workers.div_ceil(self.workers_per_node.max(1)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_jobs_cannot_have_are_refused() {
        let with = |option: &str| {
            SlurmOptions { options: vec![option.to_owned()], ..SlurmOptions::default() }.checked().map(drop)
        };
        for fine in ["--partition=gpu", "-pgpu", "--gres=gpu:1", "--exclude=n1", "--qos=high", "--nodelist=n1"] {
            assert_eq!(with(fine), Ok(()), "{fine}");
        }
        for wrong in ["gpu.sh", "", "-", "--", "--comment=a\nb"] {
            assert_eq!(with(wrong), Err(SlurmOptionsError::NotAnOption(wrong.to_owned())), "{wrong}");
        }
        for reserved in [
            "--requeue",
            "--requ",
            "--job-name=x",
            "--array=1-3",
            "-a1-3",
            "-N2",
            "--wrap=true",
            "--clusters=west",
            "-Mwest",
        ] {
            assert_eq!(with(reserved), Err(SlurmOptionsError::Reserved(reserved.to_owned())), "{reserved}");
        }
        let open = SlurmOptions { listen: ([0, 0, 0, 0], 7000).into(), ..SlurmOptions::default() };
        assert!(matches!(open.checked(), Err(SlurmOptionsError::Unspecified(_))));
        let none = SlurmOptions { workers_per_node: 0, ..SlurmOptions::default() };
        assert_eq!(none.checked(), Err(SlurmOptionsError::Zero { name: "workers_per_node" }));
    }

    #[test]
    fn a_pilot_has_a_place_for_every_worker() {
        let options = SlurmOptions { workers_per_node: 2, ..SlurmOptions::default() };
        assert_eq!([1, 2, 3, 5].map(|workers| options.nodes_for(workers)), [1, 1, 2, 3]);
        assert_eq!(SlurmOptions { nodes: Some(7), ..options }.nodes_for(1), 7);
    }
}
