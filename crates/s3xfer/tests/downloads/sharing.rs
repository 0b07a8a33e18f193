//! Transfers that share a client's memory and requests never wait for each other in a circle, however little there is
//! of both and with any target.

use std::future::IntoFuture;
use std::time::Duration;

use crate::lab::{self, Bench};
use futures::StreamExt;
use futures::future::{join, join_all};
use s3lab::NetworkProfile;
use s3xfer::{Client, Progress, TransferConfig, TransferConfigBuilder, TransferError, TransferErrorKind, UploadSource};
use tokio::time::{Instant, sleep, timeout};

const MIB: u64 = 1 << 20;

/// A wait that never ends: the paused clock stands still while anything can be done.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// 16 parts to an object of a MiB, and room for one such object.
fn little(requests: u32) -> TransferConfigBuilder {
    let parts = TransferConfig::builder().multipart_threshold(64 << 10).multipart_chunksize(64 << 10);
    parts.max_concurrency(requests).memory_limit(2 * MIB)
}

fn bench(config: TransferConfigBuilder) -> (Bench, Client) {
    let bench = Bench::behind(MIB, NetworkProfile::unlimited().with_first_byte(5.0, 0.0).unwrap());
    let client = bench.client.clone().with_config(config.build().unwrap());
    (bench, client)
}

#[tokio::test(start_paused = true)]
async fn more_downloads_into_memory_than_fit_take_turns() {
    for requests in [1, 2, 3] {
        let (bench, client) = bench(little(requests));
        let downloads = (0..6).map(|_| client.download("lab", "key").to_bytes());
        for downloaded in timeout(FOR_EVER, join_all(downloads)).await.expect("a circle") {
            let (bytes, report) = downloaded.unwrap();
            assert_eq!((bytes.len() as u64, report.bytes), (MIB, MIB));
            bench.object.verify(0, &bytes).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn downloads_into_memory_and_into_files_do_not_wait_for_each_other() {
    for requests in [1, 2, 3] {
        // Larger than the rest beside the waiting bytes of the one in memory.
        let (bench, client) = bench(little(requests));
        let room = 2 * MIB - u64::from(requests) * (320 << 10);
        let in_memory = (0..3).map(|_| client.download("lab", "key").range(..room.min(MIB)).to_bytes());
        let into_files = (0..3).map(|n| {
            let target = bench.folder.path().join(n.to_string());
            let client = client.clone();
            async move { client.download("lab", "key").to_file(target).await }
        });
        let both = join(join_all(in_memory), join_all(into_files));
        let (in_memory, in_files) = timeout(FOR_EVER, both).await.expect("a circle");
        assert!(in_memory.into_iter().all(|downloaded| downloaded.is_ok()));
        assert!(in_files.into_iter().all(|downloaded| downloaded.is_ok()));
        for n in 0..3 {
            bench.object.verify(0, &std::fs::read(bench.folder.path().join(n.to_string())).unwrap()).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_does_not_hold_up_a_download_into_a_file() {
    // Larger pieces than there is room for, and none that come to an end before their part does.
    for io_chunksize in [4 << 10, 256 << 10, 8 * MIB] {
        let (bench, client) = bench(little(4).io_chunksize(io_chunksize));
        let mut streams: Vec<_> = (0..6).map(|_| client.download("lab", "key").stream()).collect();
        for stream in &mut streams {
            stream.next().await.unwrap().unwrap();
        }
        // They fetch ahead until the memory is theirs.
        sleep(Duration::from_secs(10)).await;
        let report = timeout(FOR_EVER, client.download("lab", "key").to_file(bench.target())).await.expect("a circle");
        assert!(report.unwrap().peak_memory_bytes <= 2 * MIB);
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn small_downloads_that_take_turns_all_end_beside_streams_that_are_not_read() {
    let config = || TransferConfig::builder().max_concurrency(12).memory_limit(6 * MIB);
    let (bench, client) = bench(config());
    let mut streams: Vec<_> = (0..11).map(|_| client.download("lab", "key").stream()).collect();
    for stream in &mut streams {
        stream.next().await.unwrap().unwrap();
    }
    // A download that is dropped while it waits, or while it runs, gives its turn back.
    let mut dropped: Vec<_> = (0..20).map(|_| Box::pin(client.download("lab", "key").discard())).collect();
    let gone = timeout(Duration::from_millis(1), join_all(dropped.iter_mut()));
    assert!(gone.await.is_err());
    drop(dropped);
    let many = |into_memory: bool| {
        let one = |n: usize| {
            let download = client.download("lab", "key").object_bytes(MIB);
            let target = bench.folder.path().join(n.to_string());
            async move {
                match n % 3 {
                    0 => download.discard().await.map(|report| report.bytes),
                    1 if into_memory => download.to_bytes().await.map(|(bytes, _)| bytes.len() as u64),
                    _ => download.to_file(target).await.map(|report| report.bytes),
                }
            }
        };
        timeout(FOR_EVER, join_all((0..60).map(one)))
    };
    let beside_streams = many(false).await.expect("a circle");
    // The memory that the streams have is theirs.
    drop(streams);
    let alone = many(true).await.expect("a circle");
    assert!(beside_streams.into_iter().chain(alone).all(|bytes| bytes.unwrap() == MIB));
}

#[tokio::test(start_paused = true)]
async fn options_of_a_download_leave_it_under_the_limits_of_its_client() {
    for (use_threads, requests) in [(true, 2), (false, 1)] {
        let (_bench, client) = bench(little(2));
        let wide =
            TransferConfig::builder().multipart_threshold(1).multipart_chunksize(16 << 10).use_threads(use_threads);
        let wide = wide.max_concurrency(64).memory_limit(1 << 30).max_bandwidth(1).build().unwrap();
        let download = client.download("lab", "key").options(wide.options());
        let other = client.clone().with_options(wide.options()).download("lab", "key");
        let both = join(download.discard(), other.discard());
        let (one, other) = timeout(FOR_EVER, both).await.expect("a circle");
        for report in [one.unwrap(), other.unwrap()] {
            assert_eq!((report.parts, report.most_requests), (64, requests));
            assert!(report.peak_requests <= requests, "{}", report.peak_requests);
            assert!(report.peak_memory_bytes <= 2 * MIB, "{}", report.peak_memory_bytes);
            let config = report.config;
            assert_eq!((config.max_concurrency(), config.memory_limit()), (2, Some(2 * MIB)));
            assert_eq!((config.max_bandwidth(), config.multipart_chunksize()), (None, 16 << 10));
        }
    }
}

/// Jain's index: 1 where all have the same, one over their number where one has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

const SHARED_LINK: &str = "first_byte_ms = 30\nconnection_mb_per_s = 4\nlink_mb_per_s = 60";

#[tokio::test(start_paused = true)]
async fn clients_that_share_a_link_have_about_the_same_of_it_after_three_seconds() {
    for (clients, later_ms) in [(2, 0), (2, 1000), (4, 200)] {
        let bench = Bench::behind(600 * MIB, NetworkProfile::from_toml(SHARED_LINK).unwrap());
        let progress: Vec<Progress> = (0..clients).map(|_| Progress::new()).collect();
        let downloads = progress.iter().enumerate().map(|(n, progress)| {
            // Limits of its own, as another program has them.
            let client = Client::new(lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key()));
            let progress = progress.clone();
            async move {
                sleep(Duration::from_millis(later_ms * n as u64)).await;
                client.download("lab", "key").progress(progress).discard().await
            }
        });
        let watch = async {
            let written =
                || progress.iter().map(|progress| progress.snapshot().written_bytes as f64).collect::<Vec<_>>();
            sleep(Duration::from_millis(3000 + later_ms * (clients as u64 - 1))).await;
            let before = written();
            sleep(Duration::from_secs(3)).await;
            written().into_iter().zip(before).map(|(after, before)| after - before).collect::<Vec<f64>>()
        };
        let shares = tokio::select! {
            shares = watch => shares,
            done = join_all(downloads) => panic!("they are over already: {done:?}"),
        };
        let index = jain(&shares);
        println!("{clients} clients, {later_ms} ms apart: {index:.3} {shares:?}");
        // Three seconds after its beginning, a client that begins a second later has 1.8 times the share of the other.
        let least = if later_ms > 500 { 0.92 } else { 0.97 };
        assert!(index >= least, "{clients} clients, {later_ms} ms apart: {index:.3} of {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_object_does_not_wait_behind_a_huge_one_of_the_same_client() {
    let network = NetworkProfile::from_toml(SHARED_LINK).unwrap();
    let bench = Bench::with(600 * MIB, |lab| lab.network(network).synthetic("lab", "small", MIB));
    let client = bench.client.clone();
    let huge = client.download("lab", "key").discard();
    let small = async {
        sleep(Duration::from_secs(2)).await;
        let mut longest = 0.0_f64;
        for _ in 0..3 {
            let began = Instant::now();
            client.download("lab", "small").discard().await.unwrap();
            longest = longest.max(began.elapsed().as_secs_f64());
        }
        longest
    };
    let longest = tokio::select! {
        longest = small => longest,
        done = huge => panic!("the huge one is over already: {done:?}"),
    };
    println!("the small one took {longest} s");
    // Alone 0.3 s; beside 64 bodies its share of the link is 0.9 MB/s. The huge one takes 10 s.
    assert!(longest < 2.0, "{longest} s");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_by_an_upload_of_the_same_client_gets_there_or_says_why_not() {
    for requests in [1, 2, 3, 8] {
        for begun_before in [false, true] {
            let bench = Bench::with(8 * MIB, |lab| lab.min_part_size(1));
            let parts = little(requests).multipart_chunksize(256 << 10);
            let client = bench.client.clone().with_config(parts.build().unwrap());
            let mut stream = client.download("lab", "key").stream().map(|next| next.map_err(std::io::Error::other));
            // It fetches ahead as much as there is room for before the upload begins.
            let first = if begun_before { Some(stream.next().await.unwrap()) } else { None };
            sleep(Duration::from_secs(5)).await;
            let source = UploadSource::stream(futures::stream::iter(first).chain(stream));
            let upload = client.upload(source, "lab", "new").least_part_bytes(1).into_future();
            match timeout(FOR_EVER, upload).await.expect("a circle") {
                Ok(_) => bench.object.verify(0, &bench.lab.object("lab", "new").unwrap()).unwrap(),
                Err(error) => {
                    println!("{requests} requests, begun before: {begun_before}: {error}");
                    assert!(requests == 1 || begun_before, "{error}");
                    assert!(matches!(&error, TransferError::HeldByStreams { seconds: 20, .. }), "{error:?}");
                    assert!(error.to_string().starts_with("s3://lab/new: ") && error.to_string().contains(", raise m"));
                    assert_eq!(error.kind(), TransferErrorKind::HeldByStreams);
                }
            }
            assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_uploaded_while_a_stream_that_nobody_reads_holds_all_memory() {
    let bench = Bench::with(8 * MIB, |lab| lab.min_part_size(1));
    let config = little(4).multipart_chunksize(256 << 10).memory_limit(2 << 20).adaptive_concurrency(false);
    let client = bench.client.clone().with_config(config.build().unwrap());
    let mut stream = client.download("lab", "key").stream();
    stream.next().await.unwrap().unwrap();
    sleep(Duration::from_secs(5)).await;
    let bytes = vec![7; MIB as usize];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let upload = client.upload(file.path(), "lab", "new").least_part_bytes(1).into_future();
    timeout(FOR_EVER, upload).await.expect("a circle").unwrap();
    assert!(bench.lab.object("lab", "new").is_some_and(|stored| stored == bytes));
}
