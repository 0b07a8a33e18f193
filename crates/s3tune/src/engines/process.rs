//! Runs another program to its end: its time, its exit status, and the end of its output.

use std::collections::BTreeSet;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::metric::shortened;

/// The number of bytes that are kept of an output: a program with endless output must not fill the memory.
const KEPT: usize = 64 << 10;
/// The wait for the rest in a pipe once a program has ended; its child processes may hold the pipe for ever.
const MOST_FOR_THE_REST: Duration = Duration::from_secs(2);

/// A program that has ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) took: Duration,
    pub(super) stdout: Tail,
    pub(super) stderr: Tail,
}

/// The end of an output.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

/// The groups of all programs that run.
static LIVE: Groups = Groups::new();

/// Kills every program that runs, with all that it started. For a process that ends without dropping anything.
pub(crate) fn kill_all() {
    LIVE.kill();
}

/// Starts a program, waits for its end, and calls `ended` then; its output may continue after that. If the future is
/// dropped, the program and its child processes are killed.
pub(super) async fn run(command: &mut Command, ended: impl FnOnce()) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: a Ctrl-C at the terminal is ours to act on, and the program's children end with it.
    command.process_group(0).kill_on_drop(true);
    let started = Instant::now();
    let mut child = command.spawn()?;
    let group = Group::of(&child, &LIVE);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let (status, took) = {
        let mut reading = std::pin::pin!(async { tokio::join!(stdout.read(out), stderr.read(err)) });
        let mut all_read = false;
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status?,
                _ = &mut reading, if !all_read => all_read = true,
            }
        };
        let took = started.elapsed();
        ended();
        // Its children must not write on into a file that is being checked.
        drop(group);
        if !all_read {
            let _ = timeout(MOST_FOR_THE_REST, reading).await;
        }
        (status, took)
    };
    Ok(Ended { status, took, stdout, stderr })
}

impl Ended {
    /// The last `most` lines it wrote to standard error, or to standard output where that is empty, without the
    /// `secrets`.
    pub(super) fn last_words(&self, most: usize, secrets: &[String]) -> String {
        let [stderr, stdout] = [&self.stderr, &self.stdout].map(|tail| tail.text(secrets));
        let lines = |text: &str| {
            let mut last: Vec<String> =
                text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(most).map(shortened).collect();
            last.reverse();
            last.join(" / ")
        };
        [lines(&stderr), lines(&stdout)]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "it says nothing".to_owned())
    }
}

impl Tail {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; 8 << 10];
        // An error is the end of the output.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.bytes.extend_from_slice(&buffer[..read]);
            if self.bytes.len() > 2 * KEPT {
                self.bytes.drain(..self.bytes.len() - KEPT);
                self.is_cut = true;
            }
        }
    }

    /// As text, with `***` in place of each of the `secrets`.
    pub(super) fn text(&self, secrets: &[String]) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        for secret in secrets {
            text = text.replace(secret, "***");
        }
        if !self.is_cut {
            return text;
        }
        // The first line is part of one, and may begin in the middle of a secret.
        let longest = secrets.iter().map(String::len).max().unwrap_or(0);
        match text.split_once('\n') {
            Some((_, rest)) => rest.to_owned(),
            None => text.chars().skip(longest).collect(),
        }
    }
}

/// Groups of processes that run.
struct Groups(Mutex<BTreeSet<i32>>);

impl Groups {
    const fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    fn kill(&self) {
        for group in self.locked().iter().copied().filter_map(Pid::from_raw) {
            kill_group(group);
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program with all its children; killed when dropped.
struct Group<'a> {
    id: Option<Pid>,
    among: &'a Groups,
}

impl<'a> Group<'a> {
    fn of(child: &Child, among: &'a Groups) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        among.locked().extend(id.map(Pid::as_raw_pid));
        Self { id, among }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.id {
            kill_group(group);
            self.among.locked().remove(&group.as_raw_pid());
        }
    }
}

fn kill_group(group: Pid) {
    // An error means that the group has no process left.
    let _ = kill_process_group(group, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn of_a_flood_only_the_end_is_kept() {
        let flood = "i=0; while [ $i -lt 3000 ]; do printf '%0100d\\n' $i; i=$((i+1)); done; echo 1.5";
        let ended = run(&mut shell(flood), || ()).await.unwrap();
        assert!(ended.stdout.is_cut && ended.stdout.bytes.len() <= 2 * KEPT, "{}", ended.stdout.bytes.len());
        let text = ended.stdout.text(&[]);
        assert!(text.ends_with("\n1.5\n") && text.lines().all(|line| line.len() == 100 || line == "1.5"));
    }

    #[tokio::test]
    async fn a_secret_that_a_program_repeats_is_masked() {
        let secret = "wJalrXUtnFEMI/K7MDENG".to_owned();
        let ended = run(&mut shell(&format!("echo key={secret} >&2; exit 3")), || ()).await.unwrap();
        assert_eq!(ended.last_words(3, &[secret]), "key=***");
        // Also where the output was cut in its middle.
        let tail = Tail { bytes: b"7MDENG and more".to_vec(), is_cut: true };
        let text = tail.text(&["wJalrXUtnFEMI/K7MDENG".to_owned()]);
        assert!(!text.contains("MDENG"), "{text}");
    }

    #[tokio::test]
    async fn a_program_ends_although_what_it_started_holds_its_output() {
        let mark = tempfile::NamedTempFile::new().unwrap();
        // It is in another group, once it says so: it outlives the program and keeps both pipes open.
        let script =
            "setsid sh -c 'echo $$ > '\"$0\"'; exec sleep 30' & while [ ! -s \"$0\" ]; do sleep 0.01; done; echo 2";
        let mut command = shell(script);
        command.arg(mark.path());
        let ended = run(&mut command, || ()).await.unwrap();
        assert_eq!(ended.stdout.text(&[]).trim(), "2");
        let pid: i32 = std::fs::read_to_string(mark.path()).unwrap().trim().parse().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!stat.is_empty() && !stat.contains(") Z"), "its end was waited for: {stat:?}");
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn programs_that_run_can_be_killed_all_at_once() {
        let groups = Groups::new();
        let start = || {
            let mut child = shell("sleep 600 & wait").process_group(0).kill_on_drop(true).spawn().unwrap();
            let group = Group::of(&child, &groups);
            (async move { child.wait().await.unwrap() }, group)
        };
        let (one, two) = (start(), start());
        assert_eq!(groups.locked().len(), 2);
        groups.kill();
        for ended in [one.0.await, two.0.await] {
            assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()));
        }
        drop((one.1, two.1));
        assert_eq!(groups.locked().len(), 0);
    }
}
