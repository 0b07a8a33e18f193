//! A stopwatch around one process: wall clock, and what the system says it used.
//!
//! In a process of its own, as the system sums up the children of a process and keeps only the largest of their peaks:
//! with one child those are the child's.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

pub fn run(seconds: &str, output: &str, command: &[&str]) -> Result<()> {
    let deadline = Duration::from_secs(seconds.parse().context("SECONDS is not a number")?);
    let out = File::create(output).with_context(|| format!("failed to make {output}"))?;
    let start = Instant::now();
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("failed to start {}", command[0]))?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (ended, wait) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout);
        // Not yet waited for, so the number is still the child's.
        late && kill(pid, Signal::SIGKILL).is_ok()
    });
    let status = child.wait()?;
    let wall = start.elapsed();
    drop(ended);
    let late = watch.join().expect("the watch does not panic");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let line = json!({
        "wall_s": wall.as_secs_f64(),
        "user_s": seconds(usage.user_time()),
        "system_s": seconds(usage.system_time()),
        "peak_kib": usage.max_rss(),
        "exit": status.code(),
        "late": late && !status.success(),
    });
    println!("{line}");
    Ok(())
}
