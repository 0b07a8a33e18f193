//! A stopwatch around one process: wall clock, and the system's account of its resources.
//!
//! In a process of its own, as the system sums up the children of a process and keeps only the largest of their peaks:
//! with one child those are the child's.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// The costs of one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Costs {
    pub(crate) wall_s: f64,
    /// User and system.
    pub(crate) cpu_s: f64,
    pub(crate) peak_mib: f64,
}

/// Between two looks whether the process has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Runs `command`, whose output goes to `log`, for at most so many seconds; gives its costs as JSON.
pub(crate) fn run(seconds: u64, log: &Path, command: &[String]) -> Result<String, String> {
    let out = File::create(log).map_err(|error| format!("failed to make {}: {error}", log.display()))?;
    let errors = out.try_clone().map_err(|error| error.to_string())?;
    let (program, words) = command.split_first().ok_or("there is no command")?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("failed to start {program}: {error}"))?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if began.elapsed() > Duration::from_secs(seconds) {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            return Err(format!("{program} was not done after {seconds} s"));
        }
        std::thread::sleep(LOOK);
    };
    let wall_s = began.elapsed().as_secs_f64();
    if !status.success() {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        return Err(format!("{program}: {status}: {last}"));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu_s = seconds(usage.user_time()) + seconds(usage.system_time());
    let costs = Costs { wall_s, cpu_s, peak_mib: usage.max_rss() as f64 / 1024.0 };
    serde_json::to_string(&costs).map_err(|error| error.to_string())
}
