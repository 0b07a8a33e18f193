//! For any behaviour of the server: the object's exact bytes, or a typed error and no file. One fault at a time, by
//! name; all of them together are in `oracle`.

use std::time::Duration;

use crate::lab::{Bench, KIB, sdk, small};
use s3lab::{FaultKind, Lab, NetworkProfile, Requests};
use s3xfer::{Client, Progress, TransferConfig, TransferErrorKind};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn objects_of_every_size_around_the_limits_come_whole() {
    for size in [0, 1, 255, 256, 257, 8 * KIB - 1, 8 * KIB, 8 * KIB + 1, 24 * KIB, 100_003] {
        for threads in [true, false] {
            let bench = Bench::new(size);
            let report = bench.download(&small().use_threads(threads).build().unwrap()).await.unwrap();
            assert_eq!((report.bytes, report.retries), (size, 0));
            assert_eq!(report.e_tag, bench.lab.etag("lab", "key").map(|e_tag| format!("\"{e_tag}\"")));
            bench.assert_whole();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_resumed_where_it_stopped() {
    let bench = Bench::with_faults(24 * KIB, [(Requests::At(1), FaultKind::Reset { after_bytes: 1000 })]);
    let report = bench.download(&small().max_concurrency(1).build().unwrap()).await.unwrap();
    assert_eq!(report.retries, 1);
    let resumed = format!("bytes={}-{}", 8 * KIB + 1000, 16 * KIB - 1);
    assert_eq!(bench.ranges(), ["bytes=0-8191", "bytes=8192-16383", &resumed, "bytes=16384-24575"]);
    assert_eq!(bench.lab.stats().bytes_out, 24 * KIB, "no byte is sent twice");
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_early_is_resumed() {
    let bench = Bench::with_faults(24 * KIB, [(Requests::Range(0..3), FaultKind::Truncate { after_bytes: 77 })]);
    bench.download(&small().build().unwrap()).await.unwrap();
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_resumed_after_a_deadline_and_a_slow_one_is_left_alone() {
    let stalled =
        Bench::with_faults(24 * KIB, [(Requests::At(1), FaultKind::Stall { after_bytes: 10, duration: None })]);
    let began = Instant::now();
    let report = stalled.download(&small().build().unwrap()).await.unwrap();
    assert_eq!(report.retries, 1);
    assert!((20.0..25.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    stalled.assert_whole();

    let slow = Bench::with_faults(24 * KIB, [(Requests::At(1), FaultKind::Slow { bytes_per_s: 100 })]);
    let began = Instant::now();
    let report = slow.download(&small().build().unwrap()).await.unwrap();
    assert_eq!(report.retries, 0);
    assert!(began.elapsed() > Duration::from_secs(60), "{:?}", began.elapsed());
    slow.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn throttling_that_ends_is_waited_for_and_throttling_that_does_not_is_an_error() {
    // From the first request on, which asks for the object's size, and in the middle. Twenty pauses are far within the
    // patience, however the dice fall; of thirty, one run in twelve was not.
    for requests in [0..20, 1..21] {
        let storm = Bench::with_faults(80 * KIB, [(Requests::Range(requests), FaultKind::SlowDown)]);
        let report = storm.download(&small().num_download_attempts(1).build().unwrap()).await.unwrap();
        assert_eq!(report.retries, 20);
        storm.assert_whole();
    }

    let endless = Bench::with_faults(80 * KIB, [(Requests::Every, FaultKind::SlowDown)]);
    let began = Instant::now();
    let error = endless.download(&small().build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    let seconds = began.elapsed().as_secs_f64();
    assert!((120.0..130.0).contains(&seconds), "two minutes and a pause, not {seconds} s");
    endless.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn patience_is_the_time_that_was_asked_for_and_is_told() {
    for requests in [Requests::Every, Requests::Range(1..u64::MAX)] {
        let endless = Bench::with_faults(80 * KIB, [(requests, FaultKind::SlowDown)]);
        let began = Instant::now();
        let error = endless.download(&small().patience_seconds(7).build().unwrap()).await.unwrap_err();
        let seconds = began.elapsed().as_secs_f64();
        assert!((7.0..16.0).contains(&seconds), "7 s and a pause, not {seconds} s");
        assert!(error.to_string().contains(" s without a byte; raise patience_seconds"), "{error}");
        endless.assert_nothing();
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_part_is_waited_for_while_others_bring_bytes() {
    // Part 1 takes about two minutes, in which part 2 is turned away for about one.
    let faults =
        [(Requests::At(1), FaultKind::Slow { bytes_per_s: 70 }), (Requests::Range(2..20), FaultKind::SlowDown)];
    let bench = Bench::with_faults(24 * KIB, faults);
    let report = bench.download(&small().max_concurrency(2).patience_seconds(20).build().unwrap()).await.unwrap();
    assert_eq!(report.retries, 18);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn server_errors_that_end_are_waited_for_and_those_that_do_not_are_an_error() {
    // The longer ones last about a minute.
    for requests in [0..6, 0..30, 1..31] {
        let bench = Bench::with_faults(80 * KIB, [(Requests::Range(requests), FaultKind::InternalError)]);
        bench.download(&small().max_concurrency(1).build().unwrap()).await.unwrap();
        bench.assert_whole();
    }

    let endless = Bench::with_faults(80 * KIB, [(Requests::Every, FaultKind::InternalError)]);
    let began = Instant::now();
    let error = endless.download(&small().build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    let seconds = began.elapsed().as_secs_f64();
    assert!((120.0..130.0).contains(&seconds), "two minutes and a pause, not {seconds} s");
    assert!(endless.lab.stats().total() < 120, "{:?}", endless.lab.stats());
    endless.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_serves_between_refusals_is_not_given_up() {
    // Ten refusals, some bytes, ten refusals, ...: more in all than would be borne in a row.
    let faults = (0..60_u64).map(|n| match n % 11 {
        10 => (Requests::At(n), FaultKind::Reset { after_bytes: 100 }),
        _ => (Requests::At(n), FaultKind::SlowDown),
    });
    let bench = Bench::with_faults(8 * KIB - 1, faults);
    bench.download(&small().num_download_attempts(9).build().unwrap()).await.unwrap();
    bench.assert_whole();
}

/// The result of `download`, which must end within a day.
async fn ended<T>(download: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(86_400), download).await.expect("it goes on for ever")
}

#[tokio::test(start_paused = true)]
async fn a_server_of_one_byte_per_second_is_given_up() {
    let trickle = |requests| Bench::with_faults(96 * KIB, [(requests, FaultKind::Slow { bytes_per_s: 1 })]);
    for threads in [true, false] {
        let bench = trickle(Requests::Every);
        let config = TransferConfig::builder().multipart_chunksize(8 * KIB).multipart_threshold(8 * KIB);
        let error = ended(bench.download(&config.use_threads(threads).build().unwrap())).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
        assert!(error.to_string().contains("after 5 attempts"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("over 60 s") && source.contains("min_bytes_per_second is 64"), "{source}");
        bench.assert_nothing();
    }
    for error in [
        ended(trickle(Requests::Every).client.download("lab", "key").to_bytes()).await.unwrap_err(),
        ended(trickle(Requests::Every).client.download("lab", "key").discard()).await.unwrap_err(),
        ended(trickle(Requests::Every).client.download("lab", "key").to_writer(tokio::io::sink())).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    }

    // One such body is asked for again where it stopped.
    let bench = trickle(Requests::At(2));
    let report = ended(bench.download(&small().build().unwrap())).await.unwrap();
    assert_eq!(report.retries, 1);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn a_server_of_one_byte_per_request_is_given_up() {
    // Each answer of one byte ends early, after refusals that would be borne if bytes came.
    let faults = (0..8 * KIB).map(|n| match n % 4 {
        3 => (Requests::At(n), FaultKind::Truncate { after_bytes: 1 }),
        _ => (Requests::At(n), FaultKind::SlowDown),
    });
    let bench = Bench::with_faults(8 * KIB, faults);
    let config = small().num_download_attempts(u32::MAX).validate_checksum(false).build().unwrap();
    let error = ended(bench.download(&config)).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    assert!(bench.lab.stats().total() < 400, "{:?}", bench.lab.stats());
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn answers_of_a_byte_each_are_given_up_and_answers_of_half_a_part_are_not() {
    // The server sends only a few of the requested bytes, and says so.
    for (bytes, ends_well) in [(1, false), (4 * KIB, true)] {
        let size = 8 * KIB;
        let short = (0..size / bytes).flat_map(|n| {
            let value = Some(format!("bytes {}-{}/{size}", n * bytes, (n + 1) * bytes - 1));
            [FaultKind::ContentRange { value }, FaultKind::ShortLength { length: bytes }]
                .map(|kind| (Requests::At(n), kind))
        });
        let bench = Bench::with_faults(size, short);
        let ended = ended(bench.download(&small().build().unwrap())).await;
        assert_eq!(ended.is_ok(), ends_well, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_lowest_rate_is_the_one_of_all_parts_together() {
    // Eight requests at 40 B/s each are above a floor of 200 B/s; four are not.
    for (requests, retries) in [(8, false), (4, true)] {
        let bench = Bench::with_faults(64 * KIB, [(Requests::Range(0..8), FaultKind::Slow { bytes_per_s: 40 })]);
        let config = small().max_concurrency(requests).min_bytes_per_second(200).min_rate_window_seconds(30);
        let client = bench.client.clone().with_config(config.num_download_attempts(100).build().unwrap());
        // The first part is asked for alone.
        let report = ended(client.download("lab", "key").object_bytes(64 * KIB).discard()).await;
        let report = report.unwrap();
        assert_eq!(report.retries > 0, retries, "{requests}: {report:?}");
    }
    let lifted = Bench::with_faults(KIB, [(Requests::Every, FaultKind::Slow { bytes_per_s: 1 })]);
    lifted.download(&small().min_bytes_per_second(0).build().unwrap()).await.unwrap();
    lifted.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_by_our_own_doing_is_not_below_the_lowest_rate() {
    let bench = Bench::new(2 * KIB);
    let config = || small().min_bytes_per_second(1 << 30).min_rate_window_seconds(1).num_download_attempts(1);
    let client = bench.client.clone().with_config(config().max_bandwidth(10).build().unwrap());
    let report = client.download("lab", "key").discard().await.unwrap();
    assert!(report.elapsed > Duration::from_secs(150), "{report:?}");

    let client = bench.client.clone().with_config(config().build().unwrap());
    let mut stream = client.download("lab", "key").stream();
    while let Some(frame) = futures::StreamExt::next(&mut stream).await {
        frame.unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_begin_is_an_error_after_a_deadline() {
    let bench = Bench::behind(80 * KIB, NetworkProfile::unlimited().with_first_byte(100_000.0, 0.0).unwrap());
    let began = Instant::now();
    let error = bench.download(&small().build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    assert!((150.0..170.0).contains(&began.elapsed().as_secs_f64()), "five times 30 s, not {:?}", began.elapsed());
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_before_anything_else_is_downloaded() {
    // More than any disk under a temporary folder holds.
    let bench = Bench::new(8 << 40);
    for threads in [true, false] {
        let config = TransferConfig::builder().use_threads(threads).build().unwrap();
        let error = bench.download(&config).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::DiskFull, "{error:?}");
        assert!(error.to_string().contains("object.bin: cannot reserve 8796093022208 bytes"), "{error}");
        bench.assert_nothing();
    }
    assert_eq!(bench.ranges().len(), 2, "one request each");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_replaced_half_way_is_an_error() {
    for at in 1..10 {
        let bench = Bench::with_faults(80 * KIB, [(Requests::At(at), FaultKind::Replace)]);
        let error = bench.download(&small().max_concurrency(2).build().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ObjectChanged, "{error}");
        bench.assert_nothing();
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_range_that_is_wrong_or_missing_is_an_error() {
    let wrong =
        ["bytes 0-8191/99999999", "bytes 1-8192/81920", "nonsense", "bytes */81920"].map(|v| Some(v.to_owned()));
    for value in wrong.into_iter().chain([None]) {
        for at in [0, 4] {
            let bench =
                Bench::with_faults(80 * KIB, [(Requests::At(at), FaultKind::ContentRange { value: value.clone() })]);
            let error = bench.download(&small().build().unwrap()).await.unwrap_err();
            let kinds = [TransferErrorKind::BadResponse, TransferErrorKind::ObjectChanged];
            assert!(kinds.contains(&error.kind()), "{value:?} at {at}: {error:?}");
            bench.assert_nothing();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_contradicts_the_range_is_an_error() {
    let bench = Bench::with_faults(80 * KIB, [(Requests::At(3), FaultKind::ShortLength { length: 100 })]);
    let error = bench.download(&small().build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::BadResponse, "{error:?}");
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_ranges_gives_the_whole_object_in_one_answer() {
    let bench = Bench::with_faults(
        80 * KIB,
        [
            (Requests::Every, FaultKind::IgnoreRange),
            (Requests::Range(0..2), FaultKind::Reset { after_bytes: 20 * KIB }),
        ],
    );
    let report = bench.download(&small().build().unwrap()).await.unwrap();
    assert_eq!((report.parts, report.requests), (1, 3));
    bench.assert_whole();
    // One that only sometimes does is not to be trusted.
    let bench = Bench::with_faults(80 * KIB, [(Requests::At(5), FaultKind::IgnoreRange)]);
    let error = bench.download(&small().build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::BadResponse, "{error:?}");
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_or_may_not_be_read_is_told() {
    let bench = Bench::new(1);
    let kind = async |client: &Client, bucket: &str, key: &str| {
        let error = client.download(bucket, key).to_file(bench.target()).await.unwrap_err();
        (error.kind(), error.to_string())
    };
    let (no_key, says) = kind(&bench.client, "lab", "nope").await;
    assert!(
        no_key == TransferErrorKind::NotFound && says.contains("NoSuchKey") && says.contains("s3://lab/nope"),
        "{says}"
    );
    let (no_bucket, says) = kind(&bench.client, "nope", "key").await;
    assert!(no_bucket == TransferErrorKind::NotFound && says.contains("NoSuchBucket"), "{says}");
    let stranger = Client::new(sdk(&bench.lab, "stranger", "secret"));
    let (denied, says) = kind(&stranger, "lab", "key").await;
    assert!(denied == TransferErrorKind::Denied && !says.contains("secret"), "{says}");
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_written_is_told_before_anything_is_asked_for() {
    let bench = Bench::new(80 * KIB);
    let folder = bench.folder.path();
    for target in [folder.to_owned(), folder.join("missing/object.bin"), folder.join("new/"), "".into()] {
        let error = bench.client.download("lab", "key").to_file(&target).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
        assert!(error.to_string().contains(&target.display().to_string()), "{error}");
    }
    assert_eq!(bench.lab.stats().total(), 0);
    bench.assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_it_leaves_nothing_and_the_old_file_as_it_was() {
    let network =
        NetworkProfile::unlimited().with_first_byte(30.0, 0.2).unwrap().with_connection_mb_per_s(Some(0.2)).unwrap();
    for milliseconds in (0..400).step_by(7) {
        let bench = Bench::behind(80 * KIB, network.clone());
        std::fs::write(bench.target(), "old").unwrap();
        let download = bench.download(&small().max_concurrency(3).build().unwrap()).await;
        let whole = download.unwrap().elapsed;
        std::fs::write(bench.target(), "old").unwrap();
        let config = small().max_concurrency(3).build().unwrap();
        let cut = tokio::time::timeout(Duration::from_millis(milliseconds), bench.download(&config)).await;
        assert!(cut.is_err() || Duration::from_millis(milliseconds) >= whole / 2);
        if cut.is_err() {
            assert_eq!(std::fs::read(bench.target()).unwrap(), b"old", "after {milliseconds} ms");
            assert_eq!(bench.files(), ["object.bin"], "after {milliseconds} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn progress_counts_what_is_written_and_never_goes_back() {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.1)).unwrap();
    let faults = s3lab::FaultPlan::new([s3lab::Fault {
        key: "key".to_owned(),
        on: s3lab::RequestKind::GetObject,
        requests: Requests::Range(1..4),
        kind: FaultKind::Reset { after_bytes: 3000 },
    }])
    .unwrap();
    let bench = Bench::with(80 * KIB, |lab| lab.network(network).faults(faults));
    let progress = Progress::new();
    let client = bench.client.clone().with_config(small().max_concurrency(2).build().unwrap());
    let transfer =
        tokio::spawn(client.download("lab", "key").progress(progress.clone()).to_file(bench.target()).into_future());
    let (mut last, mut seen) = (0, 0);
    while !transfer.is_finished() {
        let snapshot = progress.snapshot();
        assert!(snapshot.written_bytes >= last && snapshot.written_bytes <= 80 * KIB);
        seen += u32::from(snapshot.written_bytes > last && snapshot.written_bytes < 80 * KIB);
        last = snapshot.written_bytes;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    transfer.await.unwrap().unwrap();
    assert!(seen > 3, "progress was seen {seen} times on the way");
    assert_eq!(progress.snapshot().written_bytes, 80 * KIB);
    assert_eq!(progress.snapshot().total_bytes, Some(80 * KIB));
    bench.assert_whole();
}

#[test]
fn the_lab_takes_no_secret_into_what_it_shows() {
    let lab = Lab::builder().credentials("open", "sesame").bucket("lab").build().unwrap();
    let client = Client::new(sdk(&lab, "open", "sesame"));
    assert!(!format!("{client:?}").contains("sesame"));
}
