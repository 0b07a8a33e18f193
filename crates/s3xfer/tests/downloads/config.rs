//! Each of boto3's eight parameters acts as its documentation says.

use crate::lab::{Bench, KIB, small};
use s3lab::{FaultKind, NetworkProfile, Requests};
use s3xfer::{TransferConfig, TransferErrorKind};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn multipart_threshold_decides_between_requests_in_turn_and_parallel_parts() {
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap();
    for (size, requests, at_once) in [(8 * KIB, 1, 1), (40 * KIB - 1, 2, 1), (40 * KIB, 5, 4), (40 * KIB + 1, 6, 5)] {
        let bench = Bench::behind(size, network.clone());
        let config = small().multipart_threshold(40 * KIB).validate_checksum(false).build().unwrap();
        let report = bench.download(&config).await.unwrap();
        assert_eq!((report.requests, report.parts), (requests, requests), "{size} bytes");
        assert_eq!(bench.lab.stats().max_in_flight, at_once, "{size} bytes");
        assert_eq!(bench.lab.stats().bytes_out, size, "no byte is fetched twice");
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn max_concurrency_requests_are_in_flight_and_no_more() {
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap();
    for max_concurrency in [1, 3, 10, 40] {
        let bench = Bench::behind(20 * 8 * KIB, network.clone());
        let report = bench.download(&small().max_concurrency(max_concurrency).build().unwrap()).await.unwrap();
        let expected = max_concurrency.min(19);
        assert_eq!(bench.lab.stats().max_in_flight, u64::from(expected), "{max_concurrency}");
        assert_eq!(report.peak_requests, expected, "the first part is done before the others begin");
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_connections_are_opened_as_requests_are_in_flight() {
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap().with_connect_ms(100.0).unwrap();
    for max_concurrency in [1, 4] {
        let bench = Bench::behind(20 * 8 * KIB, network.clone());
        bench.download(&small().max_concurrency(max_concurrency).build().unwrap()).await.unwrap();
        assert_eq!(bench.lab.stats().connections_opened, u64::from(max_concurrency));
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn max_concurrency_is_shared_by_the_transfers_of_a_client() {
    let bench = Bench::behind(20 * 8 * KIB, NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap());
    let client = bench.client.clone().with_config(small().max_concurrency(4).build().unwrap());
    let other = bench.folder.path().join("other.bin");
    let both = [bench.target(), other.clone()]
        .map(|target| tokio::spawn(client.download("lab", "key").to_file(target).into_future()));
    for transfer in both {
        transfer.await.unwrap().unwrap();
    }
    assert_eq!(bench.lab.stats().max_in_flight, 4);
    std::fs::remove_file(other).unwrap();
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn multipart_chunksize_is_the_size_of_every_part_but_the_last() {
    let bench = Bench::new(20 * KIB);
    let config = small().multipart_chunksize(6 * KIB).multipart_threshold(1).max_concurrency(1).build().unwrap();
    bench.download(&config).await.unwrap();
    assert_eq!(bench.ranges(), ["bytes=0-6143", "bytes=6144-12287", "bytes=12288-18431", "bytes=18432-20479"]);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn num_download_attempts_is_the_number_of_bodies_that_may_fail() {
    for (attempts, failures, succeeds) in [(1, 1, false), (2, 1, true), (3, 3, false), (5, 4, true)] {
        let bench =
            Bench::with_faults(64 * KIB, [(Requests::Range(2..2 + failures), FaultKind::Reset { after_bytes: 0 })]);
        let config = small().num_download_attempts(attempts).max_concurrency(1).build().unwrap();
        match bench.download(&config).await {
            Ok(report) => {
                assert!(succeeds, "{attempts} attempts, {failures} failures");
                assert_eq!(report.retries, failures);
                bench.assert_whole();
            }
            Err(error) => {
                assert!(!succeeds, "{attempts} attempts, {failures} failures: {error}");
                assert_eq!(error.kind(), TransferErrorKind::Interrupted);
                assert!(
                    error.to_string().contains(&format!("part 2 at byte {}, after {attempts} attempts", 16 * KIB)),
                    "{error}"
                );
                bench.assert_nothing();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn max_io_queue_bounds_the_pieces_that_wait() {
    // A test beside the writer shows that so many do wait when the disk is slow.
    for max_io_queue in [1, 3] {
        let bench = Bench::new(64 * KIB);
        let report = bench.download(&small().max_io_queue(max_io_queue).build().unwrap()).await.unwrap();
        assert!(report.peak_io_queue <= max_io_queue, "{}", report.peak_io_queue);
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn io_chunksize_is_the_size_of_a_write() {
    for (io_chunksize, writes) in [(256, 3 * 32 + 4), (8 * KIB, 4), (1 << 30, 4), (8 * KIB - 1, 3 * 2 + 1)] {
        let bench = Bench::new(25 * KIB);
        let report = bench.download(&small().io_chunksize(io_chunksize).build().unwrap()).await.unwrap();
        assert_eq!(report.writes, writes, "{io_chunksize}");
        bench.assert_whole();
    }
}

#[test]
fn without_threads_one_request_at_a_time_runs_on_the_callers_task() {
    // A runtime whose one blocking thread is taken for good: a job handed to another thread never runs.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).max_blocking_threads(1).build().unwrap();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || wait.recv());
    let bench = Bench::new(64 * KIB);
    // The lab needs another thread to sum up an object.
    let config = small().use_threads(false).max_concurrency(8).validate_checksum(false).build().unwrap();
    let report = runtime.block_on(bench.download(&config)).unwrap();
    assert_eq!((report.peak_requests, bench.lab.stats().max_in_flight), (1, 1));
    assert_eq!(report.parts, 8);
    bench.assert_whole();
    let_go.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_threads_the_transfers_of_a_client_take_turns() {
    let bench = Bench::behind(20 * KIB, NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap());
    let client = bench.client.clone().with_config(small().use_threads(false).build().unwrap());
    let targets = ["a", "b", "c"].map(|name| bench.folder.path().join(name));
    futures::future::try_join_all(targets.map(|target| client.download("lab", "key").to_file(target).into_future()))
        .await
        .unwrap();
    assert_eq!(bench.lab.stats().max_in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn max_bandwidth_is_held() {
    for rate in [100_000, 1_000_000] {
        let bench = Bench::new(2 * rate);
        let config = small().max_bandwidth(rate).multipart_chunksize(64 * KIB).build().unwrap();
        let began = Instant::now();
        bench.download(&config).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        assert!((1.94..2.06).contains(&seconds), "{} bytes at {rate}/s took {seconds} s", 2 * rate);
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn max_bandwidth_is_shared_by_the_transfers_of_a_client() {
    let bench = Bench::new(200_000);
    let client = bench.client.clone().with_config(small().max_bandwidth(200_000).build().unwrap());
    let began = Instant::now();
    let targets = ["a", "b", "c"].map(|name| bench.folder.path().join(name));
    futures::future::try_join_all(targets.map(|target| client.download("lab", "key").to_file(target).into_future()))
        .await
        .unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!((2.9..3.1).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn the_seeds_whole_range_works_on_a_small_object() {
    for (max_concurrency, max_io_queue, io_chunksize, multipart_chunksize) in [
        (10, 100, 1_000, 1_000_000),
        (1_000, 100_000, 1_000_000_000, 10_000_000_000),
        (339, 122, 15_096_201, 400_619_332),
    ] {
        let bench = Bench::new(3_000_000);
        let config = TransferConfig::boto3()
            .to_builder()
            .max_concurrency(max_concurrency)
            .max_io_queue(max_io_queue)
            .io_chunksize(io_chunksize)
            .multipart_chunksize(multipart_chunksize)
            .build()
            .unwrap();
        bench.download(&config).await.unwrap();
        bench.assert_whole();
    }
}
