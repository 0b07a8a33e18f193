//! `s3tune cp` from outside: its copies, a shell's effects on it, and its output.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, Requests, Server};
use tempfile::TempDir;
use tokio::time::timeout;

const SIZE: u64 = 300 << 10;
const PART: u64 = 64 << 10;

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
        let fault =
            |(requests, kind)| Fault { key: "a key".to_owned(), on: s3lab::RequestKind::GetObject, requests, kind };
        let faults = FaultPlan::new(faults.into_iter().map(fault)).unwrap();
        let lab = Lab::builder().bucket("lab").synthetic("lab", "a key", SIZE).faults(faults).keep_requests(100);
        let lab = lab.build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server, folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("x")
    }

    /// A configuration that asks for parts in turn, so that the requests can be told.
    fn config(&self) -> PathBuf {
        let file = self.folder.path().join("best.toml");
        let text = format!(
            "# By s3tune.\n\nmultipart_threshold = 1\nmultipart_chunksize = {PART}\nmax_concurrency = 1\n\
             num_download_attempts = 2\n"
        );
        fs::write(&file, text).unwrap();
        file
    }

    fn environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"AWS_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        command
            .env("AWS_ACCESS_KEY_ID", self.lab.access_key())
            .env("AWS_SECRET_ACCESS_KEY", self.lab.secret_key())
            .env("AWS_ENDPOINT_URL", self.server.endpoint())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .current_dir(self.folder.path());
    }

    /// `command` is the shell's, in which `"$@"` stands for the copy of the object to `path`.
    async fn shell(&self, command: &str, path: impl AsRef<OsStr>) -> Ended {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command, "sh", env!("CARGO_BIN_EXE_s3tune"), "cp", "s3://lab/a key"]).arg(path);
        self.environment(&mut shell);
        ended(shell).await
    }

    async fn cp(&self, words: &[&OsStr]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3tune"));
        command.arg("cp").args(words);
        self.environment(&mut command);
        ended(command).await
    }

    fn assert_whole(&self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        self.lab.synthetic_object("lab", "a key").unwrap().verify(0, &bytes).unwrap();
    }

    /// The ranges that were requested of the object, cut at its end.
    fn ranges(&self) -> Vec<String> {
        self.lab.requests().into_iter().filter_map(|request| request.range).collect()
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    fn assert_done(&self) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
    }

    /// It failed, and one line says why.
    fn assert_says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("s3tune: "), "{self:?}");
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

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_becomes_a_file_by_the_configuration_that_was_found() {
    let scene = Scene::new().await;
    let config = scene.config();
    scene.cp(&words(&["s3://lab/a key", "x", "--config", config.to_str().unwrap()])).await.assert_done();
    scene.assert_whole(&scene.target());
    let parts = scene.ranges();
    assert_eq!(parts.len() as u64, SIZE.div_ceil(PART), "{parts:?}");
    assert!(parts.contains(&format!("bytes={PART}-{}", 2 * PART - 1)), "{parts:?}");

    let plain = Scene::new().await;
    plain.cp(&words(&["s3://lab/a key", "x"])).await.assert_done();
    plain.assert_whole(&plain.target());
    assert_eq!(plain.ranges().len(), 1, "the default's parts are larger than the object");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_come_before_the_environment() {
    let (scene, elsewhere) = (Scene::new().await, Scene::new().await);
    let endpoint = elsewhere.server.endpoint();
    scene.cp(&words(&["s3://lab/a key", "x", "--endpoint-url", &endpoint])).await.assert_done();
    assert_eq!((scene.lab.requests().len(), elsewhere.lab.requests().is_empty()), (0, false));
    let bare = ["s3://lab/a key", "x", "--endpoint-url", "127.0.0.1:9000"];
    scene.cp(&words(&bare)).await.assert_says(2, &["127.0.0.1:9000", "http://"]);
}

/// The head of the first request that a copy with these flags sends.
async fn asks(scene: &Scene, flags: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        head.join("\n")
    });
    let config = scene.folder.path().join("plain.toml");
    fs::write(&config, "validate_checksum = false\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3tune"));
    command.args(["cp", "s3://lab/a key", "/dev/null", "--endpoint-url", &endpoint]).args(flags);
    command.arg("--config").arg(config);
    scene.environment(&mut command);
    if flags.contains(&"--profile") {
        let file = scene.folder.path().join("credentials");
        let profile = "[work]\naws_access_key_id = profiled\naws_secret_access_key = hush\nregion = eu-north-1\n";
        fs::write(&file, profile).unwrap();
        command.env("AWS_SHARED_CREDENTIALS_FILE", file);
    }
    ended(command).await.assert_says(1, &["403"]);
    server.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_profiles_versions_and_signatures_are_used() {
    let scene = Scene::new().await;
    let head = asks(&scene, &["--region", "ap-south-1", "--version_id", "v1"]).await;
    assert!(head.contains("/ap-south-1/s3/") && head.contains("versionId=v1"), "{head}");
    let head = asks(&scene, &["--profile", "work"]).await;
    assert!(head.contains("Credential=profiled/") && head.contains("/eu-north-1/s3/"), "keys are in variables: {head}");
    let head = asks(&scene, &["--profile", "work", "--no-sign-request"]).await;
    assert!(!head.contains("Credential="), "{head}");
    let head = asks(&scene, &["--no-sign-request"]).await;
    assert!(!head.contains("Credential="), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_does_not_exist_is_not_replaced_by_keys_in_variables() {
    let scene = Scene::new().await;
    scene.cp(&words(&["s3://lab/a key", "x", "--profile", "wrok"])).await.assert_says(2, &["profile wrok"]);
    assert_eq!(scene.lab.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_fails_with_a_line_and_leaves_nothing() {
    let scene = Scene::new().await;
    scene
        .cp(&words(&["s3://lab/missing", "x"]))
        .await
        .assert_says(1, &["failed to download s3://lab/missing", "NoSuchKey"]);
    scene.cp(&words(&["s3://nowhere/a key", "x"])).await.assert_says(1, &["s3://nowhere/a key", "NoSuchBucket"]);
    scene.cp(&words(&["s3://lab/a key", "no/such/folder/x"])).await.assert_says(1, &["no/such/folder"]);
    assert_eq!(fs::read_dir(scene.folder.path()).unwrap().count(), 0);
    scene.cp(&words(&["s3://lab/a key", "gone/"])).await.assert_says(1, &["gone"]);
    assert_eq!(fs::read_dir(scene.folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_takes_the_name_of_the_object() {
    let scene = Scene::new().await;
    fs::create_dir(scene.target()).unwrap();
    for (target, folder) in [("x", scene.target()), ("x/", scene.target()), (".", scene.folder.path().to_owned())] {
        scene.cp(&words(&["s3://lab/a key", target])).await.assert_done();
        scene.assert_whole(&folder.join("a key"));
        fs::remove_file(folder.join("a key")).unwrap();
    }
    scene.cp(&words(&["s3://lab/a/", "x"])).await.assert_says(2, &["no name to give a file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_it_would_do() {
    let scene = Scene::new().await;
    fs::write(scene.folder.path().join("small"), "12345").unwrap();
    for (source, target, says) in [
        ("s3://lab/a key", "x", "would download s3://lab/a key to x, 300 KiB\n"),
        ("s3://lab/a key", "-", "would download s3://lab/a key to -, 300 KiB\n"),
        ("s3://lab/a key", "s3://lab/other", "would copy s3://lab/a key to s3://lab/other, 300 KiB\n"),
        ("small", "s3://lab/up/", "would upload small to s3://lab/up/small, 5 B\n"),
        ("-", "s3://lab/up", "would upload standard input to s3://lab/up\n"),
    ] {
        let ended = scene.cp(&words(&[source, target, "--dry-run"])).await;
        ended.assert_done();
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), says);
    }
    assert_eq!(scene.ranges(), ["bytes=0-0"; 3], "no more than the first byte");
    assert!(!scene.target().exists() && scene.lab.object("lab", "other").is_none());
    scene.cp(&words(&["s3://lab/missing", "x", "--dry-run"])).await.assert_says(1, &["s3://lab/missing", "NoSuchKey"]);
    scene.cp(&words(&["missing", "s3://lab/k", "--dry-run"])).await.assert_says(1, &["upload missing", "No such file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_ten_seconds_tells_how_it_goes() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(0.027)).unwrap();
    let lab = Lab::builder().bucket("lab").synthetic("lab", "a key", SIZE).network(network).build().unwrap();
    let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let scene = Scene { lab, server, folder: tempfile::tempdir().unwrap() };
    let ended = scene.cp(&words(&["s3://lab/a key", "x"])).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    scene.assert_whole(&scene.target());
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let [line, summary] = lines[..] else { panic!("{ended:?}") };
    assert!(line.starts_with("s3tune: ") && line.contains(" % of 300 KiB, ") && line.contains("/s"), "{line}");
    assert!(summary.starts_with("s3tune: 0.3 MiB in 1"), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_a_line() {
    let scene = Scene::new().await;
    let wrong = scene.folder.path().join("wrong.toml");
    fs::write(&wrong, "max_concurrency = 3\nmax_io_queue = \"long\"\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    for (line, says) in [
        (&["s3://lab/a key"][..], "DST"),
        (&["-", "s3://lab/"], "no name to give it"),
        (&["x", "s3://lab/y", "--version-id", "1"], "--version-id names a version of the S3 object that is read"),
        (&["x", "y"], "s3://BUCKET/KEY"),
        (&["s3://lab", "x"], "s3://BUCKET/KEY"),
        (&["s3://lab/a key", "x", "--config", wrong], "wrong.toml: line 2, max_io_queue"),
        (&["s3://lab/a key", "x", "--config", "gone.toml"], "gone.toml"),
        (&["s3://lab/a key", "x", "--nothing"], "--nothing"),
    ] {
        scene.cp(&words(line)).await.assert_says(2, &[says]);
    }
    scene.cp(&[OsStr::from_bytes(b"s3://lab/\xff"), OsStr::new("x")]).await.assert_says(2, &["UTF-8"]);
    assert_eq!(scene.lab.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_output_takes_the_bytes_or_says_why_not() {
    let scene = Scene::new().await;
    let piped = scene.shell("\"$@\" | cat", "-").await;
    assert_eq!((piped.code, piped.stdout.len() as u64), (Some(0), SIZE), "{}", piped.stderr);
    scene.lab.synthetic_object("lab", "a key").unwrap().verify(0, &piped.stdout).unwrap();
    for command in ["\"$@\" >/dev/null", "\"$@\" 1<>/dev/null", "\"$@\" <&- >/dev/null"] {
        scene.shell(command, "-").await.assert_done();
    }
    scene.shell("\"$@\" >&-", "/dev/null").await.assert_done();
    for path in ["-", "/dev/stdout"] {
        scene.shell("\"$@\" >&-", path).await.assert_says(1, &["standard output", "closed"]);
    }
    if cfg!(target_os = "linux") {
        scene.shell("\"$@\" >/dev/full", "-").await.assert_says(1, &["No space left on device"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_file_sizes_is_told() {
    let scene = Scene::new().await;
    // 64 blocks are at least 32 KiB and at most 64.
    scene.shell("ulimit -f 64; \"$@\"", "x").await.assert_says(1, &["File too large"]);
    assert!(!scene.target().exists());
    scene.shell("ulimit -f 64; \"$@\" >x", "-").await.assert_says(1, &["File too large"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_on_where_one_broke_off_unless_that_is_not_wanted() {
    for (flag, kept) in [(None, true), (Some("--no-resume"), false)] {
        // Both attempts at the third part break off.
        let scene = Scene::with([(Requests::Range(2..4), FaultKind::Truncate { after_bytes: 1 })]).await;
        let config = scene.config();
        let mut line = words(&["s3://lab/a key", "x", "--config", config.to_str().unwrap()]);
        line.extend(flag.map(OsStr::new));
        scene.cp(&line).await.assert_says(1, &["s3://lab/a key"]);
        assert!(!scene.target().exists());
        let before = scene.ranges().len();
        scene.cp(&line).await.assert_done();
        scene.assert_whole(&scene.target());
        let again = scene.ranges()[before..].to_vec();
        assert_eq!(again.iter().any(|range| *range == format!("bytes={PART}-{}", 2 * PART - 1)), !kept, "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn a_path_need_not_be_text() {
    let scene = Scene::new().await;
    let path = OsString::from_vec(b"caf\xe9 \xff".to_vec());
    scene.cp(&[OsStr::new("s3://lab/a key"), &path]).await.assert_done();
    scene.assert_whole(&scene.folder.path().join(path));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_copy_says_how_to_go_on() {
    for (path, says) in [("x", "give the same command again"), ("/dev/null", "interrupted")] {
        // A part stands still for ever.
        let stall = FaultKind::Stall { after_bytes: 1, duration: None };
        let scene = Scene::with([(Requests::Range(2..100), stall)]).await;
        let config = scene.config();
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3tune"));
        command.args(["cp", "s3://lab/a key", path, "--config"]).arg(config);
        scene.environment(&mut command);
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let asking = async {
            while scene.ranges().len() < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(60), asking).await.expect("three requests");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let ended =
            Ended { code: output.status.code(), stdout: vec![], stderr: String::from_utf8(output.stderr).unwrap() };
        ended.assert_says(1, &["interrupted", says]);
        assert!(!scene.target().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_and_objects_copied() {
    let scene = Scene::new().await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(scene.target(), &bytes).unwrap();
    let config = scene.config();
    scene
        .cp(&[OsStr::new("x"), OsStr::new("s3://lab/up/"), OsStr::new("--config"), config.as_os_str()])
        .await
        .assert_done();
    scene.cp(&[OsStr::new("s3://lab/up/x"), OsStr::new("s3://lab/copied")]).await.assert_done();
    for key in ["up/x", "copied"] {
        assert!(scene.lab.object("lab", key).is_some_and(|stored| stored == bytes), "{key}");
    }
    assert_eq!(scene.lab.uploads("lab"), Vec::<String>::new());
    scene
        .cp(&[OsStr::new("gone"), OsStr::new("s3://lab/k")])
        .await
        .assert_says(1, &["failed to upload gone: cannot open it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_files_time_is_kept_with_its_object_and_comes_back() {
    let scene = Scene::new().await;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    // One request, and parts.
    for bytes in [3, 9 << 20] {
        fs::write(scene.target(), vec![7; bytes]).unwrap();
        fs::File::options().write(true).open(scene.target()).unwrap().set_modified(time).unwrap();
        for (source, target, flag) in [
            ("x", "s3://lab/kept", "--keep-times"),
            ("x", "s3://lab/plain", "--no-resume"),
            ("s3://lab/kept", "back", "--keep-times"),
            ("s3://lab/kept", "now", "--no-resume"),
            ("s3://lab/plain", "none", "--keep-times"),
        ] {
            scene.cp(&words(&[source, target, flag])).await.assert_done();
        }
        let modified = |name| fs::metadata(scene.folder.path().join(name)).unwrap().modified().unwrap();
        assert_eq!(modified("back"), time);
        assert!(modified("now") > time && modified("none") > time);
    }
    for (source, target) in [("-", "s3://lab/k"), ("s3://lab/kept", "-"), ("s3://lab/kept", "s3://lab/k")] {
        scene
            .cp(&words(&[source, target, "--keep-times"]))
            .await
            .assert_says(2, &["--keep-times", "from or into a file"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_is_kept_in_a_file_and_a_file_of_another_kind_is_refused() {
    let scene = Scene::new().await;
    let memory = scene.folder.path().join("memory.json");
    let copy = [OsStr::new("--memory"), memory.as_os_str(), OsStr::new("s3://lab/a key"), OsStr::new("x")];
    for _ in 0..2 {
        scene.cp(&copy).await.assert_done();
        scene.assert_whole(&scene.target());
        let text = fs::read_to_string(&memory).unwrap();
        assert!(text.contains("\"version\": 1") && text.contains("\"places\""), "{text}");
    }
    let folder = scene.cp(&words(&[".", "s3://lab/folder"])).await;
    assert_eq!((folder.code, folder.stderr.as_str()), (Some(2), "s3tune: . is a folder: add --recursive\n"));
    fs::write(&memory, "something else").unwrap();
    fs::remove_file(scene.target()).unwrap();
    let ended = scene.cp(&copy).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains("memory.json: "), "{}", ended.stderr);
    assert!(!scene.target().exists());
    assert_eq!(fs::read_to_string(&memory).unwrap(), "something else");
}
