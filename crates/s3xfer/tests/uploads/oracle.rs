//! One oracle for every source, configuration and combination of faults of an upload: the object is exactly the
//! source's bytes, or there is a typed error, and neither an object nor a multipart upload is left.
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test -p s3xfer --test uploads oracle          # longer
//! ```
//!
//! Three things nobody can help: an answer that is lost for good says nothing about the object, which may be there,
//! whole; a CreateMultipartUpload whose answer is lost leaves an upload without parts; and after a lost answer an
//! object of the same bytes that was there before passes for one's own.

use std::future::IntoFuture;
use std::time::Duration;

use crate::lab::{self, Bench};
use bytes::Bytes;
use futures::stream;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use s3lab::{Fault, FaultKind, FaultPlan, RequestKind, Requests, SyntheticObject};
use s3xfer::{Integrity, TransferConfig, TransferError, TransferErrorKind, TransferReport, UploadSource};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Bytes,
    File,
    /// In pieces of so many bytes.
    Stream(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    OtherBytes,
    SameBytes,
}

#[derive(Debug, Clone)]
struct Case {
    size: u64,
    source: Source,
    config: TransferConfig,
    absent: bool,
    /// The object that is there before.
    there: There,
    faults: Vec<(RequestKind, Requests, FaultKind)>,
    /// Given up after so many milliseconds.
    dropped: Option<u64>,
}

fn fault() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (0..9000_u64).prop_map(|after_bytes| FaultKind::Reset { after_bytes }),
        (0..9000_u64, prop::option::of(1..40_u64))
            .prop_map(|(after_bytes, s)| FaultKind::Stall { after_bytes, duration: s.map(Duration::from_secs) }),
        (1_000..100_000_u64).prop_map(|bytes_per_s| FaultKind::Slow { bytes_per_s }),
        Just(FaultKind::SlowDown),
        Just(FaultKind::InternalError),
        Just(FaultKind::Conflict),
        Just(FaultKind::LostAnswer),
        Just(FaultKind::LateError),
        (0..9000_u64).prop_map(|at| FaultKind::Corrupt { at }),
    ]
}

fn on() -> impl Strategy<Value = RequestKind> {
    prop_oneof![
        2 => Just(RequestKind::PutObject),
        1 => Just(RequestKind::CreateMultipartUpload),
        3 => Just(RequestKind::UploadPart),
        2 => Just(RequestKind::CompleteMultipartUpload),
        1 => Just(RequestKind::AbortMultipartUpload),
        1 => Just(RequestKind::HeadObject),
    ]
}

fn requests() -> impl Strategy<Value = Requests> {
    prop_oneof![
        4 => (0..12_u64).prop_map(Requests::At),
        2 => (0..6_u64, 1..6_u64).prop_map(|(from, n)| Requests::Range(from..from + n)),
        1 => Just(Requests::Every),
    ]
}

prop_compose! {
    fn config()(
        threshold in 1..30_000_u64, chunk in 500..20_000_u64, concurrency in 1..12_u32, attempts in 1..4_u32,
        threads: bool, adaptive: bool, memory in prop::option::of((2_u64 << 20)..(8 << 20)),
    ) -> TransferConfig {
        TransferConfig::builder()
            .multipart_threshold(threshold).multipart_chunksize(chunk).max_concurrency(concurrency)
            .num_download_attempts(attempts).use_threads(threads).adaptive_concurrency(adaptive).memory_limit(memory)
            .build().unwrap()
    }
}

prop_compose! {
    fn case()(
        size in 0..60_000_u64,
        source in prop_oneof![Just(Source::Bytes), Just(Source::File), (1..9000_usize).prop_map(Source::Stream)],
        config in config(), absent: bool,
        there in prop_oneof![6 => Just(There::Nothing), 1 => Just(There::OtherBytes), 1 => Just(There::SameBytes)],
        faults in prop::collection::vec((on(), requests(), fault()), 0..4),
        dropped in prop::option::weighted(0.2, 0..3_000_u64),
        in_success in prop::option::weighted(
            0.2, (requests(), prop::sample::select(vec!["InternalError", "SlowDown", "InvalidPart"])),
        ),
    ) -> Case {
        let mut faults = faults;
        faults.extend(in_success.map(|(requests, code)| {
            (RequestKind::CompleteMultipartUpload, requests, FaultKind::ErrorInSuccess { code: code.to_owned() })
        }));
        Case { size, source, config, absent, there, faults, dropped }
    }
}

impl Case {
    fn has(&self, wanted: impl Fn(RequestKind, &FaultKind) -> bool) -> bool {
        self.faults.iter().any(|(on, _, kind)| wanted(*on, kind))
    }

    fn run(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults = self.faults.iter().cloned();
            let faults = faults.map(|(on, requests, kind)| Fault::new("new", requests, kind).on(on));
            let plan = FaultPlan::new(faults).unwrap();
            let mut bytes = vec![0; self.size as usize];
            SyntheticObject::new(self.size, self.size).fill(0, &mut bytes);
            let bytes = Bytes::from(bytes);
            let bench = Bench::with(1, |lab| lab.min_part_size(1).faults(plan));
            if let Some(before) = self.before(&bytes) {
                // With a checksum, and by requests that meet no fault.
                bench.client.upload(before, "lab", "before").await.unwrap();
                let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
                sdk.copy_object().copy_source("lab/before").bucket("lab").key("new").send().await.unwrap();
            }
            let path = bench.folder.path().join("source");
            let source = match self.source {
                Source::Bytes => UploadSource::bytes(bytes.clone()),
                Source::File => {
                    std::fs::write(&path, &bytes).unwrap();
                    UploadSource::file(&path)
                }
                Source::Stream(piece) => {
                    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                    UploadSource::stream(stream::iter(pieces))
                }
            };
            let client = bench.client.clone().with_config(self.config.clone());
            let upload = client.upload(source, "lab", "new").least_part_bytes(1);
            let upload = if self.absent { upload.if_absent() } else { upload }.into_future();
            let ended = match self.dropped {
                None => Some(upload.await),
                Some(milliseconds) => tokio::time::timeout(Duration::from_millis(milliseconds), upload).await.ok(),
            };
            client.settled().await;
            self.judge(&bench, &bytes, ended);
        });
    }

    fn before(&self, bytes: &Bytes) -> Option<Bytes> {
        match self.there {
            There::Nothing => None,
            There::OtherBytes => Some(Bytes::from_static(b"before")),
            There::SameBytes => Some(bytes.clone()),
        }
    }

    fn judge(&self, bench: &Bench, bytes: &Bytes, ended: Option<Result<TransferReport, TransferError>>) {
        let stored = bench.lab.object("lab", "new");
        let before = self.before(bytes).map(|before| before.to_vec());
        let refused = self.absent && self.there != There::Nothing;
        match &ended {
            Some(Ok(report)) => {
                assert_eq!(stored.as_deref(), Some(&bytes[..]), "{report:?}");
                assert!(matches!(report.integrity, Integrity::Validated(_)), "{report:?}");
                assert_eq!((report.bytes, report.object_bytes), (self.size, self.size));
                assert!(self.config.memory_limit().is_none_or(|limit| report.peak_memory_bytes <= limit));
                // The answers that say that nothing was done, and those of other requests, are no excuse.
                let excused = self.there == There::SameBytes
                    && self.has(|on, kind| {
                        let ends = matches!(on, RequestKind::PutObject | RequestKind::CompleteMultipartUpload);
                        ends && !matches!(kind, FaultKind::SlowDown | FaultKind::Conflict | FaultKind::Corrupt { .. })
                    });
                assert!(!refused || excused, "there was an object");
            }
            // A request that was carried out and never answered may have had its effect; otherwise nothing has changed.
            ended => {
                let may_be_there = ended.is_none()
                    || self.has(|on, kind| {
                        let ends = matches!(on, RequestKind::PutObject | RequestKind::CompleteMultipartUpload);
                        ends && matches!(kind, FaultKind::LostAnswer | FaultKind::LateError | FaultKind::Slow { .. })
                    });
                let whole = stored.as_deref() == Some(&bytes[..]) && !refused;
                assert!(stored == before || (whole && may_be_there), "{ended:?}: {:?}", stored.map(|s| s.len()));
            }
        }
        if let Some(Err(error)) = &ended {
            let expected = !self.faults.is_empty() || refused;
            assert!(expected, "{error:?}");
            assert!(error.kind() != TransferErrorKind::Corrupt, "{error:?}");
        }
        // Nobody knows the id of these, or the server refused to abort them.
        let excused = self.has(|on, kind| match on {
            RequestKind::CreateMultipartUpload => {
                matches!(kind, FaultKind::LostAnswer | FaultKind::LateError | FaultKind::Slow { .. })
            }
            RequestKind::AbortMultipartUpload => true,
            _ => false,
        });
        assert!(excused || bench.lab.uploads("lab").is_empty(), "{ended:?}: {:?}", bench.lab.uploads("lab"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn exactly_the_sources_bytes_or_a_typed_error_and_nothing_left(case in case()) {
        case.run();
    }
}
