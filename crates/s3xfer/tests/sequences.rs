//! Downloads of several objects into one target, one after the other, with any ends and any changes to the files in
//! between: exact bytes or a typed error, always.
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test -p s3xfer --test sequences       # longer
//! ```
//!
//! In one process and paused time. A process that is killed is played by the files as they were at that instant, put
//! back when the download's tasks have ended.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod journal;
mod lab;

use std::fs::{self, OpenOptions};
use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::Duration;

use journal::{DATA, JOURNAL, recorded};
use lab::{Bench, KIB, sdk, small};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use s3lab::{Fault, FaultKind, FaultPlan, NetworkProfile, Requests};
use s3xfer::{FileDownload, TransferConfig, TransferErrorKind};

/// Objects of one target: many parts, one request, another size, and one whose server knows no ranges.
const OBJECTS: [(&str, u64); 4] = [("key", 79_900), ("small", 6_000), ("other", 50_000), ("rangeless", 30_000)];

#[derive(Debug, Clone)]
enum Step {
    Download {
        object: usize,
        cut: Parts,
        range: Option<(u64, u64)>,
        verify: bool,
        end: End,
    },
    /// Other bytes under the same key.
    Replace(usize),
    Keep(usize),
    PutBack {
        slot: usize,
        data: bool,
        journal: bool,
    },
    Cut(u64),
    Lengthen(u64),
    CutAndLengthen(u64),
    SwapNames,
    RemoveData,
    RemoveJournal,
    /// The old file, or one that somebody has put there.
    PutTarget,
}

/// The parts of a download, and the number that it fetches at once.
#[derive(Debug, Clone, Copy)]
struct Parts {
    chunk: u64,
    threshold: u64,
    requests: u32,
}

impl Parts {
    fn config(self) -> TransferConfig {
        let config = small().multipart_chunksize(self.chunk).multipart_threshold(self.threshold);
        config.max_concurrency(self.requests).build().unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Finished,
    /// Dropped after so many milliseconds.
    Dropped(u64),
    /// As if the process had been killed then.
    Killed(u64),
}

/// Mostly the one of many parts.
fn object() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0_usize), 2 => 1..OBJECTS.len()]
}

fn cut_of_parts() -> impl Strategy<Value = Parts> {
    let chunk = prop::sample::select(vec![KIB, 3 * KIB, 8 * KIB, 64 * KIB]);
    let threshold = prop::sample::select(vec![1, 8 * KIB, 100 * KIB]);
    (chunk, threshold, 1..4_u32).prop_map(|(chunk, threshold, requests)| Parts { chunk, threshold, requests })
}

fn download() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        1 => Just(End::Finished),
        3 => (0..250_u64).prop_map(End::Dropped),
        3 => (0..250_u64).prop_map(End::Killed),
    ];
    let range = prop::option::weighted(0.1, (0..20_000_u64, 1..60_000_u64));
    (object(), cut_of_parts(), range, prop::bool::weighted(0.2), end)
        .prop_map(|(object, cut, range, verify, end)| Step::Download { object, cut, range, verify, end })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => download(),
        1 => (0..2_usize).prop_map(Step::Replace),
        2 => (0..2_usize).prop_map(Step::Keep),
        2 => (0..2_usize, any::<bool>(), any::<bool>())
            .prop_map(|(slot, data, journal)| Step::PutBack { slot, data, journal }),
        1 => (0..90_000_u64).prop_map(Step::Cut),
        2 => (1..9000_u64).prop_map(Step::Lengthen),
        2 => (0..80_000_u64).prop_map(Step::CutAndLengthen),
        1 => Just(Step::SwapNames),
        1 => Just(Step::RemoveData),
        1 => Just(Step::RemoveJournal),
        1 => Just(Step::PutTarget),
    ]
}

type Files = [Option<Vec<u8>>; 2];

struct Scene {
    bench: Bench,
    slots: [Files; 2],
    /// The target's bytes, if it is there.
    target: Option<Vec<u8>>,
    replaced: u8,
}

impl Scene {
    fn new() -> Self {
        let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.2)).unwrap();
        let bench = Bench::with(OBJECTS[0].1, |lab| {
            let kind = FaultKind::IgnoreRange;
            let fault = Fault {
                key: "rangeless".to_owned(),
                on: s3lab::RequestKind::GetObject,
                requests: Requests::Every,
                kind,
            };
            let lab = lab.network(network).faults(FaultPlan::new([fault]).unwrap());
            OBJECTS[1..].iter().fold(lab, |lab, (key, bytes)| lab.synthetic("lab", *key, *bytes))
        });
        Self { bench, slots: Default::default(), target: None, replaced: 0 }
    }

    fn paths(&self) -> [PathBuf; 2] {
        [DATA, JOURNAL].map(|name| self.bench.folder.path().join(name))
    }

    fn files(&self) -> Files {
        self.paths().map(|path| fs::read(path).ok())
    }

    fn put_back(&self, which: usize, bytes: Option<&Vec<u8>>) {
        let path = &self.paths()[which];
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Download { object, cut, range, verify, end } => {
                let download = self.download(*object, cut.config(), *range).resume(true).verify_kept(*verify);
                self.end(*object, *range, download, *end).await;
            }
            Step::Replace(object) => {
                self.replaced += 1;
                let (key, size) = OBJECTS[*object];
                let store = sdk(&self.bench.lab, self.bench.lab.access_key(), self.bench.lab.secret_key());
                let put = store.put_object().bucket("lab").key(key).body(vec![self.replaced; size as usize].into());
                put.send().await.unwrap();
            }
            Step::Keep(slot) => self.slots[*slot] = self.files(),
            Step::PutBack { slot, data, journal } => {
                for (which, put) in [data, journal].into_iter().enumerate() {
                    if *put {
                        self.put_back(which, self.slots[*slot][which].as_ref());
                    }
                }
            }
            Step::SwapNames => {
                let [data, _] = self.paths();
                let aside = self.bench.folder.path().join("aside");
                if fs::rename(&data, &aside).is_ok() {
                    fs::copy(&aside, &data).unwrap();
                    fs::remove_file(&aside).unwrap();
                }
            }
            Step::RemoveData => drop(fs::remove_file(&self.paths()[0])),
            Step::RemoveJournal => drop(fs::remove_file(&self.paths()[1])),
            Step::PutTarget => {
                fs::write(self.bench.target(), "somebody's").unwrap();
                self.target = Some(b"somebody's".to_vec());
            }
            Step::Cut(_) | Step::Lengthen(_) | Step::CutAndLengthen(_) => {
                let Ok(data) = OpenOptions::new().write(true).open(&self.paths()[0]) else { return };
                let length = data.metadata().unwrap().len();
                match step {
                    Step::Cut(bytes) => data.set_len(length.saturating_sub(*bytes)).unwrap(),
                    Step::Lengthen(bytes) => data.set_len(length + bytes).unwrap(),
                    Step::CutAndLengthen(at) => {
                        data.set_len((*at).min(length)).unwrap();
                        data.set_len(length).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }

    fn download(&self, object: usize, config: TransferConfig, range: Option<(u64, u64)>) -> FileDownload {
        let client = self.bench.client.clone().with_config(config);
        let download = client.download("lab", OBJECTS[object].0);
        match range {
            Some((start, length)) => download.range(start..start + length),
            None => download,
        }
        .to_file(self.bench.target())
    }

    async fn end(&mut self, object: usize, range: Option<(u64, u64)>, download: FileDownload, end: End) {
        let limit = match end {
            End::Finished => None,
            End::Dropped(limit) | End::Killed(limit) => Some(limit),
        };
        let mut running = download.into_future();
        let ended = match limit {
            None => Some((&mut running).await),
            Some(limit) => tokio::time::timeout(Duration::from_millis(limit), &mut running).await.ok(),
        };
        match ended {
            Some(Ok(report)) => {
                let now = self.bench.lab.object("lab", OBJECTS[object].0).unwrap();
                let (start, length) = range.unwrap_or((0, now.len() as u64));
                let wanted = &now[start as usize..now.len().min((start + length) as usize)];
                let bytes = fs::read(self.bench.target()).unwrap();
                assert!(bytes == wanted, "{} bytes instead of {}, or others", bytes.len(), wanted.len());
                assert_eq!(report.bytes, wanted.len() as u64);
                assert_eq!(self.bench.files(), ["object.bin"]);
                self.target = Some(bytes);
            }
            Some(Err(error)) => {
                // Nothing is wrong here but that objects are replaced, or have no byte of a range.
                let kinds = [TransferErrorKind::ObjectChanged, TransferErrorKind::NoSuchRange];
                assert!(kinds.contains(&error.kind()), "{error:?}");
            }
            None => {
                let files = self.files();
                drop(running);
                // The tasks end when the runtime comes round to them.
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let End::Killed(_) = end {
                    for (which, bytes) in files.iter().enumerate() {
                        self.put_back(which, bytes.as_ref());
                    }
                }
            }
        }
        assert_eq!(fs::read(self.bench.target()).ok(), self.target, "the target is as the last finished one left it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_came_before_a_download_ends_as_the_object_or_not_at_all(
        steps in prop::collection::vec(step(), 2..12), last in object(), cut in cut_of_parts(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new();
            for step in &steps {
                scene.take(step).await;
            }
            // One whose object was replaced tells so once.
            for _ in 0..2 {
                let (range, verify, end) = (None, false, End::Finished);
                scene.take(&Step::Download { object: last, cut, range, verify, end }).await;
            }
            assert!(scene.target.is_some());
        });
    }
}

/// Downloads until `parts` are on record, and is dropped.
async fn cut(scene: &Scene, download: FileDownload, parts: usize) {
    let mut running = download.into_future();
    while recorded(scene.bench.folder.path()).len() < parts {
        assert!(futures::poll!(&mut running).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_is_not_believed_of_a_file_that_another_download_has_filled() {
    // The first part alone is on record; the next download into the same file has no journal: one request, a server
    // without ranges, a range that fits into one request.
    for (other, range, chunk) in [(1, None, 8 * KIB), (3, None, 8 * KIB), (0, Some((30_000, 5_000)), 64 * KIB)] {
        for first_chunk in [KIB, 8 * KIB] {
            let mut scene = Scene::new();
            let config = |chunk| small().multipart_chunksize(chunk).max_concurrency(1).build().unwrap();
            cut(&scene, scene.download(0, config(first_chunk), None).resume(true), 1).await;
            let between = scene.download(other, config(chunk), range).resume(true);
            scene.end(other, range, between, End::Dropped(15)).await;
            assert!(!scene.bench.target().exists(), "it was to be cut off");
            let again = scene.download(0, config(first_chunk), None).resume(true);
            scene.end(0, None, again, End::Finished).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_done_file_that_somebody_has_lengthened_is_not_published_with_its_tail() {
    for bytes in [1, 4096, 100_000] {
        let mut scene = Scene::new();
        let config = || small().max_concurrency(2).build().unwrap();
        cut(&scene, scene.download(0, config(), None).resume(true), 3).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        scene.take(&Step::Lengthen(bytes)).await;
        let again = scene.download(0, config(), None).resume(true);
        scene.end(0, None, again, End::Finished).await;
    }
}
