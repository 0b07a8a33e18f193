//! Copies from S3 to S3 in a lab within the process, in virtual time.

use std::future::IntoFuture;
use std::time::Duration;

use crate::lab::{self, Bench};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::MetadataDirective;
use s3lab::{Fault, FaultKind, FaultPlan, NetworkProfile, RequestKind, Requests};
use s3xfer::{
    ChecksumAlgorithm, Copy, Integrity, Progress, TransferConfig, TransferConfigBuilder, TransferError,
    TransferErrorKind,
};
use tokio::time::Instant;

const KIB: u64 = 1 << 10;

fn bench(size: u64, faults: impl IntoIterator<Item = Fault>) -> Bench {
    let plan = FaultPlan::new(faults).unwrap();
    Bench::with(size, |lab| lab.min_part_size(1).bucket("other").faults(plan))
}

fn copy(bench: &Bench) -> Copy {
    let client = bench.client.clone().with_config(lab::small().build().unwrap());
    client.copy("lab", "key", "other", "a copy").least_part_bytes(1)
}

fn fault(on: RequestKind, key: &str, requests: Requests, kind: FaultKind) -> Fault {
    Fault::new(key, requests, kind).on(on)
}

fn assert_copied(bench: &Bench) {
    let stored = bench.lab.object("other", "a copy").expect("there is a copy");
    bench.object.verify(0, &stored).unwrap();
    assert_eq!(stored.len() as u64, bench.object.size());
    assert_eq!(bench.lab.uploads("other"), Vec::<String>::new());
}

fn assert_nothing(bench: &Bench) {
    assert_eq!(bench.lab.object("other", "a copy"), None);
    assert_eq!(bench.lab.uploads("other"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn objects_are_copied_by_one_request_or_in_parts() {
    for size in [0, 1, 50 * KIB] {
        let bench = bench(size, []);
        let progress = Progress::new();
        let report = copy(&bench).progress(progress.clone()).await.unwrap();
        assert_copied(&bench);
        assert_eq!((report.bytes, report.requests), (size, 1));
        assert_eq!(progress.snapshot().written_bytes, size);
        assert_eq!(bench.lab.stats().count(RequestKind::CopyObject), 1);
    }
    let bench = bench(50 * KIB, []);
    let progress = Progress::new();
    let report = copy(&bench).in_parts_from(1).progress(progress.clone()).await.unwrap();
    assert_copied(&bench);
    assert_eq!((report.parts, report.part_bytes, report.requests), (7, 8 * KIB, 7));
    assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
    assert_eq!(progress.snapshot().written_bytes, 50 * KIB);
    // Nothing of it came here.
    assert!(bench.lab.stats().bytes_out < 20 * KIB);
}

#[tokio::test(start_paused = true)]
async fn headers_metadata_and_tags_are_kept_either_way() {
    let bench = bench(1, []);
    let client = bench.client.clone().with_config(lab::small().build().unwrap());
    let upload = client.upload(vec![7; 20_000], "lab", "key").least_part_bytes(1);
    upload.content_type("text/x-own").metadata("colour", "blue").tag("a b", "c&d").await.unwrap();
    let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    let expires = DateTime::from_secs(2_000_000_000);
    let dated = sdk.copy_object().copy_source("lab/key").bucket("lab").key("key").expires(expires);
    let dated = dated.metadata_directive(MetadataDirective::Replace).content_type("text/x-own");
    dated.metadata("colour", "blue").send().await.unwrap();
    for in_parts_from in [1, u64::MAX] {
        copy(&bench).in_parts_from(in_parts_from).storage_class("STANDARD_IA").await.unwrap();
        let head = sdk.head_object().bucket("other").key("a copy").send().await.unwrap();
        assert_eq!(head.content_type.as_deref(), Some("text/x-own"));
        assert_eq!(head.expires_string.as_deref(), Some("Wed, 18 May 2033 03:33:20 GMT"));
        assert_eq!(head.metadata.unwrap().get("colour").map(String::as_str), Some("blue"));
        assert_eq!(head.storage_class.unwrap().as_str(), "STANDARD_IA");
        let tags = sdk.get_object_tagging().bucket("other").key("a copy").send().await.unwrap().tag_set;
        assert_eq!(tags.iter().map(|tag| (&*tag.key, &*tag.value)).collect::<Vec<_>>(), [("a b", "c&d")]);
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_on_the_target_create_replace_and_refuse() {
    for in_parts_from in [1, u64::MAX] {
        let bench = bench(30 * KIB, []);
        let copy = || copy(&bench).in_parts_from(in_parts_from);
        let report = copy().if_absent().await.unwrap();
        for refused in [copy().if_absent(), copy().if_match("\"other\"")] {
            let error = refused.await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::ConditionFailed, "{error}");
        }
        copy().if_match(report.e_tag.unwrap()).await.unwrap();
        assert_copied(&bench);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_replaced_meanwhile_is_an_error() {
    for (in_parts_from, on, key) in
        [(u64::MAX, RequestKind::CopyObject, "a copy"), (1, RequestKind::UploadPartCopy, "a copy")]
    {
        // Each of these requests takes half a minute, in which somebody replaces the source.
        let wait = FaultKind::Stall { after_bytes: 0, duration: Some(Duration::from_secs(30)) };
        let bench = bench(30 * KIB, [fault(on, key, Requests::Every, wait)]);
        let mut running = copy(&bench).in_parts_from(in_parts_from).into_future();
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
        bench.client.upload(vec![1; 30_000], "lab", "key").await.unwrap();
        let error = running.await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ObjectChanged, "{error}");
        assert!(error.to_string().starts_with("s3://lab/key: the object was replaced"), "{error}");
        assert_nothing(&bench);
    }
}

#[tokio::test(start_paused = true)]
async fn copies_that_break_off_are_tried_again_and_those_that_fail_leave_nothing() {
    for (in_parts_from, on) in [(u64::MAX, RequestKind::CopyObject), (1, RequestKind::UploadPartCopy)] {
        for kind in [
            FaultKind::Reset { after_bytes: 0 },
            FaultKind::SlowDown,
            FaultKind::InternalError,
            FaultKind::LostAnswer,
            FaultKind::LateError,
            FaultKind::ErrorInSuccess { code: "InternalError".to_owned() },
            FaultKind::ErrorInSuccess { code: "SlowDown".to_owned() },
        ] {
            let once = bench(30 * KIB, [fault(on, "a copy", Requests::At(0), kind.clone())]);
            let report = copy(&once).in_parts_from(in_parts_from).if_absent().await.unwrap();
            assert_copied(&once);
            assert!(report.retries >= 1, "{kind:?}: {report:?}");
            // A copy that is carried out at last and not answered is there.
            if !matches!(kind, FaultKind::LostAnswer | FaultKind::LateError) || in_parts_from == 1 {
                let ever = bench(30 * KIB, [fault(on, "a copy", Requests::Every, kind)]);
                copy(&ever).in_parts_from(in_parts_from).await.unwrap_err();
                assert_nothing(&ever);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_a_success_is_final() {
    for (in_parts_from, on, code) in [
        (u64::MAX, RequestKind::CopyObject, "InvalidRequest"),
        (1, RequestKind::UploadPartCopy, "AccessDenied"),
        (1, RequestKind::CompleteMultipartUpload, "InvalidPart"),
    ] {
        let kind = FaultKind::ErrorInSuccess { code: code.to_owned() };
        let bench = bench(30 * KIB, [fault(on, "a copy", Requests::At(0), kind)]);
        let error = copy(&bench).in_parts_from(in_parts_from).await.unwrap_err();
        assert!(matches!(&error, TransferError::Refused { code: said, .. } if said == code), "{error:?}");
        assert_nothing(&bench);
    }
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_copy_go_as_many_at_a_time_as_is_asked_for() {
    let network = NetworkProfile::named("same-region").unwrap();
    let copied = async |config: TransferConfigBuilder| {
        let bench = Bench::with(200 * KIB, |lab| lab.min_part_size(1).bucket("other").network(network.clone()));
        let config = config.adaptive_concurrency(true).multipart_chunksize(2 * KIB).build().unwrap();
        let client = bench.client.clone().with_config(config);
        let report = client.copy("lab", "key", "other", "a copy").least_part_bytes(1).in_parts_from(1).await.unwrap();
        assert_copied(&bench);
        (report.parts, report.most_requests, report.peak_requests)
    };
    assert_eq!(copied(lab::small().max_concurrency(32)).await, (100, 32, 32));
    assert_eq!(copied(TransferConfig::builder()).await, (100, 16, 16));
}

#[tokio::test(start_paused = true)]
async fn a_copy_waits_after_a_conflict() {
    // The pause is drawn, so one alone may be short.
    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        let on = RequestKind::CompleteMultipartUpload;
        let bench = bench(30 * KIB, [fault(on, "a copy", Requests::Range(0..4), FaultKind::Conflict)]);
        let began = Instant::now();
        copy(&bench).in_parts_from(1).await.unwrap();
        waited += began.elapsed();
        assert_copied(&bench);
    }
    assert!(waited > Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_dropped_leaves_nothing_or_the_whole_object() {
    for milliseconds in (0..400).step_by(9) {
        let network = NetworkProfile::named("same-region").unwrap();
        let bench = Bench::with(50 * KIB, |lab| lab.min_part_size(1).bucket("other").network(network));
        let copying = copy(&bench).in_parts_from(1).into_future();
        let done = tokio::time::timeout(Duration::from_millis(milliseconds), copying).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(bench.lab.uploads("other"), Vec::<String>::new(), "after {milliseconds} ms");
        match bench.lab.object("other", "a copy") {
            Some(_) => assert_copied(&bench),
            None => assert!(done.is_err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_conflicts_with_its_own_unanswered_request_is_a_success() {
    let on = RequestKind::CompleteMultipartUpload;
    let faults = [FaultKind::LostAnswer, FaultKind::Conflict].into_iter().zip(0..);
    let bench = bench(30 * KIB, faults.map(|(kind, at)| fault(on, "a copy", Requests::At(at), kind)));
    copy(&bench).in_parts_from(1).if_absent().await.unwrap();
    assert_copied(&bench);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_copied() {
    let bench = bench(1, []);
    let error = bench.client.copy("lab", "gone", "other", "a copy").await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotFound, "{error}");
    let error = bench.client.copy("lab", "key", "gone", "a copy").await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotFound, "{error}");
    let error = bench.client.copy("lab", "", "other", "a copy").await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
}
