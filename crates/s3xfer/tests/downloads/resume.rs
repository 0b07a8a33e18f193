//! The next download does not fetch again the parts that an earlier one has kept; and with any remains, the result is
//! the object's exact bytes. In one process and paused time; processes that are killed are in `killed`.

use std::fs;
use std::future::IntoFuture;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use crate::journal::{DATA, JOURNAL, asked, recorded};
use crate::lab::{Bench, KIB, sdk, small};
use s3lab::{FaultKind, NetworkProfile, RequestKind, Requests};
use s3xfer::{
    ChecksumAlgorithm, Client, FileDownload, Integrity, NotValidated, TransferConfig, TransferError, TransferErrorKind,
    TransferReport,
};

const PART: u64 = 8 * KIB;
const PARTS: u64 = 10;
const SIZE: u64 = PARTS * PART - 100;

/// A part takes 41 ms.
fn slow() -> NetworkProfile {
    NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.2)).unwrap()
}

fn config(max_concurrency: u32) -> TransferConfig {
    small().max_concurrency(max_concurrency).build().unwrap()
}

fn download(bench: &Bench, config: &TransferConfig) -> FileDownload {
    bench.client.clone().with_config(config.clone()).download("lab", "key").to_file(bench.target()).resume(true)
}

/// Drops a download as soon as `parts` are on record.
async fn cut(bench: &Bench, config: &TransferConfig, parts: usize) {
    let mut download = pin!(download(bench, config).into_future());
    while recorded(bench.folder.path()).len() < parts {
        tokio::select! {
            ended = &mut download => panic!("it was to be cut at {parts}: {ended:?}"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
}

/// The same download again, at once: the tasks of the one before may still be there.
async fn go_on(bench: &Bench, config: &TransferConfig) -> Result<TransferReport, TransferError> {
    download(bench, config).await
}

/// Puts other bytes of the same length under the key.
async fn replace(bench: &Bench) {
    let store = sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    let put = store.put_object().bucket("lab").key("key").body(vec![7; SIZE as usize].into());
    put.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn cut_at_every_record_it_goes_on_and_asks_for_no_recorded_part() {
    for (threads, max_concurrency) in [(true, 1), (true, 3), (false, 1)] {
        let config = small().max_concurrency(max_concurrency).use_threads(threads).build().unwrap();
        for parts in 1..PARTS as usize {
            let bench = Bench::behind(SIZE, slow());
            cut(&bench, &config, parts).await;
            assert!(!bench.target().exists());
            let done = recorded(bench.folder.path());
            let before = bench.ranges().len();
            let report = go_on(&bench, &config).await.unwrap();
            let bytes: u64 = done.iter().map(|number| PART.min(SIZE - number * PART)).sum();
            assert_eq!(report.resumed_bytes, bytes, "{done:?}");
            assert_eq!(report.integrity, Integrity::ValidatedAsReceived(ChecksumAlgorithm::Crc64Nvme));
            let fetched: Vec<u64> = bench.ranges()[before..].iter().map(|range| asked(range).start / PART).collect();
            assert_eq!(fetched.len() + done.len(), PARTS as usize, "{fetched:?} after {done:?}");
            assert!(fetched.iter().all(|part| !done.contains(part)), "{fetched:?} after {done:?}");
            bench.assert_whole();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_and_as_often_as_one_likes_it_ends_as_the_object() {
    let network = slow().with_first_byte(15.0, 0.3).unwrap();
    for milliseconds in (0..220).step_by(3) {
        let bench = Bench::behind(SIZE, network.clone());
        for config in [config(1), config(4), config(3)] {
            let cut = go_on(&bench, &config).into_future();
            let Err(_) = tokio::time::timeout(Duration::from_millis(milliseconds), cut).await else { break };
            assert!(!bench.target().exists(), "after {milliseconds} ms");
            assert!(bench.files().iter().all(|name| name.starts_with(DATA)), "{:?}", bench.files());
        }
        go_on(&bench, &config(3)).await.unwrap();
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_error_ended_goes_on_too() {
    // Every request from the fifth on fails, for longer than the first download has patience.
    let bench = Bench::with_faults(SIZE, [(Requests::Range(4..30), FaultKind::InternalError)]);
    let impatient = config(1).to_builder().patience_seconds(1).build().unwrap();
    let error = go_on(&bench, &impatient).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Interrupted, "{error}");
    assert_eq!(bench.files(), [DATA, JOURNAL]);
    assert_eq!(go_on(&bench, &config(1)).await.unwrap().resumed_bytes, 4 * PART);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn of_an_object_that_was_replaced_nothing_is_kept_and_the_next_download_is_of_the_new_one() {
    for parts in [1, 5, 8] {
        let bench = Bench::behind(SIZE, slow());
        fs::write(bench.target(), "old").unwrap();
        cut(&bench, &config(2), parts).await;
        replace(&bench).await;
        let error = go_on(&bench, &config(2)).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ObjectChanged, "{error}");
        assert_eq!(
            (bench.files(), fs::read(bench.target()).unwrap()),
            (vec!["object.bin".to_owned()], b"old".to_vec())
        );
        assert_eq!(go_on(&bench, &config(2)).await.unwrap().resumed_bytes, 0);
        assert!(fs::read(bench.target()).unwrap() == [7; SIZE as usize]);
        assert_eq!(bench.files(), ["object.bin"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_was_kept_with_an_object_comes_back_whether_or_not_the_download_was_cut() {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for cut_at in [0, 3] {
        let bench = Bench::behind(SIZE, slow());
        let store = sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
        let put = store.put_object().bucket("lab").key("key").metadata("mtime", "1234567890.123456789");
        put.body(vec![7; SIZE as usize].into()).send().await.unwrap();
        let config = config(3);
        cut(&bench, &config, cut_at).await;
        let report = download(&bench, &config).keep_time(true).await.unwrap();
        assert_eq!((report.modified, report.resumed_bytes > 0), (Some(time), cut_at > 0));
        assert_eq!(fs::metadata(bench.target()).unwrap().modified().unwrap(), time);
    }
}

#[tokio::test(start_paused = true)]
async fn another_object_or_another_range_into_the_same_target_starts_anew() {
    let bench = Bench::with(SIZE, |lab| lab.network(slow()).synthetic("lab", "other", SIZE));
    cut(&bench, &config(2), 5).await;
    let client = bench.client.clone().with_config(config(2));
    let other = || client.download("lab", "other").to_file(bench.target()).resume(true);
    assert_eq!(other().await.unwrap().resumed_bytes, 0);
    let object = bench.lab.synthetic_object("lab", "other").unwrap();
    object.verify(0, &fs::read(bench.target()).unwrap()).unwrap();
    assert_eq!(bench.files(), ["object.bin"]);

    cut(&bench, &config(2), 5).await;
    let range = || client.download("lab", "key").range(100..5 * PART).to_file(bench.target()).resume(true);
    assert_eq!(range().await.unwrap().resumed_bytes, 0);
    let bytes = fs::read(bench.target()).unwrap();
    assert_eq!(bytes.len() as u64, 5 * PART - 100);
    bench.object.verify(100, &bytes).unwrap();
    assert_eq!(bench.files(), ["object.bin"]);
}

#[tokio::test(start_paused = true)]
async fn a_range_goes_on_as_well() {
    let bench = Bench::behind(SIZE, slow());
    let client = bench.client.clone().with_config(config(1));
    let make = || client.download("lab", "key").range(100..SIZE - 5).to_file(bench.target()).resume(true);
    let cut = tokio::time::timeout(Duration::from_millis(200), make().into_future()).await;
    assert!(cut.is_err());
    let done = recorded(bench.folder.path()).len() as u64;
    assert!(done > 1);
    assert_eq!(make().await.unwrap().resumed_bytes, done * PART);
    bench.object.verify(100, &fs::read(bench.target()).unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_configuration_goes_on_with_the_old_cut() {
    for chunk in [KIB, 3 * KIB, 100 * KIB] {
        let bench = Bench::behind(SIZE, slow());
        cut(&bench, &config(2), 4).await;
        let before = bench.ranges().len();
        let other = small().multipart_chunksize(chunk).multipart_threshold(100 * KIB).max_concurrency(5);
        let report = go_on(&bench, &other.build().unwrap()).await.unwrap();
        assert!(report.resumed_bytes >= 4 * PART, "{}", report.resumed_bytes);
        assert!(
            bench.ranges()[before..].iter().all(|range| asked(range).start.is_multiple_of(PART)),
            "{:?}",
            bench.ranges()
        );
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_that_lacks_nothing_but_its_name_only_asks_whether_the_object_is_the_same() {
    for replaced in [false, true] {
        let bench = Bench::behind(SIZE, slow());
        // Made behind the engine's back, it is in the way of the name.
        let mut download = pin!(download(&bench, &config(2)).into_future());
        let error = loop {
            tokio::select! {
                ended = &mut download => break ended.unwrap_err(),
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    if recorded(bench.folder.path()).len() >= 3 {
                        fs::create_dir_all(bench.target()).unwrap();
                    }
                }
            }
        };
        assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
        assert_eq!(recorded(bench.folder.path()).len() as u64, PARTS);
        fs::remove_dir(bench.target()).unwrap();
        if replaced {
            replace(&bench).await;
        }
        let gets = bench.lab.stats().count(RequestKind::GetObject);
        match go_on(&bench, &config(2)).await {
            Ok(report) if !replaced => {
                assert_eq!((report.resumed_bytes, report.requests), (SIZE, 0));
                assert_eq!(report.integrity, Integrity::ValidatedAsReceived(ChecksumAlgorithm::Crc64Nvme));
                bench.assert_whole();
            }
            Err(error) if replaced => {
                assert_eq!(error.kind(), TransferErrorKind::ObjectChanged, "{error}");
                bench.assert_nothing();
            }
            other => panic!("replaced: {replaced}, but {other:?}"),
        }
        assert_eq!(bench.lab.stats().count(RequestKind::GetObject), gets, "no byte is asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_was_cut_or_changed_anywhere_still_gives_the_exact_bytes() {
    let bench = Bench::behind(SIZE, slow());
    cut(&bench, &config(2), 6).await;
    let folder = bench.folder.path();
    // Parts that are not on record hold nothing of worth.
    let (data, journal) = (fs::read(folder.join(DATA)).unwrap(), fs::read(folder.join(JOURNAL)).unwrap());
    let cuts = (0..journal.len()).step_by(23).map(|length| journal[..length].to_vec());
    let flips = (0..journal.len()).step_by(19).map(|at| {
        let mut text = journal.clone();
        text[at] ^= 1 << (at % 8);
        text
    });
    let garbage = [vec![0; 5000], journal.repeat(2), [&journal[..], b"{\"part\":{\"number\":9}} 00000000\n"].concat()];
    let mut resumed = 0;
    for text in cuts.chain(flips).chain(garbage) {
        let bench = Bench::new(SIZE);
        fs::write(bench.folder.path().join(DATA), &data).unwrap();
        fs::write(bench.folder.path().join(JOURNAL), &text).unwrap();
        let report = go_on(&bench, &config(4)).await.unwrap();
        resumed += u64::from(report.resumed_bytes > 0);
        bench.assert_whole();
    }
    assert!(resumed > 10, "of a journal whose beginning is whole, that beginning counts; it did {resumed} times");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_cut_removed_or_swapped_is_fetched_anew() {
    let bench = Bench::behind(SIZE, slow());
    cut(&bench, &config(1), 6).await;
    let journal = fs::read(bench.folder.path().join(JOURNAL)).unwrap();
    for data in [None, Some(vec![]), Some(vec![0; 5 * PART as usize])] {
        let bench = Bench::new(SIZE);
        if let Some(data) = data {
            fs::write(bench.folder.path().join(DATA), data).unwrap();
        }
        fs::write(bench.folder.path().join(JOURNAL), &journal).unwrap();
        assert_eq!(go_on(&bench, &config(4)).await.unwrap().resumed_bytes, 0);
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_corrupt_on_their_way_are_found_after_going_on_and_not_kept() {
    let bench = Bench::with(SIZE, |lab| {
        let fault = s3lab::Fault {
            key: "key".to_owned(),
            on: RequestKind::GetObject,
            requests: Requests::At(1),
            kind: FaultKind::Corrupt { at: PART + 77 },
        };
        lab.network(slow()).faults(s3lab::FaultPlan::new([fault]).unwrap())
    });
    cut(&bench, &config(1), 4).await;
    let error = go_on(&bench, &config(1)).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Corrupt, "{error}");
    bench.assert_nothing();
    assert_eq!(go_on(&bench, &config(1)).await.unwrap().resumed_bytes, 0);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn kept_parts_that_changed_on_the_disk_are_found_when_they_are_read_again_and_only_they_are_fetched() {
    for use_threads in [true, false] {
        let config = small().max_concurrency(1).use_threads(use_threads).build().unwrap();
        let bench = Bench::behind(SIZE, slow());
        cut(&bench, &config, 6).await;
        let kept = recorded(bench.folder.path()).len() as u64;
        let data = fs::File::options().write(true).open(bench.folder.path().join(DATA)).unwrap();
        // In the last byte of one part, and the first of another.
        std::os::unix::fs::FileExt::write_all_at(&data, &[0xa5, 0x5a], 3 * PART - 1).unwrap();
        let before = bench.ranges().len();
        let report = download(&bench, &config).verify_kept(true).await.unwrap();
        assert_eq!(report.resumed_bytes, (kept - 2) * PART);
        assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
        let fetched: Vec<u64> = bench.ranges()[before..].iter().map(|range| asked(range).start / PART).collect();
        assert_eq!(fetched, [&[2, 3], &(kept..PARTS).collect::<Vec<_>>()[..]].concat());
        bench.assert_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn kept_parts_of_unknown_checksum_are_fetched_again_where_they_are_to_be_verified() {
    let config = small().max_concurrency(1).validate_checksum(false).build().unwrap();
    let bench = Bench::behind(SIZE, slow());
    cut(&bench, &config, 6).await;
    let report = download(&bench, &config).verify_kept(true).await.unwrap();
    assert_eq!((report.resumed_bytes, report.integrity), (0, Integrity::NotValidated(NotValidated::TurnedOff)));
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn a_download_that_is_not_to_go_on_uses_nothing_and_leaves_nothing() {
    let bench = Bench::behind(SIZE, slow());
    cut(&bench, &config(2), 6).await;
    // Until the file is let go, it is somebody's.
    let report = loop {
        let report = bench.download(&config(2)).await.unwrap();
        if bench.files().len() == 1 {
            break report;
        }
    };
    assert_eq!(report.resumed_bytes, 0);
    bench.assert_whole();
}

#[tokio::test(start_paused = true)]
async fn of_two_downloads_into_one_target_the_second_is_told() {
    let bench = Bench::behind(SIZE, slow());
    let first = tokio::spawn(download(&bench, &config(2)).into_future());
    tokio::time::sleep(Duration::from_millis(90)).await;
    let error = download(&bench, &config(2)).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
    assert!(error.to_string().contains("another download into it is running"), "{error}");
    first.await.unwrap().unwrap();
    bench.assert_whole();
}

/// The clock stands still while a thread blocks, and goes on only where it is told to.
#[test]
fn a_part_is_on_record_only_once_its_bytes_are_written() {
    const PART: u64 = 5 << 20;
    const FIRST_BYTE: Duration = Duration::from_millis(300);
    // Pieces of more than 4 MiB are written by a thread that may block, and the only one there is has other things to
    // do. No other one is made in its place while the clock stands still.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).max_blocking_threads(1).build().unwrap();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let network = NetworkProfile::unlimited().with_first_byte(FIRST_BYTE.as_secs_f64() * 1e3, 0.0).unwrap();
        let bench = Bench::behind(3 * PART, network);
        let config = TransferConfig::builder()
            .multipart_chunksize(PART)
            .io_chunksize(PART)
            .adaptive_concurrency(false)
            .build()
            .unwrap();
        let client = bench.client.clone().with_config(config);
        let going = client.download("lab", "key").to_file(bench.target()).resume(true).into_future();
        let going = tokio::spawn(going);
        // The others are asked for once the first one has begun.
        while recorded(bench.folder.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (began, begun) = tokio::sync::oneshot::channel();
        let busy = tokio::task::spawn_blocking(move || {
            began.send(()).unwrap();
            wait.recv()
        });
        begun.await.unwrap();
        assert_eq!(recorded(bench.folder.path()), [0]);
        tokio::time::advance(FIRST_BYTE).await;
        while bench.lab.stats().bytes_out < 3 * PART {
            tokio::task::yield_now().await;
        }
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(recorded(bench.folder.path()), [0]);
        let_go.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert_eq!(going.await.unwrap().unwrap().bytes, 3 * PART);
        bench.assert_whole();
    });
}

/// Real threads: the tasks of the one that is dropped are in the middle of something when the next one begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_was_just_dropped_is_not_in_the_way_of_the_next() {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(20.0)).unwrap();
    let bench = Bench::behind(SIZE, network);
    let mut report = None;
    for round in 0..200 {
        let cut = download(&bench, &config(4)).into_future();
        match tokio::time::timeout(Duration::from_micros(round * 50), cut).await {
            Ok(ended) => report = Some(ended.unwrap()),
            Err(_) => assert!(bench.files().iter().all(|name| name.starts_with(DATA) || name == "object.bin")),
        }
    }
    if report.is_none() {
        go_on(&bench, &config(4)).await.unwrap();
    }
    bench.object.verify(0, &fs::read(bench.target()).unwrap()).unwrap();
}

#[test]
fn clients_can_be_sent_to_other_threads_with_what_they_began() {
    fn is_send<T: Send>(_: &T) {}
    let bench = Bench::new(1);
    let client: &Client = &bench.client;
    is_send(&client.download("lab", "key").to_file("x").resume(true).into_future());
}
