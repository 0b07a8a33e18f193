//! Runs the benchmark: the scratch folder, the server, and every entrant in turn, each in its own process.
//!
//! `workloads` and `engines` define the runs. `rig measure`, which starts the entrant as its child process, measures
//! their time. The processes that keep the folder and run the server end with this process, even if it is killed,
//! because they hold the other end of a pipe. They are in their own process groups, so that Ctrl-C does not end them
//! too early.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::engines::{Ends, Engine, Tools};
use super::machine;
use super::results::{Measure, Outcome, Results, Row};
use super::stats;
use super::workloads::{BUCKET, Entrant, Job, Network, Workload};

/// Room for the largest file that a workload writes, and some reserve.
const ROOM_BYTES: u64 = 4 << 30;

/// The exit code of an engine of `xtask/peers` that cannot do a workload.
const UNABLE: i64 = 3;

/// The program beside the engines, and the file to which every run is written.
pub(super) struct Rig {
    program: PathBuf,
    raw: PathBuf,
}

impl Rig {
    pub(super) fn new(peers: &Path, raw: &Path) -> Self {
        Self { program: peers.join("rig"), raw: raw.to_path_buf() }
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// Adds a line to the raw results.
    fn note(&self, line: &Value) -> Result<(), String> {
        let failed = |error| format!("failed to write {}: {error}", self.raw.display());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.raw).map_err(failed)?;
        writeln!(file, "{line}").map_err(failed)
    }
}

/// A process that prints one line when it is ready, and ends when its standard input is closed.
struct Attendant {
    child: Child,
}

impl Attendant {
    fn start(command: &mut Command) -> Result<(Self, String), String> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("failed to start {name}: {error}"))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let this = Self { child };
        match read {
            Ok(n) if n > 0 => Ok((this, line.trim_end().to_owned())),
            _ => Err(format!("{name} ended before it was ready")),
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("a process of the benchmark was not waited for: {error}");
        }
    }
}

/// The scratch folder; removed when this value is dropped, or when this process ends.
pub(super) struct Place {
    folder: PathBuf,
    _keeper: Attendant,
}

impl Place {
    /// In memory if there is room, on a disk otherwise.
    pub(super) fn keep(rig: &Rig) -> Result<Self, String> {
        let mut command = rig.command();
        command.args(["keep", &ROOM_BYTES.to_string(), "/dev/shm"]).arg(std::env::temp_dir());
        let (keeper, folder) = Attendant::start(&mut command)?;
        Ok(Self { folder: folder.into(), _keeper: keeper })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

struct Server {
    endpoint: String,
    region: String,
    environment: Vec<(&'static str, String)>,
    _attendant: Attendant,
}

impl Server {
    fn start(rig: &Rig, place: &Place, network: Network, entrants: &[Entrant]) -> Result<Self, String> {
        let mut command = rig.command();
        command.args(["serve", BUCKET]);
        let pem = place.path("certificate.pem");
        match network {
            Network::Plain => {}
            Network::Tls => {
                command.args(["--tls", &pem]);
            }
            Network::Shaped(profile) => {
                let file = place.path("profile.toml");
                fs::write(&file, profile).map_err(|error| format!("failed to write {file}: {error}"))?;
                command.args(["--profile", &file]);
            }
        }
        let mut objects: Vec<String> = entrants.iter().map(|entrant| entrant.job.object()).collect();
        objects.sort_unstable();
        objects.dedup();
        let (attendant, line) = Attendant::start(command.args(objects))?;
        let line: Value =
            serde_json::from_str(&line).map_err(|error| format!("the server answered {line}: {error}"))?;
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID", text("access_key")),
            ("AWS_SECRET_ACCESS_KEY", text("secret_key")),
            ("AWS_REGION", text("region")),
            ("AWS_DEFAULT_REGION", text("region")),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            // The configuration of this machine's user must not influence the runs.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ];
        if network == Network::Tls {
            environment.extend([("SSL_CERT_FILE", pem.clone()), ("AWS_CA_BUNDLE", pem)]);
        }
        Ok(Self { endpoint: text("endpoint"), region: text("region"), environment, _attendant: attendant })
    }
}

/// Runs a workload's entrants in turn, `rounds` times.
///
/// # Errors
/// A failure of the rig; an entrant that fails is a result.
pub(super) fn run(
    rig: &Rig,
    tools: &Tools,
    place: &Place,
    workload: &Workload,
    entrants: &[Entrant],
    rounds: u32,
) -> Result<Results, String> {
    let server = Server::start(rig, place, workload.network, entrants)?;
    let mut rows: Vec<Row> = entrants.iter().cloned().map(Row::new).collect();
    let mut load = (f64::MAX, f64::MIN);
    for round in 0..rounds {
        for at in stats::order(round, rows.len()) {
            let row = &mut rows[at];
            if row.is_over() {
                continue;
            }
            let now = machine::load().unwrap_or(f64::NAN);
            let outcome = once(rig, tools, place, &server, &row.entrant)?;
            eprintln!("{:11} {}/{rounds} {:20} {}", workload.name, round + 1, row.entrant.label, progress(&outcome));
            if !matches!(outcome, Outcome::Unable(_)) {
                load = (load.0.min(now), load.1.max(now));
            }
            rig.note(&raw_line(workload, row, round, now, &outcome))?;
            row.record(round, outcome);
        }
    }
    let load = if load.0 > load.1 { (f64::NAN, f64::NAN) } else { load };
    Ok(Results { rows, load })
}

/// One run of one entrant, checked.
fn once(rig: &Rig, tools: &Tools, place: &Place, server: &Server, entrant: &Entrant) -> Result<Outcome, String> {
    let engine = Engine::named(entrant.engine).ok_or_else(|| format!("there is no engine {}", entrant.engine))?;
    let (out, log) = (place.path("out"), place.path("log"));
    let job = entrant.job;
    clear(&out)?;
    if let Job::Many { .. } = job {
        fs::create_dir(&out).map_err(|error| format!("failed to make {out}: {error}"))?;
    }
    let ends = Ends { endpoint: &server.endpoint, region: &server.region, out: &out };
    let command = match engine.command(tools, job, entrant.concurrency, &ends) {
        Ok(command) => command,
        Err(why) => return Ok(Outcome::Unable(why)),
    };
    let measured = rig
        .command()
        .args(["measure", &deadline_s(job).to_string(), &log, "--"])
        .args(&command)
        .envs(server.environment.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("failed to start {}: {error}", rig.program.display()))?;
    if !measured.status.success() {
        return Err(format!("`rig measure` failed ({}) on {}", measured.status, command.join(" ")));
    }
    let figures: Value =
        serde_json::from_slice(&measured.stdout).map_err(|error| format!("`rig measure` answered no JSON: {error}"))?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    let outcome = judge(&figures, &said, deadline_s(job));
    let outcome = match outcome {
        Outcome::Fine(measure) => match check(rig, job, &out, &said) {
            Ok(()) => Outcome::Fine(measure),
            Err(what) => Outcome::Wrong(what),
        },
        other => other,
    };
    clear(&out)?;
    Ok(outcome)
}

/// A generous deadline that no working engine approaches.
fn deadline_s(job: Job) -> u64 {
    60 + job.total() / 10_000_000
}

/// Judges the stopwatch's figures, before the bytes are checked.
fn judge(figures: &Value, said: &str, deadline_s: u64) -> Outcome {
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
    if figures["late"] == true {
        return Outcome::Failed(format!("not done after {deadline_s} s"));
    }
    match figures["exit"].as_i64() {
        Some(0) => {}
        Some(UNABLE) => return Outcome::Unable(last),
        Some(code) => return Outcome::Failed(format!("exit code {code}: {last}")),
        None => return Outcome::Failed(format!("ended by a signal: {last}")),
    }
    let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    Outcome::Fine(Measure {
        wall_s: figure("wall_s"),
        cpu_s: figure("user_s") + figure("system_s"),
        peak_mib: figure("peak_kib") / 1024.0,
    })
}

/// Compares the bytes that arrived with the object's.
fn check(rig: &Rig, job: Job, out: &str, said: &str) -> Result<(), String> {
    let key = job.key();
    let mut command = rig.command();
    match job {
        Job::Null { bytes } => {
            let count = said.lines().rev().find_map(|line| line.trim().parse::<u64>().ok());
            return match count {
                Some(count) if count == bytes => Ok(()),
                Some(count) => Err(format!("{count} bytes instead of {bytes}")),
                None => Err("it did not say how many bytes it received".to_owned()),
            };
        }
        Job::File { bytes } => command.args(["verify", out, BUCKET, &key, &bytes.to_string()]),
        Job::Many { count, bytes } => {
            command.args(["verify-many", out, BUCKET, &key, &count.to_string(), &bytes.to_string()])
        }
    };
    let output = command.output().map_err(|error| format!("`rig verify` did not start: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Removes everything that the last run has left.
fn clear(out: &str) -> Result<(), String> {
    let removed = if Path::new(out).is_dir() { fs::remove_dir_all(out) } else { fs::remove_file(out) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("failed to remove {out}: {error}")),
        _ => Ok(()),
    }
}

fn progress(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Fine(m) => format!("{:7.2} s {:7.2} CPU s {:6.0} MiB", m.wall_s, m.cpu_s, m.peak_mib),
        Outcome::Wrong(what) => format!("WRONG: {what}"),
        Outcome::Failed(what) => format!("FAILED: {what}"),
        Outcome::Unable(what) => format!("left out: {what}"),
    }
}

fn raw_line(workload: &Workload, row: &Row, round: u32, load: f64, outcome: &Outcome) -> Value {
    let mut line = json!({
        "workload": workload.name,
        "round": round,
        "engine": row.entrant.engine,
        "label": row.entrant.label,
        "bytes": row.entrant.job.total(),
        "load": load,
    });
    let (name, value) = match outcome {
        Outcome::Fine(m) => ("fine", json!({"wall_s": m.wall_s, "cpu_s": m.cpu_s, "peak_mib": m.peak_mib})),
        Outcome::Wrong(what) => ("wrong", what.as_str().into()),
        Outcome::Failed(what) => ("failed", what.as_str().into()),
        Outcome::Unable(what) => ("unable", what.as_str().into()),
    };
    line[name] = value;
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_fine_only_when_it_ended_well_and_in_time() {
        let figures =
            json!({"wall_s": 2.0, "user_s": 1.0, "system_s": 0.5, "peak_kib": 2048, "exit": 0, "late": false});
        assert_eq!(judge(&figures, "", 9), Outcome::Fine(Measure { wall_s: 2.0, cpu_s: 1.5, peak_mib: 2.0 }));
        let with = |name: &str, value: Value| {
            let mut figures = figures.clone();
            figures[name] = value;
            judge(&figures, "first\nlast words\n\n", 9)
        };
        assert_eq!(with("exit", 1.into()), Outcome::Failed("exit code 1: last words".into()));
        assert_eq!(with("exit", 3.into()), Outcome::Unable("last words".into()));
        assert_eq!(with("exit", Value::Null), Outcome::Failed("ended by a signal: last words".into()));
        assert_eq!(with("late", true.into()), Outcome::Failed("not done after 9 s".into()));
    }

    #[test]
    fn into_nothing_the_engines_own_count_is_compared() {
        let rig = Rig::new(Path::new("none"), Path::new("none"));
        let job = Job::Null { bytes: 7 };
        assert_eq!(check(&rig, job, "", "a warning\n7\n"), Ok(()));
        assert!(check(&rig, job, "", "6\n").unwrap_err().contains("6 bytes instead of 7"));
        assert!(check(&rig, job, "", "").is_err());
    }

    #[test]
    fn a_raw_line_says_how_the_run_ended() {
        let workload = super::super::workloads::all().remove(0);
        let row = Row::new(workload.entrants(&["tm"]).remove(0));
        let line = raw_line(&workload, &row, 2, 0.5, &Outcome::Wrong("byte 3".into()));
        assert_eq!((line["engine"].as_str(), line["wrong"].as_str()), (Some("tm"), Some("byte 3")));
        assert!(line.get("fine").is_none());
    }
}
