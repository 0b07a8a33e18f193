//! One `tunekit serve` at the other end of two pipes, and its CPU time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The ticks of /proc's times: 100 a second on every Linux, whatever the kernel's own clock.
const TICKS_PER_S: f64 = 100.0;

/// A running `tunekit serve`; it is ended when this is dropped.
pub(super) struct Session {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    /// Starts `tunekit` and has it make the study that `create` describes.
    ///
    /// # Errors
    /// A program that cannot be started, or its refusal.
    pub(super) fn start(tunekit: &Path, create: &Value) -> Result<Self, String> {
        let mut child = Command::new(tunekit)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("failed to start {}: {error}", tunekit.display()))?;
        let requests = child.stdin.take().expect("standard input was asked for");
        let answers = BufReader::new(child.stdout.take().expect("standard output was asked for"));
        let mut session = Self { child, requests, answers };
        session.say(create)?;
        Ok(session)
    }

    /// The answer to one request.
    ///
    /// # Errors
    /// An answer that is an error, or none.
    pub(super) fn say(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{request}").map_err(|error| format!("tunekit takes no more requests: {error}"))?;
        let mut line = String::new();
        let bytes = self.answers.read_line(&mut line).map_err(|error| format!("tunekit's answer is lost: {error}"))?;
        if bytes == 0 {
            return Err(format!("tunekit ended without an answer to {request}"));
        }
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| format!("tunekit answered {line:?}: {error}"))?;
        match answer.get("error") {
            Some(error) => Err(error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
            None => Ok(answer),
        }
    }

    /// Seconds on a processor so far, over the threads there are.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn cpu_s(&self) -> Result<f64, String> {
        let process = format!("/proc/{}", self.child.id());
        // Nanoseconds where the kernel counts them by thread; else ticks.
        precise(&process).or_else(|| coarse(&process)).ok_or_else(|| format!("failed to read the times in {process}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to end or to report.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn precise(process: &str) -> Option<f64> {
    let tasks = fs::read_dir(format!("{process}/task")).ok()?;
    tasks.map(|task| on_processor(&fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?)).sum()
}

fn coarse(process: &str) -> Option<f64> {
    user_and_system(&fs::read_to_string(format!("{process}/stat")).ok()?)
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn on_processor(schedstat: &str) -> Option<f64> {
    Some(schedstat.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

/// Fields 14 and 15 of `stat`; the second one, a name, may hold anything up to the last `)`.
fn user_and_system(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_kernel_writes_them() {
        assert_eq!(on_processor("1500000000 26619745 2\n"), Some(1.5));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 1 1 1";
        assert_eq!(user_and_system(stat), Some(3.0));
        assert_eq!((on_processor(""), user_and_system("7 (a) S 1")), (None, None));
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        let error = Session::start(Path::new("/no/such/tunekit"), &Value::Null).err().unwrap();
        assert!(error.contains("/no/such/tunekit"), "{error}");
    }
}
