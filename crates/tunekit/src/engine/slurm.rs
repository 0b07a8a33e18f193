//! `Slurm`: a study's trials in a Slurm cluster, as a pool of agents in its jobs.
//!
//! A pilot is one job with an agent on each node, and the agents take one trial after the other. Without a pilot, a job
//! is submitted for each waiting trial. Either way the agents connect to the tuner ([`Pool`]), so a report is answered
//! at once, and a lost node shows by its connection. Slurm is asked for the state of jobs only if that is in doubt, and
//! at most every [`LOOK_EVERY`]; at the end a few times, a second apart, while programs are ended.
//!
//! The name of a study's jobs is derived from its folder. So a study that continues after its tuner was killed finds
//! and ends the jobs that were left. The folder must be on a file system that the nodes share.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::pool::Pool;
use super::study_file::{STUDY_NAME, StudyFile};
use super::token::Token;
use super::trial_run::TrialRun;
use crate::doors::slurm::{SlurmCommandError, cancel, queue, signal, submit};
use crate::rules::slurm::{self, Ended, Jobs};
use crate::words::backend::{SlurmMode, SlurmOptions};
use crate::words::event::Header;
use crate::words::trial::Outcome;

/// The least time between two questions to Slurm.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same while the jobs of a study that is over end.
const LOOK_AT_END: Duration = Duration::from_secs(1);
/// The time between two looks at the pool.
const TICK: Duration = Duration::from_millis(50);
/// So many jobs in a row may end before an agent of theirs has connected.
const MOST_FUTILE: u32 = 3;
/// Agents that have nothing to end go within this time.
const TO_LEAVE: Duration = Duration::from_secs(3);
/// The number of bytes of a job's output that are searched for an error's text.
const TAIL: usize = 2000;

/// Why a study cannot continue in a Slurm cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlurmError {
    /// The folder for the jobs cannot be made.
    #[error("folder {} for the jobs: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The address for the agents is not available.
    #[error("cannot listen at {address}: {source}; name another address as `listen` in [backend]")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A command of Slurm failed.
    #[error(transparent)]
    Command(#[from] SlurmCommandError),
    /// `sbatch` did not print the number of its job.
    #[error("`sbatch` did not answer with the number of a job, but with `{0}`")]
    NoNumber(String),
    /// Jobs end before their agents connect.
    #[error(
        "{count} jobs in a row ended before an agent of theirs connected to {address}, the last one (job {job}) \
         after saying `{last}`; `listen` and `tunekit` in [backend] say what nodes connect to and run"
    )]
    Futile {
        /// The number of jobs.
        count: u32,
        /// The address that agents connect to.
        address: SocketAddr,
        /// The last of them.
        job: String,
        /// The end of its output.
        last: String,
    },
    /// A job has waited in the queue for too long.
    #[error("job {job} has waited in the queue for {} s; raise queue_timeout_s in [backend], or ask for less", waited.as_secs())]
    Queue {
        /// The job.
        job: String,
        /// For how long.
        waited: Duration,
    },
}

/// A study's jobs and their agents.
#[derive(Debug)]
pub(super) struct Slurm {
    pool: Pool,
    options: SlurmOptions,
    /// The folder of the scripts and of the jobs' output.
    folder: PathBuf,
    /// The jobs' name.
    name: String,
    nodes: usize,
    script: PathBuf,
    grace: Duration,
}

impl Slurm {
    /// Ends the jobs that an earlier tuner of this folder left, and waits for agents. No job is submitted yet.
    pub(super) async fn start(
        out: &Path,
        file: &StudyFile,
        options: &SlurmOptions,
        header: Header,
    ) -> Result<Self, SlurmError> {
        let folder = out.join("slurm");
        let failed = |source| SlurmError::Folder { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let out = out.canonicalize().map_err(failed)?;
        let path = out.join("slurm");
        let digest = Sha256::digest(out.as_os_str().as_encoded_bytes());
        let name = digest.iter().take(6).fold("tunekit-".to_owned(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        cancel(&name).await?;
        let token_file = path.join("token");
        let token = Token::read_or_make(&token_file).map_err(failed)?;
        let bound = Pool::bind(options.listen, header, token).await;
        let pool = bound.map_err(|source| SlurmError::Listen { address: options.listen, source })?;
        let own = std::env::current_exe().map_err(failed)?;
        let is_pilot = options.mode == SlurmMode::Pilot;
        let mut words = vec![
            options.tunekit.clone().unwrap_or(own).display().to_string(),
            "worker".to_owned(),
            out.join(STUDY_NAME).display().to_string(),
            format!("--connect={}", pool.address()),
            format!("--token-file={}", token_file.display()),
            format!("--out={}", out.join("trials").display()),
            format!("--workers={}", if is_pilot { options.workers_per_node } else { 1 }),
            "--shared".to_owned(),
        ];
        words.extend((!is_pilot).then(|| "--once".to_owned()));
        let limit = options.time_limit.map(|limit| slurm::agent_limit(limit, file.program.grace));
        words.extend(limit.map(|limit| format!("--max-seconds={}", limit.as_secs())));
        let nodes = options.nodes_for(file.workers);
        let script = path.join("job.sh");
        fs::write(&script, slurm::script(options, &words)).map_err(failed)?;
        let grace = file.program.grace;
        Ok(Self { pool, options: options.clone(), folder: path, name, nodes, script, grace })
    }

    /// Runs a trial with an agent.
    pub(super) async fn run(&self, trial: TrialRun) -> Result<Outcome, String> {
        self.pool.run(trial).await
    }

    /// Sees to it that there are jobs for the trials that wait; ends only with an error.
    pub(super) async fn supervise(&self) -> SlurmError {
        let began = Instant::now();
        let mut jobs = Jobs::new(&self.options, self.nodes, self.grace);
        let mut looked: Option<Duration> = None;
        loop {
            // Read before the agents are counted: an agent that connects in between is counted twice rather than left
            // out.
            jobs.heed(|job| self.pool.has_greeted(job), began.elapsed());
            let standing = self.pool.standing();
            for _ in 0..jobs.due(standing.waiting, standing.idle, began.elapsed()) {
                match self.submit(jobs.nodes()).await {
                    Ok(job) => jobs.submitted(job, began.elapsed()),
                    Err(SlurmError::Command(error)) => {
                        let Some(pause) = jobs.refused(standing.connected > 0, began.elapsed()) else {
                            return error.into();
                        };
                        tracing::warn!(%error, ?pause, "a job cannot be submitted now and will be later");
                        break;
                    }
                    Err(error) => return error,
                }
            }
            let now = began.elapsed();
            let in_doubt = jobs.coming() > 0 || standing.connected == 0;
            let may_look = looked.is_none_or(|looked| now - looked >= LOOK_EVERY);
            // A job that was submitted just now is not asked about: its agent may be on its way.
            if in_doubt && may_look && jobs.oldest(now).is_some_and(|oldest| oldest >= LOOK_EVERY.min(TO_LEAVE)) {
                looked = Some(now);
                match queue(&self.name).await {
                    // Jobs continue to run while a controller does not answer.
                    Err(error) => tracing::warn!(%error, "Slurm does not report the state of its jobs"),
                    Ok(answer) => {
                        // An agent may have connected and ended meanwhile.
                        jobs.heed(|job| self.pool.has_greeted(job), began.elapsed());
                        for (job, ended) in jobs.end_all_but(&slurm::alive(&answer), began.elapsed()) {
                            let Ended::Futile(count) = ended else {
                                tracing::warn!(job, "a job ended");
                                continue;
                            };
                            let last = self.last_words(&job);
                            tracing::warn!(job, last, "a job ended before an agent of it connected");
                            if count >= MOST_FUTILE {
                                return SlurmError::Futile { count, address: self.pool.address(), job, last };
                            }
                        }
                    }
                }
            }
            if let Some((job, waited)) = jobs.late(self.options.queue_timeout, began.elapsed()) {
                return SlurmError::Queue { job: job.to_owned(), waited };
            }
            sleep(TICK).await;
        }
    }

    async fn submit(&self, nodes: RangeInclusive<usize>) -> Result<String, SlurmError> {
        let folder = self.folder.display().to_string();
        let words = slurm::arguments(&self.options, nodes, &self.name, &folder);
        let answer = submit(&words, &self.script).await?;
        let job = slurm::job_number(&answer).ok_or_else(|| SlurmError::NoNumber(answer.trim().to_owned()))?;
        tracing::info!(job, "a job is submitted");
        Ok(job)
    }

    /// The end of a job's output, in one line.
    fn last_words(&self, job: &str) -> String {
        let text = fs::read(self.folder.join(format!("{job}.out"))).unwrap_or_default();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned();
        let lines: Vec<&str> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }

    /// Ends the jobs: agents without a trial end by themselves, the others are asked to, and the rest is cancelled
    /// after the grace period.
    pub(super) async fn finish(&self, in_haste: bool) {
        self.pool.close();
        let in_haste = in_haste || self.pool.has_cut_short();
        if !in_haste {
            let deadline = Instant::now() + TO_LEAVE;
            while self.pool.standing().connected > 0 && Instant::now() < deadline {
                sleep(TICK).await;
            }
        }
        if in_haste || self.pool.standing().connected > 0 {
            // In a pilot's place srun would kill the agents.
            if let Err(error) = signal(&self.name, self.options.mode == SlurmMode::Job).await {
                tracing::warn!(%error, "jobs could not be asked to end");
            }
            let _ = timeout(self.grace + TO_LEAVE, self.gone()).await;
        }
        if let Err(error) = cancel(&self.name).await {
            tracing::warn!(%error, name = self.name, "jobs could not be cancelled; do it with scancel --name");
        }
    }

    /// Waits until no job runs; those in the queue do not. The connections do not tell: an agent without one may be
    /// about to end its program.
    async fn gone(&self) {
        loop {
            match queue(&self.name).await {
                Err(error) => tracing::warn!(%error, "Slurm does not report the state of its jobs"),
                Ok(answer) => {
                    if !slurm::alive(&answer).values().any(|state| slurm::has_begun(state)) {
                        return;
                    }
                }
            }
            sleep(LOOK_AT_END).await;
        }
    }
}
