//! A job of Slurm as text: its script, the words of `sbatch`, the meaning of `squeue`'s answer, and the time to submit
//! another one.
//!
//! All that varies in a script is quoted for the shell, and the command stands in the first line after the interpreter:
//! there `sbatch` stops looking for `#SBATCH` lines, so that no path can smuggle one in.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::words::backend::{SlurmMode, SlurmOptions};

/// The script of a job whose agents run `words`, on every node that the job has.
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
    // A job that is run again by Slurm would run a trial behind the tuner's back.
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

/// The longest that an agent may work in a job with this limit: it ends its programs itself before Slurm does, whose
/// signals differ from version to version.
pub(crate) fn agent_limit(limit: Duration, grace: Duration) -> Duration {
    limit.saturating_sub(grace + Duration::from_secs(5)).max(Duration::from_secs(1))
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

/// The number of jobs to submit: `waiting` trials have no agent, `idle` agents have no trial, `jobs` have not ended as
/// far as is known, and `coming` of them had no agent that connected yet.
pub(crate) fn to_submit(mode: SlurmMode, waiting: usize, idle: usize, jobs: usize, coming: usize) -> usize {
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
        assert_eq!(found.keys().collect::<Vec<_>>(), ["1", "2", "5"]);
    }

    #[test]
    fn jobs_are_submitted_for_trials_that_nobody_will_take() {
        let pilot = |waiting, jobs| to_submit(SlurmMode::Pilot, waiting, 0, jobs, 0);
        assert_eq!([pilot(0, 0), pilot(4, 0), pilot(4, 1)], [0, 1, 0]);
        let single = |waiting, idle, coming| to_submit(SlurmMode::Job, waiting, idle, coming, coming);
        assert_eq!([single(3, 0, 0), single(3, 1, 1), single(1, 2, 0)], [3, 1, 0]);
    }
}
