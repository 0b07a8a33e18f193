//! One client and many hosts, as with a bucket a host: connections that wait do not use up the descriptors. Alone in its
//! process, for it lowers the process's limit and counts what the process holds.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use s3xfer::{Client, TransferConfig};
use wire::{Http, sdk};

/// Descriptors that the process may have. Both ends of every connection are in it.
const DESCRIPTORS: u64 = 256;
const HOSTS: usize = 500;
const BODY: &[u8] = b"five!";

/// The bucket `n` is served at an address of its own.
#[derive(Debug)]
struct HostPerBucket {
    port: u16,
}

impl ResolveEndpoint for HostPerBucket {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        let bucket: usize = params.bucket().unwrap().parse().unwrap();
        let url = format!("http://127.0.{}.{}:{}", bucket / 250, bucket % 250 + 1, self.port);
        EndpointFuture::ready(Ok(Endpoint::builder().url(url).build()))
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let (mut lines, mut stream) = (BufReader::new(&stream).lines(), &stream);
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            let last = BODY.len() - 1;
            let head = format!("content-length: {}\r\ncontent-range: bytes 0-{last}/{}", BODY.len(), BODY.len());
            write!(stream, "HTTP/1.1 206 Partial Content\r\n{head}\r\netag: \"x\"\r\n\r\n")?;
            stream.write_all(BODY)?;
        }
    }
    Ok(())
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn download(client: &Client, bucket: usize) {
    let (bytes, report) = client.download(bucket.to_string(), "k").to_bytes().await.unwrap();
    assert_eq!((&bytes[..], report.retries), (BODY, 0), "{bucket}");
}

#[tokio::test]
async fn hosts_by_the_hundred_do_not_use_up_the_descriptors() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum: hard }).unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process. The error of a lack of descriptors passes.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let config = sdk("http://127.0.0.1:1", Some(("a", "s")), Http::Ours).config().to_builder();
    let sdk = aws_sdk_s3::Client::from_conf(config.endpoint_resolver(HostPerBucket { port }).build());
    // The server answers GETs only.
    let config = TransferConfig::builder().validate_checksum(false).build().unwrap();
    let client = Client::new(sdk).with_config(config);

    // The runtime and the client keep some.
    download(&client, 0).await;
    let before = open_files();
    for bucket in 0..HOSTS {
        download(&client, bucket).await;
    }
    let both_ends = 2 * DESCRIPTORS as usize / 4;
    assert!(open_files() <= before + both_ends, "{} files are open, {before} were", open_files());

    // What others leave to the process is less than what waits: connections that wait make room.
    let mut others: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    download(&client, 1).await;
    others.clear();

    // Nobody asks for anything any more, and virtual time passes.
    for bucket in 0..20 {
        download(&client, bucket).await;
    }
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    tokio::time::resume();
    for _ in 0..12_000 {
        // Neither end of the connection that was there before, either.
        if open_files() <= before - 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} files are open, {before} were", open_files());
}
