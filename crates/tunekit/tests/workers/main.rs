//! One study served to clients and workers elsewhere.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod folder;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tunekit::Experiment;

const STUDY: &str = r#"
    command = ["sh", "p.sh"]
    metric = "loss"
    searcher = "random"
    grace_s = 0.2
    [space]
    x = { type = "float", lo = 0, hi = 1 }
    [stop]
    max_trials = 24
"#;

struct Served {
    folder: tempfile::TempDir,
    server: Child,
    address: String,
}

impl Served {
    fn new(script: &str) -> Self {
        Self::of(script, STUDY)
    }

    /// The study of a file.
    fn of(script: &str, study: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.sh"), script).unwrap();
        std::fs::write(folder.path().join("s.toml"), study).unwrap();
        Self::start(folder, &["--study", "s.toml", "--out", "out"])
    }

    fn start(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let words = [["serve", "--listen", "127.0.0.1:0", "--token-file", "token"].as_slice(), more].concat();
        let stderr = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let mut server = tunekit(folder.path(), &words).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Json = serde_json::from_str(&line).unwrap();
        let address = said["listen"].as_str().unwrap().to_owned();
        Self { folder, server, address }
    }

    fn worker(&self, out: &str, workers: &str) -> Child {
        self.worker_at(&self.address, out, workers)
    }

    fn worker_at(&self, address: &str, out: &str, workers: &str) -> Child {
        let words =
            ["worker", "s.toml", "--connect", address, "--token-file", "token", "--out", out, "--workers", workers];
        tunekit(self.folder.path(), &words).stderr(Stdio::null()).spawn().unwrap()
    }

    fn client(&self, token: &str) -> Client {
        Client::connect(&self.address, token)
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("token")).unwrap().trim().to_owned()
    }

    /// Waits for the end of the study, and gives what came out.
    fn end(mut self) -> (Experiment, tempfile::TempDir) {
        assert!(self.server.wait().unwrap().success());
        (Experiment::load(self.folder.path().join("out")).unwrap(), self.folder)
    }
}

fn tunekit(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tunekit"));
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

struct Client {
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Client {
    fn connect(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let mut client = Self { input: BufReader::new(stream.try_clone().unwrap()), output: stream };
        let greeting = client.say(&format!(r#"{{"op":"auth","token":"{token}"}}"#));
        assert_eq!(greeting["ok"], true, "{greeting}");
        client
    }

    fn say(&mut self, line: &str) -> Json {
        writeln!(self.output, "{line}").unwrap();
        let mut answer = String::new();
        self.input.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_default()
    }
}

/// Another address of a server, whose connections stay open and carry nothing any more once the flag is set.
fn wire_to(server: &str) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, cut) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicBool::new(false)));
    let (server, is_cut) = (server.to_owned(), cut.clone());
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let is_cut = is_cut.clone();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = from.read(&mut bytes) {
                        while is_cut.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        if to.write_all(&bytes[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (address, cut)
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

/// Waits for the program's end, and ends the others.
fn ends_in_time(pid: &str, others: [&mut Child; 2]) {
    let began = Instant::now();
    while is_alive(pid) {
        // A server gives the trial away after 6 s; a sign of life every 2 s may have been on its way.
        assert!(began.elapsed() < Duration::from_secs(14), "the program runs on");
        std::thread::sleep(Duration::from_millis(20));
    }
    for child in others {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_worker_that_is_cut_off_ends_its_program_when_its_trial_is_given_away() {
    let mut served = Served::new("echo $$ >pid.part; mv pid.part pid; sleep 600");
    let (address, cut) = wire_to(&served.address);
    let mut worker = served.worker_at(&address, "a", "1");
    let pid = served.folder.path().join("pid");
    let began = Instant::now();
    while !pid.exists() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = std::fs::read_to_string(pid).unwrap();
    cut.store(true, Ordering::Relaxed);
    ends_in_time(&pid, [&mut worker, &mut served.server]);
}

#[test]
fn a_worker_that_is_cut_off_while_it_waits_for_an_answer_ends_its_program() {
    let script = "echo $$ >pid.part; mv pid.part pid; while :; do echo '{\"loss\": 1}'; sleep 0.02; done";
    let mut served = Served::new(script);
    let (address, cut) = wire_to(&served.address);
    let mut worker = served.worker_at(&address, "a", "1");
    let out = served.folder.path().join("out");
    let began = Instant::now();
    while Experiment::load(&out).map_or(0, |experiment| experiment.measurements()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = std::fs::read_to_string(served.folder.path().join("pid")).unwrap();
    cut.store(true, Ordering::Relaxed);
    ends_in_time(&pid, [&mut worker, &mut served.server]);
}

#[test]
fn a_trial_that_goes_on_costs_what_all_its_runs_cost() {
    // The first run of each trial takes longest.
    let script = "[ -e was$TUNEKIT_TRIAL ] || sleep 0.4; touch was$TUNEKIT_TRIAL; echo \"{\\\"loss\\\": $2}\"";
    let study = STUDY.replace("24", "4").replace(
        "[space]",
        "scheduler = \"racing\"\nscheduler_options = { replicates = 2 }\nmax_resource = 4\ncost = \"wall\"\n[space]",
    );
    let served = Served::of(script, &study);
    let mut workers = ["a", "b"].map(|out| served.worker(out, "1"));
    for worker in &mut workers {
        assert!(worker.wait().unwrap().success());
    }
    let (experiment, _folder) = served.end();
    let failures: Vec<_> = experiment.trials().iter().filter_map(|trial| trial.failure.clone()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let twice: Vec<_> = experiment.trials().iter().filter(|trial| trial.measurements.len() > 1).collect();
    assert!(!twice.is_empty());
    for trial in twice {
        let costs: Vec<f64> = trial.measurements.iter().filter_map(|m| m.cost).collect();
        assert!(costs.len() == trial.measurements.len() && costs.windows(2).all(|pair| pair[0] < pair[1]), "{costs:?}");
        assert!(costs[0] >= 0.4, "{costs:?}");
    }
}

#[test]
fn a_report_that_the_server_refuses_fails_its_trial_with_the_servers_reason() {
    let study = STUDY.replace("24", "1").replace("[space]", "cost = \"money\"\n[space]");
    let served = Served::of("echo '{\"loss\": 1, \"money\": -3}'", &study);
    assert!(served.worker("a", "1").wait().unwrap().success());
    let (experiment, _folder) = served.end();
    let failure = experiment.trials()[0].failure.clone().unwrap();
    assert!(failure.contains("refused") && failure.contains("the cost is -3"), "{failure}");
}

#[test]
fn one_clients_wrong_create_stops_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let create = |seed: u64| {
        format!(
            r#"{{"op":"create","searcher":"random","seed":{seed},"budget":2,
            "space":{{"x":{{"type":"float","lo":0,"hi":1}}}}}}"#
        )
        .replace('\n', "")
    };
    let mut journal = tunekit::serve::Server::with_journal(folder.path().join("j")).unwrap();
    assert_eq!(journal.answer(&create(1), Duration::ZERO).unwrap(), r#"{"ok":true}"#);
    drop(journal);
    let mut served = Served::start(folder, &["--journal", "j"]);
    let token = served.token();
    let [mut wrong, mut right, mut late] = [(); 3].map(|()| served.client(&token));
    for line in [create(2), create(1).replace("seed", "sede")] {
        assert!(wrong.say(&line)["error"].is_string());
        assert!(wrong.say(r#"{"op":"ask"}"#)["error"].as_str().unwrap().contains("create was refused"));
    }
    assert_eq!(right.say(&create(1))["ok"], true);
    assert_eq!(right.say(r#"{"op":"ask"}"#)["trial"], 0);
    // Neither the refused one nor one without a budget changes the study of the others.
    assert!(wrong.say(&create(2))["error"].as_str().unwrap().contains("its seed is 1, not 2"));
    assert_eq!(late.say(&create(1).replace(r#""budget":2,"#, ""))["ok"], true);
    assert_eq!(late.say(r#"{"op":"ask"}"#)["trial"], 1);
    assert_eq!(right.say(r#"{"op":"tell","trial":0,"value":1}"#)["ok"], true);
    assert_eq!(right.say(r#"{"op":"ask"}"#)["wait"], true);
    assert_eq!(wrong.say(&create(1))["ok"], true);
    assert_eq!(wrong.say(r#"{"op":"ask"}"#)["wait"], true);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
}

#[test]
fn a_greeting_or_a_line_that_is_out_of_bounds_is_answered() {
    let mut served = Served::new("");
    let token = served.token();
    for wrong in ["0.01", "4000", "\"2\"", "true"] {
        let stream = TcpStream::connect(&served.address).unwrap();
        let mut client = Client { input: BufReader::new(stream.try_clone().unwrap()), output: stream };
        let greeting = client.say(&format!(r#"{{"op":"auth","token":"{token}","heartbeat_s":{wrong}}}"#));
        assert!(greeting["error"].as_str().unwrap().contains("give seconds from 0.1 to 3600"), "{greeting}");
    }
    let mut client = served.client(&token);
    let said = client.say(&"x".repeat((4 << 20) + 100_000));
    assert!(said["error"].as_str().unwrap().contains("at most 4194304 bytes"), "{said}");
    assert_eq!(client.input.read_line(&mut String::new()).unwrap(), 0);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
}

#[test]
fn a_served_study_has_an_end_and_says_which_limits_it_does_not_heed() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |study: &str| {
        std::fs::write(folder.path().join("s.toml"), study).unwrap();
        // No machine has this address, so that the command ends.
        let words = ["serve", "--listen", "192.0.2.1:1", "--token-file", "t", "--study", "s.toml", "--out", "out"];
        let output = tunekit(folder.path(), &words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = serve(&STUDY.replace("max_trials = 24", "max_wall_time_s = 5"));
    assert!(code == Some(2) && said.lines().count() == 1 && said.contains("max_trials"), "{said}");
    let (code, said) = serve(&format!("{STUDY}plateau = 3\nmax_wall_time_s = 5\n"));
    let lines: Vec<&str> = said.lines().collect();
    assert!(code == Some(2) && lines.len() == 3 && lines[2].contains("cannot listen"), "{said}");
    assert!(lines[0].contains("max_wall_time_s in [stop]") && lines[1].contains("plateau in [stop]"), "{said}");
}

#[test]
fn many_clients_share_one_study_without_duplicates() {
    let served = Served::new("");
    let token = served.token();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut client = served.client(&token);
            std::thread::spawn(move || {
                let mut own = Vec::new();
                loop {
                    let job = client.say(r#"{"op":"ask"}"#);
                    let Some(trial) = job["trial"].as_u64() else { break own };
                    own.push((trial, job["config"].to_string()));
                    let told = client.say(&format!(r#"{{"op":"tell","trial":{trial},"value":{trial}}}"#));
                    assert_eq!(told["ok"], true, "{told}");
                }
            })
        })
        .collect();
    let all: Vec<(u64, String)> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let (numbers, configs): (BTreeSet<u64>, BTreeSet<String>) = all.iter().cloned().unzip();
    assert_eq!((all.len(), numbers.len(), configs.len()), (24, 24, 24));
    let (experiment, _folder) = served.end();
    assert_eq!(experiment.measurements(), 24);
}

#[test]
fn a_served_study_that_a_signal_ends_is_not_over() {
    let mut served = Served::new("");
    let mut client = served.client(&served.token());
    assert_eq!(client.say(r#"{"op":"ask"}"#)["trial"], 0);
    assert_eq!(client.say(r#"{"op":"tell","trial":0,"value":1}"#)["ok"], true);
    Command::new("kill").args(["-TERM", &served.server.id().to_string()]).status().unwrap();
    assert_eq!(served.server.wait().unwrap().code(), Some(1));
    let said = std::fs::read_to_string(served.folder.path().join("stderr")).unwrap();
    assert!(said.lines().count() == 1 && said.contains("interrupted; the measurements are kept"), "{said}");
    assert!(served.folder.path().join("out/results.csv").exists());
}

#[test]
fn without_the_token_nothing_is_told() {
    let mut served = Served::new("");
    for line in [r#"{"op":"ask"}"#, r#"{"op":"auth","token":"0123456789abcdef"}"#, "nonsense"] {
        let mut stranger = TcpStream::connect(&served.address)
            .map(|s| Client { input: BufReader::new(s.try_clone().unwrap()), output: s })
            .unwrap();
        let answer = stranger.say(line);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("token")), "{line}: {answer}");
        let mut rest = String::new();
        assert_eq!(stranger.input.read_line(&mut rest).unwrap_or(0), 0);
    }
    // The file is its owner's alone.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(served.folder.path().join("token")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    served.server.kill().unwrap();
    served.server.wait().unwrap();
}

#[test]
fn what_a_lost_client_ran_is_given_out_again_and_its_own_is_nobody_elses() {
    let mut served = Served::new("");
    let token = served.token();
    let mut lost = served.client(&token);
    let job = lost.say(r#"{"op":"ask"}"#);
    let trial = job["trial"].as_u64().unwrap();
    let mut other = served.client(&token);
    let foreign = other.say(&format!(r#"{{"op":"tell","trial":{trial},"value":1.0}}"#));
    assert!(foreign["error"].as_str().unwrap().contains("not given out on this connection"), "{foreign}");
    drop(lost);
    let began = Instant::now();
    loop {
        let again = other.say(r#"{"op":"ask"}"#);
        if again["trial"] == job["trial"] {
            assert_eq!(again["config"], job["config"]);
            break;
        }
        other.say(&format!(r#"{{"op":"tell","trial":{},"value":1.0}}"#, again["trial"]));
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    served.server.kill().unwrap();
    served.server.wait().unwrap();
}

#[test]
fn workers_carry_a_study_although_one_of_them_is_killed() {
    let served = Served::new("sleep 0.05; echo \"{\\\"loss\\\": $2}\"");
    let mut doomed = served.worker("a", "2");
    let mut steady = served.worker("b", "2");
    let began = Instant::now();
    while Experiment::load(served.folder.path().join("out")).is_ok_and(|e| e.measurements() < 4) {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert!(steady.wait().unwrap().success());
    let (experiment, folder) = served.end();
    assert_eq!((experiment.trials().len(), experiment.measurements()), (24, 24));
    for trial in experiment.trials() {
        assert_eq!(trial.measurements[0].value, trial.config.float("x").unwrap());
    }
    assert!(folder.path().join("out/report.html").exists() && folder.path().join("out/results.csv").exists());
}
