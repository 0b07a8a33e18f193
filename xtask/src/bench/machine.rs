//! The machine and the programs behind the figures: processor, memory, kernel, date, versions.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::engines::{ENGINES, Tools};

/// Stated under every table.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// As in 2026-01-31, UTC.
    pub(super) date: String,
    /// A sentence.
    pub(super) hardware: String,
    /// Engine and version; absent ones are left out, for their rows say so.
    pub(super) versions: Vec<(&'static str, String)>,
}

/// Looks around.
///
/// # Errors
/// When the clock or the peers' lock file cannot be read; a fact that the system does not tell is `unknown`.
pub(super) fn describe(root: &Path, tools: &Tools) -> Result<Machine, String> {
    let lock = root.join("xtask/peers/Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(|error| format!("failed to read {}: {error}", lock.display()))?;
    let commit = commit(root);
    let versions = ENGINES.iter().filter_map(|engine| {
        let version = engine.version(tools, &lock).ok()?;
        let commit = commit.as_ref().filter(|_| engine.name == "s3xfer").map_or(String::new(), |c| format!(" at {c}"));
        Some((engine.name, format!("{} {version}{commit}", engine.made_of())))
    });
    Ok(Machine { date: today()?, hardware: hardware(root), versions: versions.collect() })
}

/// As in 2026-01-31, UTC.
///
/// # Errors
/// When the clock cannot be read.
pub(super) fn today() -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map(|now| date(now.as_secs())).map_err(|_| "the clock is before 1970; set it".to_owned())
}

/// Processor, memory, kernel and compiler, in a sentence; what the system does not tell is `unknown`.
pub(super) fn hardware(root: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    format!(
        "{}, {cores} cores, {} of memory, Linux {}, {}.",
        processor(&read("/proc/cpuinfo")).unwrap_or("unknown processor"),
        memory(&read("/proc/meminfo")).unwrap_or_else(|| "unknown size".to_owned()),
        read("/proc/sys/kernel/osrelease").trim(),
        output(root, "rustc", &["--version"]).unwrap_or_else(|| "unknown rustc".to_owned()),
    )
}

/// Our own version, where git knows it.
pub(super) fn commit(root: &Path) -> Option<String> {
    output(root, "git", &["describe", "--always", "--dirty", "--abbrev=9"])
}

/// The load average of the last minute.
pub(super) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn memory(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{:.0} GiB", kib / f64::from(1 << 20)))
}

/// Seconds since 1970 as a date: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn date(seconds: u64) -> String {
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn the_machine_is_read_from_the_kernels_files() {
        assert_eq!(processor("processor : 0\nmodel name\t: A B\nmodel name\t: C\n"), Some("A B"));
        assert_eq!(memory("MemTotal:       24689780 kB\nMemFree: 1 kB\n").as_deref(), Some("24 GiB"));
        assert_eq!((processor(""), memory("")), (None, None));
    }
}
