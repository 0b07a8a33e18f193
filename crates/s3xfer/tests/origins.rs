//! One client and many hosts, as with a bucket a host: idle connections do not use up the descriptors, and downloads
//! from many hosts at once end as the exact bytes. Alone in its process, because it lowers the process's limit and
//! counts its descriptors; the hosts are in another one, this test binary again.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::fs::{self, File};
use std::future::IntoFuture;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use s3lab::{Lab, Server, SyntheticObject};
use s3xfer::{Client, TransferConfig};
use wire::{Http, sdk};

/// Descriptors that the process may have.
const DESCRIPTORS: u64 = 256;
const HOSTS: usize = 500;
const OBJECTS: [(&str, u64); 2] = [("small", 5), ("large", 90_000)];

/// Says that this process is to be the one that serves.
const SERVES: &str = "S3XFER_TEST_SERVES";

/// Not a test of its own: a lab at [`HOSTS`] addresses, whose ports it prints, until its standard input ends.
#[tokio::test]
async fn the_process_that_serves() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let mut lab = Lab::builder();
    for host in 0..HOSTS {
        lab = lab.bucket(bucket(host));
        for (key, bytes) in OBJECTS {
            lab = lab.synthetic(bucket(host), key, bytes);
        }
    }
    let lab = lab.credentials("s3lab", "s3lab-secret").build().unwrap();
    let mut servers = Vec::new();
    for host in 0..HOSTS {
        let address = format!("127.0.{}.{}:0", host / 250, host % 250 + 1).parse().unwrap();
        servers.push(Server::start(&lab, address).await.unwrap());
    }
    for server in &servers {
        println!("host {}", server.endpoint());
    }
    std::io::stdout().flush().unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

fn bucket(host: usize) -> String {
    format!("host-{host}")
}

/// Every bucket is served at an address of its own.
#[derive(Debug)]
struct HostPerBucket {
    endpoints: Vec<String>,
}

impl ResolveEndpoint for HostPerBucket {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        let bucket = params.bucket().unwrap();
        let host: usize = bucket.strip_prefix("host-").unwrap().parse().unwrap();
        let url = format!("{}/{bucket}", self.endpoints[host]);
        EndpointFuture::ready(Ok(Endpoint::builder().url(url).build()))
    }
}

struct Hosts {
    process: Child,
    sdk: aws_sdk_s3::Client,
}

impl Hosts {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_serves", "--nocapture"])
            .env(SERVES, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let endpoint = |line: String| line.split_once("host ").map(|(_, endpoint)| endpoint.to_owned());
        let endpoints: Vec<String> = lines.filter_map(endpoint).take(HOSTS).collect();
        assert_eq!(endpoints.len(), HOSTS);
        let config = sdk("http://127.0.0.1:1", Some(("s3lab", "s3lab-secret")), Http::Ours).config().to_builder();
        let sdk = aws_sdk_s3::Client::from_conf(config.endpoint_resolver(HostPerBucket { endpoints }).build());
        Self { process, sdk }
    }

    fn client(&self, config: TransferConfig) -> Client {
        Client::new(self.sdk.clone()).with_config(config)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn verify(host: usize, key: &str, size: u64, bytes: &[u8]) {
    assert_eq!(bytes.len() as u64, size);
    SyntheticObject::named(&bucket(host), key, size).verify(0, bytes).unwrap();
}

async fn one_after_the_other(hosts: &Hosts) {
    let client = hosts.client(TransferConfig::default());
    let download = async |host: usize| {
        let (bytes, report) = client.download(bucket(host), "small").to_bytes().await.unwrap();
        assert_eq!(report.retries, 0, "{host}");
        verify(host, "small", 5, &bytes);
    };
    // The runtime and the client keep some.
    download(0).await;
    let before = open_files();
    for host in 0..HOSTS {
        download(host).await;
    }
    assert!(open_files() <= before + DESCRIPTORS as usize / 4, "{} files are open, {before} were", open_files());

    // Others leave fewer descriptors to the process than there are idle connections: those make room.
    let mut others: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    download(1).await;
    others.clear();

    // Nobody asks for anything any more, and virtual time passes.
    for host in 0..20 {
        download(host).await;
    }
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    tokio::time::resume();
    for _ in 0..12_000 {
        // The connections that were there before are gone as well.
        if open_files() < before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} files are open, {before} were", open_files());
}

/// A download of many that run at once.
#[derive(Debug, Clone)]
struct One {
    host: usize,
    object: usize,
    resume: bool,
}

async fn all_at_once(hosts: &Hosts, downloads: &[One], requests: u32, chunk: u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(chunk).max_concurrency(requests);
    let client = hosts.client(config.build().unwrap());
    let target = |number: usize| folder.path().join(number.to_string());
    let begun = downloads.iter().enumerate().map(|(number, One { host, object, resume })| {
        let download = client.download(bucket(*host), OBJECTS[*object].0);
        download.to_file(target(number)).resume(*resume).into_future()
    });
    for (number, ended) in join_all(begun).await.into_iter().enumerate() {
        let One { host, object, .. } = downloads[number];
        let (key, size) = OBJECTS[object];
        assert_eq!(ended.unwrap().bytes, size);
        verify(host, key, size, &fs::read(target(number)).unwrap());
    }
}

#[test]
fn hosts_by_the_hundred_do_not_use_up_the_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Before this process's limit, which the other one would inherit.
    let hosts = Hosts::start();
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(one_after_the_other(&hosts));
    drop(runtime);

    let one =
        (0..HOSTS, 0..OBJECTS.len(), any::<bool>()).prop_map(|(host, object, resume)| One { host, object, resume });
    let crowd = (prop::collection::vec(one, 1..150), 1..400_u32, prop::sample::select(vec![4_000, 30_000, 1 << 20]));
    // A case takes a second.
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let every = |(downloads, requests, chunk): (Vec<One>, u32, u64)| {
        runtime.block_on(all_at_once(&hosts, &downloads, requests, chunk));
        Ok(())
    };
    TestRunner::new(config).run(&crowd, every).unwrap();
}
