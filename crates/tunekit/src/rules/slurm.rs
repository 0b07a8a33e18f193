//! A Slurm job as text: its script, the arguments of `sbatch`, the meaning of `squeue`'s answer. [`Jobs`] decides when
//! another job is submitted.
//!
//! All variable parts of a script are quoted for the shell, and the command is in the first line after the interpreter.
//! There `sbatch` stops looking for `#SBATCH` lines, so no path can smuggle one in.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::words::backend::{SlurmMode, SlurmOptions};

/// A job that ends less than this before its time limit, and before the grace period there, has come to the limit.
const NEAR_LIMIT: Duration = Duration::from_secs(60);
/// The first and the longest time between a refused submission and the next one.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// A controller that restarts, or a limit on a user's jobs, may refuse submissions for so long while no job is left.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// The script of a job whose agents run `words` on every node of the job.
pub(crate) fn script(options: &SlurmOptions, words: &[String]) -> String {
    let mut line = String::from("exec");
    if options.mode == SlurmMode::Pilot {
        // A node or an agent that is lost must not take the others with it.
        line.push_str(" srun --no-kill --kill-on-bad-exit=0 --wait=0 --input=none --ntasks-per-node=1");
        line.push_str(r#" --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES""#);
    }
    for word in words {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    format!("#!/bin/sh\n{line}\n")
}

/// A word as the shell reads it back, with any characters.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The arguments of `sbatch`, without the script's path: the job's output goes to a file of its number in `folder`. A
/// pilot has as many of `nodes` as Slurm can give it at once, and waits for the first of the range.
pub(crate) fn arguments(options: &SlurmOptions, nodes: RangeInclusive<usize>, name: &str, folder: &str) -> Vec<String> {
    // A job that Slurm runs again would run a trial without the tuner's knowledge.
    let mut words = vec!["--parsable".to_owned(), "--no-requeue".to_owned()];
    words.extend([
        format!("--job-name={name}"),
        format!("--chdir={folder}"),
        // Relative to that folder, because its own name may hold characters that Slurm replaces in a path.
        "--output=%j.out".to_owned(),
        "--error=%j.out".to_owned(),
        "--input=/dev/null".to_owned(),
    ]);
    let (fewest, most) = if options.mode == SlurmMode::Pilot { nodes.into_inner() } else { (1, 1) };
    words.push(if fewest < most { format!("--nodes={fewest}-{most}") } else { format!("--nodes={most}") });
    words.push("--ntasks-per-node=1".to_owned());
    if options.mode == SlurmMode::Pilot {
        words.push("--no-kill".to_owned());
    }
    if options.exclusive {
        words.push("--exclusive".to_owned());
    }
    if let Some(limit) = options.time_limit {
        // Slurm counts in minutes.
        words.push(format!("--time={}", limit.as_secs().div_ceil(60).max(1)));
    }
    words.extend(options.options.iter().cloned());
    words
}

/// An agent ends its programs so long, and the grace period, before its job does.
pub(crate) const TO_END: Duration = Duration::from_secs(5);

/// The longest time that an agent may work in a job with this time limit. The agent ends its programs before Slurm
/// does, because Slurm's signals differ from version to version.
pub(crate) fn agent_limit(limit: Duration, grace: Duration) -> Duration {
    limit.saturating_sub(grace + TO_END).max(Duration::from_secs(1))
}

/// The number of a job in the answer of `sbatch --parsable`: `123` or `123;cluster`.
pub(crate) fn job_number(answer: &str) -> Option<String> {
    let line = answer.lines().rev().find(|line| !line.trim().is_empty())?;
    let number = line.trim().split(';').next()?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

/// States of jobs that have not ended, as the answer of `squeue --noheader --format="%i %T"` has them, by number.
pub(crate) fn alive(answer: &str) -> BTreeMap<String, String> {
    let job = |line: &str| {
        let (number, state) = line.trim().split_once(' ')?;
        let state = state.trim();
        let over = [
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            // Its processes have ended, or are on a node that nobody reaches; the state may last until an administrator
            // acts.
            "COMPLETING",
            "DEADLINE",
            "FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "REVOKED",
            "TIMEOUT",
        ];
        (!over.contains(&state)).then(|| (number.to_owned(), state.to_owned()))
    };
    answer.lines().filter_map(job).collect()
}

/// Whether a job in this state may have processes.
pub(crate) fn has_begun(state: &str) -> bool {
    !matches!(state, "PENDING" | "CONFIGURING")
}

/// The submitted jobs of a study that are not known to have ended. All times count from the same moment.
#[derive(Debug)]
pub(crate) struct Jobs {
    mode: SlurmMode,
    time_limit: Option<Duration>,
    grace: Duration,
    /// The nodes of a pilot.
    nodes: usize,
    /// The fewest nodes that the next pilot takes.
    fewest: usize,
    all: BTreeMap<String, Job>,
    /// Jobs that ended in a row before an agent of theirs greeted.
    futile: u32,
    /// Whether any submission was taken.
    has_begun: bool,
    /// The time between a refused submission and the next one, and the time of that.
    pause: Duration,
    again: Duration,
    /// Since when submissions are refused while no job is left.
    stranded: Option<Duration>,
}

/// The times at which a job was submitted, and an agent of it greeted.
#[derive(Debug, Clone, Copy)]
struct Job {
    submitted: Duration,
    greeted: Option<Duration>,
}

/// The end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An agent of it had greeted.
    Used,
    /// No agent of it had greeted; the number of such jobs in a row.
    Futile(u32),
}

impl Jobs {
    /// No job yet. A pilot has so many nodes.
    pub(crate) fn new(options: &SlurmOptions, nodes: usize, grace: Duration) -> Self {
        Self {
            mode: options.mode,
            time_limit: options.time_limit,
            grace,
            nodes,
            fewest: nodes,
            all: BTreeMap::new(),
            futile: 0,
            has_begun: false,
            pause: PAUSES[0],
            again: Duration::ZERO,
            stranded: None,
        }
    }

    /// The number of jobs to submit now.
    pub(crate) fn due(&self, waiting: usize, idle: usize, now: Duration) -> usize {
        if now < self.again { 0 } else { to_submit(self.mode, waiting, idle, self.all.len(), self.coming()) }
    }

    /// The jobs without a connected agent so far.
    pub(crate) fn coming(&self) -> usize {
        self.all.values().filter(|job| job.greeted.is_none()).count()
    }

    /// The nodes of the next pilot: a range where the cluster may have lost some.
    pub(crate) fn nodes(&self) -> RangeInclusive<usize> {
        self.fewest..=self.nodes
    }

    pub(crate) fn submitted(&mut self, job: String, now: Duration) {
        self.all.insert(job, Job { submitted: now, greeted: None });
        (self.has_begun, self.pause, self.stranded) = (true, PAUSES[0], None);
    }

    /// A submission was refused: the time until the next one, or `None` to give up. The first submission of all must be
    /// taken. Later ones are repeated as long as there is a job or an agent, and for some minutes without.
    pub(crate) fn refused(&mut self, has_agents: bool, now: Duration) -> Option<Duration> {
        if has_agents || !self.all.is_empty() {
            self.stranded = None;
        } else if now.saturating_sub(*self.stranded.get_or_insert(now)) >= REFUSED_FOR {
            return None;
        }
        let pause = self.pause;
        (self.pause, self.again) = ((2 * pause).min(PAUSES[1]), now + pause);
        Some(pause).filter(|_| self.has_begun)
    }

    /// Looks at the agents that have greeted. A job of one trial is then left to its agent's connection.
    pub(crate) fn heed(&mut self, has_greeted: impl Fn(&str) -> bool, now: Duration) {
        for (name, job) in &mut self.all {
            if job.greeted.is_none() && has_greeted(name) {
                job.greeted = Some(now);
                self.futile = 0;
            }
        }
        if self.mode == SlurmMode::Job {
            self.all.retain(|_, job| job.greeted.is_none());
        }
    }

    /// The time since the first of them was submitted.
    pub(crate) fn oldest(&self, now: Duration) -> Option<Duration> {
        self.all.values().map(|job| now.saturating_sub(job.submitted)).max()
    }

    /// A job without an agent that was submitted so long ago or longer, and the time since then.
    pub(crate) fn late(&self, most: Duration, now: Duration) -> Option<(&str, Duration)> {
        let waiting = self.all.iter().filter(|(_, job)| job.greeted.is_none());
        waiting
            .map(|(name, job)| (name.as_str(), now.saturating_sub(job.submitted)))
            .find(|(_, waited)| *waited >= most)
    }

    /// Removes the jobs that are not in this list of the jobs that have not ended.
    pub(crate) fn end_all_but(&mut self, alive: &BTreeMap<String, String>, now: Duration) -> Vec<(String, Ended)> {
        let gone: Vec<String> = self.all.keys().filter(|name| !alive.contains_key(*name)).cloned().collect();
        gone.into_iter().filter_map(|name| self.end(&name, now).map(|ended| (name, ended))).collect()
    }

    fn end(&mut self, name: &str, now: Duration) -> Option<Ended> {
        let Some(greeted) = self.all.remove(name)?.greeted else {
            self.futile += 1;
            return Some(Ended::Futile(self.futile));
        };
        // A job that ended before its limit may have lost a node, and its successor would wait in vain for the same
        // number of nodes.
        let ran = now.saturating_sub(greeted);
        let is_early = self.time_limit.is_none_or(|limit| ran + self.grace + NEAR_LIMIT < limit);
        self.fewest = if is_early { 1 } else { self.nodes };
        Some(Ended::Used)
    }
}

/// The number of jobs to submit: `waiting` trials have no agent, `idle` agents have no trial, `jobs` have not ended as
/// far as is known, and `coming` of them had no agent that connected yet.
fn to_submit(mode: SlurmMode, waiting: usize, idle: usize, jobs: usize, coming: usize) -> usize {
    match mode {
        SlurmMode::Pilot => usize::from(waiting > 0 && jobs == 0),
        SlurmMode::Job => waiting.saturating_sub(idle + coming),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_hands_every_word_on_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let nasty = ["it's", "a b", "$(touch x)", "`x`", "\\", "\n#SBATCH --requeue\n", "", "*", "--", "\"q\"", "~"];
        let words: Vec<String> = ["printf", "%s\\0"].into_iter().chain(nasty).map(str::to_owned).collect();
        let options = SlurmOptions { mode: SlurmMode::Job, ..SlurmOptions::default() };
        let path = folder.path().join("script");
        let text = script(&options, &words);
        std::fs::write(&path, &text).unwrap();
        let output = std::process::Command::new("sh").arg(&path).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.split_terminator('\0').collect::<Vec<_>>(), nasty);
        // Slurm reads #SBATCH lines up to the first command.
        assert!(text.lines().nth(1).unwrap().starts_with("exec "));
        assert!(script(&SlurmOptions::default(), &words).contains("exec srun --no-kill --kill-on-bad-exit=0"));
    }

    #[test]
    fn a_job_is_never_run_again_by_slurm_and_has_its_limit() {
        let options = SlurmOptions {
            time_limit: Some(Duration::from_secs(61)),
            options: vec!["--partition=gpu".to_owned()],
            ..SlurmOptions::default()
        };
        let words = arguments(&options, 3..=3, "tunekit-1", "/a b/%j");
        for word in ["--no-requeue", "--nodes=3", "--time=2", "--exclusive", "--partition=gpu", "--chdir=/a b/%j"] {
            assert!(words.iter().any(|found| found == word), "{word}");
        }
        assert!(arguments(&options, 1..=3, "j", "/").contains(&"--nodes=1-3".to_owned()));
        let words = arguments(&SlurmOptions { mode: SlurmMode::Job, exclusive: false, ..options }, 1..=3, "j", "/");
        assert!(words.contains(&"--nodes=1".to_owned()) && !words.contains(&"--exclusive".to_owned()));
        assert_eq!(agent_limit(Duration::from_secs(60), Duration::from_secs(5)), Duration::from_secs(50));
        assert_eq!(agent_limit(Duration::from_secs(3), Duration::from_secs(5)), Duration::from_secs(1));
    }

    #[test]
    fn the_answers_of_slurm_are_read() {
        assert_eq!(job_number("17\n").as_deref(), Some("17"));
        assert_eq!(job_number("a plugin says hello\n17;west\n").as_deref(), Some("17"));
        for wrong in ["", "Submitted batch job 17", "sbatch: error"] {
            assert_eq!(job_number(wrong), None, "{wrong}");
        }
        let found = alive("1 RUNNING\n2 PENDING\n3 COMPLETED\n4 NODE_FAIL\n5 COMPLETING\nnonsense\n");
        // The processes of a job that completes have ended, or are out of reach.
        assert_eq!(found.keys().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn jobs_are_submitted_for_trials_that_nobody_will_take() {
        let pilot = |waiting, jobs| to_submit(SlurmMode::Pilot, waiting, 0, jobs, 0);
        assert_eq!([pilot(0, 0), pilot(4, 0), pilot(4, 1)], [0, 1, 0]);
        let single = |waiting, idle, coming| to_submit(SlurmMode::Job, waiting, idle, coming, coming);
        assert_eq!([single(3, 0, 0), single(3, 1, 1), single(1, 2, 0)], [3, 1, 0]);
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn jobs(mode: SlurmMode, time_limit: Option<Duration>) -> Jobs {
        Jobs::new(&SlurmOptions { mode, time_limit, ..SlurmOptions::default() }, 3, 5 * SECOND)
    }

    #[test]
    fn bad_starts_count_in_a_row_only_in_either_mode() {
        for mode in [SlurmMode::Job, SlurmMode::Pilot] {
            let mut jobs = jobs(mode, None);
            for number in 0..6 {
                let name = number.to_string();
                jobs.submitted(name.clone(), SECOND);
                let is_bad = number != 2;
                jobs.heed(|_| !is_bad, SECOND);
                let ended = jobs.end_all_but(&BTreeMap::new(), SECOND);
                let in_a_row = [1, 2, 0, 1, 2, 3][number as usize];
                match mode {
                    SlurmMode::Job if !is_bad => assert_eq!(ended, [], "its connection tells how it goes on"),
                    _ if !is_bad => assert_eq!(ended, [(name, Ended::Used)]),
                    _ => assert_eq!(ended, [(name, Ended::Futile(in_a_row))]),
                }
            }
        }
    }

    #[test]
    fn the_pilot_after_one_that_ended_early_takes_fewer_nodes_and_the_one_after_its_limit_does_not() {
        let limit = 3600 * SECOND;
        for (time_limit, waited, ran, fewest) in [
            (None, Duration::ZERO, 7200 * SECOND, 1),
            (Some(limit), Duration::ZERO, 60 * SECOND, 1),
            // The time in the queue is not the job's.
            (Some(limit), limit, 60 * SECOND, 1),
            (Some(limit), Duration::ZERO, agent_limit(limit, 5 * SECOND), 3),
            (Some(limit), limit, limit, 3),
        ] {
            let mut jobs = jobs(SlurmMode::Pilot, time_limit);
            assert_eq!(jobs.nodes(), 3..=3);
            jobs.submitted("1".to_owned(), Duration::ZERO);
            jobs.heed(|_| true, waited);
            jobs.heed(|_| true, waited + ran);
            assert_eq!(jobs.end_all_but(&BTreeMap::new(), waited + ran), [("1".to_owned(), Ended::Used)]);
            assert_eq!(jobs.nodes(), fewest..=3, "{time_limit:?} {waited:?} {ran:?}");
        }
    }

    #[test]
    fn a_refused_submission_is_repeated_ever_more_seldom_and_not_for_ever_without_jobs() {
        let mut first = jobs(SlurmMode::Job, None);
        assert_eq!(first.refused(false, Duration::ZERO), None, "the first one must be taken");
        let mut jobs = jobs(SlurmMode::Job, None);
        jobs.submitted("1".to_owned(), Duration::ZERO);
        let mut pauses = Vec::new();
        let mut now = Duration::ZERO;
        while let Some(pause) = jobs.refused(true, now) {
            assert_eq!(jobs.due(5, 0, now), 0);
            now += pause;
            assert_eq!(jobs.due(5, 0, now), 4);
            pauses.push(pause.as_secs());
            if now > 3600 * SECOND {
                break;
            }
        }
        assert_eq!(pauses[..6], [5, 10, 20, 40, 60, 60]);
        // With its last job and agent gone some minutes are left.
        jobs.end_all_but(&BTreeMap::new(), now);
        let stranded = now;
        while let Some(pause) = jobs.refused(false, now) {
            now += pause;
        }
        assert!((REFUSED_FOR..REFUSED_FOR + PAUSES[1]).contains(&(now - stranded)), "{now:?}");
        jobs.submitted("2".to_owned(), now);
        assert_eq!(jobs.refused(false, now), Some(PAUSES[0]));
    }
}
