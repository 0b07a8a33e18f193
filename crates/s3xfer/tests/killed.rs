//! Downloads whose process is killed, for real and by the kernel: recorded parts are kept, and another process ends
//! them as the object's exact bytes.
//!
//! The process is this test binary again, told by its environment to download and nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod journal;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use journal::{DATA, JOURNAL, asked, recorded};
use rustix::process::{Pid, Signal, kill_process};
use s3lab::{Lab, NetworkProfile, Server};
use s3xfer::{Client, TransferConfig};
use tempfile::TempDir;
use wire::Http;

const PART: u64 = 32 << 10;
const PARTS: u64 = 25;
const SIZE: u64 = PARTS * PART - 999;

/// Says that this process is to be the one that downloads, and from where.
const ENDPOINT: &str = "S3XFER_TEST_ENDPOINT";
const TARGET: &str = "S3XFER_TEST_TARGET";
const ADAPTIVE: &str = "S3XFER_TEST_ADAPTIVE";

/// No test of its own: the other processes run it.
#[tokio::test]
async fn the_process_that_downloads() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(4);
    let config = config.adaptive_concurrency(std::env::var_os(ADAPTIVE).is_some());
    let client = Client::new(wire::sdk(&endpoint, Some(("s3lab", "s3lab-secret")), Http::Ours));
    let client = client.with_config(config.build().unwrap());
    let target = std::env::var_os(TARGET).unwrap();
    match client.download("lab", "key").to_file(target).resume(true).await {
        Ok(report) => println!("resumed {} bytes; {:?}", report.resumed_bytes, report.integrity),
        Err(error) => println!("failed with {:?}: {error}", error.kind()),
    }
}

struct Scene {
    lab: Lab,
    server: Server,
    folder: TempDir,
    /// Whether the engine chooses the sizes of parts.
    adaptive: bool,
}

impl Scene {
    /// A part takes about 33 ms: time to look at the journal between two of them.
    async fn new() -> Self {
        Self::behind(1.0).await
    }

    async fn behind(mb_per_s: f64) -> Self {
        let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(mb_per_s)).unwrap();
        let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).network(network).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server, folder: tempfile::tempdir().unwrap(), adaptive: false }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn target(&self) -> PathBuf {
        self.path().join("object.bin")
    }

    fn process(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_downloads", "--nocapture"])
            .env(ENDPOINT, self.server.endpoint())
            .env(TARGET, self.target())
            .envs(self.adaptive.then_some((ADAPTIVE, "1")))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    /// Kills a download as soon as `holds`; false if it was done before.
    async fn kill(&self, holds: impl Fn(&Self) -> bool) -> bool {
        let mut process = self.process();
        while !holds(self) {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // Its last request may still be on its way to the server.
        let mut seen = None;
        while self.lab.stats().connections_open > 0 || seen != Some(self.lab.stats().total()) {
            seen = Some(self.lab.stats().total());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        !self.target().exists()
    }

    /// A download to its end, and its output.
    async fn run(&self) -> String {
        said(self.process()).await
    }

    fn assert_bytes(&self) {
        let bytes = fs::read(self.target()).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        self.lab.synthetic_object("lab", "key").unwrap().verify(0, &bytes).unwrap();
    }

    fn assert_whole(&self) {
        self.assert_bytes();
        let names: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["object.bin"]);
    }
}

async fn said(process: Child) -> String {
    let output = tokio::task::spawn_blocking(move || process.wait_with_output()).await.unwrap();
    let Output { status, stdout, .. } = output.unwrap();
    assert!(status.success(), "{status}");
    let text = String::from_utf8(stdout).unwrap();
    // The test harness's own output is around it, some of it on the same line.
    let at = text.find("resumed ").or_else(|| text.find("failed with ")).unwrap_or_else(|| panic!("{text}"));
    text[at..].lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_record_another_process_goes_on() {
    let mut killed = 0;
    for parts in 1..=PARTS as usize {
        let scene = Scene::new().await;
        if !scene.kill(|scene| recorded(scene.path()).len() >= parts).await {
            // Killed after the file got its name, it may have left the journal: the next download removes that.
            scene.run().await;
            scene.assert_whole();
            continue;
        }
        killed += 1;
        let done = recorded(scene.path());
        assert!(done.len() >= parts);
        let before = scene.lab.requests().len();
        let bytes: u64 = done.iter().map(|number| PART.min(SIZE - number * PART)).sum();
        // Without its mark a file was about to get its name; it is read again, and its bytes are validated.
        let is_marked = fs::metadata(scene.path().join(DATA)).unwrap().len() > SIZE;
        let integrity = if is_marked { "ValidatedAsReceived" } else { "Validated" };
        assert_eq!(scene.run().await, format!("resumed {bytes} bytes; {integrity}(Crc64Nvme)"));
        let requests = scene.lab.requests().split_off(before);
        let mut parts: Vec<u64> =
            requests.iter().filter_map(|request| Some(asked(request.range.as_ref()?).start / PART)).collect();
        // The last requests of the one that was killed may be read by the server only now.
        parts.sort_unstable();
        parts.dedup();
        assert!(parts.iter().all(|part| !done.contains(part)), "{parts:?} after {done:?}");
        assert_eq!(parts.len() + done.len(), PARTS as usize, "{parts:?} after {done:?}");
        scene.assert_whole();
    }
    assert!(killed > 15, "only {killed} downloads were killed before they were done");
}

/// Parts are of any size there, and some were cut short for others to fetch their ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_record_a_download_that_chooses_its_parts_goes_on() {
    let mut killed = 0;
    for parts in [1, 3, 6, 9, 12, 15, 18, 21] {
        let scene = Scene { adaptive: true, ..Scene::new().await };
        killed += u32::from(scene.kill(|scene| recorded(scene.path()).len() >= parts).await);
        let said = scene.run().await;
        assert!(said.starts_with("resumed ") && said.contains("Validated"), "{said}");
        scene.assert_whole();
    }
    assert!(killed > 4, "only {killed} downloads were killed before they were done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_a_kill_left_beside_the_whole_file_is_removed_by_the_next_download() {
    let scene = Scene::new().await;
    assert!(scene.kill(|scene| recorded(scene.path()).len() >= 3).await);
    let journal = scene.path().join(".object.bin.s3xfer-journal");
    let left = fs::read(&journal).unwrap();
    scene.run().await;
    scene.assert_whole();
    fs::write(&journal, left).unwrap();
    scene.run().await;
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_gets_there_without_fetching_a_recorded_part_twice() {
    let scene = Scene::new().await;
    let mut kills = 0;
    while kills < 6 {
        let before = recorded(scene.path()).len();
        if !scene.kill(|scene| recorded(scene.path()).len() > before + 2).await {
            break;
        }
        kills += 1;
    }
    assert!(kills > 2, "{kills}");
    if scene.target().exists() {
        // Killed after the file got its name, it may have left the journal.
        scene.assert_bytes();
    } else {
        assert!(scene.run().await.starts_with("resumed "));
        scene.assert_whole();
    }
    // Each time at most as many as are in flight were lost.
    let gets = scene.lab.requests().iter().filter(|request| request.method == "GET").count() as u64;
    assert!(gets <= PARTS + (kills + 1) * 5, "{gets} requests for {PARTS} parts after {kills} kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_first_record_it_starts_anew() {
    for name in [DATA, JOURNAL] {
        let scene = Scene::new().await;
        assert!(scene.kill(|scene| scene.path().join(name).exists()).await);
        let done = recorded(scene.path()).len() as u64;
        let said = scene.run().await;
        assert!(done > 0 || said.starts_with("resumed 0 bytes"), "{said}");
        scene.assert_whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_target_the_second_is_told() {
    let scene = Scene::behind(0.2).await;
    let first = scene.process();
    while recorded(scene.path()).is_empty() {
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    // It is held in the middle of it, however long the other one takes to begin.
    let send = |signal| kill_process(Pid::from_child(&first), signal).unwrap();
    send(Signal::STOP);
    let second = scene.run().await;
    send(Signal::CONT);
    let first = said(first).await;
    assert!(first.starts_with("resumed 0 bytes; Validated"), "{first}");
    assert!(second.starts_with("failed with Disk"), "{second}");
    assert!(second.contains("another download into it is running"), "{second}");
    scene.assert_whole();
}
