//! `Running`: another program from its start to its end, with everything that it starts.
//!
//! The program leads its own process group. So a Ctrl-C at the terminal reaches only this process, and the processes
//! that the program starts end with it. Its output goes to files; the relevant lines of its standard output are handed
//! on. A program that is dropped is asked to end, and killed after a grace period by a separate task ([`Endings`]).
//!
//! A file beside the output names the group while it runs. It tells a later process which group a killed process left
//! running. On Linux a separate task records the program's end, so the measured time does not depend on later polls.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The longest line that is parsed; a longer line is plain output.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes of the end of standard error that are kept in memory for an error's text.
const TAIL: usize = 8 << 10;
/// Bytes of an output that are kept on the disk; a program that floods its output must not fill it.
const MOST_KEPT: u64 = 256 << 20;
/// The wait for the rest in a pipe once the program has ended; a process that left its group may hold the pipe for
/// ever.
const MOST_FOR_THE_REST: Duration = Duration::from_secs(2);
/// The time between two looks at a group that is to end.
const LOOK: Duration = Duration::from_millis(10);
/// The file that names the group.
const PID: &str = "pid";

/// A program to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// The program and its words; not empty.
    pub(crate) words: &'a [String],
    /// The folder in which it runs.
    pub(crate) folder: &'a Path,
    /// Variables of its environment besides ours.
    pub(crate) env: &'a [(String, String)],
    /// The folder that gets `stdout` and `stderr`, appended to.
    pub(crate) output: &'a Path,
    /// The time between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// Programs that were dropped and have not ended yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endings(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Endings {
    /// Waits until every program that was dropped has ended: as long as their grace periods at most.
    pub(crate) async fn wait(&self) {
        loop {
            let ending = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(ending) = ending else { return };
            // A task that panicked has nothing left to end.
            let _ = ending.await;
        }
    }
}

/// A program that runs. `T` is a line that matters, as its reader made it.
#[derive(Debug)]
pub(crate) struct Running<T, G: Send + 'static> {
    /// `None` once it was reaped or handed to a task.
    child: Option<Child>,
    group: Option<Pid>,
    started: Instant,
    /// When it ended, once that was noticed.
    ended: Arc<OnceLock<Instant>>,
    lines: mpsc::Receiver<T>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    grace: Duration,
    pid_file: PathBuf,
    endings: Endings,
    /// A value that is held until the last process of the group is gone.
    held: Option<G>,
}

/// An event of a program.
#[derive(Debug)]
pub(crate) enum Happened<T> {
    /// It wrote a line that matters.
    Line(T),
    /// It ended.
    Ended(ExitStatus),
}

impl<T: Send + 'static, G: Send + 'static> Running<T, G> {
    /// Starts a program; `read` says which lines of its standard output matter. `held` is dropped when the last of the
    /// program's group is gone.
    pub(crate) fn start(
        start: &Start<'_>,
        held: G,
        endings: &Endings,
        read: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let output = |name: &str| OpenOptions::new().create(true).append(true).open(start.output.join(name));
        let (to_stdout, to_stderr) = (output("stdout")?, output("stderr")?);
        let mut command = Command::new(&start.words[0]);
        command.args(&start.words[1..]).current_dir(start.folder).envs(start.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid_file = start.output.join(PID);
        if let Some(group) = group {
            let mark = format!("{} {} {}\n", group.as_raw_nonzero(), start_time(group.as_raw_nonzero().get()), boot());
            // Without it the program is merely not found after a kill of ours.
            let _ = fs::write(&pid_file, mark);
        }
        let ended = Arc::default();
        if let Some(program) = group {
            note_end(program, &ended);
        }
        let (sender, lines) = mpsc::channel(256);
        let stdout = child.stdout.take();
        tokio::spawn(async move {
            let mut splitter = Splitter::default();
            let Some(mut copy) = stdout.map(|from| Copy::new(from, to_stdout)) else { return };
            while let Some(bytes) = copy.next().await {
                for line in splitter.add(bytes) {
                    if let Some(item) = read(&line) {
                        // Without a receiver nobody wants to know any more, but the file does.
                        let _ = sender.send(item).await;
                    }
                }
            }
            if let Some(item) = splitter.rest().and_then(|line| read(&line)) {
                let _ = sender.send(item).await;
            }
        });
        let stderr = child.stderr.take();
        let stderr = tokio::spawn(async move {
            let mut tail = Vec::new();
            let Some(mut copy) = stderr.map(|from| Copy::new(from, to_stderr)) else { return tail };
            while let Some(bytes) = copy.next().await {
                tail.extend_from_slice(bytes);
                if tail.len() > 2 * TAIL {
                    tail.drain(..tail.len() - TAIL);
                }
            }
            tail
        });
        Ok(Self {
            child: Some(child),
            group,
            started,
            ended,
            lines,
            stderr: Some(stderr),
            grace: start.grace,
            pid_file,
            endings: endings.clone(),
            held: Some(held),
        })
    }

    /// The time from its start to its end, or until now.
    pub(crate) fn elapsed(&self) -> Duration {
        self.ended.get().map_or_else(|| self.started.elapsed(), |ended| *ended - self.started)
    }

    /// Whether it is known to have ended within this time.
    pub(crate) fn ended_within(&self, limit: Option<Duration>) -> bool {
        self.ended.get().is_some_and(|ended| limit.is_none_or(|limit| *ended - self.started <= limit))
    }

    /// The next line that matters, or the program's end. Lines that were written before the end may follow it: see
    /// [`Running::rest`].
    pub(crate) async fn next(&mut self) -> io::Result<Happened<T>> {
        let Some(child) = &mut self.child else { return Err(io::Error::other("the program has ended already")) };
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => Ok(Happened::Line(line)),
            status = child.wait() => {
                self.child = None;
                Ok(Happened::Ended(status?))
            }
        }
    }

    /// The next line that was written before the program ended; `None` after the last one.
    pub(crate) async fn rest(&mut self) -> Option<T> {
        tokio::time::timeout(MOST_FOR_THE_REST, self.lines.recv()).await.ok().flatten()
    }

    /// Ends the program and all of its group: asked to, and killed after the grace period. Returns when it is gone.
    pub(crate) async fn end(&mut self) {
        // Both stay here until then: where this future is dropped, the program still is to be ended.
        if let Some(group) = self.group {
            end(&mut self.child, group, self.grace).await;
            self.group = None;
        }
        let _ = fs::remove_file(&self.pid_file);
        self.held = None;
    }

    /// The last `most` lines of its standard error, in one line; empty where there are none.
    pub(crate) async fn last_words(&mut self, most: usize) -> String {
        let Some(stderr) = self.stderr.take() else { return String::new() };
        let abort = stderr.abort_handle();
        let Ok(Ok(tail)) = tokio::time::timeout(MOST_FOR_THE_REST, stderr).await else {
            abort.abort();
            return String::new();
        };
        let text = String::from_utf8_lossy(&tail);
        let short = |line: &str| line.chars().take(300).collect::<String>();
        let mut last: Vec<String> =
            text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(most).map(short).collect();
        last.reverse();
        last.join(" / ")
    }
}

impl<T, G: Send + 'static> Drop for Running<T, G> {
    fn drop(&mut self) {
        let (mut child, Some(group)) = (self.child.take(), self.group.take()) else { return };
        let (grace, pid_file, held) = (self.grace, std::mem::take(&mut self.pid_file), self.held.take());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            let _ = kill_process_group(group, Signal::KILL);
            return;
        };
        let ending = runtime.spawn(async move {
            end(&mut child, group, grace).await;
            let _ = fs::remove_file(&pid_file);
            drop(held);
        });
        let mut endings = self.endings.0.lock().unwrap_or_else(PoisonError::into_inner);
        endings.retain(|ending| !ending.is_finished());
        endings.push(ending);
    }
}

/// Ends a group; its leader is `None` once it was reaped.
async fn end(leader: &mut Option<Child>, group: Pid, grace: Duration) {
    // An error says that nothing of the group is left.
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = tokio::time::Instant::now() + grace;
    loop {
        if leader.as_mut().is_some_and(|leader| !matches!(leader.try_wait(), Ok(None))) {
            *leader = None;
        }
        if leader.is_none() && test_kill_process_group(group).is_err() {
            return;
        }
        if tokio::time::Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let _ = kill_process_group(group, Signal::KILL);
    if let Some(child) = leader {
        let _ = child.wait().await;
        *leader = None;
    }
}

/// Records the time when a program ends, without reaping it in its parent's place. If the kernel does not report the
/// end, nothing is recorded.
fn note_end(program: Pid, ended: &Arc<OnceLock<Instant>>) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;
        let Ok(handle) = pidfd_open(program, PidfdFlags::empty()) else { return };
        #[allow(deprecated, reason = "its successor is unsafe for owned descriptors, too, with which this is sound")]
        let Ok(handle) = AsyncFd::with_interest(handle, Interest::READABLE) else { return };
        let ended = ended.clone();
        tokio::spawn(async move {
            if handle.readable().await.is_ok() {
                let _ = ended.set(Instant::now());
            }
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (program, ended);
}

/// Kills the program that a killed process left running in `output`, if it is still the same program, or the rest of
/// its group if the program itself has ended. Returns whether there was one.
pub(crate) fn end_leftover(output: &Path) -> bool {
    let path = output.join(PID);
    let Ok(text) = fs::read_to_string(&path) else { return false };
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 1);
    let started = words.next().unwrap_or_default();
    let booted = words.next().unwrap_or_default();
    let is_leader = pid.is_some_and(|pid| !started.is_empty() && start_time(pid) == started);
    // As long as the group lives its number is given to no process, so that a group without its leader is the same one.
    let is_gone = |pid: i32| !Path::new(&format!("/proc/{pid}")).exists();
    let same = is_leader || (pid.is_some_and(is_gone) && !booted.is_empty() && boot() == booted);
    let ended = match pid.and_then(Pid::from_raw).filter(|_| same) {
        Some(group) => kill_process_group(group, Signal::KILL).is_ok(),
        None => false,
    };
    let _ = fs::remove_file(path);
    ended
}

/// When a process started, in the kernel's ticks; empty where that cannot be known. With the number it names a process
/// for good, for numbers are used again.
fn start_time(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in brackets, which may hold anything; the start is the 22nd.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

/// The present life of the machine and the processes that a number names here; empty where that cannot be known.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // A restarted container numbers its processes from the beginning.
    let numbers = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let numbers = numbers.to_string_lossy();
    if id.is_empty() || numbers.is_empty() { String::new() } else { format!("{}/{numbers}", id.trim()) }
}

/// Copies an output to its file, piece by piece.
struct Copy<R> {
    from: R,
    to: File,
    buffer: Vec<u8>,
    kept: u64,
}

impl<R: AsyncRead + Unpin> Copy<R> {
    fn new(from: R, to: File) -> Self {
        Self { from, to, buffer: vec![0; 16 << 10], kept: 0 }
    }

    /// The next piece; `None` after the last one. An error is the end of the output.
    async fn next(&mut self) -> Option<&[u8]> {
        let Ok(read @ 1..) = self.from.read(&mut self.buffer).await else { return None };
        let bytes = &self.buffer[..read];
        if self.kept < MOST_KEPT {
            self.kept += read as u64;
            if let Err(error) = self.to.write_all(bytes) {
                tracing::warn!(%error, "the output of a program cannot be kept");
                self.kept = MOST_KEPT;
            } else if self.kept >= MOST_KEPT {
                let _ = self.to.write_all(b"\n[the rest is not kept]\n");
            }
        }
        Some(bytes)
    }
}

/// Splits bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    line: Vec<u8>,
    is_overlong: bool,
}

impl Splitter {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut parts = bytes.split(|b| *b == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.line.len() + part.len() > LONGEST_LINE {
                self.is_overlong = true;
                self.line.clear();
            } else if !self.is_overlong {
                self.line.extend_from_slice(part);
            }
            if parts.peek().is_some() {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// The line so far, unless it is too long.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let is_overlong = std::mem::take(&mut self.is_overlong);
        (!is_overlong && !line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str, grace_ms: u64) -> (Running<String, ()>, tempfile::TempDir, Endings) {
        let folder = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", script].map(str::to_owned);
        let endings = Endings::default();
        let start = Start {
            words: &words,
            folder: folder.path(),
            env: &[("OUT".to_owned(), folder.path().display().to_string())],
            output: folder.path(),
            grace: Duration::from_millis(grace_ms),
        };
        let running = Running::start(&start, (), &endings, |line| Some(line.to_owned())).unwrap();
        (running, folder, endings)
    }

    fn alive(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    }

    async fn ends(pid: &str) {
        for _ in 0..500 {
            if !alive(pid) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("{pid} is alive");
    }

    async fn first_line(running: &mut Running<String, ()>) -> String {
        match running.next().await.unwrap() {
            Happened::Line(line) => line,
            Happened::Ended(status) => panic!("{status}"),
        }
    }

    #[tokio::test]
    async fn output_is_kept_and_handed_on_line_by_line() {
        let (mut running, folder, _) = run("echo one; echo why >&2; printf 'two'; exit 3", 100).await;
        let mut lines = Vec::new();
        // The end may be seen before the lines.
        let status = loop {
            match running.next().await.unwrap() {
                Happened::Line(line) => lines.push(line),
                Happened::Ended(status) => break status,
            }
        };
        while let Some(line) = running.rest().await {
            lines.push(line);
        }
        assert_eq!(lines[0], "one");
        assert_eq!((status.code(), running.last_words(3).await.as_str()), (Some(3), "why"));
        running.end().await;
        assert_eq!(fs::read_to_string(folder.path().join("stdout")).unwrap(), "one\ntwo");
        assert!(!folder.path().join("pid").exists());
    }

    #[tokio::test]
    async fn all_of_the_group_ends_even_what_ignores_the_request() {
        let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; sleep 60; sleep 60' & wait; sleep 60";
        let (mut running, _folder, _) = run(script, 50).await;
        let child = first_line(&mut running).await;
        assert!(alive(&child));
        let began = Instant::now();
        running.end().await;
        assert!(began.elapsed() >= Duration::from_millis(50));
        ends(&child).await;
    }

    #[tokio::test]
    async fn a_program_that_is_dropped_is_asked_first() {
        let script = "trap 'echo bye > $OUT/bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
        let (mut running, folder, endings) = run(script, 10_000).await;
        first_line(&mut running).await;
        drop(running);
        endings.wait().await;
        assert!(folder.path().join("bye").exists() && !folder.path().join("pid").exists());
    }

    #[tokio::test]
    async fn what_a_killed_process_left_running_is_found() {
        let (mut running, folder, _) = run("echo $$; exec sleep 60", 0).await;
        let pid = first_line(&mut running).await;
        let mark = fs::read_to_string(folder.path().join("pid")).unwrap();
        // Another process with the same number is left alone.
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("pid"), format!("{pid} 1\n")).unwrap();
        assert!(!end_leftover(other.path()) && alive(&pid));
        fs::write(other.path().join("pid"), mark).unwrap();
        assert!(end_leftover(other.path()));
        running.end().await;
        assert!(!alive(&pid));
    }

    #[tokio::test]
    async fn the_rest_of_a_group_whose_leader_ended_is_found() {
        let (mut running, folder, _) = run("sleep 60 & echo $!; sleep 0.2", 0).await;
        let child = first_line(&mut running).await;
        assert!(matches!(running.next().await.unwrap(), Happened::Ended(_)) && alive(&child));
        let mark = fs::read_to_string(folder.path().join("pid")).unwrap();
        // In another life of the machine the number names others.
        let other = tempfile::tempdir().unwrap();
        for wrong in [mark.replacen('-', "_", 1), mark.split_whitespace().take(2).collect::<Vec<_>>().join(" ")] {
            fs::write(other.path().join("pid"), wrong).unwrap();
            assert!(!end_leftover(other.path()) && alive(&child));
        }
        fs::write(other.path().join("pid"), mark).unwrap();
        assert!(end_leftover(other.path()));
        ends(&child).await;
        running.end().await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_time_of_a_program_is_its_own_whenever_it_is_asked_for() {
        // The second one closes its output long before its end.
        for (script, least) in [("sleep 0.1", 0.1), ("exec >&- 2>&-; sleep 0.3", 0.3)] {
            let (mut running, _folder, _) = run(script, 100).await;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(matches!(running.next().await.unwrap(), Happened::Ended(_)));
            let took = running.elapsed().as_secs_f64();
            assert!((least..1.2).contains(&took), "{script}: {took}");
        }
    }

    #[test]
    fn lines_are_split_whatever_the_pieces_and_overlong_ones_are_skipped() {
        let text = format!("a\n\n{}\nb\r\nc", "x".repeat(LONGEST_LINE + 1));
        for size in [1, 7, 4096] {
            let mut splitter = Splitter::default();
            let mut lines: Vec<String> = text.as_bytes().chunks(size).flat_map(|c| splitter.add(c)).collect();
            lines.extend(splitter.rest());
            assert_eq!(lines, ["a", "b\r", "c"]);
        }
    }
}
