//! The choice of the journal with which a download goes on, and the order in which the disk is asked: a whole download
//! against a lab in this process, with the steps in its folder watched, and made to fail.

use std::fs;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use rustix::io::Errno;
use s3lab::{Lab, SyntheticObject};
use tempfile::TempDir;

use super::*;
use crate::doors::disk::{Call, Watch};
use crate::engine::client::Client;
use crate::words::checkpoint::tests::checkpoint;
use crate::words::config::TransferConfig;
use crate::words::object::ObjectAddress;

/// More than is synced at once, so that there are syncs in the middle.
const SIZE: u64 = 3 << 20;

/// An object of so many bytes, a folder to download it to, and the steps that are taken there.
struct Scene {
    client: Client,
    folder: TempDir,
    watch: Arc<Watch>,
}

impl Scene {
    fn new(use_threads: bool) -> Self {
        let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).build().unwrap();
        let sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(Lab::ENDPOINT)
            .force_path_style(true)
            .region(Region::new(lab.region().to_owned()))
            .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "test"))
            .http_client(lab.http_client())
            .build();
        let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(256 << 10);
        let config = config.use_threads(use_threads).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::over(folder.path());
        Self { client: Client::new(aws_sdk_s3::Client::from_conf(sdk)).with_config(config), folder, watch }
    }

    async fn download(&self, resume: bool, durability: Durability) -> Result<TransferReport, TransferError> {
        let target = self.folder.path().join("object");
        self.client.download("lab", "key").to_file(target).resume(resume).durability(durability).await
    }

    /// Has a download of a range broken off when some of its parts are there.
    async fn leave_some(&self, range: &Range<u64>) {
        let range = if *range == (0..SIZE) { ByteRange::WHOLE } else { ByteRange::of(range.clone()) };
        let target = self.folder.path().join("object");
        let mut download = self.client.download("lab", "key");
        download.order.object.range = range;
        self.watch.fail_once(Call::Unmark, Errno::IO);
        download.to_file(target).resume(true).await.unwrap_err();
        assert!(self.names().contains(&".object.s3xfer-journal".to_owned()), "{:?}", self.names());
    }

    fn assert_whole(&self) {
        assert_eq!(self.names(), ["object"]);
        let bytes = fs::read(self.folder.path().join("object")).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        SyntheticObject::named("lab", "key", SIZE).verify(0, &bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Whether the file was to have no name before the target's.
    fn is_unnamed(&self) -> bool {
        StagedFile::create(&self.folder.path().join("other")).unwrap().closes_at_once()
    }
}

#[tokio::test]
async fn a_file_is_closed_before_it_gets_its_name_and_nothing_waits_for_the_device() {
    for use_threads in [true, false] {
        let scene = Scene::new(use_threads);
        scene.download(false, Durability::PageCache).await.unwrap();
        let steps = scene.watch.steps();
        assert!(steps.ends_with(&[Call::Close, Call::Publish]), "{steps:?}");
        assert!(!steps.contains(&Call::SyncData) && !steps.contains(&Call::SyncFolder), "{steps:?}");
        let last_write = scene.watch.seen().iter().rposition(|call| *call == Call::Write);
        assert!(last_write < scene.watch.seen().iter().position(|call| *call == Call::Close));
        scene.assert_whole();
    }
}

#[tokio::test]
async fn a_synced_file_is_synced_after_its_last_byte_and_its_name_after_it_has_it() {
    for use_threads in [true, false] {
        let scene = Scene::new(use_threads);
        let unnamed = scene.is_unnamed();
        scene.download(false, Durability::Synced).await.unwrap();
        let of_the_name: &[Call] = if unnamed { &[Call::SyncData, Call::SyncFolder] } else { &[Call::SyncFolder] };
        let wanted = [&[Call::SyncData, Call::Close, Call::Publish], of_the_name].concat();
        assert!(scene.watch.steps().ends_with(&wanted), "{:?}", scene.watch.steps());
        let last_write = scene.watch.seen().iter().rposition(|call| *call == Call::Write);
        assert!(last_write < scene.watch.seen().iter().position(|call| *call == Call::SyncData));
        scene.assert_whole();
    }
}

#[tokio::test]
async fn a_file_that_can_be_continued_loses_its_mark_before_it_is_synced_and_its_journal_after_it_has_its_name() {
    for use_threads in [true, false] {
        let scene = Scene::new(use_threads);
        scene.download(true, Durability::Synced).await.unwrap();
        let end = [Call::SyncData, Call::Close, Call::Publish, Call::RemoveJournal, Call::SyncFolder];
        let steps = scene.watch.steps();
        assert!(steps.ends_with(&[&[Call::Unmark], &end[..]].concat()), "{steps:?}");
        let in_the_middle = [Call::SyncData, Call::SyncJournal, Call::SyncFolder];
        let middle: Vec<Call> = steps.iter().copied().skip(2).take_while(|call| *call != Call::Unmark).collect();
        assert!(middle.starts_with(&in_the_middle), "{steps:?}");
        scene.assert_whole();
    }
}

#[tokio::test]
async fn the_runtime_s_thread_never_waits_for_the_device_unless_there_is_no_other() {
    for resume in [false, true] {
        for use_threads in [true, false] {
            let scene = Scene::new(use_threads);
            // The same object, with a journal that another one replaces; then another object, whose journal goes.
            for range in [0..SIZE, 5..SIZE] {
                if resume {
                    scene.leave_some(&range).await;
                }
                scene.download(resume, Durability::Synced).await.unwrap();
            }
            let waits = [Call::SyncData, Call::SyncJournal, Call::SyncFolder];
            let waited = scene.watch.by_this_thread().iter().any(|call| waits.contains(call));
            assert_eq!(waited, !use_threads, "resume: {resume}");
        }
    }
}

#[tokio::test]
async fn a_device_that_fails_while_parts_are_still_coming_fails_the_download_however_late_it_says_so() {
    for use_threads in [true, false] {
        for durability in [Durability::PageCache, Durability::Synced] {
            let scene = Scene::new(use_threads);
            fs::write(scene.folder.path().join("object"), "old").unwrap();
            // The first sync of several; those after it succeed, as the kernel's do.
            scene.watch.fail_once(Call::SyncData, Errno::IO);
            let error = scene.download(true, durability).await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
            assert_eq!(fs::read(scene.folder.path().join("object")).unwrap(), b"old");
            assert_eq!(scene.download(true, durability).await.unwrap().resumed_bytes, 0, "nothing was kept");
            scene.assert_whole();
        }
    }
}

#[tokio::test]
async fn what_only_close_or_the_last_sync_tells_is_told_and_nothing_is_published_or_kept() {
    for use_threads in [true, false] {
        for resume in [false, true] {
            for (call, durability) in [(Call::Close, Durability::PageCache), (Call::SyncData, Durability::Synced)] {
                for (errno, kind) in [(Errno::DQUOT, TransferErrorKind::DiskFull), (Errno::IO, TransferErrorKind::Disk)]
                {
                    let scene = Scene::new(use_threads);
                    scene.watch.fail_once(call, errno);
                    let error = scene.download(resume, durability).await.unwrap_err();
                    assert_eq!(error.kind(), kind, "{error}");
                    assert!(!scene.folder.path().join("object").exists());
                    assert_eq!(scene.download(resume, durability).await.unwrap().resumed_bytes, 0);
                    scene.assert_whole();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_the_device_does_not_take_is_told() {
    for use_threads in [true, false] {
        for resume in [false, true] {
            let scene = Scene::new(use_threads);
            // A single part has no journal, so there is one sync of the folder.
            let config = scene.client.shared.config.to_builder().multipart_chunksize(SIZE).build().unwrap();
            let client = scene.client.clone().with_config(config);
            scene.watch.fail_once(Call::SyncFolder, Errno::IO);
            let target = scene.folder.path().join("object");
            let download = client.download("lab", "key").to_file(target).resume(resume).durability(Durability::Synced);
            let error = download.await.unwrap_err();
            assert!(error.to_string().ends_with("make sure that its new name is on the device"), "{error}");
        }
    }
}

#[tokio::test]
async fn where_there_are_no_locks_a_download_that_was_to_be_continued_runs_all_the_same() {
    let scene = Scene::new(true);
    scene.watch.fail_once(Call::Lock, Errno::NOSYS);
    assert_eq!(scene.download(true, Durability::PageCache).await.unwrap().bytes, SIZE);
    scene.assert_whole();
}

#[test]
fn a_journal_is_gone_on_with_for_the_very_bytes_it_is_of() {
    let text = str::to_owned;
    let saved = Checkpoint { version_id: Some(text("v1")), range: Some(5..50), ..checkpoint() };
    let address = ObjectAddress { bucket: saved.bucket.clone(), key: saved.key.clone() };
    let object = ObjectRequest {
        version_id: Some(text("v1")),
        range: ByteRange::of(5..50),
        ..ObjectRequest::new(address.clone())
    };
    assert!(is_of(&saved, &object));
    for other in [
        ObjectRequest { version_id: Some(text("v2")), ..object.clone() },
        ObjectRequest { version_id: None, ..object.clone() },
        ObjectRequest { range: ByteRange::of(5..51), ..object.clone() },
        ObjectRequest { range: ByteRange::WHOLE, ..object.clone() },
        ObjectRequest { address: ObjectAddress { key: text("other"), ..address.clone() }, ..object.clone() },
        ObjectRequest { address: ObjectAddress { bucket: text("other"), ..address }, ..object.clone() },
    ] {
        assert!(!is_of(&saved, &other), "{other:?}");
    }
    for unusable in [
        Checkpoint { e_tag: None, ..saved.clone() },
        Checkpoint { first_bytes: 0, ..saved.clone() },
        Checkpoint { part_bytes: 0, ..saved },
    ] {
        assert!(!is_of(&unusable, &object), "{unusable:?}");
    }
}
