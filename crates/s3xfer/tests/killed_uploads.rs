//! Uploads whose process is killed, for real and by the kernel, at any moment: the same call in another process makes
//! the right object, sends at most one part a connection again, and leaves nothing at the server or beside the file.
//!
//! The process is this test binary again, told by its environment to upload and nothing else. `S3XFER_TEST_KILLS` says
//! how often it is killed, `S3XFER_TEST_SEED` when.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use s3lab::{Lab, NetworkProfile, RequestKind, Server, SyntheticObject};
use s3xfer::{Client, TransferConfig};
use tempfile::TempDir;
use wire::Http;

const PART: u64 = 32 << 10;
const PARTS: u64 = 25;
const SIZE: u64 = PARTS * PART - 999;
const CONNECTIONS: u64 = 4;

/// Says that this process is to be the one that uploads, and where to.
const ENDPOINT: &str = "S3XFER_TEST_ENDPOINT";
const SOURCE: &str = "S3XFER_TEST_SOURCE";

/// No test of its own: the other processes run it.
#[tokio::test]
async fn the_process_that_uploads() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let config = TransferConfig::boto3().to_builder().multipart_threshold(1).multipart_chunksize(PART);
    let config = config.max_concurrency(u32::try_from(CONNECTIONS).unwrap()).build().unwrap();
    let client = Client::new(wire::sdk(&endpoint, Some(("s3lab", "s3lab-secret")), Http::Ours)).with_config(config);
    let source = PathBuf::from(std::env::var_os(SOURCE).unwrap());
    match client.upload(source, "lab", "key").least_part_bytes(1).resume(true).await {
        Ok(report) => println!("resumed {} bytes; {:?}", report.resumed_bytes, report.integrity),
        Err(error) => println!("failed with {:?}: {error}", error.kind()),
    }
}

struct Scene {
    lab: Lab,
    server: Server,
    folder: TempDir,
}

fn bytes(seed: u64) -> Vec<u8> {
    let object = SyntheticObject::new(seed, SIZE);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < SIZE {
        bytes.extend_from_slice(&object.slice(bytes.len() as u64, 1 << 20));
    }
    bytes
}

impl Scene {
    /// A part takes about 33 ms.
    async fn new() -> Self {
        let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(1.0)).unwrap();
        let lab = Lab::builder().bucket("lab").min_part_size(1).network(network).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let scene = Self { lab, server, folder: tempfile::tempdir().unwrap() };
        fs::write(scene.source(), bytes(1)).unwrap();
        scene
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("object.bin")
    }

    fn process(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_uploads", "--nocapture"])
            .env(ENDPOINT, self.server.endpoint())
            .env(SOURCE, self.source())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    /// Kills an upload when `now` says so; false if it was done before.
    async fn kill(&self, mut now: impl FnMut(&Self) -> bool) -> bool {
        let mut process = self.process();
        while !now(self) {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // Its last requests may still be on their way to the server.
        let mut seen = None;
        while self.lab.stats().connections_open > 0 || seen != Some(self.lab.stats().total()) {
            seen = Some(self.lab.stats().total());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// An upload to its end, and its output.
    async fn run(&self) -> String {
        said(self.process()).await
    }

    fn sent(&self) -> u64 {
        self.lab.stats().count(RequestKind::UploadPart)
    }

    fn assert_whole(&self, wanted: &[u8]) {
        assert!(self.lab.object("lab", "key").is_some_and(|object| object == wanted), "another object");
        assert_eq!(self.lab.uploads("lab"), Vec::<String>::new());
        assert_eq!(self.files(), ["object.bin"]);
    }

    fn files(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(name).collect();
        names.sort_unstable();
        names
    }
}

async fn said(process: Child) -> String {
    let output = tokio::task::spawn_blocking(move || process.wait_with_output()).await.unwrap();
    let Output { status, stdout, .. } = output.unwrap();
    assert!(status.success(), "{status}");
    let text = String::from_utf8(stdout).unwrap();
    // The test harness prints around it, partly on the same line.
    let at = text.find("resumed ").or_else(|| text.find("failed with ")).unwrap_or_else(|| panic!("{text}"));
    text[at..].lines().next().unwrap().to_owned()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_same_upload_makes_the_object_and_sends_hardly_anything_twice() {
    let wanted_kills = number("S3XFER_TEST_KILLS").unwrap_or(12);
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = number("S3XFER_TEST_SEED").unwrap_or_else(clock);
    println!("seed {seed}");
    let mut luck = seed;
    let mut random = move |below: u64| {
        luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (luck >> 33) % below
    };
    let (mut kills, mut resumed) = (0, 0);
    while kills < wanted_kills {
        let scene = Scene::new().await;
        let mut here = 0;
        // Some are killed once and some many times.
        while kills < wanted_kills && (here == 0 || random(4) > 0) {
            let after = Duration::from_millis(random(500));
            let began = tokio::time::Instant::now();
            if !scene.kill(|_| began.elapsed() >= after).await {
                break;
            }
            (kills, here) = (kills + 1, here + 1);
            if scene.files() == ["object.bin"] && scene.lab.object("lab", "key").is_some() {
                // It had ended, but for its last words.
                break;
            }
        }
        if scene.files() != ["object.bin"] || scene.lab.object("lab", "key").is_none() {
            let said = scene.run().await;
            assert!(said.starts_with("resumed ") && said.contains("Validated"), "{said}, seed {seed}");
            resumed += u32::from(!said.starts_with("resumed 0 "));
        }
        scene.assert_whole(&bytes(1));
        let (sent, most) = (scene.sent(), PARTS + here * CONNECTIONS);
        assert!(sent <= most, "{sent} parts were sent for {PARTS} after {here} kills, seed {seed}");
    }
    println!("{kills} kills, {resumed} uploads that went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_number_of_parts_no_more_is_sent_again_than_was_on_its_way() {
    for parts in [1, 7, 13, 20] {
        let scene = Scene::new().await;
        assert!(scene.kill(|scene| scene.sent() >= parts + CONNECTIONS).await);
        assert_eq!(scene.lab.uploads("lab").len(), 1, "it is kept");
        let said = scene.run().await;
        let bytes: u64 = said.strip_prefix("resumed ").unwrap().split_once(' ').unwrap().0.parse().unwrap();
        assert!(bytes >= (parts - 1) * PART, "{said} after {parts} parts");
        assert!(scene.sent() <= PARTS + CONNECTIONS, "{} were sent after {parts}", scene.sent());
        assert_eq!(scene.lab.stats().count(RequestKind::CreateMultipartUpload), 1);
        scene.assert_whole(&self::bytes(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_changed_since_is_uploaded_anew_and_the_earlier_upload_is_gone() {
    let scene = Scene::new().await;
    assert!(scene.kill(|scene| scene.sent() >= 9).await);
    // The same size, and other bytes.
    fs::write(scene.source(), bytes(2)).unwrap();
    let said = scene.run().await;
    assert!(said.starts_with("resumed 0 bytes; Validated"), "{said}");
    scene.assert_whole(&bytes(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_file_the_second_is_told() {
    let scene = Scene::new().await;
    let first = scene.process();
    while scene.sent() < 3 {
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    let send = |signal| rustix::process::kill_process(rustix::process::Pid::from_child(&first), signal).unwrap();
    send(rustix::process::Signal::STOP);
    let second = scene.run().await;
    send(rustix::process::Signal::CONT);
    let first = said(first).await;
    assert!(first.starts_with("resumed 0 bytes; Validated"), "{first}");
    assert!(second.starts_with("failed with Disk") && second.contains("another upload of the same file"), "{second}");
    scene.assert_whole(&bytes(1));
}
