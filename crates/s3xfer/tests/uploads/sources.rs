//! Uploads in a lab within the process, in virtual time: the outcome for each source, size, condition and fault.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lab::{self, Bench};
use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadInput;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, RequestKind, Requests, SyntheticObject};
use s3xfer::{
    Bottleneck, ChecksumAlgorithm, Client, Integrity, Progress, ServerSideEncryption, TransferConfig, TransferError,
    TransferErrorKind, TransferReport, Upload, UploadSource,
};
use tokio::time::Instant;

/// Sizes of a part: S3's, a thousandfold smaller.
const KIB: u64 = 1 << 10;

/// Bytes that no other size has the same of.
fn bytes(size: u64) -> Bytes {
    let object = SyntheticObject::new(size, size);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let next = object.slice(bytes.len() as u64, 1 << 20);
        bytes.extend_from_slice(&next);
    }
    bytes.into()
}

fn bench(faults: impl IntoIterator<Item = Fault>) -> Bench {
    Bench::with(1, |lab| lab.min_part_size(1).faults(FaultPlan::new(faults).unwrap()))
}

fn fault(on: RequestKind, requests: Requests, kind: FaultKind) -> Fault {
    Fault::new("new", requests, kind).on(on)
}

/// boto3's configuration a thousandfold smaller: 8 KiB parts from 8 KiB on, ten at a time.
fn upload(bench: &Bench, source: impl Into<UploadSource>) -> Upload {
    let client = bench.client.clone().with_config(lab::small().build().unwrap());
    client.upload(source, "lab", "new").least_part_bytes(1)
}

fn assert_stored(bench: &Bench, wanted: &[u8]) {
    let stored = bench.lab.object("lab", "new").expect("there is an object");
    assert!(stored == wanted, "{} bytes are stored, {} were wanted", stored.len(), wanted.len());
    assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
}

fn assert_nothing(bench: &Bench) {
    assert_eq!(bench.lab.object("lab", "new").map(|bytes| bytes.len()), None);
    assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
}

fn count(bench: &Bench, kind: RequestKind) -> u64 {
    bench.lab.stats().count(kind)
}

fn pieces(wanted: &Bytes, size: usize) -> UploadSource {
    let wanted = wanted.clone();
    let starts = (0..wanted.len()).step_by(size);
    let piece = move |start: usize| Ok(wanted.slice(start..wanted.len().min(start + size)));
    UploadSource::stream(stream::iter(starts.map(piece).collect::<Vec<_>>()))
}

fn validated(report: &TransferReport) {
    assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
}

#[tokio::test(start_paused = true)]
async fn small_sources_are_one_request_and_large_ones_are_parts() {
    for (size, parts) in [(0, 0), (1, 1), (8 * KIB - 1, 1), (8 * KIB, 1), (8 * KIB + 1, 2), (20 * KIB, 3)] {
        let wanted = bytes(size);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &wanted).unwrap();
        let sources = [
            UploadSource::bytes(wanted.clone()),
            UploadSource::file(file.path()),
            UploadSource::reader(std::io::Cursor::new(wanted.to_vec())),
            pieces(&wanted, 100),
            pieces(&wanted, 3_000),
        ];
        for source in sources {
            let (shown, bench) = (format!("{source:?}"), bench([]));
            let progress = Progress::new();
            let report = upload(&bench, source).progress(progress.clone()).await.unwrap();
            assert_stored(&bench, &wanted);
            validated(&report);
            assert_eq!((report.bytes, report.parts), (size, parts), "{shown}");
            assert_eq!(
                report.e_tag.clone().map(|e_tag| e_tag.trim_matches('"').to_owned()),
                bench.lab.etag("lab", "new")
            );
            let multipart = parts > 1;
            assert_eq!(count(&bench, RequestKind::PutObject), u64::from(!multipart), "{shown}");
            assert_eq!(count(&bench, RequestKind::UploadPart), if multipart { parts } else { 0 }, "{shown}");
            let progress = progress.snapshot();
            assert_eq!((progress.total_bytes, progress.written_bytes), (Some(size), size), "{shown}");
            assert!(report.retries == 0 && report.requests == parts.max(1), "{report:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_with_an_object_is_sent_with_it() {
    for size in [100, 9 * KIB] {
        let bench = bench([]);
        let upload = upload(&bench, bytes(size));
        upload
            .content_type("text/x-own")
            .cache_control("no-cache")
            .content_disposition("attachment")
            .content_encoding("br")
            .content_language("de")
            .metadata("colour", "blue")
            .tag("a b", "c&d")
            .storage_class("STANDARD_IA")
            .encryption(ServerSideEncryption::Kms { key_id: Some("key-1".to_owned()) })
            .await
            .unwrap();
        let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
        let head = sdk.head_object().bucket("lab").key("new").send().await.unwrap();
        let told = [&head.content_type, &head.cache_control, &head.content_disposition, &head.content_encoding];
        assert_eq!(told.map(|told| told.as_deref().unwrap()), ["text/x-own", "no-cache", "attachment", "br"]);
        assert_eq!((head.content_language.as_deref(), head.ssekms_key_id.as_deref()), (Some("de"), Some("key-1")));
        assert_eq!(head.metadata.unwrap().get("colour").map(String::as_str), Some("blue"));
        assert_eq!(head.storage_class.unwrap().as_str(), "STANDARD_IA");
        let tags = sdk.get_object_tagging().bucket("lab").key("new").send().await.unwrap().tag_set;
        assert_eq!(tags.iter().map(|tag| (&*tag.key, &*tag.value)).collect::<Vec<_>>(), [("a b", "c&d")]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_content_type_is_guessed_from_the_key() {
    let bench = bench([]);
    let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    for (key, guess, kind) in [
        ("a.json", true, "application/json"),
        ("a.json", false, "application/octet-stream"),
        ("a", true, "application/octet-stream"),
    ] {
        let upload = bench.client.upload(Bytes::new(), "lab", key);
        let upload = if guess { upload } else { upload.no_guessed_content_type() };
        upload.await.unwrap();
        let head = sdk.head_object().bucket("lab").key(key).send().await.unwrap();
        assert_eq!(head.content_type.as_deref(), Some(kind));
    }
}

#[tokio::test(start_paused = true)]
async fn every_checksum_is_kept_of_the_whole() {
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme] {
        for size in [100, 20 * KIB] {
            let wanted = bytes(size);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &wanted).unwrap();
            let bench = bench([]);
            let report = upload(&bench, file.path()).checksum(algorithm).await.unwrap();
            assert_eq!(report.integrity, Integrity::Validated(algorithm));
            // The bytes that are read back are compared with it.
            let (read, report) = bench.client.download("lab", "new").to_bytes().await.unwrap();
            assert!(read == wanted && report.integrity == Integrity::Validated(algorithm), "{report:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_create_replace_and_refuse() {
    for size in [100, 9 * KIB] {
        let (bench, first, second) = (bench([]), bytes(size), bytes(size + 1));
        let report = upload(&bench, first.clone()).if_absent().await.unwrap();
        let error = upload(&bench, second.clone()).if_absent().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ConditionFailed, "{error}");
        assert!(error.to_string().ends_with("only if no object of that name is there"), "{error}");
        assert_stored(&bench, &first);
        let error = upload(&bench, second.clone()).if_match("\"other\"").await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ConditionFailed, "{error}");
        assert_stored(&bench, &first);
        upload(&bench, second.clone()).if_match(report.e_tag.unwrap()).await.unwrap();
        assert_stored(&bench, &second);
        let absent = bench.client.upload(first.clone(), "lab", "absent").if_match("\"x\"").await.unwrap_err();
        assert_eq!(absent.kind(), TransferErrorKind::ConditionFailed, "{absent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_as_a_whole() {
    let wanted = bytes(9 * KIB);
    let bench = bench([fault(RequestKind::CompleteMultipartUpload, Requests::At(0), FaultKind::Conflict)]);
    let report = upload(&bench, wanted.clone()).if_absent().await.unwrap();
    assert_stored(&bench, &wanted);
    assert_eq!((report.parts, count(&bench, RequestKind::UploadPart)), (2, 4));
    assert_eq!(count(&bench, RequestKind::CreateMultipartUpload), 2);
    let bench = self::bench([fault(RequestKind::PutObject, Requests::Range(0..2), FaultKind::Conflict)]);
    upload(&bench, bytes(7)).if_absent().await.unwrap();
    assert_eq!(count(&bench, RequestKind::PutObject), 3);
    let bench = self::bench([fault(RequestKind::PutObject, Requests::Every, FaultKind::Conflict)]);
    let error = upload(&bench, bytes(7)).if_absent().await.unwrap_err();
    assert!(matches!(&error, TransferError::Refused { status: 409, .. }), "{error:?}");
    assert_nothing(&bench);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_answer_was_lost_counts_as_written() {
    for (on, size) in [(RequestKind::PutObject, 100), (RequestKind::CompleteMultipartUpload, 9 * KIB)] {
        for kind in [FaultKind::LostAnswer, FaultKind::LateError] {
            for absent in [true, false] {
                let (bench, wanted) = (bench([fault(on, Requests::At(0), kind.clone())]), bytes(size));
                let upload = upload(&bench, wanted.clone());
                let upload = if absent { upload.if_absent() } else { upload };
                let report = upload.await.unwrap();
                assert_stored(&bench, &wanted);
                validated(&report);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_there_before_is_not_taken_for_ones_own() {
    for (on, size) in [(RequestKind::PutObject, 100), (RequestKind::CompleteMultipartUpload, 9 * KIB)] {
        let mut kinds = vec![FaultKind::SlowDown];
        if on == RequestKind::PutObject {
            kinds.push(FaultKind::Corrupt { at: 7 });
        }
        for kind in kinds {
            let (bench, wanted) = (bench([fault(on, Requests::At(1), kind.clone())]), bytes(size));
            upload(&bench, wanted.clone()).await.unwrap();
            let error = upload(&bench, wanted.clone()).if_absent().await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::ConditionFailed, "{on:?} {kind:?}: {error}");
            assert_stored(&bench, &wanted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_passes_for_ones_own_leaves_no_upload_behind() {
    let failed = fault(RequestKind::CompleteMultipartUpload, Requests::At(1), FaultKind::InternalError);
    let (bench, wanted) = (bench([failed]), bytes(9 * KIB));
    upload(&bench, wanted.clone()).await.unwrap();
    // A server that fails may have carried the request out.
    upload(&bench, wanted.clone()).if_absent().await.unwrap();
    assert_stored(&bench, &wanted);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_ones_own_unanswered_request_is_a_success() {
    let on = RequestKind::CompleteMultipartUpload;
    // The object is there at the first look, or only after all of it was sent again.
    for kinds in [
        vec![FaultKind::LostAnswer, FaultKind::Conflict],
        vec![FaultKind::Reset { after_bytes: 5 }, FaultKind::Conflict],
        vec![FaultKind::Reset { after_bytes: 5 }, FaultKind::Conflict, FaultKind::LostAnswer],
        vec![FaultKind::Reset { after_bytes: 5 }, FaultKind::Conflict, FaultKind::LostAnswer, FaultKind::Conflict],
    ] {
        let faults = kinds.iter().zip(0..).map(|(kind, at)| fault(on, Requests::At(at), kind.clone()));
        let (bench, wanted) = (bench(faults), bytes(9 * KIB));
        let report = upload(&bench, wanted.clone()).if_absent().await.unwrap();
        assert_stored(&bench, &wanted);
        validated(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_break_off_are_sent_again_and_nothing_else_is() {
    let wanted = bytes(40 * KIB);
    for kind in [
        FaultKind::Reset { after_bytes: 3 * KIB },
        FaultKind::Stall { after_bytes: 3 * KIB, duration: None },
        FaultKind::Corrupt { at: 77 },
        FaultKind::SlowDown,
        FaultKind::InternalError,
        FaultKind::LostAnswer,
        FaultKind::LateError,
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &wanted).unwrap();
        for source in [UploadSource::bytes(wanted.clone()), UploadSource::file(file.path()), pieces(&wanted, 999)] {
            let bench = bench([fault(RequestKind::UploadPart, Requests::At(2), kind.clone())]);
            let progress = Progress::new();
            let report = upload(&bench, source).progress(progress.clone()).await.unwrap();
            assert_stored(&bench, &wanted);
            validated(&report);
            assert_eq!((report.parts, report.retries, report.requests), (5, 1, 6), "{kind:?}");
            assert_eq!(progress.snapshot().written_bytes, 40 * KIB, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_for_good_leaves_nothing() {
    for (on, size) in [
        (RequestKind::PutObject, 100),
        (RequestKind::CreateMultipartUpload, 9 * KIB),
        (RequestKind::UploadPart, 9 * KIB),
        (RequestKind::CompleteMultipartUpload, 9 * KIB),
    ] {
        for kind in [FaultKind::Reset { after_bytes: 5 }, FaultKind::InternalError, FaultKind::SlowDown] {
            let bench = bench([fault(on, Requests::Every, kind.clone())]);
            let progress = Progress::new();
            let error = upload(&bench, bytes(size)).progress(progress.clone()).await.unwrap_err();
            assert!(matches!(error, TransferError::PartFailed { .. }), "{on:?} {kind:?}: {error}");
            assert_nothing(&bench);
            assert_eq!(progress.snapshot().written_bytes, 0, "an upload that fails takes its share back");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_aborted_also_where_the_server_refuses_that_for_a_while() {
    let bench = bench([
        fault(RequestKind::UploadPart, Requests::Every, FaultKind::Reset { after_bytes: 0 }),
        fault(RequestKind::AbortMultipartUpload, Requests::Range(0..3), FaultKind::SlowDown),
    ]);
    upload(&bench, bytes(9 * KIB)).await.unwrap_err();
    assert_nothing(&bench);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_dropped_leaves_nothing_or_the_whole_object() {
    let network = NetworkProfile::named("same-region").unwrap();
    let wanted = bytes(40 * KIB);
    for milliseconds in (0..600).step_by(7) {
        let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network.clone()));
        let future = upload(&bench, wanted.clone()).into_future();
        let done = tokio::time::timeout(Duration::from_millis(milliseconds), future).await;
        // The task that aborts needs its time.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new(), "after {milliseconds} ms");
        match bench.lab.object("lab", "new") {
            Some(stored) => assert!(stored == wanted, "after {milliseconds} ms"),
            None => assert!(done.is_err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_is_an_error_and_no_object() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(0.01)).unwrap();
    for (size, change) in [(20 * KIB, 0), (20 * KIB, 1), (20 * KIB, 2)] {
        let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network.clone()));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes(size)).unwrap();
        let mut running = upload(&bench, file.path()).into_future();
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_millis(700)) => {}
        }
        match change {
            0 => std::fs::write(file.path(), bytes(size + 1)).unwrap(),
            1 => std::fs::write(file.path(), b"short").unwrap(),
            _ => {
                use std::io::Write;
                std::fs::OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"more").unwrap();
            }
        }
        let error = running.await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::SourceChanged, "{error}");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert_nothing(&bench);
    }
}

#[tokio::test(start_paused = true)]
async fn sources_that_cannot_be_read_are_errors_that_name_them() {
    let bench = bench([]);
    let folder = bench.folder.path();
    for (path, says) in
        [(folder.join("gone"), "cannot open it"), (folder.to_owned(), "it is not a file, FIFO or device")]
    {
        let error = upload(&bench, path.clone()).await.unwrap_err();
        assert!(error.kind() == TransferErrorKind::Source && error.to_string().contains(says), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
    for before in [0, 9 * KIB] {
        let broken = stream::iter([Ok(bytes(before)), Err(std::io::Error::other("no more"))]);
        let error = upload(&bench, UploadSource::stream(broken)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the stream: cannot read it at byte {before}"));
        assert_nothing(&bench);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_stays_within_the_memory_limit_and_says_where_it_cannot() {
    let wanted = bytes(12 << 20);
    let bench = bench([]);
    let config = TransferConfig::builder().memory_limit(3 << 20).multipart_chunksize(256 * KIB).build().unwrap();
    let client = bench.client.clone().with_config(config.clone());
    let upload = client.upload(pieces(&wanted, 10_000), "lab", "new").least_part_bytes(1);
    let report = upload.await.unwrap();
    assert_stored(&bench, &wanted);
    assert!(report.peak_memory_bytes <= 3 << 20 && report.peak_requests > 1, "{report:?}");
    assert_eq!((report.parts, report.part_bytes), (48, 256 * KIB));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &wanted).unwrap();
    let least = config.to_builder().memory_limit(2 << 20).build().unwrap();
    let client = bench.client.clone().with_config(least);
    let report = client.upload(file.path(), "lab", "new").await.unwrap();
    assert!(report.peak_memory_bytes <= 2 << 20, "{report:?}");
    assert_stored(&bench, &wanted);
    let error = client.upload(pieces(&wanted, 10_000), "lab", "new").await.unwrap_err();
    assert!(matches!(error, TransferError::NoRoomForPart { .. }), "{error:?}");
    assert!(error.to_string().contains("a part of 5242880 bytes does not fit"), "{error}");
}

/// Bytes that are counted as long as anything holds them.
struct Live {
    bytes: Vec<u8>,
    live: Arc<AtomicU64>,
}

impl Live {
    fn piece(piece: &[u8], live: &Arc<AtomicU64>, peak: &Arc<AtomicU64>) -> Bytes {
        let now = live.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
        peak.fetch_max(now, Ordering::Relaxed);
        Bytes::from_owner(Self { bytes: piece.to_vec(), live: live.clone() })
    }
}

impl AsRef<[u8]> for Live {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_stream_is_taken_than_the_memory_limit_has_room_for() {
    let wanted = bytes(12 << 20);
    // Far slower than the stream.
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(1.0)).unwrap();
    let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network));
    // Parts so large that those of all requests would not fit.
    for (limit, piece_bytes) in [(2 << 20, 40_000), (3 << 20, 33_000), (3 << 20, 256 << 10)] {
        let (live, peak) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, most) = (live.clone(), peak.clone());
        let all = wanted.clone();
        let starts = (0..all.len()).step_by(piece_bytes);
        let pieces =
            starts.map(move |start| Ok(Live::piece(&all[start..all.len().min(start + piece_bytes)], &counted, &most)));
        let config = TransferConfig::builder().memory_limit(limit).multipart_chunksize(1 << 20).build().unwrap();
        let upload = bench.client.clone().with_config(config);
        let upload = upload.upload(UploadSource::stream(stream::iter(pieces)), "lab", "new").least_part_bytes(1);
        upload.await.unwrap();
        assert_stored(&bench, &wanted);
        let peak = peak.load(Ordering::Relaxed);
        println!("{peak} of {limit} at most");
        // The piece that a part ends in is held beside it.
        assert!(peak > 512 << 10 && peak <= limit + piece_bytes as u64, "{peak} of {limit}");
        assert_eq!(live.load(Ordering::Relaxed), 0, "all of it is given back");
    }
}

#[tokio::test(start_paused = true)]
async fn the_link_is_filled_in_the_upload_direction() {
    for (profile, least) in [("same-region", 0.6), ("far", 0.4), ("lan", 0.8)] {
        let network = NetworkProfile::named(profile).unwrap();
        let link = network.link_mb_per_s().unwrap() * 1e6;
        let bench = Bench::with(1, |lab| lab.network(network));
        let size = 256 << 20;
        let wanted = bytes(size);
        let began = Instant::now();
        let report = bench.client.upload(wanted.clone(), "lab", "new").await.unwrap();
        let share = size as f64 / began.elapsed().as_secs_f64() / link;
        println!("{profile}: {share:.3} of the link, {} requests at a time", report.peak_requests);
        assert!(share > least, "{profile}: {share}, {report:?}");
    }
}

/// The engine's own settings, but for parts of 8 KiB.
fn eights() -> TransferConfig {
    TransferConfig::builder().multipart_threshold(8 * KIB).multipart_chunksize(8 * KIB).build().unwrap()
}

/// Forty parts, with these settings.
fn forty_parts(bench: &Bench, source: impl Into<UploadSource>) -> Upload {
    let client = bench.client.clone().with_config(eights());
    client.upload(source, "lab", "new").least_part_bytes(1)
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_late_is_sent_again_beside_itself() {
    let wanted = bytes(40 * 8 * KIB);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &wanted).unwrap();
    let stall = |after_bytes| FaultKind::Stall { after_bytes, duration: Some(Duration::from_secs(15)) };
    for (at, kind) in [
        // It crawls, stands still in the middle, or is whole and not answered; early, and as the last one.
        (20, FaultKind::Slow { bytes_per_s: 500 }),
        (20, stall(4 * KIB)),
        (39, FaultKind::Slow { bytes_per_s: 500 }),
        (39, stall(8 * KIB)),
    ] {
        for source in [UploadSource::bytes(wanted.clone()), UploadSource::file(file.path()), pieces(&wanted, 3_000)] {
            let network = NetworkProfile::unlimited().with_first_byte(30.0, 0.1).unwrap();
            let fault = fault(RequestKind::UploadPart, Requests::At(at), kind.clone());
            let bench =
                Bench::with(1, |lab| lab.min_part_size(1).network(network).faults(FaultPlan::new([fault]).unwrap()));
            let (began, progress) = (Instant::now(), Progress::new());
            let report = forty_parts(&bench, source).progress(progress.clone()).await.unwrap();
            assert_stored(&bench, &wanted);
            validated(&report);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?} with {kind:?} at {at}: {report:?}");
            assert_eq!((report.second_requests, report.retries, report.parts), (1, 0, 40), "{kind:?} at {at}");
            assert_eq!(count(&bench, RequestKind::UploadPart), 41);
            assert_eq!(progress.snapshot().written_bytes, wanted.len() as u64);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_part_is_waited_for_where_its_etag_is_not_made_of_its_bytes_alone() {
    let wanted = bytes(40 * 8 * KIB);
    let network = || NetworkProfile::unlimited().with_first_byte(30.0, 0.1).unwrap();
    let slow = || fault(RequestKind::UploadPart, Requests::At(20), FaultKind::Slow { bytes_per_s: 1000 });
    let bench = |bucket: &str| {
        let faults = FaultPlan::new([slow()]).unwrap();
        Bench::with(1, |lab| lab.bucket(bucket).min_part_size(1).network(network()).faults(faults))
    };
    for encryption in [ServerSideEncryption::S3, ServerSideEncryption::Kms { key_id: None }] {
        let bench = bench("other");
        let again = u64::from(encryption == ServerSideEncryption::S3);
        let report = forty_parts(&bench, wanted.clone()).encryption(encryption).await.unwrap();
        assert_eq!((report.second_requests, report.retries), (again, 0), "{report:?}");
        assert_stored(&bench, &wanted);
    }
    // A directory bucket, and a server of another kind, whose ETags are no MD5s.
    let mut sent_again = Vec::new();
    for (bucket, opaque) in [("other", false), ("lab--use1-az4--x-s3", false), ("other", true)] {
        let bench = bench(bucket);
        let mut config = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key()).config().to_builder();
        config = config.endpoint_resolver(ByPath);
        if opaque {
            config.push_interceptor(SharedInterceptor::new(OpaqueETags));
        }
        let client = Client::new(aws_sdk_s3::Client::from_conf(config.build())).with_config(eights());
        let report = client.upload(wanted.clone(), bucket, "new").least_part_bytes(1).await.unwrap();
        assert!(bench.lab.object(bucket, "new").unwrap() == wanted);
        sent_again.push(report.second_requests);
    }
    assert_eq!(sent_again, [1, 0, 0]);
}

/// Buckets in the path, and no sessions of directory buckets, which the lab does not know.
#[derive(Debug)]
struct ByPath;

impl ResolveEndpoint for ByPath {
    fn resolve_endpoint<'a>(&'a self, asked: &'a Params) -> EndpointFuture<'a> {
        let url = format!("{}/{}", Lab::ENDPOINT, asked.bucket().unwrap_or_default());
        EndpointFuture::ready(Ok(Endpoint::builder().url(url).build()))
    }
}

/// Writes something behind the ETags of parts, and takes it away where the lab has to know them.
#[derive(Debug)]
struct OpaqueETags;

impl Intercept for OpaqueETags {
    fn name(&self) -> &'static str {
        "OpaqueETags"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response_mut().headers_mut();
        if let Some(e_tag) = headers.get("etag").map(|e_tag| e_tag.trim_matches('"').to_owned()) {
            headers.insert("etag", format!("\"{e_tag}-opaque\""));
        }
        Ok(())
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut().downcast_mut::<CompleteMultipartUploadInput>();
        let parts = input.and_then(|input| input.multipart_upload.as_mut()?.parts.as_mut());
        for part in parts.into_iter().flatten() {
            part.e_tag = part.e_tag.as_ref().map(|e_tag| e_tag.replace("-opaque", ""));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_part_is_sent_again_when_a_request_is_free() {
    let wanted = bytes(400 * 8 * KIB);
    let network = NetworkProfile::unlimited().with_first_byte(30.0, 0.1).unwrap();
    let slow = fault(RequestKind::UploadPart, Requests::At(20), FaultKind::Slow { bytes_per_s: 500 });
    let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network).faults(FaultPlan::new([slow]).unwrap()));
    let client = bench.client.clone().with_config(eights().to_builder().max_concurrency(10).build().unwrap());
    let began = Instant::now();
    let report = client.upload(wanted.clone(), "lab", "new").least_part_bytes(1).await.unwrap();
    assert_stored(&bench, &wanted);
    // Ten are in flight until the last part has begun.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}: {report:?}");
    assert_eq!((report.second_requests, report.retries, report.peak_requests), (1, 0, 10), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_upload_after_a_conflict_does_not_begin_as_the_end_of_the_first() {
    let wanted = bytes(40 * 8 * KIB);
    let mut tails = Vec::new();
    for conflicts in [0, 1] {
        let network = NetworkProfile::unlimited().with_first_byte(200.0, 0.0).unwrap();
        let conflict = fault(RequestKind::CompleteMultipartUpload, Requests::At(0), FaultKind::Conflict);
        let faults = FaultPlan::new((conflicts > 0).then_some(conflict)).unwrap();
        let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network).faults(faults));
        let report = forty_parts(&bench, wanted.clone()).if_absent().await.unwrap();
        assert_stored(&bench, &wanted);
        assert_eq!(count(&bench, RequestKind::CompleteMultipartUpload), 1 + conflicts);
        tails.push(report.verdict.evidence.tail.as_secs_f64());
    }
    // An answer takes 0.2 s, and the first parts of the second upload wait for theirs.
    assert!(tails[1] < 2.1 * tails[0] + 0.1, "{tails:?}: twice, at most");
}

#[tokio::test(start_paused = true)]
async fn pauses_before_an_upload_begins_do_not_count_as_distance() {
    let wanted = bytes(10 * 8 * KIB);
    let network = NetworkProfile::unlimited().with_first_byte(30.0, 0.0).unwrap();
    let refused = fault(RequestKind::CreateMultipartUpload, Requests::Range(0..4), FaultKind::SlowDown);
    let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network).faults(FaultPlan::new([refused]).unwrap()));
    let began = Instant::now();
    let report = forty_parts(&bench, wanted.clone()).await.unwrap();
    assert_stored(&bench, &wanted);
    let first_byte = report.verdict.evidence.first_byte;
    assert!(first_byte < Duration::from_millis(60) && report.retries == 4, "{first_byte:?} of {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn parts_that_are_as_slow_as_all_others_are_sent_once() {
    for (link, connection) in [(4.0, 2.0), (40.0, 0.5), (0.5, 0.5)] {
        let network = NetworkProfile::unlimited().with_first_byte(30.0, 0.4).unwrap();
        let network =
            network.with_link_mb_per_s(Some(link)).unwrap().with_connection_mb_per_s(Some(connection)).unwrap();
        let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network));
        let config = TransferConfig::builder().multipart_threshold(256 * KIB).multipart_chunksize(256 * KIB);
        let client = bench.client.clone().with_config(config.build().unwrap());
        let wanted = bytes(100 * 256 * KIB);
        let report = client.upload(wanted.clone(), "lab", "new").least_part_bytes(1).await.unwrap();
        assert_stored(&bench, &wanted);
        assert_eq!(report.second_requests, 0, "{link} {connection}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_that_nobody_ended_are_aborted_on_request() {
    let bench = bench([]);
    let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    for key in ["a/1", "a/2", "b/1"] {
        sdk.create_multipart_upload().bucket("lab").key(key).send().await.unwrap();
    }
    let client = &bench.client;
    assert_eq!(client.abort_stale("lab", "", Duration::from_secs(3600)).await.unwrap(), []);
    let aborted = client.abort_stale("lab", "a/", Duration::ZERO).await.unwrap();
    assert_eq!(aborted.iter().map(|upload| &*upload.key).collect::<Vec<_>>(), ["a/1", "a/2"]);
    assert_eq!(bench.lab.uploads("lab").len(), 1);
    assert_eq!(client.abort_stale("lab", "", Duration::ZERO).await.unwrap().len(), 1);
    // XML has no words for the first letter, so the answer cannot be read. There is an upload all the same.
    let odd = "\u{1} + %41é";
    sdk.create_multipart_upload().bucket("lab").key(odd).send().await.unwrap_err();
    let aborted = client.abort_stale("lab", "", Duration::ZERO).await.unwrap();
    assert_eq!(aborted.iter().map(|upload| &*upload.key).collect::<Vec<_>>(), [odd]);
    assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
    let error = client.abort_stale("gone", "", Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn arguments_that_cannot_be_right_are_refused_before_anything_is_sent() {
    let bench = bench([]);
    let client = &bench.client;
    for upload in [
        client.upload(Bytes::new(), "lab", ""),
        client.upload(Bytes::new(), "", "k"),
        client.upload(Bytes::new(), "lab", "k").metadata("a:b", "c"),
        client.upload(Bytes::new(), "lab", "k").content_type("a\nb"),
    ] {
        let error = upload.await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
    }
    assert_eq!(bench.lab.stats().total(), 0);
    // An upload that was never awaited does nothing.
    drop(client.upload(Bytes::new(), "lab", "k"));
    assert!(stream::empty::<()>().boxed().next().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_report_of_an_upload_has_its_own_limit() {
    let network = NetworkProfile::from_toml("first_byte_ms = 10\nconnection_mb_per_s = 1").unwrap();
    let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network));
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(KIB << 10);
    let client = bench.client.clone().with_config(config.adaptive_concurrency(false).build().unwrap());
    let report = client.upload(vec![7; 128 << 20], "lab", "new").least_part_bytes(1).await.unwrap();
    assert_eq!((report.most_requests, report.verdict.evidence.most_requests), (64, 64));
    assert_eq!(report.verdict.bottleneck, Bottleneck::Requests, "{}: {:?}", report.verdict, report.verdict.evidence);
}
