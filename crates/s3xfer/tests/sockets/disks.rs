//! Disks and sinks that fail while a server sends: the network stops with them, and only files that can be continued
//! are left. Tests that need a file system of their own are skipped, with a word, where this process may not mount one.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::wire::{Http, Served};
use s3lab::{NetworkProfile, SyntheticObject};
use s3xfer::{Progress, TransferConfig, TransferErrorKind, WriteAt};
use tempfile::TempDir;

/// Takes some bytes, and then no more.
struct Full {
    room: u64,
    taken: AtomicU64,
}

impl WriteAt for Full {
    fn write_at(&self, _: u64, bytes: &[u8]) -> io::Result<()> {
        match self.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed) >= self.room {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

/// A MiB takes a fifth of a second.
fn slow() -> NetworkProfile {
    NetworkProfile::unlimited().with_connection_mb_per_s(Some(5.0)).unwrap()
}

fn parts_of_256_kib() -> TransferConfig {
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(256 << 10).max_concurrency(4);
    config.validate_checksum(false).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_full_in_the_middle_stops_the_network_at_once() {
    for http in Http::BOTH {
        let scene = Served::new(32 << 20, slow(), None).await;
        let full = Full { room: 2 << 20, taken: AtomicU64::new(0) };
        let client = scene.client(http, parts_of_256_kib());
        let error = client.download("lab", "key").to_write_at(full).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Sink, "{error}");
        scene.assert_quiet().await;
        let stats = scene.lab.stats();
        assert!(stats.bytes_out < 12 << 20, "{stats:?}");
    }
}

/// A file system of its own, unmounted with the value.
struct Mounted {
    folder: TempDir,
}

impl Mounted {
    /// `None`, and a word of why, where this process may not mount.
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                eprintln!("skipped: no file system can be mounted here ({other:?})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a thread of the download may hold a file for a moment.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_the_middle_stops_the_network_and_leaves_the_old_file() {
    let Some(disk) = Mounted::new("size=16m") else { return };
    for resume in [false, true] {
        // Slow enough for somebody else to fill the disk meanwhile, on a busy machine too.
        let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(2.0)).unwrap();
        let scene = Served::new(12 << 20, network, None).await;
        let target = disk.path().join("object.bin");
        fs::write(&target, "old").unwrap();
        let progress = Progress::new();
        let client = scene.client(Http::Ours, parts_of_256_kib());
        let download = client.download("lab", "key").progress(progress.clone()).to_file(&target).resume(resume);
        let download = tokio::spawn(download.into_future());
        while progress.snapshot().written_bytes < 1 << 20 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Another process takes the rest, as far as it goes.
        let other = disk.path().join("other");
        let _ = io::copy(&mut io::repeat(1).take(16 << 20), &mut fs::File::create(&other).unwrap());
        let error = download.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::DiskFull, "{error}");
        assert!(error.to_string().contains("object.bin: cannot write"), "{error}");
        scene.assert_quiet().await;
        assert!(scene.lab.stats().bytes_out < 8 << 20, "{:?}", scene.lab.stats());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        fs::remove_file(&other).unwrap();
        if resume {
            // With room again it goes on.
            let report = client.download("lab", "key").to_file(&target).resume(true).await.unwrap();
            assert!(report.resumed_bytes >= 512 << 10, "{}", report.resumed_bytes);
            SyntheticObject::named("lab", "key", 12 << 20).verify(0, &fs::read(&target).unwrap()).unwrap();
        }
        assert_eq!(names(disk.path()), [target]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_is_told_after_one_request() {
    let Some(disk) = Mounted::new("size=4m") else { return };
    for resume in [false, true] {
        let scene = Served::new(12 << 20, slow(), None).await;
        let target = disk.path().join("object.bin");
        let download =
            scene.client(Http::Ours, parts_of_256_kib()).download("lab", "key").to_file(&target).resume(resume);
        let error = download.await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::DiskFull, "{error}");
        assert!(error.to_string().contains("cannot reserve 12582912 bytes"), "{error}");
        assert_eq!(scene.lab.stats().total(), 1);
        assert!(names(disk.path()).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_told_before_anything_is_asked() {
    let Some(disk) = Mounted::new("ro") else { return };
    for resume in [false, true] {
        let scene = Served::new(1 << 20, slow(), None).await;
        let target = disk.path().join("object.bin");
        let download =
            scene.client(Http::Ours, parts_of_256_kib()).download("lab", "key").to_file(&target).resume(resume);
        let error = download.await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
        assert!(error.to_string().contains("object.bin"), "{error}");
        assert_eq!(scene.lab.stats().total(), 0);
    }
}
