//! The command `cp` as a process: a shell's effects on it, and its output.
//!
//! `cargo test` builds it with the tests; where only this test is asked for, `cargo build -p s3xfer --example cp` does.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, RequestKind, Requests, Server, SyntheticObject};
use tempfile::TempDir;
use tokio::time::timeout;

const SIZE: u64 = 300 << 10;

/// Beside the tests: `target/PROFILE/deps/command-HASH`, `target/PROFILE/examples/cp`.
fn cp() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples/cp");
    assert!(path.exists(), "{} is not built; run cargo build -p s3xfer --example cp", path.display());
    path
}

/// A lab with one object, and a folder to copy to.
struct Scene {
    lab: Lab,
    server: Server,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with([]).await
    }

    async fn with(faults: impl IntoIterator<Item = (Requests, FaultKind)>) -> Self {
        let fault = |(requests, kind)| Fault { key: "key".to_owned(), on: RequestKind::GetObject, requests, kind };
        let faults = FaultPlan::new(faults.into_iter().map(fault)).unwrap();
        let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).faults(faults).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server, folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("x")
    }

    /// `command` is the shell's, in which `"$@"` stands for the copy of the object to `path`.
    fn shell(&self, command: &str, path: impl AsRef<OsStr>) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command, "sh"]).arg(cp()).arg("s3://lab/key").arg(path);
        environment(&mut shell, &self.server.endpoint(), Some((self.lab.access_key(), self.lab.secret_key())));
        shell.current_dir(self.folder.path());
        shell
    }

    async fn run(&self, command: &str, path: impl AsRef<OsStr>) -> Ended {
        ended(self.shell(command, path)).await
    }

    fn assert_whole(&self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        self.lab.synthetic_object("lab", "key").unwrap().verify(0, &bytes).unwrap();
    }

    fn files(&self) -> Vec<OsString> {
        fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

/// Nothing of the machine's own AWS configuration.
fn environment(command: &mut Command, endpoint: &str, keys: Option<(&str, &str)>) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
    if let Some((access, secret)) = keys {
        command.env("AWS_ACCESS_KEY_ID", access).env("AWS_SECRET_ACCESS_KEY", secret);
    }
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    /// It failed, and one line says why.
    fn assert_says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word} is not in {self:?}");
        }
    }
}

async fn ended(mut command: Command) -> Ended {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let Output { status, stdout, stderr } = output.await.unwrap().unwrap();
    Ended { code: status.code(), stdout, stderr: String::from_utf8(stderr).unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_output_that_is_closed_is_told() {
    let scene = Scene::new().await;
    for path in ["-", "/dev/stdout", "/dev/fd/1"] {
        scene.run("\"$@\" >&-", path).await.assert_says(1, &["standard output", "closed"]);
    }
    // With others closed it has somewhere to write.
    let shut = scene.run("\"$@\" <&- 2>&- >x", "-").await;
    assert_eq!(shut.code, Some(0), "{shut:?}");
    scene.assert_whole(&scene.target());
    // A file is written where nobody looks at standard output.
    fs::remove_file(scene.target()).unwrap();
    let file = scene.run("\"$@\" >&-", "x").await;
    assert_eq!(file.code, Some(0), "{file:?}");
    scene.assert_whole(&scene.target());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_output_that_is_nowhere_on_purpose_takes_everything() {
    let scene = Scene::new().await;
    // The latter as some daemons open it, and as Rust's runtime opens a closed one.
    for command in ["\"$@\" >/dev/null", "\"$@\" 1<>/dev/null"] {
        let ended = scene.run(command, "-").await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command}");
    }
    let piped = scene.run("\"$@\" | cat", "-").await;
    assert_eq!((piped.code, piped.stdout.len() as u64), (Some(0), SIZE), "{}", piped.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_full_device_is_told() {
    let scene = Scene::new().await;
    scene.run("\"$@\" >/dev/full", "-").await.assert_says(1, &["No space left on device"]);
}

/// close(2) as on a network's file system that is over its quota: every write was taken, and nothing is kept. In C,
/// which the loader can put before the system's own; a machine that links Rust's programs can compile it.
#[cfg(target_os = "linux")]
const LATE: &str = r#"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int close(int fd) {
    struct stat opened, quota;
    const char *path = getenv("OVER_QUOTA");
    int late = path && !fstat(fd, &opened) && !stat(path, &quota) && opened.st_ino == quota.st_ino && opened.st_size > 0;
    int closed = syscall(SYS_close, fd);
    if (late) {
        errno = EDQUOT;
        return -1;
    }
    return closed;
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn what_only_close_tells_is_told() {
    let scene = Scene::new().await;
    let (source, library) = (scene.folder.path().join("late.c"), scene.folder.path().join("late.so"));
    fs::write(&source, LATE).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    let mut command = scene.shell("LD_PRELOAD=\"$PWD/late.so\" \"$@\" >x", "-");
    command.env("OVER_QUOTA", scene.target());
    ended(command).await.assert_says(1, &["standard output", "quota"]);
    // Every byte had been taken.
    scene.assert_whole(&scene.target());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_file_sizes_is_told() {
    let scene = Scene::new().await;
    // 64 blocks are at least 32 KiB and at most 64.
    scene.run("ulimit -f 64; \"$@\"", "x").await.assert_says(1, &["File too large"]);
    scene.run("ulimit -f 64; \"$@\" --no-resume", "x").await.assert_says(1, &["File too large"]);
    assert!(!scene.target().exists());
    scene.run("ulimit -f 64; \"$@\" >x", "-").await.assert_says(1, &["File too large"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_path_need_not_be_text() {
    let scene = Scene::new().await;
    let path = OsString::from_vec(b"caf\xe9 \xff".to_vec());
    let copied = scene.run("\"$@\"", &path).await;
    assert_eq!((copied.code, copied.stderr.as_str()), (Some(0), ""));
    assert_eq!(scene.files(), std::slice::from_ref(&path));
    scene.assert_whole(&scene.folder.path().join(path));
    // Nor need the configuration's.
    let config = OsString::from_vec(b"f\xfc.toml".to_vec());
    fs::write(scene.folder.path().join(&config), "max_concurrency = 1\n").unwrap();
    for inline in [false, true] {
        let mut command = scene.shell("\"$@\"", "x");
        match inline {
            true => command.arg([OsStr::new("--config="), &config].into_iter().collect::<OsString>()),
            false => command.arg("--config").arg(&config),
        };
        let copied = ended(command).await;
        assert_eq!((copied.code, copied.stderr.as_str()), (Some(0), ""));
    }
    // A key is text.
    let mut command = Command::new(cp());
    command.arg(OsStr::from_bytes(b"s3://lab/\xff")).arg("x");
    ended(command).await.assert_says(2, &["UTF-8"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_any_length_is_no_panic() {
    for (bytes, code) in [(1025, 1), (65 << 10, 1)] {
        let mut command = Command::new(cp());
        environment(&mut command, "http://127.0.0.1:1", Some(("a", "s")));
        command.arg(format!("s3://lab/{}", "k".repeat(bytes))).arg("/dev/null");
        ended(command).await.assert_says(code, &["1024"]);
    }
}

/// The head of its first request when it is called with these words.
async fn asks(words: &[&str], credentials: &str) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        head
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "validate_checksum = false\n").unwrap();
    let file = folder.path().join("credentials");
    File::create(&file).unwrap().write_all(credentials.as_bytes()).unwrap();
    let mut command = Command::new(cp());
    // Keys in the environment come before those of a profile.
    environment(&mut command, &endpoint, Some(("environment", "s")).filter(|_| !words.contains(&"--profile")));
    command.env("AWS_SHARED_CREDENTIALS_FILE", file).args(["s3://lab/key", "/dev/null"]).args(words);
    command.arg("--config").arg(config);
    ended(command).await.assert_says(1, &["403"]);
    server.join().unwrap()
}

#[tokio::test]
async fn regions_profiles_and_versions_are_used() {
    let credentials = "[work]\naws_access_key_id = profiled\naws_secret_access_key = s\nregion = eu-north-1\n";
    let signed = |head: &[String]| {
        let line = head.iter().find_map(|line| line.split_once("Credential=")).unwrap().1.to_owned();
        line.split('/').map(str::to_owned).collect::<Vec<_>>()
    };
    let head = asks(&["--region", "ap-south-1", "--version-id=v1"], credentials).await;
    assert_eq!(signed(&head)[2], "ap-south-1");
    assert!(head[0].contains("versionId=v1"), "{head:?}");
    let head = asks(&["--profile", "work"], credentials).await;
    assert_eq!((signed(&head)[0].as_str(), signed(&head)[2].as_str()), ("profiled", "eu-north-1"));
    let head = asks(&["--profile", "work", "--region=us-west-2"], credentials).await;
    assert_eq!((signed(&head)[0].as_str(), signed(&head)[2].as_str()), ("profiled", "us-west-2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fetched_is_kept_unless_that_is_not_wanted() {
    for (word, kept) in [(None, true), (Some("--no-resume"), false)] {
        let scene = Scene::with([(Requests::Range(2..100), FaultKind::Truncate { after_bytes: 1 })]).await;
        let settings = tempfile::NamedTempFile::new().unwrap();
        fs::write(&settings, "multipart_threshold = 1\nmultipart_chunksize = 65536\nmax_concurrency = 1\n").unwrap();
        let mut command = scene.shell("\"$@\"", "x");
        command.arg("--config").arg(settings.path()).args(word);
        let failed = ended(command).await;
        assert_eq!((failed.code, !scene.files().is_empty()), (Some(1), kept), "{failed:?}");
    }
}

#[tokio::test]
async fn wrong_usage_is_told() {
    for (words, says) in [
        (&["s3://b/k"][..], "usage"),
        (&["s3://b/k", "x", "--region"], "--region needs a value"),
        (&["s3://b/k", "x", "--no-resume=1"], "takes no value"),
        (&["s3://b", "x"], "s3://BUCKET/KEY"),
        (&["s3:///k", "x"], "s3://BUCKET/KEY"),
        (&["s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", "x"], "s3://BUCKET/KEY"),
        (&["b/k", "x"], "s3://BUCKET/KEY"),
        (&["s3://b/k", "x", "--nothing"], "--nothing is not known"),
    ] {
        let mut command = Command::new(cp());
        command.args(words);
        ended(command).await.assert_says(2, &[says]);
    }
}

/// The command with these words, in the scene's folder.
fn command(scene: &Scene, words: &[&str]) -> Command {
    let mut command = Command::new(cp());
    command.args(words).current_dir(scene.folder.path());
    environment(&mut command, &scene.server.endpoint(), Some((scene.lab.access_key(), scene.lab.secret_key())));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_standard_input_are_uploaded_and_objects_copied() {
    let scene = Scene::new().await;
    let mut bytes = vec![0; 12 << 20];
    SyntheticObject::new(1, 12 << 20).fill(0, &mut bytes);
    fs::write(scene.target(), &bytes).unwrap();
    let done = ended(command(&scene, &["x", "s3://lab/from-file"])).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let done = ended(command(&scene, &["x", "s3://lab/folder/"])).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let mut piped = Command::new("/bin/sh");
    piped.args(["-c", "cat x | \"$@\"", "sh"]).arg(cp()).args(["-", "s3://lab/from-pipe"]);
    environment(&mut piped, &scene.server.endpoint(), Some((scene.lab.access_key(), scene.lab.secret_key())));
    piped.current_dir(scene.folder.path());
    let done = ended(piped).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let done = ended(command(&scene, &["s3://lab/from-pipe", "s3://lab/copied"])).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    for key in ["from-file", "folder/x", "from-pipe", "copied"] {
        assert!(scene.lab.object("lab", key).is_some_and(|stored| stored == bytes), "{key}");
    }
    for (words, code, says) in [
        (["gone", "s3://lab/k"], 1, "failed to upload gone: cannot open it"),
        (["-", "s3://lab/"], 2, "names no object"),
        (["s3://lab/gone", "s3://lab/k"], 1, "failed to copy s3://lab/gone"),
        (["x", "y"], 2, "is in S3"),
    ] {
        let failed = ended(command(&scene, &words)).await;
        assert!(failed.code == Some(code) && failed.stderr.contains(says), "{words:?}: {failed:?}");
        assert_eq!(failed.stderr.lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_is_kept_for_the_same_command_or_aborted_where_that_is_not_wanted() {
    for (words, says, is_kept) in [
        (&["x", "s3://lab/new"][..], "cp: interrupted; give the same command again to continue\n", true),
        (&["x", "s3://lab/new", "--no-resume"], "cp: interrupted\n", false),
    ] {
        let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(20.0)).unwrap();
        let lab = Lab::builder().bucket("lab").network(network).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let scene = Scene { lab, server, folder: tempfile::tempdir().unwrap() };
        File::create(scene.target()).unwrap().set_len(40 << 20).unwrap();
        let running = command(&scene, words).stderr(Stdio::piped()).spawn().unwrap();
        let sending = async {
            while scene.lab.stats().count(RequestKind::UploadPart) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), sending).await.expect("a part");
        let pid = running.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = tokio::task::spawn_blocking(move || running.wait_with_output()).await.unwrap().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), says));
        assert_eq!(scene.lab.uploads("lab").len(), usize::from(is_kept));
        assert_eq!(scene.lab.object("lab", "new"), None);
        let again = ended(command(&scene, words)).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(scene.lab.uploads("lab"), Vec::<String>::new());
        assert!(scene.lab.object("lab", "new").is_some_and(|stored| stored.len() == 40 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_of_a_folder_says_what_is_there() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(20.0)).unwrap();
    let lab = Lab::builder().bucket("lab").network(network).build().unwrap();
    let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let scene = Scene { lab, server, folder: tempfile::tempdir().unwrap() };
    fs::create_dir(scene.target()).unwrap();
    File::create(scene.target().join("large")).unwrap().set_len(200 << 20).unwrap();
    let words = ["--recursive", "x", "s3://lab/new"];
    let mut running = command(&scene, &words).stderr(Stdio::piped()).spawn().unwrap();
    let sending = async {
        while scene.lab.stats().count(RequestKind::UploadPart) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), sending).await.expect("a part");
    // Two updates of the progress are due by now, and neither is shown without a terminal.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    let mut told = String::new();
    let code = tokio::task::spawn_blocking(move || {
        running.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (running.wait().unwrap().code(), told)
    });
    let says = "cp: interrupted; every file and object that is there is whole; the same command goes on with those \
                that were begun\n";
    assert_eq!(code.await.unwrap(), (Some(1), says.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_go_down_up_and_across() {
    let scene = Scene::new().await;
    let run = |words: &str| {
        let mut command = Command::new(cp());
        command.args(words.split(' ')).current_dir(scene.folder.path());
        environment(&mut command, &scene.server.endpoint(), Some((scene.lab.access_key(), scene.lab.secret_key())));
        ended(command)
    };
    let done = |ended: Ended, says: &str| assert!(ended.code == Some(0) && ended.stderr.contains(says), "{ended:?}");
    done(run("--recursive s3://lab down --dry-run").await, "would copy key");
    assert!(scene.files().is_empty());
    done(run("--recursive s3://lab down").await, "1 objects, 307200 bytes");
    scene.assert_whole(&scene.folder.path().join("down/key"));
    fs::write(scene.folder.path().join("down/other"), "x").unwrap();
    done(run("--recursive down s3://lab/up --exclude key").await, "1 objects, 1 bytes");
    assert_eq!(scene.lab.object("lab", "up/other").unwrap(), b"x");
    done(run("--recursive s3://lab/up s3://lab/across --request-payer").await, "1 objects, 1 bytes");
    assert_eq!(scene.lab.object("lab", "across/other").unwrap(), b"x");
    done(run("s3://lab/up/other one --request-payer").await, "");
    done(run("one s3://lab/one --request-payer").await, "");
    done(run("s3://lab/one s3://lab/two --request-payer").await, "");
    assert_eq!(scene.lab.object("lab", "two").unwrap(), b"x");
    run("--recursive s3://lab/up s3://lab/up/x").await.assert_says(1, &["overlap"]);
    run("--recursive a b").await.assert_says(2, &["s3://BUCKET/PREFIX"]);
    run("--recursive s3://lab x --nothing").await.assert_says(2, &["--nothing"]);
}
