//! Folders below prefixes, prefixes below prefixes, and trees that go up and come down again.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use crate::refusing::{Refusing, Rule, has_checksum};
use crate::scene::{Scene, Tree, on_disk};
use aws_sdk_s3::config::http::HttpRequest;
use futures::TryStreamExt;
use proptest::prelude::*;
use s3lab::{Fault, FaultKind, FaultPlan, Lab, LabBuilder, RequestKind, Requests};
use s3xfer::{BatchItem, Compare, FolderUpload, Globs, ItemError, NameError, OnFailure, Symlinks};

impl Scene {
    async fn new(change: impl FnOnce(LabBuilder) -> LabBuilder) -> Self {
        Self::of(change(Lab::builder().bucket("lab").bucket("other"))).await
    }

    fn plant(&self, tree: &Tree) {
        for (name, bytes) in tree {
            let path = self.folder().join(name);
            match name.ends_with('/') {
                true => fs::create_dir_all(path).unwrap(),
                false => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }

    fn up(&self, prefix: &str) -> FolderUpload {
        self.client.upload_folder(self.folder(), "lab", prefix)
    }

    async fn stored(&self, bucket: &str, prefix: &str) -> Tree {
        let listed: Vec<_> = self.client.list(bucket, prefix).try_collect().await.unwrap();
        let stored = listed.into_iter().map(|object| {
            let bytes = self.lab.object(bucket, &object.key).unwrap();
            (object.key[prefix.len()..].to_owned(), bytes)
        });
        stored.collect()
    }
}

fn tree(names: &[(&str, &str)]) -> Tree {
    names.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_folder_goes_up_whole() {
    let scene = Scene::new(|lab| lab.object("lab", "p/old", "x")).await;
    let all = tree(&[("a", "1"), ("b/c d", "22"), ("b/é", ""), ("empty/", "")]);
    scene.plant(&all);
    let report = scene.up("p").await.unwrap();
    assert_eq!((report.transferred, report.folders, report.bytes), (3, 1, 3));
    let mut expected = all.clone();
    expected.insert("old".to_owned(), b"x".to_vec());
    assert_eq!(scene.stored("lab", "p/").await, expected);

    let report = scene.up("p").sync(Compare::SizeAndTime).delete(true).await.unwrap();
    assert_eq!((report.transferred, report.unchanged, report.deleted), (0, 4, 1), "{report:?}");
    assert_eq!(scene.stored("lab", "p/").await, all);
    // Another content of the same size and an older time.
    fs::write(scene.folder().join("a"), "2").unwrap();
    let old = fs::File::options().write(true).open(scene.folder().join("a")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(scene.up("p").sync(Compare::SizeAndTime).await.unwrap().transferred, 0);
    assert_eq!(scene.up("p").sync(Compare::Checksum).dry_run(true).await.unwrap().transferred, 1);
    assert_eq!(scene.up("p").sync(Compare::Checksum).await.unwrap().transferred, 1);
    assert_eq!(scene.lab.object("lab", "p/a").unwrap(), b"2");
    let report = scene.up("q").empty_folders(false).globs(Globs::new().exclude("b/*")).await.unwrap();
    assert_eq!((report.transferred, report.folders), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_file_is_left_out_or_followed() {
    let scene = Scene::new(|lab| lab.object("lab", "p/link/x", "kept").object("lab", "p/gone", "x")).await;
    scene.plant(&tree(&[("a", "1")]));
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x"), "outside").unwrap();
    symlink(outside.path(), scene.folder().join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.folder().join("socket")).unwrap();
    let report = scene.up("p").delete(true).await.unwrap();
    assert_eq!((report.transferred, report.left_out, report.deleted), (1, 2, 1));
    // Names below a link that is not followed are not missing.
    assert_eq!(scene.stored("lab", "p/").await, tree(&[("a", "1"), ("link/x", "kept")]));
    scene.up("p").symlinks(Symlinks::Follow).await.unwrap();
    assert_eq!(scene.stored("lab", "p/").await, tree(&[("a", "1"), ("link/x", "outside")]));
}

#[tokio::test(start_paused = true)]
async fn names_below_what_is_not_listed_stay_whatever_the_globs_say() {
    let keys = ["p/link/x.txt", "p/old.txt", "p/round/a.txt"];
    let scene = Scene::new(|lab| keys.iter().fold(lab, |lab, key| lab.object("lab", *key, "kept"))).await;
    scene.plant(&tree(&[("a.txt", "1")]));
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), scene.folder().join("link")).unwrap();
    symlink(".", scene.folder().join("round")).unwrap();
    let up = || scene.up("p").delete(true).globs(Globs::new().exclude("*").include("*.txt"));
    let report = up().await.unwrap();
    assert_eq!((report.transferred, report.left_out, report.deleted), (1, 0, 1), "{report:?}");
    let all = tree(&[("a.txt", "1"), ("link/x.txt", "kept"), ("round/a.txt", "kept")]);
    assert_eq!(scene.stored("lab", "p/").await, all);

    // A link that is followed in a circle is told, for some of the wanted files may be behind it.
    fs::remove_file(scene.folder().join("link")).unwrap();
    let follow = || up().symlinks(Symlinks::Follow).on_failure(OnFailure::GoOn);
    let report = follow().await.unwrap();
    assert_eq!((report.transferred, report.failed, report.deleted), (1, 1, 1), "{report:?}");
    assert!(matches!(&report.failures[0], ItemError::Unlisted { .. }), "{report:?}");
    assert_eq!(scene.stored("lab", "p/").await, tree(&[("a.txt", "1"), ("round/a.txt", "kept")]));
    // Here none of them can be.
    let report = follow().globs(Globs::new().exclude("round/*")).await.unwrap();
    assert_eq!((report.failed, report.deleted), (0, 0), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn files_that_downloads_have_not_finished_stay_here() {
    let scene = Scene::new(|lab| lab.object("lab", "p/.a.s3xfer", "kept")).await;
    scene.plant(&tree(&[("b/.c.s3xfer-journal", "1"), (".a.s3xfer", "2"), (".s3xfer-upload-notes", "3")]));
    fs::write(scene.folder().join(".s3xfer-upload-0123456789abcdef"), "a journal").unwrap();
    let report = scene.up("p").delete(true).await.unwrap();
    assert_eq!((report.transferred, report.left_out, report.deleted), (1, 2, 0), "{report:?}");
    assert_eq!(scene.stored("lab", "p/").await, tree(&[(".a.s3xfer", "kept"), (".s3xfer-upload-notes", "3")]));
}

#[tokio::test(start_paused = true)]
async fn a_folders_own_object_stays_while_the_folder_is_there() {
    let keys = ["p/", "p/b/", "p/b/c/", "p/gone/"];
    let scene = Scene::new(|lab| keys.iter().fold(lab, |lab, key| lab.object("lab", *key, ""))).await;
    scene.plant(&tree(&[("b/c/d", "1")]));
    let report = scene.up("p").sync(Compare::SizeAndTime).delete(true).await.unwrap();
    assert_eq!((report.transferred, report.deleted), (1, 1), "{report:?}");
    let all = tree(&[("", ""), ("b/", ""), ("b/c/", ""), ("b/c/d", "1")]);
    assert_eq!(scene.stored("lab", "p/").await, all);
    // Between two prefixes it is an object like others.
    scene.client.upload(vec![1], "other", "q/b/d").await.unwrap();
    let report = scene.client.copy_prefix("other", "q", "lab", "p").delete(true).await.unwrap();
    assert_eq!((report.transferred, report.deleted), (1, 3), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn names_that_are_no_keys_fail_and_the_others_go() {
    let scene = Scene::new(|lab| lab).await;
    scene.plant(&tree(&[("a", "1")]));
    fs::write(scene.folder().join(std::ffi::OsStr::from_bytes(b"b\xff")), "x").unwrap();
    let report = scene.up("p").on_failure(OnFailure::GoOn).await.unwrap();
    assert_eq!((report.transferred, report.failed), (1, 1));
    assert!(matches!(&report.failures[0], ItemError::Name { source: NameError::NotUtf8, .. }), "{report:?}");
    let long = scene.up(&"p".repeat(1023)).on_failure(OnFailure::GoOn).await.unwrap();
    assert!(long.failures[0].to_string().contains("ppp"), "{long:?}");
    let gone = scene.client.upload_folder(scene.place.path().join("gone"), "lab", "p").delete(true).await;
    assert!(gone.unwrap_err().to_string().contains("cannot list the folder"));
    assert_eq!(scene.stored("lab", "p/").await, tree(&[("a", "1")]));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_leaves_nothing_half_made() {
    let broken = Fault { on: RequestKind::PutObject, ..Fault::new("p/b", Requests::Every, FaultKind::InternalError) };
    let scene = Scene::new(|lab| lab.faults(FaultPlan::new([broken]).unwrap())).await;
    scene.plant(&tree(&[("a", "1"), ("b", "2"), ("c", "3")]));
    let report = scene.up("p").on_failure(OnFailure::GoOn).await.unwrap();
    assert_eq!((report.transferred, report.failed), (2, 1), "{report:?}");
    assert_eq!(scene.stored("lab", "p/").await, tree(&[("a", "1"), ("c", "3")]));
    let error = scene.up("q").per_object(|upload| upload.if_absent()).await;
    assert!(error.is_ok(), "{error:?}");
    let error = scene.up("q").per_object(|upload| upload.if_absent()).await.unwrap_err();
    assert!(error.to_string().contains("s3://lab/q/"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_is_copied_and_kept_in_step() {
    let keys = [("p/a", 5), ("p/b//c", 6), ("p/empty/", 0), ("p/../d", 7)];
    let fill = |lab: LabBuilder| keys.iter().fold(lab, |lab, (key, size)| lab.synthetic("lab", *key, *size));
    let scene = Scene::new(|lab| fill(lab).object("other", "q/old", "x")).await;
    let copy = || scene.client.copy_prefix("lab", "p", "other", "q");
    let report = copy().delete(true).await.unwrap();
    assert_eq!((report.transferred, report.folders, report.deleted), (3, 1, 1), "{report:?}");
    // S3 has all of these names, so a copy keeps them.
    assert_eq!(scene.stored("other", "q/").await, scene.stored("lab", "p/").await);
    let report = copy().sync(Compare::SizeAndTime).delete(true).await.unwrap();
    assert_eq!((report.transferred, report.unchanged, report.deleted), (0, 4, 0));
    assert_eq!(copy().sync(Compare::Checksum).await.unwrap().unchanged, 4);
    for (source, target) in [("p", "p"), ("p", "p/x"), ("p/x", "p"), ("", "p")] {
        let error = scene.client.copy_prefix("lab", source, "lab", target).await.unwrap_err();
        assert!(matches!(error.error, ItemError::Overlap { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefixs_own_object_is_left_out_where_no_key_is_left_for_it() {
    let scene = Scene::new(|lab| lab.object("lab", "p/", "").object("lab", "p/a", "1")).await;
    let report = scene.client.copy_prefix("lab", "p", "other", "").delete(true).await.unwrap();
    assert_eq!((report.transferred, report.left_out), (1, 1), "{report:?}");
    assert_eq!(scene.stored("other", "").await, tree(&[("a", "1")]));
}

#[tokio::test(start_paused = true)]
async fn deletions_that_fail_together_are_all_told() {
    // Bulk deletes name no key.
    let broken = Fault { on: RequestKind::Other, ..Fault::new("", Requests::Every, FaultKind::InternalError) };
    let keys = ["p/a", "p/b", "p/c"];
    let fill = |lab: LabBuilder| keys.iter().fold(lab, |lab, key| lab.object("lab", *key, "1"));
    let scene = Scene::new(|lab| fill(lab).faults(FaultPlan::new([broken]).unwrap())).await;
    fs::create_dir(scene.folder()).unwrap();
    let told = Arc::new(Mutex::new(0));
    let each = {
        let told = told.clone();
        move |_: &BatchItem| *told.lock().unwrap() += 1
    };
    let error = scene.up("p").delete(true).on_each(each).await.unwrap_err();
    assert!(matches!(&error.error, ItemError::NotDeleted { key, .. } if key == "p/a"), "{error}");
    assert_eq!((*told.lock().unwrap(), error.report.failed), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn objects_are_deleted_by_servers_that_do_not_take_every_deletion() {
    fn is_deletion(request: &HttpRequest) -> bool {
        request.method() == "POST" && request.uri().contains("delete")
    }

    // Older servers and gateways want the MD5; others know no CRC32 there, or no deletion of many.
    let lacks_md5: Rule = |request| {
        let lacks = is_deletion(request) && !request.headers().contains_key("content-md5");
        lacks.then_some((400, "MissingContentMD5", "Missing required header for this request: Content-MD5"))
    };
    let has_crc: Rule = |request| {
        let says = "Unsupported header 'x-amz-checksum-crc32' received for this API call.";
        (is_deletion(request) && has_checksum(request)).then_some((400, "InvalidArgument", says))
    };
    let has_many: Rule = |request| is_deletion(request).then_some((405, "MethodNotAllowed", "not allowed"));
    for (rule, refused) in [(lacks_md5, 0), (has_crc, 1), (has_many, 1)] {
        let mut scene = Scene::new(|lab| lab.object("lab", "p/a", "1").object("lab", "p/b c", "2")).await;
        fs::create_dir(scene.folder()).unwrap();
        let refusing = Refusing::new(scene.lab.http_client(), rule);
        scene.client = Scene::client(&scene.lab, refusing.clone()).await;
        let report = scene.up("p").delete(true).await.unwrap();
        assert_eq!((report.deleted, refusing.refused()), (2, refused), "{report:?}");
        assert_eq!(scene.stored("lab", "").await, Tree::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_xml_cannot_carry_spoils_no_deletion() {
    let keys = ["p/\u{1}x", "p/y", "p/z\u{ffff}"];
    let scene = Scene::new(|lab| keys.iter().fold(lab, |lab, key| lab.object("lab", *key, "1"))).await;
    fs::create_dir(scene.folder()).unwrap();
    let report = scene.up("p").delete(true).await.unwrap();
    assert_eq!((report.deleted, report.failed), (3, 0), "{report:?}");
    assert_eq!(scene.stored("lab", "").await, Tree::new());
}

/// Names that a file system has, some of them odd.
fn name() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => "[ab]{1,2}",
        1 => "[A-C]",
        2 => "[ ~é\u{301}\u{1f600}\n&+%'\"\\\\<>#?]{1,4}",
        1 => Just("n".repeat(200)),
    ];
    (proptest::collection::vec(segment, 1..4), proptest::bool::weighted(0.15)).prop_map(|(segments, folder)| {
        let name = segments.join("/");
        if folder { name + "/" } else { name }
    })
}

/// A tree that a file system can have: no name is a file and a folder, no folder that is told to be empty has anything.
fn planted() -> impl Strategy<Value = Tree> {
    proptest::collection::btree_map(name(), proptest::collection::vec(any::<u8>(), 0..60), 1..10).prop_map(|all| {
        let mut tree = Tree::new();
        for (name, bytes) in all {
            let path = name.trim_end_matches('/');
            let clashes = tree.keys().any(|other: &String| {
                let other_path = other.trim_end_matches('/');
                let below = |one: &str, other: &str| one == other || one.starts_with(&format!("{other}/"));
                below(path, other_path) || below(other_path, path)
            });
            if !clashes {
                let bytes = if name.ends_with('/') { Vec::new() } else { bytes };
                tree.insert(name, bytes);
            }
        }
        tree
    })
}

fn trouble() -> impl Strategy<Value = (RequestKind, FaultKind)> {
    let kind = prop_oneof![
        (0..60u64).prop_map(|after_bytes| FaultKind::Reset { after_bytes }),
        Just(FaultKind::SlowDown),
        Just(FaultKind::InternalError),
    ];
    (prop_oneof![Just(RequestKind::GetObject), Just(RequestKind::PutObject), Just(RequestKind::ListObjects)], kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_that_went_up_comes_down_or_what_is_missing_is_told(
        tree in planted(),
        faults in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3u64, trouble()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let names: Vec<&String> = tree.keys().collect();
            let plan = faults.into_iter().map(|(index, at, (on, kind))| {
                let key = if on == RequestKind::ListObjects { String::new() } else { format!("p/{}", index.get(&names)) };
                Fault { on, ..Fault::new(key, Requests::At(at), kind) }
            });
            let plan = FaultPlan::new(plan).unwrap();
            let scene = Scene::new(|lab| lab.faults(plan)).await;
            scene.plant(&tree);
            let up = scene.up("p").on_failure(OnFailure::GoOn).await.unwrap();
            let stored = scene.stored("lab", "p/").await;
            for (name, bytes) in &stored {
                assert_eq!(tree.get(name), Some(bytes), "{name:?}");
            }
            assert_eq!(stored.len() as u64 + up.failed, tree.len() as u64, "{up:?}");
            assert!(scene.lab.uploads("lab").is_empty());

            let back = scene.place.path().join("back");
            let down = scene.client.download_prefix("lab", "p", &back).on_failure(OnFailure::GoOn).await.unwrap();
            let found = on_disk(&back);
            for (name, bytes) in &found {
                // A folder whose files all failed is empty.
                assert!(stored.get(name) == Some(bytes) || name.ends_with('/') && down.failed > 0, "{name:?}");
            }
            let files = |tree: &Tree| tree.keys().filter(|name| !name.ends_with('/')).count() as u64;
            assert_eq!(files(&found), down.transferred);
            assert_eq!(files(&stored) + down.folders, down.transferred + down.folders + down.failed, "{down:?}");
            if up.failed + down.failed == 0 {
                assert_eq!(found, tree);
            }
        });
    }
}
