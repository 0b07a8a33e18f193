//! Other programs as engines: their inputs, their possible faults, and the real ones on the embedded S3.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use s3lab::NetworkProfile;
use s3tune::engines::{Engine, Gauge};
use s3tune::failure::{Failure, chain};
use s3tune::lab::{self, EmbeddedS3};
use s3tune::measure::Bench;
use s3tune::object::Connection;
use tempfile::TempDir;
use tunekit::Config;

const BYTES: u64 = 8 << 20;

/// An embedded S3, a folder for engine files and programs, and an empty one for downloads.
struct Scene {
    embedded: EmbeddedS3,
    object: s3tune::object::Object,
    folder: TempDir,
    scratch: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (embedded, object) = lab::with_object(NetworkProfile::unlimited(), BYTES).await.unwrap();
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { embedded, object, folder, scratch }
    }

    /// With the object's bytes in a file, for programs that only pretend to download.
    async fn with_bytes() -> (Self, PathBuf) {
        let scene = Self::new().await;
        let right = scene.folder.path().join("right");
        let connection = scene.embedded.connection();
        let download = Engine::s3xfer();
        download.download(&connection, &scene.object, &Config::new(), &right, &Gauge::new()).await.unwrap();
        (scene, right)
    }

    fn bench(&self, engine: Engine) -> Bench {
        Bench::new(self.embedded.connection(), self.object.clone(), engine, self.scratch.path().to_owned())
    }

    /// The engine of a file that runs this shell script.
    fn engine(&self, script: &str, more: &str) -> Engine {
        fs::write(self.folder.path().join("script.sh"), script).unwrap();
        let text = format!(
            "name = 'fake'\ncommand = ['sh', '{{files}}/script.sh', '{{out}}', '{{threads}}']\n{more}\n\
             [files]\n'script.sh' = {{ from = 'script.sh' }}\n\
             [space.threads]\ntype = 'int'\nlo = 1\nhi = 64\ndefault = 8\n"
        );
        let file = self.folder.path().join("fake.toml");
        fs::write(&file, text).unwrap();
        Engine::parse(file.to_str().unwrap()).unwrap()
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(fs::read_dir(self.scratch.path()).unwrap().count(), 0);
    }
}

fn usage(result: Result<impl std::fmt::Debug, Failure>) -> String {
    match result {
        Err(failure @ Failure::Usage(_)) => failure.line(),
        other => panic!("{other:?}"),
    }
}

fn work(result: Result<impl std::fmt::Debug, Failure>) -> String {
    match result {
        Err(failure @ Failure::Work(_)) => failure.line(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_variables_and_files_reach_the_program_with_their_values() {
    let (scene, right) = Scene::with_bytes().await;
    let seen = scene.folder.path().join("seen");
    let script = format!(
        "cp '{}' \"$1\"; cat \"$CONFIG\" > '{1}'; echo \"$0 $2 $AWS_ACCESS_KEY_ID $AWS_REGION\" >> '{1}'\n\
         echo \"${{AWS_PROFILE-unset}} ${{GONE-unset}} ${{S3TUNE_NO_SIGN_REQUEST-signed}}\" >> '{1}'",
        right.display(),
        seen.display(),
    );
    fs::write(scene.folder.path().join("script.sh"), script).unwrap();
    let file = scene.folder.path().join("fake.toml");
    let text = r#"
name = "fake"
command = ["sh", "{files}/script.sh", "{out}", "-n{threads}", "{unsigned}"]
unsigned = ["--anonymous"]
unset = ["GONE"]
[env]
CONFIG = "{files}/etc/fake.conf"
[files]
"script.sh" = { from = "script.sh" }
"etc/fake.conf" = "{bucket}/{key} at {endpoint} in {region}: {part}\n"
[space.threads]
type = "int"
lo = 1
hi = 64
default = 8
[space.part]
type = "categorical"
values = ["{out} a", "b"]
default = "b"
"#;
    fs::write(&file, text).unwrap();
    let bench = scene.bench(Engine::parse(file.to_str().unwrap()).unwrap());

    // A parameter that the configuration leaves out has its default; a value that looks like a placeholder stays as it
    // is.
    bench.download(&Config::new().with("part", "{out} a")).await.unwrap();
    let told = fs::read_to_string(&seen).unwrap();
    let endpoint = scene.embedded.endpoint();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("lab/object at {endpoint} in us-east-1: {{out}} a"));
    let words: Vec<&str> = lines[1].split(' ').collect();
    assert_eq!(words[1..], ["-n8", scene.embedded.lab().access_key(), "us-east-1"]);
    assert_eq!(lines[2], "unset unset signed");
    // The folder of its files is gone.
    assert!(!Path::new(words[0]).exists(), "{}", words[0]);
    scene.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_does_wrong_is_one_line_and_leaves_nothing() {
    let (scene, right) = Scene::with_bytes().await;
    let copy = format!("cp '{}' \"$1\"", right.display());
    for (script, metric, says) in [
        ("echo no such bucket >&2; exit 3".to_owned(), "wall", "no such bucket"),
        (format!("{copy}; exit 3"), "wall", "exit status: 3"),
        ("true".to_owned(), "wall", "wrote no file"),
        (format!("{copy}.part"), "wall", "\"object.part\""),
        ("mkdir \"$1\"".to_owned(), "wall", "is not a file"),
        ("mkfifo \"$1\"".to_owned(), "wall", "is not a file"),
        ("ln -s /dev/zero \"$1\"".to_owned(), "wall", "is not a file"),
        (format!("{copy}; echo >> \"$1\""), "wall", "8388609 bytes"),
        ("head -c 8388608 /dev/zero > \"$1\"".to_owned(), "wall", "CRC64NVME"),
        (copy.clone(), "stdout", "it wrote nothing"),
        (format!("{copy}; echo done"), "stdout", "\"done\" is not a number"),
        (format!("{copy}; echo 86400000"), "stdout", "milliseconds"),
        (format!("{copy}; echo -1"), "stdout", "-1 s is not a time"),
        (format!("{copy}; echo '[tune-metric]: {{\"loss\": 1}}'"), "stdout", "no download_time"),
    ] {
        let bench = scene.bench(scene.engine(&script, &format!("metric = '{metric}'")));
        let error = chain(&bench.download(&Config::new()).await.unwrap_err());
        assert!(error.contains(says) && !error.contains('\n'), "{script}: {error}");
        assert!(!error.contains(scene.embedded.lab().secret_key()), "{error}");
        scene.assert_nothing_is_left();
        assert_eq!(bench.ledger().measurements, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_says_its_time_is_taken_at_its_word() {
    let (scene, right) = Scene::with_bytes().await;
    for say in ["echo 0.001", "echo '[tune-metric]: {\"download_time\": 0.001, \"st_worker_time\": 9}'; echo bye"] {
        let engine = scene.engine(&format!("cp '{}' \"$1\"; {say}", right.display()), "metric = 'stdout'");
        assert_eq!(scene.bench(engine).download(&Config::new()).await.unwrap(), Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_ended_at_its_limit() {
    let (scene, _) = Scene::with_bytes().await;
    let pid = scene.folder.path().join("pid");
    let engine = scene.engine(&format!("echo $$ > '{}.new'; mv '{0}.new' '{0}'; sleep 600", pid.display()), "");
    let mut bench = scene.bench(engine);
    bench.limit = Duration::from_millis(300);
    // A busy machine may not have started it by then.
    let error = loop {
        let error = bench.download(&Config::new()).await.unwrap_err().to_string();
        if pid.exists() {
            break error;
        }
    };
    assert_eq!(error, "fake did not end within 0.3 s");
    let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    // It was killed; until it is reaped it is a zombie.
    let ending = async {
        while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ending).await.expect("the program's end");
    scene.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_every_other_time_is_measured_the_other_times() {
    let (scene, right) = Scene::with_bytes().await;
    let mark = scene.folder.path().join("mark");
    let script = format!(
        "if rm '{0}' 2> /dev/null; then exit 1; fi; touch '{0}'; cp '{1}' \"$1\"",
        mark.display(),
        right.display()
    );
    let bench = scene.bench(scene.engine(&script, ""));
    for round in 0..6 {
        assert_eq!(bench.download(&Config::new()).await.is_ok(), round % 2 == 0, "{round}");
    }
    assert_eq!(bench.ledger().measurements, 3);
    scene.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gauge_follows_a_download() {
    let (scene, right) = Scene::with_bytes().await;
    let half = format!("head -c 4194304 '{}' > \"$1.part\"; sleep 600", right.display());
    let bench = scene.bench(scene.engine(&half, ""));
    let gauge = Gauge::new();
    let config = Config::new();
    let grows = async {
        while gauge.fraction().is_none_or(|fraction| fraction < 0.5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = bench.download_watched(&config, &gauge) => panic!("{ended:?}"),
        () = grows => {}
    }
    let bench = scene.bench(Engine::s3xfer());
    bench.download_watched(&Config::new(), &gauge).await.unwrap();
    assert_eq!(gauge.fraction(), Some(1.0));
}

#[tokio::test]
async fn a_program_that_is_missing_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut missing = Engine::parse("no-such-client s3://{bucket}/{key} {out}").unwrap();
    assert!(work(missing.check().await).contains("no-such-client"));
    let file = folder.path().join("e.toml");
    let check = async |check: &str| {
        let text = format!("name = 'e'\ncommand = ['sh', '{{out}}']\ninstall = 'pip install it'\ncheck = {check}\n");
        fs::write(&file, text).unwrap();
        let mut engine = Engine::parse(file.to_str().unwrap()).unwrap();
        assert_eq!(engine.version(), None);
        engine.check().await.map(|()| engine.version().map(str::to_owned))
    };
    assert_eq!(check("['sh', '-c', 'echo; echo tool 1.2']").await.unwrap().as_deref(), Some("tool 1.2"));
    assert_eq!(check("[]").await.unwrap(), None);
    let no_module = work(check("['sh', '-c', 'echo No module named it >&2; exit 1']").await);
    assert!(no_module.contains("No module named it; to install it: pip install it"), "{no_module}");
    assert!(work(check("['absent-program']").await).contains("absent-program"));
}

#[test]
fn a_word_that_names_no_engine_gets_the_names() {
    for (text, says) in [
        ("boto", "did you mean boto3?"),
        ("awscli", "did you mean aws-cli?"),
        ("wget", "rclone"),
        ("absent.toml", "absent.toml: the file cannot be read"),
        ("wget {bukket} {out}", "{bukket}"),
    ] {
        let line = usage(Engine::parse(text));
        assert!(line.contains(says) && line.contains("--engine"), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, "name = 'x'\ncomand = ['x']\n").unwrap();
    let line = usage(Engine::parse(file.to_str().unwrap()));
    assert!(line.contains("wrong.toml: line 2: unknown field `comand`"), "{line}");
}

#[test]
fn what_would_change_nothing_is_not_searched() {
    let folder = tempfile::tempdir().unwrap();
    let space = |text: &str| {
        let file = folder.path().join("space.toml");
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let threads = space("max_concurrency = { type = 'int', lo = 1, hi = 9 }");
    // A template that names no parameter cannot be tuned in any space.
    let none = Engine::parse("cp /etc/hostname {out}").unwrap();
    for name in [None, Some("default"), Some("compat"), Some(threads.as_str())] {
        let line = usage(none.space(name, BYTES));
        assert!(line.contains("max_concurrency") && line.contains("--space"), "{line}");
    }
    let one = Engine::parse("fetch -n {max_concurrency} {out}").unwrap();
    assert_eq!(one.space(Some(&threads), BYTES).unwrap().len(), 1);
    // It has no other parameters, so none is recommended or exported.
    let knobs: Vec<&str> = one.knobs().iter().map(|knob| knob.name.as_str()).collect();
    assert_eq!((knobs, one.complete(&Config::new()).len()), (vec!["max_concurrency"], 1));
    let line = usage(one.space(None, BYTES));
    assert!(
        line.contains("{multipart_chunksize} {io_chunksize} {max_io_queue}") && !line.contains("vary max_conc"),
        "{line}"
    );

    let aws = Engine::parse("aws-cli").unwrap();
    let crt = "preferred_transfer_client = { type = 'categorical', values = ['crt'] }\n";
    for knob in ["max_concurrent_requests", "max_queue_size", "multipart_threshold"] {
        let line = usage(aws.space(Some(&space(&format!("{crt}{knob} = {{ type = 'int', lo = 1, hi = 9 }}"))), BYTES));
        assert!(line.contains(&format!("{knob} is ignored with preferred_transfer_client = crt")), "{line}");
    }
    let part = format!("{crt}multipart_chunksize = {{ type = 'int', lo = 1048576, hi = 9000000 }}");
    assert_eq!(aws.space(Some(&space(&part)), BYTES).unwrap().len(), 2);
    let line = usage(aws.space(Some(&space("max_io_queue = { type = 'int', lo = 1, hi = 9 }")), BYTES));
    assert!(
        line.contains("max_io_queue is not a parameter of the engine") && line.contains("max_queue_size"),
        "{line}"
    );
    assert!(usage(aws.space(Some("compat"), BYTES)).contains("--space compat"));
}

#[test]
fn the_example_of_the_documentation_is_an_engine() {
    let page = include_str!("../../../docs/ENGINES.md");
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mytool.toml");
    fs::write(&file, example).unwrap();
    let engine = Engine::parse(file.to_str().unwrap()).unwrap();
    assert_eq!(engine.name(), "mytool");
    let space = engine.space(None, 256 << 20).unwrap();
    assert_eq!(space.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["threads", "part_size"]);
    assert!(space.domain("part_size").unwrap().allows().ends_with("from 1 to 64"));
    assert_eq!(engine.defaults(&space), Config::new().with("threads", 8).with("part_size", 16));
}

#[test]
fn boto3_has_boto3s_parameters_spaces_and_defaults() {
    let boto3 = Engine::parse("boto3").unwrap();
    assert_eq!(boto3.boto3_defaults().unwrap(), boto3.complete(&Config::new()));
    assert_eq!(boto3.space(Some("compat"), BYTES).unwrap(), Engine::s3xfer().space(Some("compat"), BYTES).unwrap());
    let names = |engine: &Engine| {
        let mut names: Vec<String> =
            engine.space(None, 256 << 20).unwrap().iter().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    };
    let mut ours = names(&Engine::s3xfer());
    ours.retain(|name| name != "adaptive_concurrency");
    assert_eq!(names(&boto3), ours);
    for name in ["aws-cli", "s5cmd", "rclone"] {
        let engine = Engine::parse(name).unwrap();
        assert_eq!(engine.boto3_defaults(), None);
        for bytes in [1, BYTES, 3 << 30, u64::MAX] {
            let space = engine.space(None, bytes).unwrap();
            space.validate(&engine.defaults(&space)).unwrap();
        }
    }
}

/// The engine, where its program is installed; a word on standard error where it is not.
async fn installed(name: &str) -> Option<Engine> {
    let mut engine = Engine::parse(name).unwrap();
    match engine.check().await {
        Ok(()) => {
            assert!(engine.version().is_some_and(|version| version.contains('.')), "{:?}", engine.version());
            Some(engine)
        }
        Err(failure) => {
            eprintln!("skipped: {}", failure.line());
            None
        }
    }
}

/// Parts that the object is asked for in a download with `config`.
async fn requests(scene: &Scene, engine: &Engine, config: Config) -> usize {
    let bench = scene.bench(engine.clone());
    let before = scene.embedded.lab().requests().len();
    bench.download(&config).await.unwrap_or_else(|error| panic!("{}: {}", engine.name(), chain(&error)));
    let all = scene.embedded.lab().requests();
    all[before..].iter().filter(|request| request.method == "GET" && request.key == "object").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_programs_download_the_object_and_heed_their_knobs() {
    let scene = Scene::new().await;
    let mib = |n: i64| n << 20;
    for (name, one, eight) in [
        (
            "boto3",
            Config::new().with("multipart_threshold", mib(64)),
            Config::new().with("multipart_chunksize", mib(1)).with("max_concurrency", 3),
        ),
        (
            "aws-cli",
            Config::new().with("multipart_threshold", mib(64)),
            Config::new().with("multipart_chunksize", mib(1)).with("max_concurrent_requests", 3),
        ),
        ("s5cmd", Config::new(), Config::new().with("part_size", 1).with("concurrency", 3)),
        (
            "rclone",
            Config::new(),
            Config::new()
                .with("multi_thread_cutoff", 1)
                .with("multi_thread_chunk_size", 1)
                .with("multi_thread_streams", 3),
        ),
    ] {
        let Some(engine) = installed(name).await else { continue };
        assert_eq!(requests(&scene, &engine, one).await, 1, "{name}");
        assert_eq!(requests(&scene, &engine, eight).await, 8, "{name}");
        scene.assert_nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_programs_take_a_key_as_it_is() {
    // Others are like the pattern that the key could be.
    let lab = ["a?b*c", "axbyc", "a1b2c"].into_iter().zip([BYTES, BYTES / 2, BYTES / 4]);
    let lab = lab.fold(s3lab::Lab::builder().bucket("lab"), |lab, (key, bytes)| lab.synthetic("lab", key, bytes));
    let embedded = EmbeddedS3::start(lab.build().unwrap(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let object = s3tune::object::Object::find(&mut embedded.connection(), "lab", "a?b*c").await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for name in ["boto3", "aws-cli", "s5cmd", "rclone"] {
        let Some(engine) = installed(name).await else { continue };
        let mut bench = Bench::new(embedded.connection(), object.clone(), engine, scratch.path().to_owned());
        bench.file_name = "object".to_owned();
        bench.download(&Config::new()).await.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_real_programs_do_not_sign() {
    let lab =
        s3lab::Lab::builder().bucket("lab").synthetic("lab", "object", BYTES).allow_anonymous(true).build().unwrap();
    let embedded = EmbeddedS3::start(lab, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut connection = Connection::from_env(Some(&embedded.endpoint()), false).await.unwrap();
    let object = s3tune::object::Object::find(&mut connection, "lab", "object").await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for name in ["boto3", "aws-cli", "s5cmd", "rclone"] {
        let Some(engine) = installed(name).await else { continue };
        let bench = Bench::new(connection.clone(), object.clone(), engine, scratch.path().to_owned());
        bench.download(&Config::new()).await.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
}

#[test]
fn the_command_says_what_is_wrong_with_an_engine() {
    for (arguments, code, says) in [
        (&["--engine", "cp /etc/hostname {out}"][..], 2, "max_concurrency"),
        (&["--engine", "boto"], 2, "boto3"),
        (&["--engine", "mycp --limit {max_bandwidth} {out}"], 2, "[space.max_bandwidth]"),
        (&["--engine", "aws-cli", "--space", "compat"], 2, "compat"),
        (
            &["--engine", "no-such-client {max_concurrency} {multipart_chunksize} {io_chunksize} {max_io_queue} {out}"],
            1,
            "no-such-client",
        ),
    ] {
        let out = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_s3tune"))
            .args(["tune", "--lab", "unlimited", "--object-size", "1MiB", "--out"])
            .arg(out.path().join("run"))
            .args(arguments)
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("s3tune: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(says), "{arguments:?}: {told}");
    }
}
