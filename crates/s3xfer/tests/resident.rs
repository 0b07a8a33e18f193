//! `memory_limit` holds for the real memory of the process, not only for the engine's count: resident memory, by the
//! kernel's account, of a program of its own.
//!
//! The test starts itself anew for each download, and the server stays in the parent.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::fs;
use std::process::Command;
use std::time::Duration;

use futures::StreamExt;
use s3lab::{Lab, Server};
use s3xfer::{Client, Progress, TransferConfig};
use tokio::runtime::Runtime;
use wire::Http;

const MIB: u64 = 1 << 20;
const OBJECT: u64 = 192 * MIB;
/// Memory that may be resident beside the limit: the SDK's and the runtime's own, the threads' stacks, and freed memory
/// that malloc keeps, in a debug build. About twice the measured value.
const BESIDE: u64 = 8 * MIB;
const CHILD: &str = "S3XFER_RESIDENT";

/// The downloads of a child, and its limit in MiB.
const DOWNLOADS: [(&str, u64); 9] = [
    ("file", 32),
    ("file in large pieces", 32),
    ("nothing", 32),
    ("memory after a file", 32),
    ("memory after large pieces", 32),
    ("memory in parts of a byte", 8),
    ("file in parts of a byte", 8),
    ("nothing in parts of a byte", 8),
    ("64 streams", 32),
];

fn kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix("kB"));
    line.unwrap().trim().trim_start_matches(':').trim().parse().unwrap()
}

async fn run(what: &str, client: &Client) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object.bin");
    let progress = Progress::new();
    // Thousands of requests for a byte each would take long; the memory that grows with the number of parts is there by
    // then.
    let some = async {
        while progress.snapshot().written_bytes < 400 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let large = || client.download("lab", "large").progress(progress.clone());
    let small = || client.download("lab", "small").progress(progress.clone());
    match what {
        "file" | "file in large pieces" => drop(large().to_file(&target).await.unwrap()),
        "nothing" => drop(large().discard().await.unwrap()),
        "memory after a file" | "memory after large pieces" => {
            large().to_file(&target).await.unwrap();
            drop(large().range(..30 * MIB).to_bytes().await.unwrap());
        }
        "memory in parts of a byte" => tokio::select! {
            ended = small().to_bytes() => panic!("{ended:?}"),
            () = some => {}
        },
        "file in parts of a byte" => tokio::select! {
            ended = small().to_file(&target).resume(true).into_future() => panic!("{ended:?}"),
            () = some => {}
        },
        "nothing in parts of a byte" => tokio::select! {
            ended = small().discard() => panic!("{ended:?}"),
            () = some => {}
        },
        "64 streams" => {
            let mut streams: Vec<_> = (0..64).map(|_| large().stream()).collect();
            // All are begun, and then stand still with the bytes that they have fetched, except those that are read. A
            // frame that has been handed out is the reader's, so it is dropped here.
            let begin = streams.iter_mut().map(|stream| async { drop(stream.next().await) });
            let _ = tokio::time::timeout(Duration::from_secs(3), futures::future::join_all(begin)).await;
            streams.truncate(4);
            for stream in &mut streams {
                while let Some(frame) = stream.next().await {
                    frame.unwrap();
                }
            }
        }
        _ => panic!("{what}"),
    }
}

/// In the child: nothing otherwise.
#[test]
fn in_a_process_of_its_own() {
    let Ok(asked) = std::env::var(CHILD) else { return };
    let [what, limit, endpoint, access, secret] = asked.split('|').collect::<Vec<_>>()[..] else { panic!("{asked}") };
    let builder = TransferConfig::builder().memory_limit(limit.parse::<u64>().unwrap() * MIB);
    let config = match what {
        "64 streams" => builder,
        "file in large pieces" | "memory after large pieces" => {
            builder.max_concurrency(1).multipart_chunksize(64 * MIB).io_chunksize(64 * MIB).max_io_queue(1000)
        }
        _ if what.ends_with("of a byte") => builder.max_concurrency(8).multipart_chunksize(1).multipart_threshold(1),
        _ => builder.max_concurrency(1).multipart_chunksize(64 * MIB),
    };
    let client = Client::new(wire::sdk(endpoint, Some((access, secret)), Http::Ours));
    let client = client.with_config(config.build().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        client.download("lab", "large").range(..1).discard().await.unwrap();
        let idle = kib("VmRSS");
        // Sets VmHWM back to the present value (proc(5)).
        fs::write("/proc/self/clear_refs", "5").unwrap();
        run(what, &client).await;
        println!("grown by {} KiB", kib("VmHWM").saturating_sub(idle));
    });
    // Unfinished tasks are not waited for.
    runtime.shutdown_background();
}

#[test]
fn resident_memory_grows_by_no_more_than_the_limit() {
    if fs::read_to_string("/proc/self/status").is_err() {
        eprintln!("skipped: no /proc here");
        return;
    }
    let lab = Lab::builder().bucket("lab").synthetic("lab", "large", OBJECT).synthetic("lab", "small", 4 * MIB);
    let lab = lab.keep_requests(10).build().unwrap();
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&lab, "127.0.0.1:0".parse().unwrap())).unwrap();
    let mut too_much = Vec::new();
    for (what, limit) in DOWNLOADS {
        let asked = format!("{what}|{limit}|{}|{}|{}", server.endpoint(), lab.access_key(), lab.secret_key());
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["in_a_process_of_its_own", "--exact", "--nocapture"]).env(CHILD, asked);
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{what}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let grown = said.split("grown by ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        let grown = grown.parse::<u64>().unwrap() << 10;
        eprintln!("{what}: {} KiB under a limit of {limit} MiB", grown >> 10);
        if grown > limit * MIB + BESIDE {
            too_much.push((what, limit, grown >> 10));
        }
    }
    assert!(too_much.is_empty(), "{too_much:?}");
}
