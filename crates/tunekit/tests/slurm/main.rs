//! Studies in a Slurm cluster, against stand-ins for its commands; `real` has those against a real one.
//!
//! The stand-ins start a job's script at once as a process group of its own, and write down how they were called. A
//! job's processes are known by a variable of their environment.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod cluster;
mod real;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tunekit::{Experiment, Status};

const SBATCH: &str = r#"#!/bin/bash
echo "sbatch $*" >> "$FAKE/calls"
[ -e "$FAKE/refuse" ] && { echo "sbatch: error: invalid partition" >&2; exit 1; }
[ -e "$FAKE/1" ] && rm "$FAKE/refuse-once" 2>/dev/null && { echo "sbatch: error: job limit" >&2; exit 1; }
for word; do case "$word" in --chdir=*) dir=${word#--chdir=};; --nodes=*) nodes=${word#--nodes=*-}; nodes=${nodes#--nodes=};; esac; script=$word; done
for id in $(seq 1 1000); do mkdir "$FAKE/$id" 2>/dev/null && break; done
cd "$dir"
[ -e "$FAKE/slow" ] && wait=5 || wait=0
FAKE_JOB=$FAKE/$id SLURM_JOB_ID=$id SLURM_JOB_NUM_NODES=$nodes setsid sh -c 'sleep "$2"; exec sh "$1"' sh "$script" "$wait" >"$id.out" 2>&1 </dev/null &
echo $! >"$FAKE/$id/pid"
echo "$id"
"#;
const SRUN: &str = r#"#!/bin/bash
echo "srun $*" >> "$FAKE/calls"
while [ "${1#-}" != "$1" ]; do case "$1" in --ntasks=*) n=${1#--ntasks=};; esac; shift; done
for i in $(seq 1 "$n"); do "$@" & echo $! >>"$FAKE/$SLURM_JOB_ID/agents"; done
# As the real one: at SIGTERM its tasks are killed, with all that they have started.
trap 'kill -KILL $(grep -lzxF "FAKE_JOB=$FAKE_JOB" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | grep -vx $$)' TERM
wait
"#;
const SQUEUE: &str = r#"#!/bin/bash
echo "squeue $(date +%s.%N) $*" >> "$FAKE/calls"
for dir in "$FAKE"/[0-9]*; do
    id=${dir##*/}
    if kill -0 "-$(cat "$dir/pid" 2>/dev/null)" 2>/dev/null; then echo "$id RUNNING"; else echo "$id COMPLETED"; fi
done
"#;
const SCANCEL: &str = r#"#!/bin/bash
echo "scancel $*" >> "$FAKE/calls"
signal=KILL full=1
for word; do case "$word" in --signal=*) signal=${word#--signal=}; [ "$full" = given ] || full=;; --full) full=given;; esac; done
for dir in "$FAKE"/[0-9]*; do
    [ -s "$dir/pid" ] || continue
    # Without --full a signal goes to the steps alone, which srun has started.
    [ -n "$full" ] && but= || { [ -e "$dir/agents" ] || continue; but=$(cat "$dir/pid"); }
    kill "-$signal" $(grep -lzxF "FAKE_JOB=$dir" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | grep -vx "$but") 2>/dev/null
done
exit 0
"#;

const STUDY: &str = r#"
    command = ["sh", "p.sh"]
    metric = "loss"
    searcher = "random"
    grace_s = 0.2
    workers = 3
    [space]
    x = { type = "float", lo = 0, hi = 1 }
    [stop]
    max_trials = 12
"#;
const ONE_LINE: &str = r#"echo "{\"loss\": 1}""#;

struct Site {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, OsString)>,
}

impl Site {
    fn fake(script: &str, study: &str) -> Self {
        // A name that must be quoted, and that Slurm would replace parts of.
        let folder = tempfile::Builder::new().prefix("it's %j \"$HOME\" ").tempdir().unwrap();
        let fake = folder.path().join("fake");
        fs::create_dir(&fake).unwrap();
        for (name, text) in [("sbatch", SBATCH), ("srun", SRUN), ("squeue", SQUEUE), ("scancel", SCANCEL)] {
            fs::write(fake.join(name), text).unwrap();
            fs::set_permissions(fake.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", fake.display(), std::env::var("PATH").unwrap());
        let site = Self { folder, environment: vec![("PATH", path.into()), ("FAKE", fake.into())] };
        site.write(script, study);
        site
    }

    /// In the cluster with this configuration.
    fn real(conf: &Path, script: &str, study: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), environment: vec![("SLURM_CONF", conf.into())] };
        site.write(script, study);
        site
    }

    fn write(&self, script: &str, study: &str) {
        fs::write(self.path("p.sh"), script).unwrap();
        fs::write(self.path("s.toml"), study).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunekit"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.spawn().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        let words: Vec<&str> =
            ["run", "s.toml", "--out", "out", "--backend", "slurm"].iter().chain(more).copied().collect();
        self.start(&words).wait_with_output().unwrap()
    }

    fn experiment(&self) -> Experiment {
        Experiment::load(self.path("out")).unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("fake/calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The process numbers in a file of the stand-ins.
    fn pids(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All trials ended well, none was counted twice, and their output is where that of any study is.
fn is_whole(site: &Site, trials: usize) {
    let experiment = site.experiment();
    assert_eq!(experiment.trials().len(), trials);
    for trial in experiment.trials() {
        assert_eq!((trial.status, trial.measurements.len()), (Status::Completed, 1), "trial {}", trial.id);
        assert!(site.path(&format!("out/trials/{}/stdout", trial.id)).exists());
    }
}

#[test]
fn a_pilot_runs_all_trials_in_one_job() {
    let site = Site::fake(ONE_LINE, STUDY);
    let output = site.run(&[]);
    assert!(output.status.success(), "{}", said(&output));
    is_whole(&site, 12);
    let calls = site.calls();
    let count = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
    assert_eq!((count("sbatch"), count("srun")), (1, 1));
    let sbatch = calls.iter().find(|call| call.starts_with("sbatch")).unwrap();
    assert!(sbatch.contains("--no-requeue") && sbatch.contains("--nodes=3"), "{sbatch}");
    // Agents go by themselves; cancelling what is left is all that follows.
    assert!(calls.last().unwrap().starts_with("scancel --quiet --name=tunekit-"), "{calls:?}");
    for pid in site.pids("fake/1/agents") {
        wait_for("the agents go", || !alive(&pid));
    }
}

#[test]
fn one_job_a_trial_where_that_is_asked_for() {
    let study = format!("{STUDY}\n[backend]\nkind = \"slurm\"\nmode = \"job\"\noptions = [\"--partition=p\"]\n");
    let site = Site::fake(ONE_LINE, &study);
    let output = site.run(&[]);
    assert!(output.status.success(), "{}", said(&output));
    is_whole(&site, 12);
    let submitted = site.calls().iter().filter(|call| call.starts_with("sbatch")).count();
    assert_eq!(submitted, 12);
    assert!(site.calls()[1].contains("--partition=p"), "{:?}", site.calls());
}

#[test]
fn a_trial_whose_agent_is_killed_runs_elsewhere_and_counts_once() {
    // The first run of trial 1 never ends by itself.
    let script = r#"
        if [ "$TUNEKIT_TRIAL" = 1 ] && mkdir "$HERE/first" 2>/dev/null; then echo $PPID >"$HERE/agent"; sleep 600; fi
        echo "{\"loss\": 1}"
    "#;
    let site = Site::fake(script, STUDY);
    fs::write(site.path("s.toml"), format!("{STUDY}\n[env]\nHERE = \"{}\"\n", ".")).unwrap();
    let mut child = site.start(&["run", "s.toml", "--out", "out", "--backend", "slurm"]);
    wait_for("trial 1 starts", || site.pids("agent").first().is_some_and(|pid| !pid.is_empty()));
    let agent = site.pids("agent")[0].clone();
    let killed = Instant::now();
    Command::new("kill").args(["-9", &agent]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success());
    is_whole(&site, 12);
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    assert_eq!(site.calls().iter().filter(|call| call.starts_with("sbatch")).count(), 1);
}

#[test]
fn a_pilot_that_is_lost_is_replaced_and_slurm_is_asked_seldom() {
    let script = r#"sleep 0.2; echo "{\"loss\": 1}""#;
    let site = Site::fake(script, STUDY);
    let mut child = site.start(&["run", "s.toml", "--out", "out", "--backend", "slurm"]);
    wait_for("trials run", || site.pids("out/trials/4/stdout").len() == 1);
    let job = site.pids("fake/1/pid")[0].clone();
    // The next one waits in the queue, and nobody knows for how long.
    fs::write(site.path("fake/slow"), "").unwrap();
    Command::new("kill").args(["-9", "--", &format!("-{job}")]).status().unwrap();
    assert!(child.wait().unwrap().success());
    is_whole(&site, 12);
    let calls = site.calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("sbatch")).count(), 2);
    // The cluster may have a node less than before.
    let second = calls.iter().rfind(|call| call.starts_with("sbatch")).unwrap();
    assert!(second.contains("--nodes=1-3"), "{second}");
    let asked: Vec<f64> = calls
        .iter()
        .filter(|call| call.starts_with("squeue"))
        .map(|call| call.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(!asked.is_empty() && asked.windows(2).all(|pair| pair[1] - pair[0] >= 9.5), "{asked:?}");
}

#[test]
fn a_cancelled_study_signals_its_jobs_and_then_cancels_them() {
    let script = r#"trap 'echo bye >"$OUT.bye"; exit' TERM; echo x; OUT=$(pwd)/t; while :; do sleep 0.02; done"#;
    let site = Site::fake(script, STUDY);
    let child = site.start(&["run", "s.toml", "--out", "out", "--backend", "slurm"]);
    wait_for("trials run", || site.pids("out/trials/2/stdout").len() == 1);
    std::thread::sleep(Duration::from_millis(200));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
    assert!(site.path("t.bye").exists(), "the programs were asked to end");
    let calls = site.calls();
    let cancels: Vec<&String> = calls.iter().filter(|call| call.starts_with("scancel")).skip(1).collect();
    assert!(cancels[0].contains("--signal=TERM") && !cancels[1].contains("--signal"), "{cancels:?}");
    assert!(!cancels[0].contains("--full"), "{cancels:?}");
    for pid in site.pids("fake/1/agents") {
        wait_for("the agents go", || !alive(&pid));
    }
    // It goes on from there.
    fs::write(site.path("p.sh"), ONE_LINE).unwrap();
    let output = site.start(&["resume", "out", "--backend", "slurm"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    is_whole(&site, 12);
}

/// The programs take a second to end, and have five. They hear each signal once.
fn gives_grace(site: impl FnOnce(&str, &str) -> Site, mode: &str, runs_out: bool) {
    let script = r#"
        OUT=$(pwd)/$TUNEKIT_TRIAL
        trap 'trap "" TERM; sleep 1; echo bye >"$OUT.bye"; exit' TERM
        echo x
        while :; do sleep 0.02; done
    "#;
    let study = STUDY.replace("grace_s = 0.2", "grace_s = 5");
    let study = if runs_out { format!("{study}\nmax_wall_time_s = 3") } else { study };
    let site = site(script, &format!("{study}\n[backend]\nkind = \"slurm\"\nmode = \"{mode}\"\n"));
    let child = site.start(&["run", "s.toml", "--out", "out"]);
    let begun = |trial: u32| site.pids(&format!("out/trials/{trial}/stdout")).len() == 1;
    wait_for("a trial runs", || (0..3).any(begun));
    if !runs_out {
        wait_for("trials run", || (0..3).all(begun));
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for trial in (0..3).filter(|trial| begun(*trial)) {
        assert!(site.path(&format!("{trial}.bye")).exists(), "{mode}, runs out {runs_out}: trial {trial} was killed");
    }
    let ended = site.calls().iter().filter(|call| call.starts_with("squeue")).count();
    assert!(ended < 8, "Slurm was asked {ended} times");
}

#[test]
fn programs_of_a_pilot_have_their_grace_period_at_a_signal_and_at_the_end_of_time() {
    gives_grace(Site::fake, "pilot", false);
    gives_grace(Site::fake, "pilot", true);
}

#[test]
fn programs_of_single_jobs_have_their_grace_period_at_a_signal_and_at_the_end_of_time() {
    gives_grace(Site::fake, "job", false);
    gives_grace(Site::fake, "job", true);
}

#[test]
fn a_submission_that_is_refused_while_a_study_runs_is_repeated() {
    let study = format!("{STUDY}\n[backend]\nkind = \"slurm\"\nmode = \"job\"\n");
    let site = Site::fake(ONE_LINE, &study);
    fs::write(site.path("fake/refuse-once"), "").unwrap();
    let output = site.run(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!site.path("fake/refuse-once").exists(), "it was refused once");
    is_whole(&site, 12);
}

#[test]
fn a_killed_tuner_leaves_jobs_that_the_next_one_ends() {
    let site = Site::fake("sleep 600", STUDY);
    let mut child = site.start(&["run", "s.toml", "--out", "out", "--backend", "slurm"]);
    wait_for("trials run", || site.path("out/trials/2").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let agents = site.pids("fake/1/agents");
    let before = site.calls().len();
    fs::write(site.path("p.sh"), ONE_LINE).unwrap();
    let output = site.start(&["resume", "out", "--backend", "slurm"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    is_whole(&site, 12);
    assert!(agents.iter().all(|pid| !alive(pid)), "the first job's agents");
    // They are ended before anything new is submitted.
    assert!(site.calls()[before].starts_with("scancel"), "{:?}", site.calls());
}

#[test]
fn what_slurm_refuses_is_said_and_the_journal_is_kept() {
    let site = Site::fake(ONE_LINE, STUDY);
    fs::write(site.path("fake/refuse"), "").unwrap();
    let output = site.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("invalid partition"), "{}", said(&output));
    fs::remove_file(site.path("fake/refuse")).unwrap();
    assert!(site.run(&[]).status.success());
    is_whole(&site, 12);
}
