//! The default configuration on networks of many kinds: it comes close to the best fixed numbers, though nobody told
//! it, and every byte comes once. In virtual time, so that seconds are exact; `cargo xtask bench auto` measures many
//! more networks.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod lab;

use std::future::IntoFuture;
use std::time::Duration;

use futures::StreamExt;
use lab::Bench;
use s3lab::{FaultKind, NetworkProfile, Requests};
use s3xfer::{Bottleneck, ChecksumAlgorithm, Client, Integrity, TransferConfig, TransferMemory, TransferReport};
use tokio::time::Instant;

const MIB: u64 = 1 << 20;

fn network(toml: &str) -> NetworkProfile {
    NetworkProfile::from_toml(toml).unwrap()
}

/// Reads the object as a stream, to its end.
async fn read(bench: &Bench, config: &TransferConfig) -> TransferReport {
    let mut stream = bench.client.clone().with_config(config.clone()).download("lab", "key").stream();
    let mut at = 0;
    while let Some(frame) = stream.next().await {
        let frame = frame.unwrap();
        bench.object.verify(at, &frame).unwrap();
        at += frame.len() as u64;
    }
    assert_eq!(at, bench.object.size());
    stream.report().unwrap().clone()
}

/// The report, and the seconds that it took.
async fn timed(bench: &Bench, config: &TransferConfig) -> (TransferReport, f64) {
    let began = Instant::now();
    let report = bench.download(config).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    bench.assert_whole();
    (report, seconds)
}

fn fixed(requests: u32, part_bytes: u64) -> TransferConfig {
    let config = TransferConfig::builder().max_concurrency(requests).multipart_chunksize(part_bytes);
    config.multipart_threshold(1).adaptive_concurrency(false).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn slow_connections_are_as_many_as_fill_the_link() {
    let bench = Bench::behind(64 * MIB, network("first_byte_ms = 30\nconnection_mb_per_s = 2\nlink_mb_per_s = 150"));
    let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
    let (_, best) = timed(&bench, &fixed(64, MIB)).await;
    assert!(seconds < 1.6 * best, "{seconds} s and {best} s");
    assert!((40..=200).contains(&report.peak_requests), "{}", report.peak_requests);
    assert_eq!(report.config, TransferConfig::default(), "the report says what was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_small_object_is_cut_finely() {
    let bench = Bench::behind(24 * MIB, network("first_byte_ms = 30\nconnection_mb_per_s = 12\nlink_mb_per_s = 400"));
    let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
    let (_, three_parts) = timed(&bench, &fixed(32, 8 * MIB)).await;
    assert!(seconds < 0.5 * three_parts && report.parts > 16, "{seconds} s and {three_parts} s, {}", report.parts);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_refused_become_fewer_and_larger() {
    let bench = Bench::behind(256 * MIB, network("first_byte_ms = 30\nconnection_mb_per_s = 40\nrequests_per_s = 10"));
    let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
    let (fixed, small_parts) = timed(&bench, &fixed(32, 8 * MIB)).await;
    assert!(report.parts < fixed.parts + 16, "{} and {} parts", report.parts, fixed.parts);
    assert!(seconds < 0.9 * small_parts, "{seconds} s and {small_parts} s");
}

#[tokio::test(start_paused = true)]
async fn parts_that_were_planned_before_the_first_refusal_become_larger_too() {
    let of = "first_byte_ms = 100\nconnection_mb_per_s = 10\nlink_mb_per_s = 800\nrequests_per_s = 25";
    let bench = Bench::behind(512 * MIB, network(of));
    let (_, seconds) = timed(&bench, &TransferConfig::default()).await;
    let (_, best) = timed(&bench, &fixed(64, 16 * MIB)).await;
    assert!(seconds < 1.25 * best, "{seconds} s and {best} s");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_first_request_sets_no_pace() {
    let of = "first_byte_ms = 30\nconnection_mb_per_s = 28\nlink_mb_per_s = 400";
    let (_, usual) = timed(&Bench::behind(256 * MIB, network(of)), &TransferConfig::default()).await;
    let faults = lab::plan([(Requests::At(0), FaultKind::SlowDown)]);
    let bench = Bench::with(256 * MIB, |lab| lab.network(network(of)).faults(faults));
    let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
    // The pause before the second attempt is a tenth of a second at most.
    assert!(report.retries == 1 && seconds < usual + 0.2, "{seconds} s and {usual} s");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_is_not_waited_for() {
    let (mut second_requests, mut longest, mut waited) = (0, 0.0_f64, 0.0_f64);
    for seed in 1..6 {
        let profile = "first_byte_ms = 30\ntail_fraction = 0.03\ntail_ms = 20000\nconnection_mb_per_s = 20";
        let bench = Bench::behind(32 * MIB, network(&format!("{profile}\nseed = {seed}")));
        let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
        assert_eq!(report.retries, 0);
        (second_requests, longest) = (second_requests + report.second_requests, longest.max(seconds));
        waited = waited.max(timed(&bench, &fixed(16, 2 * MIB)).await.1);
    }
    assert!(waited > 20.0 && longest < 2.0 && second_requests > 0, "{longest} s and {waited} s, {second_requests}");
}

#[tokio::test(start_paused = true)]
async fn nor_is_a_second_one_that_is_late_too() {
    let mut in_time = 0;
    for seed in 1..17 {
        let profile = "first_byte_ms = 30\ntail_fraction = 0.07\ntail_ms = 20000\nconnection_mb_per_s = 20";
        let bench = Bench::behind(32 * MIB, network(&format!("{profile}\nseed = {seed}")));
        let (_, seconds) = timed(&bench, &TransferConfig::default()).await;
        in_time += u32::from(seconds < 5.0);
    }
    assert!(in_time >= 15, "{in_time} of 16 did not wait for 20 s");
}

#[tokio::test(start_paused = true)]
async fn nor_is_the_last_one_where_many_were_late() {
    let mut longest = 0.0_f64;
    for seed in 30..42 {
        let profile = "first_byte_ms = 40\nfirst_byte_sigma = 1.2\nconnection_mb_per_s = 15";
        let bench = Bench::behind(64 * MIB, network(&format!("{profile}\nseed = {}", 7919 * seed + 13)));
        let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
        assert_eq!(report.retries, 0);
        longest = longest.max(seconds);
    }
    assert!(longest < 2.0, "{longest} s");
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_that_was_asked_for_before_any_answer_had_come() {
    let network = network("first_byte_ms = 30\nconnection_mb_per_s = 12\nlink_mb_per_s = 400");
    let stalls = FaultKind::Stall { after_bytes: 0, duration: Some(Duration::from_secs(20)) };
    let fault = s3lab::Fault::new("key", Requests::At(0), stalls).on(s3lab::RequestKind::HeadObject);
    let bench = Bench::with(24 * MIB, |lab| lab.network(network).faults(s3lab::FaultPlan::new([fault]).unwrap()));
    let (report, seconds) = timed(&bench, &TransferConfig::default()).await;
    assert!(seconds < 0.5 && report.second_requests == 1, "{seconds} s, {} second requests", report.second_requests);
    assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_far_slower_than_others_are_given_up_in_the_middle() {
    let network = network("first_byte_ms = 30\nconnection_mb_per_s = 5");
    let fault = s3lab::Fault {
        key: "key".to_owned(),
        on: s3lab::RequestKind::GetObject,
        requests: Requests::Range(4..10),
        kind: FaultKind::Slow { bytes_per_s: 10_000 },
    };
    let bench = Bench::with(160 * MIB, |lab| lab.network(network).faults(s3lab::FaultPlan::new([fault]).unwrap()));
    let config = TransferConfig::builder().max_concurrency(16).build().unwrap();
    let (report, seconds) = timed(&bench, &config).await;
    // 16 connections take 2.1 s; the ten that are not slow take 3.4 s.
    assert!(seconds < 2.8 && report.splits >= 6 && report.retries == 0, "{seconds} s, {} splits", report.splits);
}

#[tokio::test(start_paused = true)]
async fn so_are_those_of_a_stream_in_the_middle_and_at_its_end() {
    for (size, requests, connection_mb, limit) in [(160 * MIB, 4..10, 5, 4.0), (32 * MIB, 5..6, 20, 2.0)] {
        let network = network(&format!("first_byte_ms = 30\nconnection_mb_per_s = {connection_mb}"));
        let crawls = FaultKind::Slow { bytes_per_s: 10_000 };
        let fault = s3lab::Fault::new("key", Requests::Range(requests.clone()), crawls);
        let bench = Bench::with(size, |lab| lab.network(network).faults(s3lab::FaultPlan::new([fault]).unwrap()));
        let config = TransferConfig::builder().max_concurrency(16).build().unwrap();
        let began = Instant::now();
        let report = read(&bench, &config).await;
        let seconds = began.elapsed().as_secs_f64();
        assert!(seconds < limit, "{seconds} s, {report:?}");
        assert!(report.splits >= requests.end - requests.start && report.retries == 0, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_on_a_stream_knows_its_last_requests() {
    let network = network("first_byte_ms = 20\nconnection_mb_per_s = 20");
    let fault = s3lab::Fault::new("key", Requests::At(4), FaultKind::Slow { bytes_per_s: 200_000 });
    // Within the 16 parts that may be ahead of the reader.
    let bench = Bench::with(32 * MIB, |lab| lab.network(network).faults(s3lab::FaultPlan::new([fault]).unwrap()));
    let verdict = read(&bench, &fixed(8, 2 * MIB)).await.verdict;
    assert_eq!(verdict.bottleneck, Bottleneck::Tail, "{verdict}: {:?}", verdict.evidence);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_part_that_crawls_is_fetched_by_others() {
    let crawls = FaultKind::Slow { bytes_per_s: 10_000 };
    let network = network("first_byte_ms = 30\nconnection_mb_per_s = 20");
    let faults = |lab: s3lab::LabBuilder| {
        let fault = s3lab::Fault {
            key: "key".to_owned(),
            on: s3lab::RequestKind::GetObject,
            requests: Requests::At(5),
            kind: crawls.clone(),
        };
        lab.network(network.clone()).faults(s3lab::FaultPlan::new([fault]).unwrap())
    };
    for (is_resumed, size) in [(false, 32 * MIB), (true, 32 * MIB)] {
        let bench = Bench::with(size, faults);
        let began = Instant::now();
        let client = bench.client.clone().with_config(TransferConfig::default());
        let report = client.download("lab", "key").to_file(bench.target()).resume(is_resumed).await.unwrap();
        bench.assert_whole();
        let seconds = began.elapsed().as_secs_f64();
        assert!(report.splits > 0 && report.retries == 0, "{report:?}");
        // A part of a mebibyte at that rate takes a hundred seconds.
        assert!(seconds < 5.0, "{seconds} s");
        // Bytes that were on their way when a part was cut short come twice, and no others.
        let twice = bench.lab.stats().bytes_out - size;
        assert!(twice <= report.splits * 2 * (64 << 10), "{twice} bytes came twice in {} splits", report.splits);
    }
}

#[tokio::test(start_paused = true)]
async fn in_memory_and_in_order_the_bytes_are_the_same() {
    let profile = "first_byte_ms = 30\nfirst_byte_sigma = 1.0\ntail_fraction = 0.02\ntail_ms = 3000\n\
                   connection_mb_per_s = 5\nlink_mb_per_s = 100\nrequests_per_s = 200";
    let bench = Bench::behind(40 * MIB, network(profile));
    let client = bench.client.clone().with_config(TransferConfig::default());
    let (bytes, report) = client.download("lab", "key").to_bytes().await.unwrap();
    bench.object.verify(0, &bytes).unwrap();
    assert!(report.peak_requests > 16, "{report:?}");
    // The same network from its beginning: later its first answer may be a late one, which makes for few large parts.
    let bench = Bench::behind(40 * MIB, network(profile));
    let report = read(&bench, &TransferConfig::default()).await;
    assert!(report.peak_requests > 16, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn bounds_are_kept() {
    let profile = "first_byte_ms = 30\nconnection_mb_per_s = 2\ntail_fraction = 0.1\ntail_ms = 2000";
    let bench = Bench::behind(16 * MIB, network(profile));
    let bounds = TransferConfig::builder().max_concurrency(5).multipart_chunksize(700_000).build().unwrap();
    let (report, _) = timed(&bench, &bounds).await;
    assert_eq!((report.peak_requests, report.most_requests), (5, 5));
    assert!(report.parts >= (16 * MIB).div_ceil(700_000), "{}", report.parts);
    let longest = bench.ranges().iter().map(|range| length(range)).max();
    assert_eq!(longest, Some(700_000));
}

/// Bytes of `bytes=a-b`.
fn length(range: &str) -> u64 {
    let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
    to.parse::<u64>().unwrap() - from.parse::<u64>().unwrap() + 1
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_cut_off_in_the_middle_of_splits_goes_on() {
    let profile = "first_byte_ms = 30\nfirst_byte_sigma = 1.0\nconnection_mb_per_s = 3\nlink_mb_per_s = 60";
    let bench = Bench::behind(24 * MIB, network(profile));
    let client = bench.client.clone().with_config(TransferConfig::default());
    let mut sent = 0;
    for tenths in 1..=9 {
        let download = client.download("lab", "key").to_file(bench.target()).resume(true);
        let cut = tokio::time::timeout(Duration::from_millis(tenths * 40), download.into_future()).await;
        sent = bench.lab.stats().bytes_out;
        if cut.is_ok() {
            break;
        }
    }
    let report = client.download("lab", "key").to_file(bench.target()).resume(true).await.unwrap();
    bench.assert_whole();
    assert_eq!(report.bytes, 24 * MIB);
    assert!(sent > 0);
}

#[tokio::test(start_paused = true)]
async fn parts_that_were_cut_off_before_their_first_byte_cost_a_later_download_nothing() {
    let network = network("first_byte_ms = 5\nconnection_mb_per_s = 5");
    let stalls = FaultKind::Stall { after_bytes: 0, duration: None };
    let fault = s3lab::Fault::new("key", Requests::Range(4..6), stalls);
    let bench = Bench::with(64 * MIB, |lab| lab.network(network).faults(s3lab::FaultPlan::new([fault]).unwrap()));
    let config = TransferConfig::builder().max_concurrency(16).multipart_chunksize(MIB).build().unwrap();
    let client = bench.client.clone().with_config(config);
    let download = || client.download("lab", "key").to_file(bench.target()).resume(true);
    // The whole takes 0.9 s.
    tokio::time::timeout(Duration::from_millis(600), download().into_future()).await.unwrap_err();
    let came = bench.lab.stats().bytes_out;
    let report = download().await.unwrap();
    bench.assert_whole();
    assert!(came > 30 * MIB && report.resumed_bytes as f64 > 0.7 * came as f64, "{} of {came}", report.resumed_bytes);
}

#[tokio::test(start_paused = true)]
async fn a_second_transfer_begins_where_the_first_one_ended() {
    let profile = "first_byte_ms = 30\nconnection_mb_per_s = 10\nlink_mb_per_s = 800";
    let bench = Bench::behind(96 * MIB, network(profile));
    let client = bench.client.clone().with_config(TransferConfig::default());
    let seconds = async |client: &Client| {
        let report = client.download("lab", "key").to_file(bench.target()).await.unwrap();
        bench.assert_whole();
        report.elapsed.as_secs_f64()
    };
    let first = seconds(&client).await;
    assert_eq!(client.memory().len(), 1);
    let second = seconds(&client).await;
    assert!(second < 0.9 * first, "{second} s after {first} s");
    // The same from a file, in another process as it were.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.json");
    client.memory().save(&path).unwrap();
    let loaded = TransferMemory::load(&path).unwrap();
    let told = seconds(&client.clone().with_memory(loaded)).await;
    assert!(told < 0.9 * first, "{told} s after {first} s");
    let forgetful = client.clone().with_memory(TransferMemory::none());
    let alone = seconds(&forgetful).await;
    assert!((alone / first - 1.0).abs() < 0.02 && forgetful.memory().is_empty(), "{alone} s after {first} s");
    // A transfer with a fixed number neither uses nor keeps findings.
    let fixed = bench.client.clone().with_memory(TransferMemory::default()).with_config(fixed(64, MIB));
    seconds(&fixed).await;
    assert!(fixed.memory().is_empty());
}

#[tokio::test(start_paused = true)]
async fn so_does_one_whose_connections_are_new() {
    let profile = "connect_ms = 100\nfirst_byte_ms = 30\nconnection_mb_per_s = 10\nlink_mb_per_s = 800";
    let bench = Bench::behind(96 * MIB, network(profile));
    // The number of requests to have once the first bytes have come, by the first of so many downloads of one process.
    let begun = async |memory: &TransferMemory, downloads: usize| {
        // A client of its own has no connection yet.
        let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
        let client = Client::new(sdk).with_memory(memory.clone()).with_config(TransferConfig::default());
        let mut begun = None;
        for _ in 0..downloads {
            let download = client.download("lab", "key").timeline(Duration::from_millis(5));
            let report = download.to_file(bench.target()).await.unwrap();
            let moment = report.timeline.iter().find(|moment| moment.bytes > 0).unwrap();
            begun.get_or_insert(moment.target);
        }
        bench.assert_whole();
        begun.unwrap()
    };
    // The second one of a process finds its connections, and what it finds does not hide what new ones cost.
    for downloads in [1, 2] {
        let memory = TransferMemory::default();
        let cold = begun(&memory, downloads).await;
        let told = begun(&memory, 1).await;
        assert!(told >= 2 * cold, "{told} after {cold} requests, {downloads} downloads");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_is_given_up_has_found_something_too() {
    let bench = Bench::behind(64 * MIB, network("first_byte_ms = 30\nconnection_mb_per_s = 2\nlink_mb_per_s = 150"));
    let client = bench.client.clone().with_config(TransferConfig::default());
    let download = client.download("lab", "key").to_file(bench.target());
    tokio::time::timeout(Duration::from_millis(400), download.into_future()).await.unwrap_err();
    // Its tasks end when they are polled next.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.memory().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_report_says_what_limited_it() {
    let limited = |profile: &str, fault: Option<FaultKind>, config: TransferConfig| {
        let network = network(profile);
        let bench = Bench::with(48 * MIB, |lab| {
            let fault = fault.map(|kind| s3lab::Fault::new("key", Requests::At(4), kind));
            lab.network(network).faults(s3lab::FaultPlan::new(fault).unwrap())
        });
        async move {
            let verdict = bench.download(&config).await.unwrap().verdict;
            (verdict.bottleneck, format!("{verdict}: {:?}", verdict.evidence))
        }
    };
    let config = || TransferConfig::builder().multipart_threshold(1).adaptive_concurrency(false);
    let fixed = fixed(8, 2 * MIB);
    let slow = config().max_concurrency(8).multipart_chunksize(2 * MIB).max_bandwidth(10 << 20).build().unwrap();
    let small = config().max_concurrency(80).multipart_chunksize(MIB).memory_limit(2 << 20).build().unwrap();
    let crawls = FaultKind::Slow { bytes_per_s: 200_000 };
    for (profile, fault, config, expected) in [
        ("first_byte_ms = 20\nconnection_mb_per_s = 5", None, fixed.clone(), Bottleneck::Requests),
        ("first_byte_ms = 20\nconnection_mb_per_s = 50\nlink_mb_per_s = 40", None, fixed.clone(), Bottleneck::Link),
        ("first_byte_ms = 20\nlink_mb_per_s = 60", None, TransferConfig::default(), Bottleneck::Link),
        ("first_byte_ms = 20\nconnection_mb_per_s = 50", None, slow, Bottleneck::Bandwidth),
        ("first_byte_ms = 20\nconnection_mb_per_s = 5", None, small, Bottleneck::Memory),
        ("first_byte_ms = 20\nrequests_per_s = 6", None, fixed.clone(), Bottleneck::Throttling),
        ("first_byte_ms = 20\nconnection_mb_per_s = 20", Some(crawls), fixed.clone(), Bottleneck::Tail),
        ("first_byte_ms = 400\nconnection_mb_per_s = 50", None, fixed, Bottleneck::Latency),
        ("first_byte_ms = 20", None, TransferConfig::default(), Bottleneck::Latency),
    ] {
        let (bottleneck, why) = limited(profile, fault, config).await;
        assert_eq!(bottleneck, expected, "{profile}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_course_of_a_transfer_is_kept_where_it_is_asked_for() {
    let bench = Bench::behind(48 * MIB, network("first_byte_ms = 20\nlink_mb_per_s = 40"));
    let client = bench.client.clone().with_config(TransferConfig::default());
    let download = client.download("lab", "key").timeline(Duration::from_millis(50));
    let report = download.to_file(bench.target()).await.unwrap();
    let moments = &report.timeline;
    assert!((20..=40).contains(&moments.len()), "{moments:?}");
    assert!(moments.is_sorted_by_key(|moment| (moment.at, moment.bytes)), "{moments:?}");
    // Bytes that were on their way when a part was cut short come twice.
    let twice = moments.last().map(|moment| moment.bytes - 48 * MIB).unwrap();
    assert!(twice <= report.splits * 2 * (64 << 10), "{twice} bytes in {} splits", report.splits);
    let middle = moments[moments.len() / 2];
    assert!((35e6..45e6).contains(&middle.bytes_per_second) && middle.requests > 0 && middle.target > 0, "{middle:?}");
    let report = client.download("lab", "key").to_file(bench.target()).await.unwrap();
    assert!(report.timeline.is_empty());
}
