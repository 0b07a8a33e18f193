//! The connections and file descriptors that downloads leave open in the connector. Alone in its process, because it
//! counts those of the process.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use s3xfer::{Client, TransferConfig};
use wire::{Http, sdk};

const PART: usize = 4 << 20;
const SIZE: usize = 4 * PART;

/// Answers every ranged GET with zeros; counts connections.
fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut range = 0..0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(asked) = line.trim_end().strip_prefix("range: bytes=") {
            let (first, last) = asked.split_once('-').unwrap();
            range = first.parse().unwrap()..last.parse::<usize>().unwrap() + 1;
        }
        if line == "\r\n" {
            let (start, end) = (range.start, range.end.min(SIZE));
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {start}-{}/{SIZE}\r\netag: \"x\"\r\n\r\n",
                end - start,
                end - 1,
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&vec![0; end - start])?;
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn downloads_share_connections_and_aborted_ones_leave_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (accepting, opening) = (accepted.clone(), open.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            accepting.fetch_add(1, Ordering::SeqCst);
            opening.fetch_add(1, Ordering::SeqCst);
            let open = opening.clone();
            thread::spawn(move || {
                let _ = serve(stream);
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let parts = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART as u64).max_concurrency(4);
    // The server answers GETs only.
    let parts = parts.validate_checksum(false);
    let client = Client::new(sdk(&endpoint, Some(("a", "s")), Http::Ours)).with_config(parts.build().unwrap());
    let folder = tempfile::tempdir().unwrap();

    for _ in 0..5 {
        client.download("b", "k").to_file(folder.path().join("x")).await.unwrap();
    }
    assert!(accepted.load(Ordering::SeqCst) <= 4, "20 requests over {accepted:?} connections");

    let before = open_files();
    for round in 0..200 {
        let download = client.download("b", "k").to_file(folder.path().join("x"));
        // Given up at another point each time.
        let _ = tokio::time::timeout(Duration::from_micros(50 * round), download).await;
    }
    drop(client);
    // A minute on the busiest machine.
    for _ in 0..12_000 {
        if open.load(Ordering::SeqCst) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(open.load(Ordering::SeqCst), 0, "connections that nobody uses any more are open");
    assert!(open_files() <= before, "{} files are open, {before} were", open_files());
}
