//! The same through a folder that the server and its clients share.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;

/// The longest that a test waits for something.
const LONG: Duration = Duration::from_secs(60);

struct Shared {
    folder: tempfile::TempDir,
    server: Child,
    said: Json,
}

impl Shared {
    /// The study of all tests here, with this program.
    fn new(script: &str) -> Self {
        Self::with(script, &[])
    }

    fn with(script: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.sh"), script).unwrap();
        fs::write(folder.path().join("s.toml"), STUDY).unwrap();
        Self::start(folder, more)
    }

    fn start(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let words = [["serve", "--folder", "shared", "--study", "s.toml", "--out", "out"].as_slice(), more].concat();
        let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
        let mut server = tunekit(folder.path(), &words).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { said: serde_json::from_str(&line).unwrap(), folder, server }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    fn worker(&self, out: &str, workers: &str) -> Child {
        let words = ["worker", "s.toml", "--folder", "shared", "--out", out, "--workers", workers];
        tunekit(self.folder.path(), &words).stderr(Stdio::null()).spawn().unwrap()
    }

    fn measurements(&self) -> usize {
        Experiment::load(self.folder.path().join("out")).map_or(0, |experiment| experiment.measurements())
    }

    /// Kills the server as a crash of its machine would.
    fn kill(mut self) -> tempfile::TempDir {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.folder
    }

    /// The study, which has ended; nothing is left in the folder.
    fn end(mut self) -> (Experiment, tempfile::TempDir) {
        assert!(self.server.wait().unwrap().success());
        assert_eq!(names(&self.path()), ["serve.lock"]);
        (Experiment::load(self.folder.path().join("out")).unwrap(), self.folder)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder).unwrap().map(name).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All 24 trials ended once, with the values of their configurations.
fn all_ended_once(experiment: &Experiment) {
    assert_eq!((experiment.trials().len(), experiment.measurements()), (24, 24));
    for trial in experiment.trials() {
        assert_eq!(trial.measurements[0].value, trial.config.float("x").unwrap());
    }
}

/// A client made of the format's description alone.
struct FileClient {
    path: PathBuf,
    number: u64,
    /// The last answer, which is still there.
    read: Option<PathBuf>,
}

impl FileClient {
    fn new(folder: &Path) -> Self {
        let mut random = [0; 16];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let path = folder.join(format!("client-{:032x}", u128::from_le_bytes(random)));
        fs::create_dir(&path).unwrap();
        Self { path, number: 0, read: None }
    }

    fn greeted(folder: &Path, heartbeat_s: u64) -> Self {
        let mut client = Self::new(folder);
        let greeting = client.say(&format!(r#"{{"op":"auth","heartbeat_s":{heartbeat_s}}}"#));
        assert_eq!(greeting["ok"], true, "{greeting}");
        client
    }

    fn send(&mut self, line: &str) {
        self.number += 1;
        let part = self.path.join("part");
        fs::write(&part, line).unwrap();
        fs::rename(part, self.path.join(format!("up.{}", self.number))).unwrap();
    }

    /// The answer; `null` if the server ends the connection instead.
    fn say(&mut self, line: &str) -> Json {
        self.send(&format!("{line}\n"));
        let answer = self.path.join(format!("down.{}", self.number));
        std::thread::sleep(Duration::from_millis(10));
        if let Some(read) = self.read.take() {
            let _ = fs::remove_file(read);
        }
        wait_until("an answer", || answer.exists() || !self.path.exists());
        let text = fs::read_to_string(&answer).unwrap_or_default();
        self.read = Some(answer);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Whether the server has ended the connection.
    fn ends(&self) {
        wait_until("the end of the connection", || !self.path.exists());
    }
}

#[test]
fn workers_carry_a_study_through_a_folder_although_one_of_them_is_killed() {
    let script = "sleep 0.05; echo \"{\\\"loss\\\": $2}\"";
    let shared = Shared::new(script);
    assert_eq!(shared.said["folder"], "shared");
    let mut doomed = shared.worker("a", "2");
    let mut steady = shared.worker("b", "2");
    wait_until("results", || shared.measurements() >= 4);
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert!(steady.wait().unwrap().success());
    let (experiment, folder) = shared.end();
    all_ended_once(&experiment);
    assert!(folder.path().join("out/report.html").exists() && folder.path().join("out/results.csv").exists());
    // Over TCP the same study comes out.
    let served = Served::new(script);
    assert!(served.worker("a", "4").wait().unwrap().success());
    let (other, _folder) = served.end();
    let results = |experiment: &Experiment| -> Vec<_> {
        experiment.trials().iter().map(|t| (t.id, t.config.clone(), t.status, t.measurements[0].value)).collect()
    };
    assert_eq!(results(&experiment), results(&other));
}

#[test]
fn a_server_that_was_killed_goes_on_with_its_workers() {
    let shared = Shared::new("sleep 0.1; echo \"{\\\"loss\\\": $2}\"");
    let mut worker = shared.worker("a", "2");
    wait_until("results", || shared.measurements() >= 4);
    let path = shared.path();
    let folder = shared.kill();
    assert!(names(&path).len() > 1, "the connections are left");
    let shared = Shared::start(folder, &[]);
    assert!(worker.wait().unwrap().success());
    let (experiment, _folder) = shared.end();
    all_ended_once(&experiment);
}

#[test]
fn a_worker_whose_server_is_killed_ends_its_program() {
    let shared = Shared::new("echo $$ >pid.part; mv pid.part pid; sleep 600");
    let mut worker = shared.worker("a", "1");
    let pid = shared.folder.path().join("pid");
    wait_until("a program", || pid.exists());
    let pid = fs::read_to_string(pid).unwrap();
    let _folder = shared.kill();
    wait_until("the end of the program", || !is_alive(&pid));
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[test]
fn many_clients_share_one_study_through_a_folder_and_an_address() {
    let mut shared = Shared::with("", &["--listen", "127.0.0.1:0", "--token-file", "token"]);
    let address = shared.said["listen"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(shared.folder.path().join("token")).unwrap();
    let mut client = Client::connect(&address, token.trim());
    let first = client.say(r#"{"op":"ask"}"#);
    assert_eq!(first["trial"], 0);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = shared.path();
            std::thread::spawn(move || {
                let mut client = FileClient::greeted(&path, 60);
                let mut own = Vec::new();
                loop {
                    let job = client.say(r#"{"op":"ask"}"#);
                    let Some(trial) = job["trial"].as_u64() else { break own };
                    own.push((trial, job["config"].to_string()));
                    let foreign = client.say(r#"{"op":"tell","trial":0,"value":7}"#);
                    assert!(foreign["error"].as_str().unwrap().contains("not given out on this connection"));
                    let told = client.say(&format!(r#"{{"op":"tell","trial":{trial},"value":{trial}}}"#));
                    assert_eq!(told["ok"], true, "{told}");
                }
            })
        })
        .collect();
    let all: Vec<(u64, String)> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let (numbers, configs): (BTreeSet<u64>, BTreeSet<String>) = all.iter().cloned().unzip();
    assert_eq!((all.len(), numbers.len(), configs.len()), (23, 23, 23));
    assert_eq!(client.say(r#"{"op":"tell","trial":0,"value":0}"#)["ok"], true);
    assert_eq!(client.say(r#"{"op":"ask"}"#)["done"], true);
    drop(client);
    assert!(shared.server.wait().unwrap().success());
    assert_eq!(names(&shared.path()), ["serve.lock"], "clients that did not end their connections leave nothing");
}

#[test]
fn a_folder_may_be_shared_and_the_studys_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.toml"), STUDY).unwrap();
    let path = folder.path().join("shared");
    fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    let words = ["serve", "--folder", "shared", "--study", "s.toml", "--out", "shared"];
    let mut server = tunekit(folder.path(), &words).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "{\"folder\":\"shared\"}\n");
    assert_eq!(FileClient::greeted(&path, 60).say(r#"{"op":"ask"}"#)["trial"], 0);
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_silent_client_is_lost_and_its_trial_is_given_to_another() {
    let shared = Shared::new("");
    let mut silent = FileClient::greeted(&shared.path(), 1);
    let job = silent.say(r#"{"op":"ask"}"#);
    silent.ends();
    let mut other = FileClient::greeted(&shared.path(), 60);
    let again = other.say(r#"{"op":"ask"}"#);
    assert_eq!((&again["trial"], &again["config"]), (&job["trial"], &job["config"]));
    // It ends the connection itself, and the folder is removed.
    other.send("");
    other.ends();
    shared.kill();
}

#[test]
fn wrong_messages_end_their_connection_alone_and_foreign_files_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("up.1"), "{\"op\":\"auth\",\"heartbeat_s\":9}\n").unwrap();
    fs::write(folder.path().join("s.toml"), STUDY).unwrap();
    let shared = Shared::start(folder, &[]);
    let mut foreign = vec!["serve.lock".to_owned()];
    for name in ["notes.txt", "client-1", "client-0123456789abcdef0123456789abcdeF"] {
        fs::write(shared.path().join(name), "{}\n").unwrap();
        foreign.push(name.to_owned());
    }
    let link = "client-0123456789abcdef0123456789abcdef";
    symlink(&outside, shared.path().join(link)).unwrap();
    foreign.push(link.to_owned());

    let mut steady = FileClient::greeted(&shared.path(), 60);
    assert_eq!(steady.say(r#"{"op":"ask"}"#)["trial"], 0);
    for torn in ["{\"op\":\"ask\"}", "{\"op\":\"ask\"}\n{\"op\":\"ask\"}\n"] {
        let mut client = FileClient::greeted(&shared.path(), 60);
        client.send(torn);
        client.ends();
    }
    let client = FileClient::greeted(&shared.path(), 60);
    symlink(outside.join("up.1"), client.path.join("up.2")).unwrap();
    client.ends();
    // A client may be cut off while it writes.
    let client = FileClient::greeted(&shared.path(), 1);
    fs::write(client.path.join("up.2.part"), "{\"op\":").unwrap();
    client.ends();
    let mut client = FileClient::new(&shared.path());
    let refused = client.say(r#"{"op":"auth"}"#);
    assert!(refused["error"].as_str().unwrap().contains("heartbeat_s"), "{refused}");
    client.ends();
    let mut client = FileClient::greeted(&shared.path(), 60);
    let long = client.say(&"x".repeat((4 << 20) + 100_000));
    assert!(long["error"].as_str().unwrap().contains("at most 4194304 bytes"), "{long}");
    client.ends();

    assert_eq!(steady.say(r#"{"op":"tell","trial":0,"value":1}"#)["ok"], true);
    assert!(!outside.join("down.1").exists());
    let path = shared.path();
    let folder = shared.kill();
    let mut left = names(&path);
    left.retain(|name| *name != steady.path.file_name().unwrap().to_str().unwrap());
    left.sort();
    foreign.sort();
    assert_eq!(left, foreign);
    drop(folder);
}

#[test]
fn a_server_whose_folder_is_removed_says_so_and_can_go_on() {
    let mut shared = Shared::new("");
    let mut client = FileClient::greeted(&shared.path(), 60);
    assert_eq!(client.say(r#"{"op":"ask"}"#)["trial"], 0);
    assert_eq!(client.say(r#"{"op":"tell","trial":0,"value":1}"#)["ok"], true);
    // A message that is being written may come between.
    wait_until("the removal", || fs::remove_dir_all(shared.path()).is_ok());
    assert_eq!(shared.server.wait().unwrap().code(), Some(1));
    let said = fs::read_to_string(shared.folder.path().join("stderr")).unwrap();
    assert!(said.lines().count() == 1 && said.contains("shared folder shared: cannot list it"), "{said}");
    let shared = Shared::start(shared.folder, &[]);
    let mut client = FileClient::greeted(&shared.path(), 60);
    assert_eq!(client.say(r#"{"op":"ask"}"#)["trial"], 1);
    shared.kill();
}

#[test]
fn wrong_flags_and_folders_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.toml"), STUDY).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
    fs::create_dir(folder.path().join("open")).unwrap();
    fs::set_permissions(folder.path().join("open"), fs::Permissions::from_mode(0o750)).unwrap();
    let serve = "serve --study s.toml --out out";
    let worker = "worker s.toml --out out";
    for (words, expected) in [
        (serve.to_owned(), "--listen"),
        (format!("{serve} --folder"), "--folder"),
        (format!("{serve} --folder f --token-file token"), "--listen"),
        (format!("{serve} --folder f --listen 127.0.0.1:0"), "--token-file"),
        (format!("{serve} --folder file"), "shared folder file: cannot make it"),
        (format!("{serve} --folder open"), "shared folder open is open to others (mode 750)"),
        (worker.to_owned(), "--connect"),
        (format!("{worker} --connect 127.0.0.1:1"), "--token-file"),
        (format!("{worker} --folder f --token-file token"), "cannot be used with"),
        (format!("{worker} --folder f --connect 127.0.0.1:1 --token-file token"), "cannot be used with"),
        (format!("{worker} --folder open"), "shared folder open is open to others (mode 750)"),
    ] {
        let output = tunekit(folder.path(), &words.split(' ').collect::<Vec<_>>()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.lines().count() == 1, "{words}: {said}");
        assert!(said.contains(expected), "{words}: {said}");
    }
    let mut shared = Shared::start(folder, &[]);
    let words = ["serve", "--folder", "shared"];
    let output = tunekit(shared.folder.path(), &words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("is served by another process"), "{said}");
    shared.server.kill().unwrap();
    shared.server.wait().unwrap();
}
