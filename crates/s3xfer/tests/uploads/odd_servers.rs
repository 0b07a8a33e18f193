//! Servers that want more of an upload than S3 mostly does, and sources that others write into.

use std::fs::OpenOptions;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{self, Bench, KIB};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use bytes::Bytes;
use s3lab::{Fault, FaultKind, FaultPlan, RequestKind, Requests};
use s3xfer::{Client, Integrity, TransferConfig, TransferErrorKind};
use tempfile::TempDir;

/// The part has no checksum.
#[derive(Debug)]
struct Lacking;

impl Storable for Lacking {
    type Storer = StoreReplace<Self>;
}

/// Refuses parts without a checksum, as S3 does where the bucket has Object Lock.
#[derive(Debug)]
struct ObjectLock;

impl Intercept for ObjectLock {
    fn name(&self) -> &'static str {
        "ObjectLock"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let is_part = request.method() == "PUT" && request.uri().contains("partNumber=");
        if is_part && !request.headers().iter().any(|(name, _)| name.starts_with("x-amz-checksum-")) {
            bag.interceptor_state().store_put(Lacking);
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if bag.load::<Lacking>().is_some() {
            let says = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is \
                        required for Put Part requests with Object Lock parameters</Message></Error>";
            *context.response_mut() = HttpResponse::new(400_u16.try_into()?, SdkBody::from(says));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn parts_are_sent_with_their_checksums_where_the_server_takes_no_others() {
    let wanted: Vec<u8> = (0..40 * KIB).map(|at| at as u8).collect();
    for at_once in [1, 10] {
        let bench = Bench::with(1, |lab| lab.min_part_size(1));
        std::fs::write(bench.target(), &wanted).unwrap();
        let mut config = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key()).config().to_builder();
        config.push_interceptor(SharedInterceptor::new(ObjectLock));
        let client = Client::new(aws_sdk_s3::Client::from_conf(config.build()));
        let client = client.with_config(lab::small().max_concurrency(at_once).build().unwrap());
        let report = client.upload(bench.target(), "lab", "new").least_part_bytes(1).await.unwrap();
        assert!(matches!(report.integrity, Integrity::Validated(_)), "{report:?}");
        assert!(bench.lab.object("lab", "new").unwrap() == wanted);
        // One part after another shows that the refusal is remembered.
        let sent = bench.lab.stats().count(RequestKind::UploadPart);
        assert!(at_once > 1 || sent == 6, "{sent} for 5 parts");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_end_fails_within_a_success_is_ended_again_or_refused() {
    let wanted: Vec<u8> = (0..40 * KIB).map(|at| at as u8).collect();
    for (code, retries) in [("InternalError", Some(1)), ("SlowDown", Some(1)), ("InvalidPart", None)] {
        let kind = FaultKind::ErrorInSuccess { code: code.to_owned() };
        let fault = Fault::new("new", Requests::At(0), kind).on(RequestKind::CompleteMultipartUpload);
        let bench = Bench::with(1, |lab| lab.min_part_size(1).faults(FaultPlan::new([fault]).unwrap()));
        let client = bench.client.clone().with_config(lab::small().build().unwrap());
        let ended = client.upload(wanted.clone(), "lab", "new").least_part_bytes(1).await;
        match (retries, ended) {
            (Some(retries), Ok(report)) => {
                assert_eq!(report.retries, retries, "{report:?}");
                assert!(bench.lab.object("lab", "new").unwrap() == wanted);
            }
            (None, Err(error)) => {
                assert!(error.to_string().contains(code), "{error}");
                assert_eq!(bench.lab.stats().count(RequestKind::CompleteMultipartUpload), 1);
            }
            (_, ended) => panic!("{code}: {ended:?}"),
        }
        assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_object_may_take_as_long_as_any_answer() {
    let late = Some(TransferConfig::default().stall_timeout() + Duration::from_secs(5));
    let stall = FaultKind::Stall { after_bytes: 0, duration: late };
    let plan = FaultPlan::new([Fault::new("new", Requests::At(0), stall).on(RequestKind::PutObject)]).unwrap();
    let bench = Bench::with(1, |lab| lab.faults(plan));
    let report = bench.client.upload(Bytes::new(), "lab", "new").await.unwrap();
    assert_eq!((report.bytes, report.retries, report.requests), (0, 0, 1), "{report:?}");
}

fn fifo() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    (folder, fifo)
}

#[tokio::test(start_paused = true)]
async fn a_fifo_that_nobody_writes_into_is_not_waited_for_for_ever() {
    let (_folder, fifo) = fifo();
    let bench = Bench::new(1);
    let error = bench.client.upload(&fifo, "lab", "new").await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Source, "{error}");
    assert_eq!(error.to_string(), format!("{}: cannot open it", fifo.display()));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("nobody has opened the FIFO for writing within"), "{cause}");
    assert_eq!(bench.lab.stats().total(), 0);
}

#[test]
fn a_quiet_fifo_keeps_no_thread() {
    for has_writer in [false, true] {
        let (_folder, fifo) = fifo();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let upload = runtime.block_on(async { Bench::new(1).client.upload(&fifo, "lab", "new") });
        let running = runtime.spawn(upload.into_future());
        let writer = has_writer.then(|| OpenOptions::new().write(true).open(&fifo).unwrap());
        thread::sleep(Duration::from_millis(200));
        assert!(!running.is_finished());
        running.abort();
        let began = Instant::now();
        runtime.shutdown_timeout(Duration::from_secs(20));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}, with a writer: {has_writer}", began.elapsed());
        drop(writer);
    }
}
