//! The machine's resources for a process: memory, open files, and processor time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::io::Errno;

/// Memory that is assumed where the system's cannot be read.
const UNKNOWN_MEMORY: u64 = 2 << 30;
/// Connections, and files, that transfers may open where nothing limits it.
const MOST_CONNECTIONS: u64 = 4096;

/// The machine's memory in bytes, or the control group's limit if that is less. Read once.
pub(crate) fn memory_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let read = |path: &str| fs::read_to_string(path).ok();
        let machine = read("/proc/meminfo").and_then(|text| mem_total(&text));
        // Version 2 of control groups, where the process sees its own group as the root (containers) or not; version 1.
        let own = read("/proc/self/cgroup").unwrap_or_default();
        let groups =
            own_groups(&own).into_iter().filter_map(|path| read(&path)).filter_map(|text| text.trim().parse().ok());
        groups.chain(machine).min().unwrap_or(UNKNOWN_MEMORY)
    })
}

/// Connections that transfers may have open: half of the files that the process may open. A quarter is for
/// [`files`], the rest for the caller's own.
pub(crate) fn connections() -> u32 {
    share_of_open_files(2)
}

/// Files that transfers may have open: a quarter of the files that the process may open.
pub(crate) fn files() -> u32 {
    share_of_open_files(4)
}

fn share_of_open_files(divisor: u64) -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = limit.map_or(MOST_CONNECTIONS, |files| files / divisor);
    u32::try_from(share.clamp(1, MOST_CONNECTIONS)).expect("at most MOST_CONNECTIONS")
}

/// A span of time, and how much of it this process spent on the machine's processors.
#[derive(Debug)]
pub(crate) struct Stint {
    began: Instant,
    used: Duration,
}

impl Stint {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), used: processor_time() }
    }

    /// Share of the time of all processors that it may use. 0 where a transfer that took `elapsed` by its own clock did
    /// not run in real time, as in tests.
    pub(crate) fn share(&self, elapsed: Duration) -> f64 {
        let real = self.began.elapsed();
        if real.is_zero() || real < elapsed / 2 {
            return 0.0;
        }
        let used = processor_time().saturating_sub(self.used);
        (used.as_secs_f64() / real.as_secs_f64() / processors() as f64).min(1.0)
    }
}

/// Processors that this process may use. Read once: the system's files that tell it take longer than a small upload's
/// own file does.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether `error` says that the process, or the machine, has too many files open.
pub(crate) fn is_without_descriptor(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE))
}

/// `MemTotal:       24684084 kB`.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that may hold a limit of the process's groups, from its `/proc/self/cgroup`.
fn own_groups(text: &str) -> Vec<String> {
    let mut files =
        vec!["/sys/fs/cgroup/memory.max".to_owned(), "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()];
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        // A limit higher up holds as well.
        let mut path = path.trim_end_matches('/');
        while !path.is_empty() {
            if controllers.is_empty() {
                files.push(format!("/sys/fs/cgroup{path}/memory.max"));
            } else if controllers.split(',').any(|controller| controller == "memory") {
                files.push(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
            }
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_linux_writes() {
        assert_eq!(mem_total("MemTotal:       24684084 kB\nMemFree: 1 kB\n"), Some(24_684_084 << 10));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
        assert!(memory_bytes() > 16 << 20);
        assert!(connections() >= 1 && files() >= 1);
    }

    #[test]
    fn limits_of_all_groups_above_are_looked_at() {
        let v2 = own_groups("0::/user.slice/job\n");
        assert!(v2.contains(&"/sys/fs/cgroup/user.slice/job/memory.max".to_owned()), "{v2:?}");
        assert!(v2.contains(&"/sys/fs/cgroup/user.slice/memory.max".to_owned()), "{v2:?}");
        let v1 = own_groups("7:memory:/docker/abc\n3:cpu,cpuacct:/x\n");
        assert!(v1.contains(&"/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes".to_owned()), "{v1:?}");
        assert!(!v1.iter().any(|file| file.contains("/x/")), "{v1:?}");
    }
}
