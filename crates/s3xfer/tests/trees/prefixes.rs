//! Prefixes into folders: the files that arrive, the refused keys, and the state after a failure.

use std::fs;
use std::future::IntoFuture;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::lab::KIB;
use crate::scene::{Scene, Tree, on_disk};
use futures::{FutureExt, TryStreamExt};
use proptest::prelude::*;
use s3lab::{Fault, FaultKind, FaultPlan, Lab, LabBuilder, NetworkProfile, RequestKind, Requests};
use s3xfer::{
    BatchOutcome, BatchProgress, BatchReport, Compare, Globs, ItemError, NameError, OnFailure, PrefixDownload,
    TransferConfig, TransferErrorKind,
};

impl Scene {
    /// One whose bucket holds objects of these sizes.
    async fn holding(keys: &[(&str, u64)]) -> Self {
        Self::with(keys, |lab| lab).await
    }

    async fn with(keys: &[(&str, u64)], change: impl FnOnce(LabBuilder) -> LabBuilder) -> Self {
        let lab = Lab::builder().bucket("lab");
        Self::of(change(keys.iter().fold(lab, |lab, (key, size)| lab.synthetic("lab", *key, *size)))).await
    }

    fn down(&self, prefix: &str) -> PrefixDownload {
        self.client.download_prefix("lab", prefix, self.folder())
    }

    /// The bytes of the objects below a prefix, under their paths, as they ought to be on the disk.
    fn expected(&self, prefix: &str, keys: &[&str]) -> Tree {
        let bytes = |key: &&str| {
            let key = format!("{prefix}{key}");
            self.lab.object("lab", &key).unwrap()
        };
        keys.iter().map(|key| ((*key).to_owned(), bytes(key))).collect()
    }
}

fn name_error<T: std::fmt::Debug>(ended: Result<T, s3xfer::BatchError>) -> NameError {
    match ended.map_err(|error| error.error) {
        Err(ItemError::Name { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn fault(key: &str, requests: Requests, kind: FaultKind) -> FaultPlan {
    FaultPlan::new([Fault::new(key, requests, kind)]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_prefix_becomes_a_tree() {
    let keys =
        [("p/a", 3), ("p/b/c d.txt", 20 * KIB), ("p/b/é/x", 0), ("p/empty/", 0), ("p/", 0), ("px", 7), ("q/a", 7)];
    let scene = Scene::holding(&keys).await;
    let progress = BatchProgress::new();
    let report = scene.down("p").progress(progress.clone()).await.unwrap();
    let mut expected = scene.expected("p/", &["a", "b/c d.txt", "b/é/x"]);
    expected.insert("empty/".to_owned(), Vec::new());
    assert_eq!(on_disk(&scene.folder()), expected);
    assert_eq!((report.transferred, report.bytes, report.failed), (3, 3 + 20 * KIB, 0));
    let now = progress.snapshot();
    assert!(now.listed_all);
    assert_eq!((now.bytes, now.left_bytes, now.found, now.ended), (3 + 20 * KIB, 0, 5, 5));

    // All of the bucket, and a prefix that says so with its `/`.
    let all = tempfile::tempdir().unwrap();
    scene.client.download_prefix("lab", "", all.path()).await.unwrap();
    assert_eq!(on_disk(all.path()).len(), 6);
    let again = tempfile::tempdir().unwrap();
    scene.client.download_prefix("lab", "p/", again.path()).await.unwrap();
    assert_eq!(on_disk(again.path()), expected);
}

/// One of a hundred names, and those with a letter.
fn some() -> Globs {
    Globs::new().exclude("*").include("*00").include("*[a-z]*")
}

#[tokio::test(start_paused = true)]
async fn transfers_begin_while_the_listing_goes_on() {
    let names: Vec<String> = (0..3500).map(|n| format!("p/{n:05}")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(120.0, 0.0).unwrap();
    let scene = Scene::with(&keys, |lab| lab.network(network)).await;
    let report = scene.down("p").globs(some()).await.unwrap();
    assert_eq!(report.transferred, 35);
    let requests = scene.lab.requests();
    let is_list = |request: &s3lab::RequestRecord| request.kind == RequestKind::ListObjects;
    let first_get = requests.iter().position(|request| !is_list(request)).unwrap();
    let last_list = requests.iter().rposition(is_list).unwrap();
    let pages = requests.iter().filter(|request| is_list(request)).count();
    assert!((4..=6).contains(&pages), "{pages}: each page once, and less than twice where several are asked for");
    assert!(first_get < last_list, "{first_get} {last_list}");
    assert_eq!(on_disk(&scene.folder()).len(), 35);
}

#[tokio::test(start_paused = true)]
async fn a_flat_prefix_is_listed_by_several_requests_where_answers_are_slow() {
    let names: Vec<String> = (0..30_000).map(|n| format!("p/img-{n:06}.jpg")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(100.0, 0.2).unwrap();
    let scene = Scene::with(&keys, |lab| lab.network(network)).await;
    let one = scene.client.clone().with_config(TransferConfig::builder().max_concurrency(1).build().unwrap());
    let mut took = Vec::new();
    for client in [one, scene.client.clone()] {
        let (began, before) = (tokio::time::Instant::now(), scene.lab.stats().total());
        let mut listing = client.list("lab", "p/");
        let mut listed = Vec::new();
        while let Some(object) = listing.try_next().await.unwrap() {
            listed.push(object.key);
            assert!(listed.len() > 1 || began.elapsed().as_millis() < 200, "{:?} to the first", began.elapsed());
        }
        assert!(listed == names);
        assert!(matches!(listing.try_next().await, Ok(None)), "it has ended");
        took.push((began.elapsed().as_secs_f64(), scene.lab.stats().total() - before));
    }
    let [(one, pages), (several, requests)] = took[..] else { unreachable!("two clients") };
    println!("{one:.2} s by {pages} requests, {several:.2} s by {requests}");
    assert!(pages == 30 && several < one / 2.5 && requests < 60, "{one} {pages} {several} {requests}");
}

#[tokio::test(start_paused = true)]
async fn the_next_page_comes_while_one_is_gone_through() {
    let names: Vec<String> = (0..10_000).map(|n| format!("p/{n:05}")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(100.0, 0.0).unwrap();
    let scene = Scene::with(&keys, |lab| lab.network(network)).await;
    let one = scene.client.clone().with_config(TransferConfig::builder().max_concurrency(1).build().unwrap());
    // As slow as the answers, and slower.
    for (client, page_ms) in [(one, 100), (scene.client.clone(), 150)] {
        let (began, before) = (tokio::time::Instant::now(), scene.lab.stats().total());
        let mut listing = client.list("lab", "p/");
        let mut listed = 0;
        while listing.try_next().await.unwrap().is_some() {
            listed += 1;
            if listed % 1000 == 0 {
                tokio::time::sleep(Duration::from_millis(page_ms)).await;
            }
        }
        let (took, requests) = (began.elapsed(), scene.lab.stats().total() - before);
        assert!(took < Duration::from_millis(150 + 10 * page_ms), "{took:?}");
        assert_eq!(requests, 10, "a receiver that does not wait causes no more");
    }
}

#[test]
fn a_listing_whose_runtime_is_gone_does_not_look_whole() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let (_scene, mut listing) = first.block_on(async {
        let network = NetworkProfile::unlimited().with_first_byte(100.0, 0.0).unwrap();
        let scene = Scene::with(&[("p/a", 1)], |lab| lab.network(network)).await;
        let mut listing = scene.client.list("lab", "p/");
        assert!(listing.try_next().now_or_never().is_none(), "its page is asked for");
        (scene, listing)
    });
    drop(first);
    let second = runtime();
    let ended = catch_unwind(AssertUnwindSafe(|| second.block_on(listing.try_next())));
    assert!(ended.is_err(), "{ended:?}");
    // Nor for a caller who catches the panic.
    let error = second.block_on(listing.try_next()).unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
    assert!(matches!(second.block_on(listing.try_next()), Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_ends_the_listing_behind_those_before_it() {
    let names: Vec<String> = (0..20_000).map(|n| format!("p/{n:06}")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap();
    let fault = Fault::new("*", Requests::Range(9..100), FaultKind::InternalError).on(RequestKind::ListObjects);
    let scene = Scene::with(&keys, |lab| lab.network(network).faults(FaultPlan::new([fault]).unwrap())).await;
    let mut listing = scene.client.list("lab", "p/");
    let mut listed = Vec::new();
    let error = loop {
        match listing.try_next().await {
            Ok(Some(object)) => listed.push(object.key),
            Ok(None) => panic!("it has not ended"),
            Err(error) => break error,
        }
    };
    assert!(listed.len() >= 2000 && names.starts_with(&listed), "{}", listed.len());
    assert_eq!((error.to_string().as_str(), error.kind()), ("s3://lab/p/", TransferErrorKind::Interrupted));
    assert!(matches!(listing.try_next().await, Ok(None)), "nothing more");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_is_told_before_anything_is_written() {
    for (key, error) in [
        ("p/z/../../x", NameError::Dots { segment: "..".to_owned() }),
        ("p//x", NameError::Absolute),
        ("p/z//x", NameError::EmptySegment),
        ("p/a/b", NameError::BelowFile { file: "a".to_owned() }),
        ("p/z/", NameError::FolderWithBytes { bytes: 5 }),
    ] {
        let scene = Scene::holding(&[("p/a", 5), (key, 5), ("p/zz", 5)]).await;
        assert_eq!(name_error(scene.down("p").await), error, "{key}");
        assert_eq!(name_error(scene.down("p").check_names_first(true).await), error, "{key}");
        assert_eq!(name_error(scene.down("p").dry_run(true).await), error, "{key}");
        assert!(!scene.folder().exists(), "{key}");
        assert!(!scene.place.path().join("x").exists());

        // The others come where that is wanted.
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = told.clone();
        let each = move |item: &s3xfer::BatchItem| {
            if matches!(item.outcome, BatchOutcome::Failed(_)) {
                keep.lock().unwrap().push(item.name.clone());
            }
        };
        let report = scene.down("p").on_failure(OnFailure::GoOn).on_each(each).await.unwrap();
        assert_eq!((report.transferred, report.failed, report.is_complete()), (2, 1, false));
        assert_eq!(*told.lock().unwrap(), [key.strip_prefix("p/").unwrap()]);
        assert!(report.failures[0].to_string().contains(&format!("s3://lab/{key}")), "{:?}", report.failures);
        assert_eq!(on_disk(&scene.folder()), scene.expected("p/", &["a", "zz"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_prefix_is_checked_before_where_that_is_wanted() {
    let mut names: Vec<String> = (0..2500).map(|n| format!("p/{n:05}")).collect();
    names.push("p/z//x".to_owned());
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(120.0, 0.0).unwrap();
    let scene = Scene::with(&keys, |lab| lab.network(network)).await;
    assert_eq!(name_error(scene.down("p").globs(some()).check_names_first(true).await), NameError::EmptySegment);
    assert!(!scene.folder().exists());
    assert_eq!(name_error(scene.down("p").globs(some()).await), NameError::EmptySegment);
    assert!(on_disk(&scene.folder()).len() >= 10, "the first page was not waited for long");
}

#[tokio::test(start_paused = true)]
async fn links_on_the_way_are_refused() {
    let scene = Scene::holding(&[("p/in/x", 5), ("p/out/x", 5), ("p/taken", 5)]).await;
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(scene.folder()).unwrap();
    symlink(outside.path(), scene.folder().join("out")).unwrap();
    symlink(outside.path().join("y"), scene.folder().join("taken")).unwrap();
    for dry_run in [true, false] {
        let report = scene.down("p").on_failure(OnFailure::GoOn).dry_run(dry_run).await.unwrap();
        assert_eq!((report.transferred, report.failed), (1, 2), "{report:?}");
        let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        assert!(failures.iter().any(|line| line.contains("symbolic link `out`")), "{failures:?}");
        assert!(failures.iter().any(|line| line.contains("no regular file")), "{failures:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
    // The folder itself may be behind one.
    let link = scene.place.path().join("link");
    symlink(outside.path(), &link).unwrap();
    scene.client.download_prefix("lab", "p", &link).await.unwrap();
    assert_eq!(on_disk(outside.path()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn globs_and_dry_runs_say_which_and_do_no_more() {
    let scene = Scene::holding(&[("p/a.txt", 5), ("p/b/c.txt", 6), ("p/b/d.bin", 7)]).await;
    let globs = Globs::new().exclude("*").include("*.txt");
    let report = scene.down("p").globs(globs.clone()).dry_run(true).await.unwrap();
    assert_eq!((report.transferred, report.bytes, report.dry_run), (2, 11, true));
    assert!(!scene.folder().exists());
    scene.down("p").globs(globs).await.unwrap();
    assert_eq!(on_disk(&scene.folder()), scene.expected("p/", &["a.txt", "b/c.txt"]));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_fails_leaves_nothing_half_made() {
    let broken = FaultKind::Truncate { after_bytes: 100 };
    let keys = [("p/a", 5 * KIB), ("p/broken", 5 * KIB), ("p/c", 5 * KIB)];
    let scene = Scene::with(&keys, |lab| lab.faults(fault("p/broken", Requests::Every, broken))).await;
    let error = scene.down("p").await.unwrap_err();
    assert!(matches!(&error.error, ItemError::Transfer(cause) if cause.kind() == TransferErrorKind::Interrupted));
    assert!(error.to_string().contains("p/broken"), "{error}");
    assert!(!scene.folder().join("broken").exists());
    let progress = BatchProgress::new();
    let report = scene.down("p").on_failure(OnFailure::GoOn).progress(progress.clone()).await.unwrap();
    assert_eq!((report.transferred, report.failed), (2, 1));
    assert_eq!(on_disk(&scene.folder()), scene.expected("p/", &["a", "c"]));
    let now = progress.snapshot();
    assert_eq!((now.failed, now.bytes, now.left_bytes), (1, 10 * KIB, 0));
    assert_eq!(scene.client.download_prefix("gone", "p", scene.folder()).await.unwrap_err().report.transferred, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sync_transfers_what_is_new_and_deletes_what_is_gone() {
    let scene = Scene::holding(&[("p/a", 5), ("p/b/c", 6), ("p/b/d", 7), ("p/empty/", 0)]).await;
    scene.down("p").sync(Compare::SizeAndTime).delete(true).await.unwrap();
    let whole = on_disk(&scene.folder());
    assert_eq!(whole.len(), 4);
    let report = scene.down("p").sync(Compare::SizeAndTime).delete(true).await.unwrap();
    assert_eq!((report.transferred, report.unchanged, report.deleted, report.folders), (0, 4, 0, 0));

    fs::write(scene.folder().join("a"), "12").unwrap();
    fs::create_dir_all(scene.folder().join("old/er")).unwrap();
    // The remains of a download that broke off, which is to be continued.
    fs::write(scene.folder().join("b/.c.s3xfer-journal"), "x").unwrap();
    fs::write(scene.folder().join("old/er/x"), "x").unwrap();
    fs::write(scene.folder().join("b/kept.txt"), "x").unwrap();
    symlink("nowhere", scene.folder().join("link")).unwrap();
    let sync = || scene.down("p").sync(Compare::SizeAndTime).delete(true).globs(Globs::new().exclude("*.txt"));
    let dry = sync().dry_run(true).await.unwrap();
    assert_eq!((dry.transferred, dry.unchanged, dry.deleted), (1, 3, 1));
    let report = sync().await.unwrap();
    assert_eq!((report.transferred, report.unchanged, report.deleted), (1, 3, 1));
    let mut expected = whole.clone();
    expected.insert("b/kept.txt".to_owned(), b"x".to_vec());
    expected.insert("b/.c.s3xfer-journal".to_owned(), b"x".to_vec());
    // No download makes a link.
    expected.insert("link@".to_owned(), Vec::new());
    assert_eq!(on_disk(&scene.folder()), expected);

    // The same size, another content, an older time: only the checksum tells.
    fs::write(scene.folder().join("a"), "12345").unwrap();
    assert_eq!(scene.down("p").sync(Compare::SizeAndTime).await.unwrap().transferred, 0);
    assert_eq!(scene.down("p").sync(Compare::Update).await.unwrap().transferred, 0);
    let report = scene.down("p").sync(Compare::Checksum).await.unwrap();
    assert_eq!((report.transferred, report.unchanged), (1, 3), "{report:?}");
    assert_eq!(fs::read(scene.folder().join("a")).unwrap(), whole["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_stays_while_a_file_is_on_its_way_into_it() {
    let network = NetworkProfile::unlimited().with_first_byte(500.0, 0.0).unwrap();
    for resume in [false, true] {
        let scene = Scene::with(&[("p/a/b/new", 5)], |lab| lab.network(network.clone())).await;
        fs::create_dir_all(scene.folder().join("a/b")).unwrap();
        fs::write(scene.folder().join("a/b/old"), "x").unwrap();
        let report = scene.down("p").sync(Compare::SizeAndTime).delete(true).resume(resume).await.unwrap();
        assert_eq!((report.transferred, report.deleted), (1, 1), "{report:?}");
        assert_eq!(on_disk(&scene.folder()), scene.expected("p/", &["a/b/new"]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_folder_that_files_come_into_is_not_deleted() {
    let scene = Scene::holding(&[("p/b/c", 5)]).await;
    fs::create_dir_all(scene.folder().join("b")).unwrap();
    fs::create_dir_all(scene.folder().join("gone")).unwrap();
    let report = scene.down("p").sync(Compare::SizeAndTime).delete(true).await.unwrap();
    assert_eq!((report.transferred, report.deleted), (1, 1), "{report:?}");
    assert_eq!(on_disk(&scene.folder()), scene.expected("p/", &["b/c"]));
}

#[tokio::test(start_paused = true)]
async fn times_are_kept_on_request() {
    let scene = Scene::holding(&[("p/a", 5)]).await;
    let listed: Vec<_> = scene.client.list("lab", "p/").try_collect().await.unwrap();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let file = scene.folder().join("a");
    scene.down("p").keep_times(true).await.unwrap();
    let kept = seconds(fs::metadata(&file).unwrap().modified().unwrap());
    assert_eq!(Some(kept), listed[0].last_modified.map(seconds));
    assert_eq!(scene.down("p").sync(Compare::SizeAndTime).await.unwrap().unchanged, 1);
    // Older than the object: it is fetched again.
    fs::File::options().write(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(scene.down("p").sync(Compare::SizeAndTime).await.unwrap().transferred, 1);
}

#[tokio::test(start_paused = true)]
async fn times_come_back_as_they_were_and_a_sync_sees_that() {
    let scene = Scene::holding(&[]).await;
    let from = scene.place.path().join("from");
    fs::create_dir(&from).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for (name, size) in [("small", 10), ("large", 40 << 10), ("empty", 0)] {
        fs::write(from.join(name), vec![7; size]).unwrap();
        fs::File::options().write(true).open(from.join(name)).unwrap().set_modified(old).unwrap();
    }
    let time = |name: &str| fs::metadata(scene.folder().join(name)).unwrap().modified().unwrap();
    scene.client.upload_folder(&from, "lab", "p").keep_times(true).await.unwrap();
    scene.down("p").await.unwrap();
    assert_ne!(time("small"), old, "nobody has asked for it");
    let down = || scene.down("p").keep_times(true).sync(Compare::SizeAndTime);
    assert_eq!(down().await.unwrap().unchanged, 3, "those are newer");
    fs::remove_dir_all(scene.folder()).unwrap();
    assert_eq!(down().await.unwrap().transferred, 3);
    for name in ["small", "large", "empty"] {
        assert_eq!(time(name), old, "{name}");
    }
    // They are older than their objects, and the same all the same.
    assert_eq!(down().await.unwrap().unchanged, 3);
    fs::File::options()
        .write(true)
        .open(scene.folder().join("small"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    let report = down().await.unwrap();
    assert_eq!((report.transferred, report.unchanged), (1, 2), "another time");
    assert_eq!(time("small"), old);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_deletes_nothing() {
    let scene = Scene::holding(&[("p/a", 5)]).await;
    fs::create_dir(scene.folder()).unwrap();
    fs::write(scene.folder().join("x"), "x").unwrap();
    let gone = scene.client.download_prefix("gone", "p", scene.folder()).delete(true).await.unwrap_err();
    assert!(gone.to_string().contains("NoSuchBucket"), "{gone}");
    assert!(scene.folder().join("x").exists());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_dropped_leaves_whole_files_only() {
    let names: Vec<String> = (0..40).map(|n| format!("p/{n:02}")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 20 * KIB)).collect();
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.5).unwrap();
    let network = network.with_connection_mb_per_s(Some(0.2)).unwrap();
    let mut some = 0;
    for milliseconds in [10, 150, 300, 400, 600] {
        let scene = Scene::with(&keys, |lab| lab.network(network.clone())).await;
        let down = scene.down("p").objects_at_once(8).resume(milliseconds % 200 == 0);
        let ended = tokio::time::timeout(Duration::from_millis(milliseconds), down.into_future()).await;
        assert!(ended.is_err(), "{milliseconds} ms were enough");
        // The tasks that were aborted end when the runtime comes round to them.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = on_disk(&scene.folder());
        for (name, bytes) in found.iter().filter(|(name, _)| !name.starts_with('.')) {
            assert_eq!(&scene.lab.object("lab", &format!("p/{name}")).unwrap(), bytes, "{name}");
            some += 1;
        }
        scene.down("p").sync(Compare::SizeAndTime).delete(true).resume(true).await.unwrap();
        assert_eq!(on_disk(&scene.folder()).len(), 40);
    }
    assert!(some > 0);
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_asked_for_again_and_what_it_lacks_is_not_deleted() {
    let names: Vec<String> = (0..1300).map(|n| format!("p/{n:05}")).collect();
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let listing = |requests, kind| {
        FaultPlan::new([Fault { on: RequestKind::ListObjects, ..Fault::new("", requests, kind) }]).unwrap()
    };
    let twice = listing(Requests::Range(1..3), FaultKind::SlowDown);
    let scene = Scene::with(&keys, |lab| lab.faults(twice)).await;
    assert_eq!(scene.down("p").globs(some()).await.unwrap().transferred, 13);

    // The second page never comes: names of its part stay.
    let scene =
        Scene::with(&keys, |lab| lab.faults(listing(Requests::Range(1..10_000), FaultKind::InternalError))).await;
    fs::create_dir(scene.folder()).unwrap();
    for name in ["00500x", "01200", "zz"] {
        fs::write(scene.folder().join(name), "x").unwrap();
    }
    let error = scene.down("p").delete(true).globs(some()).await.unwrap_err();
    assert!(error.to_string().contains("s3://lab/p/"), "{error}");
    assert_eq!((error.report.transferred, error.report.deleted), (10, 0));
    let found = on_disk(&scene.folder());
    assert!(found.contains_key("01200") && found.contains_key("zz"), "{:?}", found.keys());
}

/// Names that keys may have, most of them ordinary, some not.
fn key() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        6 => "[ab]{1,2}",
        1 => "[ .~é\u{301}\n&+%]{1,3}",
        1 => prop_oneof![Just(String::new()), Just(".".to_owned()), Just("..".to_owned())],
    ];
    (proptest::collection::vec(segment, 1..4), proptest::bool::weighted(0.1)).prop_map(|(segments, folder)| {
        let key = segments.join("/");
        if folder { key + "/" } else { key }
    })
}

fn trouble() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (0..300u64).prop_map(|after_bytes| FaultKind::Truncate { after_bytes }),
        (0..300u64).prop_map(|after_bytes| FaultKind::Reset { after_bytes }),
        Just(FaultKind::SlowDown),
        Just(FaultKind::InternalError),
        (0..300u64).prop_map(|at| FaultKind::Corrupt { at }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn trees_are_equal_or_what_is_missing_is_told(
        keys in proptest::collection::btree_map(key(), 0..300u64, 1..12),
        faults in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3u64, trouble()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let keys: Vec<(String, u64)> = keys.into_iter().map(|(key, size)| (format!("p/{key}"), size)).collect();
            let named: Vec<(&str, u64)> = keys.iter().map(|(key, size)| (key.as_str(), *size)).collect();
            let plan = faults.iter().map(|(index, at, kind)| {
                let key = index.get(&keys).0.clone();
                Fault::new(key, Requests::At(*at), kind.clone())
            });
            let plan = FaultPlan::new(plan).unwrap();
            let scene = Scene::with(&named, |lab| lab.faults(plan)).await;
            let report: BatchReport = scene.down("p").on_failure(OnFailure::GoOn).await.unwrap();
            let found = on_disk(&scene.folder());
            assert_eq!(report.failures.len() as u64, report.failed);
            // Every file there is an object's, byte for byte, and nothing else is there.
            let mut whole = 0;
            for (name, bytes) in &found {
                if name.ends_with('/') {
                    continue;
                }
                assert_eq!(&scene.lab.object("lab", &format!("p/{name}")).unwrap(), bytes, "{name:?}");
                whole += 1;
            }
            assert_eq!(whole, report.transferred);
            // Every missing one was reported.
            assert_eq!(report.transferred + report.folders + report.failed, keys.len() as u64, "{report:?}");
            let outside: Vec<_> = fs::read_dir(scene.place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(outside.iter().all(|name| name == "folder"), "{outside:?}");
        });
    }
}
