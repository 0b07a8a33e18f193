//! One oracle for every configuration, object, sink and combination of faults: exact bytes, or a typed error and no
//! file.
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test -p s3xfer --test oracle          # longer
//! PROPTEST_RNG_SEED=7 cargo test -p s3xfer --test oracle           # the same cases again
//! ```
//!
//! A case that fails is printed, made as small as it gets, and its seed is written to `oracle.regressions` beside this
//! file, to be tried first from then on. Of a case only the pauses before new attempts are left to luck.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod journal;
mod lab;
mod odd;

use std::future::IntoFuture;
use std::time::Duration;

use futures::StreamExt;
use journal::{DATA, JOURNAL};
use lab::Bench;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use s3lab::{FaultKind, Requests};
use s3xfer::{Client, Download, Integrity, TransferConfig, TransferError, TransferErrorKind, TransferReport};

#[derive(Debug, Clone)]
struct Case {
    size: u64,
    config: TransferConfig,
    /// Start and length.
    range: Option<(u64, u64)>,
    /// The size as the caller believes to know it.
    hint: Option<u64>,
    sink: Sink,
    faults: Vec<(Requests, FaultKind)>,
    /// Indices of [`odd::HEADERS`] in every answer.
    odd: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Sink {
    File,
    /// Given up after so many milliseconds each, and then tried until it succeeds, or the attempts are used up.
    Resumed(Vec<u64>),
    Bytes,
    Stream,
}

fn fault() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (0..9000_u64).prop_map(|after_bytes| FaultKind::Reset { after_bytes }),
        (0..9000_u64).prop_map(|after_bytes| FaultKind::Truncate { after_bytes }),
        (0..9000_u64).prop_map(|length| FaultKind::ShortLength { length }),
        (0..9000_u64, prop::option::of(1..40_u64))
            .prop_map(|(after_bytes, s)| FaultKind::Stall { after_bytes, duration: s.map(Duration::from_secs) }),
        (1_000..100_000_u64).prop_map(|bytes_per_s| FaultKind::Slow { bytes_per_s }),
        Just(FaultKind::SlowDown),
        Just(FaultKind::InternalError),
        Just(FaultKind::IgnoreRange),
        Just(FaultKind::Replace),
        Just(FaultKind::ContentRange { value: None }),
        (0..60_000_u64).prop_map(|at| FaultKind::Corrupt { at }),
    ]
}

fn requests() -> impl Strategy<Value = Requests> {
    prop_oneof![
        (0..20_u64).prop_map(Requests::At),
        (0..12_u64, 1..12_u64).prop_map(|(from, n)| Requests::Range(from..from + n)),
        Just(Requests::Every),
    ]
}

prop_compose! {
    fn config()(
        threshold in 1..30_000_u64, chunk in 500..20_000_u64, io in 200..9_000_u64, queue in 1..5_u32,
        concurrency in 1..12_u32, attempts in 1..4_u32, threads: bool, validate: bool, adaptive: bool,
        memory in prop::option::of((2_u64 << 20)..(8 << 20)),
    ) -> TransferConfig {
        TransferConfig::builder()
            .multipart_threshold(threshold).multipart_chunksize(chunk).io_chunksize(io).max_io_queue(queue)
            .max_concurrency(concurrency).num_download_attempts(attempts).use_threads(threads)
            .validate_checksum(validate).adaptive_concurrency(adaptive).memory_limit(memory)
            .build().unwrap()
    }
}

fn sink() -> impl Strategy<Value = Sink> {
    prop_oneof![
        3 => Just(Sink::File),
        2 => prop::collection::vec(prop_oneof![0..50_u64, 0..5_000_u64], 0..4).prop_map(Sink::Resumed),
        1 => Just(Sink::Bytes),
        1 => Just(Sink::Stream),
    ]
}

prop_compose! {
    fn case()(
        size in 0..60_000_u64, config in config(), range in prop::option::weighted(0.3, (0..60_000_u64, 0..60_000_u64)),
        hint in prop::option::weighted(0.3, prop::option::weighted(0.3, 0..60_000_u64)), sink in sink(),
        faults in prop::collection::vec((requests(), fault()), 0..4),
        odd in prop::sample::subsequence((0..odd::HEADERS.len()).collect::<Vec<_>>(), 0..4),
    ) -> Case {
        Case { size, config, range, hint: hint.map(|wrong| wrong.unwrap_or(size)), sink, faults, odd }
    }
}

impl Case {
    fn has(&self, wanted: fn(&FaultKind) -> bool) -> bool {
        self.faults.iter().any(|(_, kind)| wanted(kind))
    }

    /// Whether every byte must have been compared with the object's checksum.
    fn is_validated(&self) -> bool {
        // The answers to two questions do not belong together if the object is replaced between them.
        self.config.validate_checksum()
            && self.range.is_none()
            && self.hint.is_none_or(|hint| hint == self.size)
            && !self.has(|kind| matches!(kind, FaultKind::Replace))
    }

    /// A 200 that holds less than the object and says so is, as far as anybody can tell, the object; but for its
    /// checksum.
    fn is_a_lie_that_nobody_can_tell(&self) -> bool {
        self.has(|kind| matches!(kind, FaultKind::ShortLength { .. }))
            && (self.hint.is_some() || self.has(|kind| matches!(kind, FaultKind::IgnoreRange)))
            && !self.is_validated()
    }

    fn download(&self, client: &Client) -> Download {
        let mut download = client.download("lab", "key");
        if let Some((start, length)) = self.range {
            download = download.range(start..start + length);
        }
        match self.hint {
            Some(bytes) => download.object_bytes(bytes),
            None => download,
        }
    }

    async fn run(&self) {
        let bench = Bench::with_faults(self.size, self.faults.clone());
        let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key()).config().to_builder();
        let sdk = sdk.http_client(odd::http_client(bench.lab.http_client(), self.odd.clone())).build();
        let client = Client::new(aws_sdk_s3::Client::from_conf(sdk)).with_config(self.config.clone());
        match &self.sink {
            Sink::File => {
                let ended = self.download(&client).to_file(bench.target()).await;
                self.judge_file(&bench, ended, false);
            }
            Sink::Resumed(cuts) => {
                let resumed = || self.download(&client).to_file(bench.target()).resume(true).into_future();
                for milliseconds in cuts {
                    let cut = tokio::time::timeout(Duration::from_millis(*milliseconds), resumed()).await;
                    match cut {
                        Ok(ended) => self.judge_file(&bench, ended, true),
                        Err(_) => self.assert_only_leftovers(&bench),
                    }
                }
                for _ in 0..4 {
                    let ended = resumed().await;
                    let done = ended.is_ok();
                    self.judge_file(&bench, ended, true);
                    if done {
                        break;
                    }
                }
            }
            Sink::Bytes => match self.download(&client).to_bytes().await {
                Ok((bytes, report)) => self.judge(&bench, &bytes, &report),
                Err(error) => self.judge_error(&error),
            },
            Sink::Stream => {
                let mut stream = self.download(&client).stream();
                let mut bytes = Vec::new();
                while let Some(frame) = stream.next().await {
                    match frame {
                        Ok(frame) => bytes.extend_from_slice(&frame),
                        Err(error) => {
                            assert!(stream.next().await.is_none() && stream.report().is_none());
                            return self.judge_error(&error);
                        }
                    }
                }
                self.judge(&bench, &bytes, stream.report().unwrap());
            }
        }
    }

    fn judge_file(&self, bench: &Bench, ended: Result<TransferReport, TransferError>, resumed: bool) {
        match ended {
            Ok(report) => {
                assert_eq!(bench.files(), ["object.bin"]);
                self.judge(bench, &std::fs::read(bench.target()).unwrap(), &report);
                std::fs::remove_file(bench.target()).unwrap();
            }
            Err(error) => {
                self.judge_error(&error);
                let of_no_use = matches!(error.kind(), TransferErrorKind::ObjectChanged | TransferErrorKind::Corrupt);
                match resumed && !of_no_use {
                    true => self.assert_only_leftovers(bench),
                    false => bench.assert_nothing(),
                }
            }
        }
    }

    fn assert_only_leftovers(&self, bench: &Bench) {
        let files = bench.files();
        assert!(files.iter().all(|name| name == DATA || name == JOURNAL), "{files:?}");
    }

    /// The bytes are those of the object as it is now: a replacement in the middle would have ended the download.
    fn judge(&self, bench: &Bench, bytes: &[u8], report: &TransferReport) {
        let now = bench.lab.object("lab", "key").unwrap();
        let (start, length) = self.range.unwrap_or((0, self.size));
        let wanted = &now[start as usize..(start + length).min(self.size) as usize];
        assert_eq!((bytes.len(), report.bytes), (wanted.len(), wanted.len() as u64));
        let wrong: Vec<u64> =
            (start..).zip(bytes.iter().zip(wanted)).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
        // Without a checksum to compare with, a flipped byte is for nobody to see; but there is no other.
        let flipped =
            |byte: &u64| self.faults.iter().any(|(_, kind)| matches!(kind, FaultKind::Corrupt { at } if at == byte));
        let believed = matches!(report.integrity, Integrity::ValidatedAsReceived(_));
        assert!(!believed || report.resumed_bytes > 0, "{report:?}");
        let validated = believed || matches!(report.integrity, Integrity::Validated(_));
        assert!(
            wrong.iter().all(flipped) && (wrong.is_empty() || !validated),
            "wrong at {wrong:?}, {:?}",
            report.integrity
        );
        assert!(validated || !self.is_validated(), "{:?}", report.integrity);
        assert!(report.resumed_bytes <= report.bytes && report.retries <= report.requests);
        assert!(self.config.memory_limit().is_none_or(|limit| report.peak_memory_bytes <= limit));
    }

    fn judge_error(&self, error: &TransferError) {
        let corrupt = self.has(|kind| matches!(kind, FaultKind::Corrupt { .. } | FaultKind::ShortLength { .. }));
        assert!(corrupt || error.kind() != TransferErrorKind::Corrupt, "{error}");
        assert!(!self.faults.is_empty() || error.kind() == TransferErrorKind::NoSuchRange, "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn exact_bytes_or_a_typed_error_and_no_file(
        case in case().prop_filter("a lie that nobody can tell", |case| !case.is_a_lie_that_nobody_can_tell()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(case.run());
    }
}
