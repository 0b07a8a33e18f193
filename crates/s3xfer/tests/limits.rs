//! Deadlines, memory and bandwidth hold for any other parameters.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod lab;

use std::io;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use aws_sdk_s3::config::BehaviorVersion;
use futures::StreamExt;
use lab::{Bench, KIB, small};
use s3lab::{FaultKind, NetworkProfile, Requests};
use s3xfer::{Client, Progress, TransferConfig, TransferErrorKind, TransferReport, WriteAt};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_transfer_that_takes_too_long_ends_when_its_time_is_over() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(0.01)).unwrap();
    let bench = Bench::behind(80 * KIB, network);
    let client = bench.client.clone().with_config(small().transfer_timeout_seconds(3).build().unwrap());
    let download = || client.download("lab", "key");
    let began = Instant::now();
    let file = download().to_file(bench.target()).await.unwrap_err();
    let stream = download().to_writer(tokio::io::sink()).await.unwrap_err();
    let bytes = download().to_bytes().await.unwrap_err();
    let nowhere = download().discard().await.unwrap_err();
    for error in [file, stream, bytes, nowhere] {
        assert_eq!(error.kind(), TransferErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("within 3 s"), "{error}");
    }
    let took = began.elapsed().as_secs_f64();
    assert!((12.0..12.5).contains(&took), "four times 3 s, not {took}");
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_makes_progress_has_no_deadline_of_its_own() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(0.01)).unwrap();
    let bench = Bench::behind(40 << 20, network);
    let began = Instant::now();
    bench.download(&TransferConfig::builder().max_concurrency(1).build().unwrap()).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(3600), "{:?}", began.elapsed());
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn every_deadline_is_the_one_that_was_asked_for() {
    let silent = Bench::behind(8 * KIB, NetworkProfile::unlimited().with_first_byte(60_000.0, 0.0).unwrap());
    let config = small().first_byte_timeout_seconds(2).validate_checksum(false).build().unwrap();
    let began = Instant::now();
    let error = silent.download(&config).await.unwrap_err();
    assert!(error.to_string().contains("after 5 attempts"), "{error}");
    let took = began.elapsed().as_secs_f64();
    assert!((10.0..12.0).contains(&took), "five times 2 s and the pauses between, not {took}");

    let stalls = FaultKind::Stall { after_bytes: 10, duration: None };
    let stalled = Bench::with_faults(24 * KIB, [(Requests::At(1), stalls)]);
    let began = Instant::now();
    stalled.download(&small().stall_timeout_seconds(3).build().unwrap()).await.unwrap();
    let took = began.elapsed().as_secs_f64();
    assert!((3.0..3.5).contains(&took), "{took}");
    stalled.assert_whole();
}

/// Twice as many parts as there may be requests, over connections that take 1.3 s for each; the report, and the seconds
/// it took.
async fn over_slow_connections(max_concurrency: u32, adaptive: bool) -> (TransferReport, f64) {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.2)).unwrap();
    let bench = Bench::behind(512 * KIB * u64::from(max_concurrency), network.with_first_byte(30.0, 0.2).unwrap());
    let config = TransferConfig::builder()
        .multipart_chunksize(256 * KIB)
        .multipart_threshold(1)
        .max_concurrency(max_concurrency)
        .adaptive_concurrency(adaptive)
        .memory_limit(1 << 30)
        .validate_checksum(false);
    let client = bench.client.clone().with_config(config.build().unwrap());
    let began = Instant::now();
    let report = client.download("lab", "key").discard().await.unwrap();
    (report, began.elapsed().as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_slower_than_the_machine_are_all_used() {
    for max_concurrency in [16, 100, 512] {
        let (fixed, all_at_once) = over_slow_connections(max_concurrency, false).await;
        let (report, seconds) = over_slow_connections(max_concurrency, true).await;
        assert_eq!(report.config.max_concurrency(), max_concurrency, "the report says what was asked for");
        assert_eq!((report.peak_requests, fixed.peak_requests), (report.most_requests, fixed.most_requests));
        // The process's limit on connections can be less than that.
        assert!(report.most_requests == max_concurrency || report.most_requests > 200, "{}", report.most_requests);
        // From 16 on they are doubled. Over connections as slow as these a step takes half a second, and the time to
        // the next 64 KiB of each.
        let steps = (f64::from(max_concurrency) / 16.0).log2().ceil();
        let opening = 0.5 + 0.85 * steps;
        assert!(seconds <= all_at_once + opening, "{max_concurrency}: {seconds} s and {all_at_once} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_limit_holds_for_the_widest_configuration() {
    let size = 20 << 20;
    for threads in [true, false] {
        let bench = Bench::new(size);
        let config = TransferConfig::builder()
            .max_concurrency(1000)
            .io_chunksize(1_000_000_000)
            .max_io_queue(100_000)
            .multipart_threshold(1)
            .multipart_chunksize(200 * KIB)
            .memory_limit(4 << 20)
            .use_threads(threads)
            .build()
            .unwrap();
        let report = bench.download(&config).await.unwrap();
        assert!(report.peak_memory_bytes <= 4 << 20, "{}", report.peak_memory_bytes);
        assert_eq!(report.most_requests, if threads { 6 } else { 1 }, "half of the limit, 320 KiB each");
        assert!(report.peak_requests <= report.most_requests);
        assert!(report.largest_write_bytes <= 200 * KIB, "a part is never more than that");
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_that_do_not_fit_into_memory_are_written_as_they_are() {
    let size = 20 << 20;
    let bench = Bench::new(size);
    let config = TransferConfig::builder()
        .max_concurrency(2)
        .io_chunksize(1_000_000_000)
        .multipart_chunksize(10 << 20)
        .memory_limit(2 << 20)
        .build()
        .unwrap();
    let report = bench.download(&config).await.unwrap();
    assert!(report.peak_memory_bytes <= 2 << 20, "{}", report.peak_memory_bytes);
    assert!(report.writes > 10 && report.largest_write_bytes < 2 << 20, "{report:?}");
    bench.assert_whole();
}

/// Real time: the clock does not go on while a thread blocks.
#[tokio::test]
async fn a_sink_that_takes_nothing_stops_the_network_at_the_memory_limit() {
    struct Gate(Mutex<mpsc::Receiver<()>>);
    impl WriteAt for Gate {
        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            // Open once the other end is gone.
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    let (open, gate) = mpsc::channel();
    let bench = Bench::new(40 << 20);
    let limit = 4 << 20;
    let config = TransferConfig::builder().max_io_queue(100_000).memory_limit(limit).validate_checksum(false);
    let client = bench.client.clone().with_config(config.build().unwrap());
    let going = tokio::spawn(client.download("lab", "key").to_write_at(Gate(Mutex::new(gate))));
    let mut fetched = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = bench.lab.stats().bytes_out;
        if now > 0 && now == fetched {
            break;
        }
        fetched = now;
    }
    // Waiting bytes, a frame of each request, and a quantum of the lab's that is on its way.
    let quanta = 6 * (64 << 10);
    assert!(fetched <= limit + quanta, "{fetched} bytes were fetched for a sink that has taken none");
    drop(open);
    assert_eq!(going.await.unwrap().unwrap().bytes, 40 << 20);
}

#[tokio::test(start_paused = true)]
async fn transfers_that_share_a_little_memory_all_end() {
    let bench = Bench::new(3 << 20);
    let config = TransferConfig::builder()
        .max_concurrency(50)
        .multipart_threshold(1)
        .multipart_chunksize(100 * KIB)
        .io_chunksize(70 * KIB)
        .max_io_queue(1)
        .memory_limit(2 << 20)
        .build()
        .unwrap();
    let client = bench.client.clone().with_config(config);
    let files: Vec<_> = (0..8).map(|n| bench.folder.path().join(n.to_string())).collect();
    let downloads = files.iter().map(|file| client.download("lab", "key").to_file(file).into_future());
    let (reports, memory) = futures::future::try_join(
        futures::future::try_join_all(downloads),
        client.download("lab", "key").range(..1 << 20).to_bytes(),
    )
    .await
    .unwrap();
    assert!(reports.iter().all(|report| report.peak_memory_bytes <= 2 << 20));
    bench.object.verify(0, &memory.0).unwrap();
    for file in files {
        bench.object.verify(0, &std::fs::read(file).unwrap()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_thrown_away_count_for_the_bandwidth_too() {
    // The whole object in answer to a request for its end.
    let bench = Bench::with_faults(300 * KIB, [(Requests::Every, FaultKind::IgnoreRange)]);
    let config = TransferConfig::builder().max_bandwidth(100 * KIB).validate_checksum(false).build().unwrap();
    let began = Instant::now();
    let (bytes, _) =
        bench.client.clone().with_config(config).download("lab", "key").range(250 * KIB..).to_bytes().await.unwrap();
    let took = began.elapsed().as_secs_f64();
    bench.object.verify(250 * KIB, &bytes).unwrap();
    assert!((2.9..3.1).contains(&took), "300 KiB came at 100 KiB/s in {took} s");
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_kept_within_every_two_seconds_and_smoothly() {
    for (rate, transfers) in [(100_000_u64, 1), (2_000_000, 3), (20_000_000, 8)] {
        let bench = Bench::new(3 * rate);
        let config = TransferConfig::builder().max_bandwidth(rate).validate_checksum(false).build().unwrap();
        let client = bench.client.clone().with_config(config);
        let progress = Progress::new();
        let all: Vec<_> = (0..transfers)
            .map(|_| tokio::spawn(client.download("lab", "key").progress(progress.clone()).discard()))
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut last = progress.snapshot().written_bytes;
        let two_seconds = last;
        for step in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = progress.snapshot().written_bytes;
            let tenth = (now - last) as f64 / (rate as f64 / 10.0);
            assert!((0.6..1.4).contains(&tenth), "{rate} B/s, step {step}: {tenth} of the rate");
            last = now;
        }
        let share = (last - two_seconds) as f64 / (2 * rate) as f64;
        assert!((0.97..1.03).contains(&share), "{rate} B/s: {share}");
        all.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The figures of downloads that have all ended well.
fn whole(bytes: u64) -> (Option<u64>, u64) {
    (Some(bytes), bytes)
}

/// The figures of a progress: the total and what was written.
fn figures(progress: &Progress) -> (Option<u64>, u64) {
    let now = progress.snapshot();
    (now.total_bytes, now.written_bytes)
}

#[tokio::test(start_paused = true)]
async fn downloads_that_share_one_progress_add_up() {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.1)).unwrap();
    let bench = Bench::behind(80 * KIB, network);
    let progress = Progress::new();
    let client = bench.client.clone().with_config(small().max_concurrency(3).build().unwrap());
    let download = || client.download("lab", "key").progress(progress.clone());
    let stream = async {
        let mut stream = download().stream();
        while stream.next().await.transpose()?.is_some() {}
        Ok(())
    };
    let all = async {
        tokio::try_join!(
            download().to_file(bench.target()).into_future(),
            download().to_bytes(),
            download().discard(),
            download().range(..KIB).discard(),
            stream,
        )
    };
    let watch = async {
        loop {
            let (total_bytes, written_bytes) = figures(&progress);
            assert!(written_bytes <= total_bytes.unwrap_or(0), "{written_bytes} of {total_bytes:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = all => done.map(drop).unwrap(),
        () = watch => {}
    }
    assert_eq!(figures(&progress), whole(4 * 80 * KIB + KIB));
}

#[tokio::test(start_paused = true)]
async fn a_download_that_fails_or_is_dropped_takes_its_share_of_a_progress_back() {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.1)).unwrap();
    let bench = Bench::behind(80 * KIB, network);
    let progress = Progress::new();
    let client = bench.client.clone().with_config(small().max_concurrency(2).build().unwrap());
    client.download("lab", "key").range(..KIB).progress(progress.clone()).discard().await.unwrap();

    // Ended half-way, one after the other, each in another way.
    let half = async || {
        while progress.snapshot().written_bytes < 30 * KIB {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let download = || client.download("lab", "key").progress(progress.clone());
    let mut stream = download().stream();
    let read = async { while stream.next().await.is_some() {} };
    tokio::select! {
        () = read => panic!("it was to be dropped half-way"),
        () = half() => {}
    }
    drop(stream);
    assert_eq!(figures(&progress), whole(KIB));
    tokio::select! {
        _ = download().discard() => panic!("it was to be dropped half-way"),
        () = half() => {}
    }
    assert_eq!(figures(&progress), whole(KIB));
    for _ in 0..2 {
        tokio::select! {
            _ = download().to_file(bench.target()).resume(true).into_future() => panic!("it was to be dropped half-way"),
            () = half() => {}
        }
        assert_eq!(figures(&progress), whole(KIB));
    }
    // Kept bytes count once.
    let report = download().to_file(bench.target()).resume(true).await.unwrap();
    assert!(report.resumed_bytes > 0);
    assert_eq!(figures(&progress), whole(81 * KIB));

    struct Full;
    impl WriteAt for Full {
        fn write_at(&self, offset: u64, _: &[u8]) -> io::Result<()> {
            if offset < 30 * KIB { Ok(()) } else { Err(io::Error::other("full")) }
        }
    }
    let error = download().to_write_at(Full).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Sink);
    assert_eq!(figures(&progress), whole(81 * KIB));
}

/// Nothing here needs a runtime before it is polled.
#[test]
fn downloads_can_be_made_outside_a_runtime() {
    let bench = Bench::new(80 * KIB);
    let config = || small().transfer_timeout_seconds(60).max_bandwidth(1 << 30).build().unwrap();
    let client = bench.client.clone().with_config(config());
    let download = || client.download("lab", "key");
    let stream = download().stream();
    let other = download().options(config().options()).stream();
    let file = download().to_file(bench.target()).into_future();
    let (bytes, nowhere, writer) =
        (download().to_bytes(), download().discard(), download().to_writer(tokio::io::sink()));
    let from_env = Client::from_env();
    let sdks = aws_sdk_s3::Config::builder().behavior_version(BehaviorVersion::latest()).build();
    let ours = Client::new(aws_sdk_s3::Client::from_conf(sdks)).with_config(config());
    drop((ours.download("lab", "key").stream(), ours.download("lab", "key").to_file(bench.target()), ours));
    drop((other, from_env));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let read = async { stream.map(Result::unwrap).map(|frame| frame.len()).collect::<Vec<_>>().await };
        assert_eq!(read.await.into_iter().sum::<usize>() as u64, 80 * KIB);
        file.await.unwrap();
        bytes.await.unwrap();
        nowhere.await.unwrap();
        writer.await.unwrap();
    });
    bench.assert_whole();
    drop(runtime);

    // A stream that was begun outlives its runtime without a panic.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut begun = download().stream();
    runtime.block_on(begun.next()).unwrap().unwrap();
    drop(runtime);
    drop(begun);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_stream_begins_when_it_is_polled() {
    let bench = Bench::new(80 * KIB);
    let client = bench.client.clone().with_config(small().transfer_timeout_seconds(3).build().unwrap());
    let mut stream = client.download("lab", "key").stream();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    stream.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let late = std::iter::from_fn(|| futures::FutureExt::now_or_never(stream.next())).flatten().find_map(Result::err);
    assert_eq!(late.unwrap().kind(), TransferErrorKind::TimedOut);
}
