//! Thousands of downloads in one process, with faults, a quarter of them given up half-way: memory, tasks, files and
//! sockets come back to where they were. Alone in its process, because it counts those of the process.
//!
//! 2,000 downloads, or as many as `S3XFER_SOAK_DOWNLOADS` says.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use s3lab::{Fault, FaultKind, FaultPlan, Lab, Requests, Server};
use s3xfer::{Client, Progress, TransferConfig, TransferErrorKind};
use tokio::runtime::Runtime;
use wire::Http;

const PART: u64 = 8 << 10;
const SIZE: u64 = 5 * PART + 77;
const AT_ONCE: usize = 16;
/// Downloads before memory is looked at for the first time: pools, arenas and lazily made tables have their size then.
const WARM_UP: usize = 300;
/// Most growth of resident memory: five times the measured value. 5 KiB that stayed behind with every download would be
/// more.
const MOST_GROWTH: u64 = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    files: usize,
    sockets: usize,
    tasks: usize,
}

impl Held {
    fn now(client: &Runtime) -> Self {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let (sockets, files): (Vec<_>, Vec<_>) = links.partition(|link| link.to_string_lossy().starts_with("socket:"));
        Self { files: files.len(), sockets: sockets.len(), tasks: client.metrics().num_alive_tasks() }
    }
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")).unwrap();
    kib.trim().parse::<u64>().unwrap() << 10
}

/// Some of every hundred GETs of an object fail, each kind at its own pace.
fn faults(gets: u64) -> FaultPlan {
    let kind = |n: u64| match n % 60 {
        7 => Some(FaultKind::Reset { after_bytes: n % PART }),
        19 => Some(FaultKind::Truncate { after_bytes: (n * 7) % PART }),
        31 => Some(FaultKind::SlowDown),
        43 => Some(FaultKind::Slow { bytes_per_s: 400_000 }),
        55 => Some(FaultKind::InternalError),
        _ => None,
    };
    let fault = |n| {
        Some(Fault {
            key: "*".to_owned(),
            on: s3lab::RequestKind::GetObject,
            requests: Requests::At(n),
            kind: kind(n)?,
        })
    };
    FaultPlan::new((0..gets).filter_map(fault)).unwrap()
}

async fn one(client: &Client, lab: &Lab, folder: &Path, number: usize) {
    let key = format!("key-{}", number % AT_ONCE);
    let object = lab.synthetic_object("lab", &key).unwrap();
    let target = folder.join(number.to_string());
    let progress = Progress::new();
    let download = client.download("lab", &key).progress(progress.clone());
    match number % 4 {
        0 => {
            download.to_file(&target).await.unwrap();
            let bytes = fs::read(&target).unwrap();
            assert_eq!(bytes.len() as u64, SIZE);
            object.verify(0, &bytes).unwrap();
            fs::remove_file(&target).unwrap();
        }
        1 => {
            let (bytes, _) = download.to_bytes().await.unwrap();
            assert_eq!(bytes.len() as u64, SIZE);
            object.verify(0, &bytes).unwrap();
        }
        2 => {
            let (mut stream, mut at) = (download.stream(), 0);
            while let Some(frame) = stream.next().await {
                let frame = frame.unwrap();
                object.verify(at, &frame).unwrap();
                at += frame.len() as u64;
            }
            assert_eq!(at, SIZE);
        }
        _ => {
            let half = async {
                while progress.snapshot().written_bytes < SIZE / 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            // The kept file of a download that is not continued is removed here, as its owner would do it.
            let resume = number % 8 == 3;
            tokio::select! {
                _ = download.to_file(&target).resume(resume) => {}
                () = half => {}
            }
            for name in [format!("{number}"), format!(".{number}.s3xfer"), format!(".{number}.s3xfer-journal")] {
                let _ = fs::remove_file(folder.join(name));
            }
        }
    }
}

#[test]
fn thousands_of_downloads_leave_nothing_behind() {
    let downloads = std::env::var("S3XFER_SOAK_DOWNLOADS").map_or(2_000, |text| text.parse().unwrap());
    // The server has a runtime of its own, so that the client's tasks can be counted.
    let (server_runtime, client_runtime) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let gets = downloads as u64 * 8 / AT_ONCE as u64;
    let mut lab = Lab::builder().bucket("lab").faults(faults(gets)).keep_requests(10);
    for key in 0..AT_ONCE {
        lab = lab.synthetic("lab", format!("key-{key}"), SIZE);
    }
    let lab = lab.build().unwrap();
    let server = server_runtime.block_on(Server::start(&lab, "127.0.0.1:0".parse().unwrap())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(24);
    let config = config.build().unwrap();
    let client = || {
        let sdk = wire::sdk(&server.endpoint(), Some((lab.access_key(), lab.secret_key())), Http::Ours);
        Client::new(sdk).with_config(config.clone())
    };
    let run = |client: &Client, numbers: std::ops::Range<usize>| {
        client_runtime.block_on(stream::iter(numbers).for_each_concurrent(AT_ONCE, |number| {
            let (client, lab, folder) = (client.clone(), lab.clone(), folder.path().to_owned());
            // On tasks of their own, as a server's are.
            async move { tokio::spawn(async move { one(&client, &lab, &folder, number).await }).await.unwrap() }
        }));
    };
    // Connections close, tasks end, and the server notices, when the threads come round to it.
    let settle = |wanted: Held| {
        let mut held = Held::now(&client_runtime);
        for _ in 0..12_000 {
            if held == wanted {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            held = Held::now(&client_runtime);
        }
        assert_eq!(held, wanted);
    };

    let before = Held::now(&client_runtime);
    let first = client();
    run(&first, 0..WARM_UP);
    drop(first);
    settle(before);
    let warm = resident_bytes();

    let second = client();
    run(&second, WARM_UP..downloads);
    let held = Held::now(&client_runtime);
    assert!(held.sockets - before.sockets <= 2 * 60, "{held:?}: connections are pooled, both ends of them are here");
    drop(second);
    settle(before);
    let grown = resident_bytes().saturating_sub(warm);
    let stats = lab.stats();
    eprintln!(
        "{downloads} downloads, {} faults: {} KiB resident after {WARM_UP}, {} KiB more at the end",
        stats.faults,
        warm >> 10,
        grown >> 10
    );
    assert!(stats.faults > downloads as u64 / 4, "{stats:?}");
    assert!(grown <= MOST_GROWTH, "{grown} bytes more than after the first {WARM_UP} downloads");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(stats.in_flight, 0);

    let nobody = client_runtime.block_on(client().download("lab", "nobody").discard()).unwrap_err();
    assert_eq!(nobody.kind(), TransferErrorKind::NotFound);
}
