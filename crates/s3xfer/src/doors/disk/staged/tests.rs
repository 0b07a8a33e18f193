//! Staged files of all kinds: the files under each name at each moment.

use std::fs;
use std::io::Read;
use std::mem;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicU32;
use std::thread;

use bytes::Bytes;

use super::*;
use crate::doors::disk::Watch;
use crate::words::durability::Durability;
use crate::words::piece::Piece;

/// A file that can be continued, where nothing is in its way.
fn resumable(target: &Path) -> Result<StagedFile, TransferError> {
    match StagedFile::resumable(target)? {
        Claimed::Ours(staged) => Ok(staged),
        other => panic!("{other:?}"),
    }
}

type Make = fn(&Path) -> Result<StagedFile, TransferError>;

/// As on a system that has no files without a name.
fn named(target: &Path) -> Result<StagedFile, TransferError> {
    let place = Arc::new(Place::of(target)?);
    let (file, name) = place.fresh().map_err(|source| place.error(DiskAction::Create, source))?;
    Ok(StagedFile::new(file, place, name))
}

const KINDS: [(&str, Make); 3] = [("create", StagedFile::create), ("named", named), ("resumable", resumable)];

fn write(staged: &StagedFile, bytes: &'static [u8]) {
    staged.open_file().write(&Piece { offset: 0, frames: vec![Bytes::from_static(bytes)] }).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The files of a killed process, without a lock.
fn leave_a_pair(folder: &Path) {
    fs::write(folder.join(".object.s3xfer"), "stale").unwrap();
    fs::write(folder.join(".object.s3xfer-journal"), "stale").unwrap();
    fs::write(folder.join(".object.s3xfer-journal-new"), "stale").unwrap();
}

#[test]
fn a_file_appears_whole_over_nothing_and_over_another() {
    for (kind, make) in KINDS {
        for durability in [Durability::PageCache, Durability::Synced] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("object");
            for bytes in [&b"first"[..], b"second"] {
                let staged = make(&target).unwrap();
                write(&staged, bytes);
                let before = File::open(&target);
                if durability == Durability::Synced {
                    staged.open_file().sync_data().unwrap();
                }
                let published = staged.publish().unwrap();
                if durability == Durability::Synced {
                    published.sync().unwrap();
                }
                assert_eq!(fs::read(&target).unwrap(), bytes, "{kind}");
                assert_eq!(names(folder.path()), ["object"], "{kind}");
                if let Ok(mut before) = before {
                    let mut seen = String::new();
                    before.read_to_string(&mut seen).unwrap();
                    assert_eq!(seen, "first", "{kind}: who has the old file keeps it");
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_not_published_is_removed_and_the_old_one_kept() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        fs::write(&target, "old").unwrap();
        let staged = make(&target).unwrap();
        staged.open_file().reserve(1000).unwrap();
        drop(staged);
        assert_eq!(fs::read(&target).unwrap(), b"old", "{kind}");
        assert_eq!(names(folder.path()), ["object"], "{kind}");
    }
}

#[test]
fn a_copy_of_the_open_file_does_not_hold_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    leave_a_pair(folder.path());
    let staged = resumable(&target).unwrap();
    // A program that another thread starts has one for a moment.
    let copy = staged.file.file.try_clone().unwrap();
    drop(staged);
    resumable(&target).unwrap();
    drop(copy);
}

#[test]
fn a_file_without_a_name_leaves_nothing_though_nobody_drops_it() {
    let folder = tempfile::tempdir().unwrap();
    let staged = StagedFile::create(&folder.path().join("object")).unwrap();
    if staged.name != Name::None {
        eprintln!("skipped: {} has no files without a name", folder.path().display());
        return;
    }
    write(&staged, b"bytes");
    assert_eq!(names(folder.path()), [""; 0], "and has nothing while it is written");
    mem::forget(staged);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn the_longest_name_still_leaves_room_for_the_temporary_ones() {
    for (kind, make) in KINDS {
        for name in ["n".repeat(255), "é".repeat(127), "日".repeat(85), format!("{}é", "n".repeat(253))] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join(&name);
            for _ in 0..2 {
                make(&target).unwrap().publish().unwrap();
                assert_eq!(names(folder.path()), [&*name], "{kind}");
            }
        }
    }
}

#[test]
fn a_target_that_cannot_be_a_file_is_refused_and_leaves_nothing() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        for target in
            [folder.path(), &folder.path().join("missing/x"), Path::new("/"), Path::new(""), Path::new("/dev/null")]
        {
            let error = make(target).unwrap_err();
            assert!(matches!(error, TransferError::Disk { .. }), "{kind}: {error}");
        }
        assert_eq!(names(folder.path()), [""; 0], "{kind}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_known_before_a_byte_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    // Permissions do not stop root, but nobody makes a file in the kernel's own.
    let target = if is_root { Path::new("/sys/kernel/object").to_owned() } else { closed.join("object") };
    for (kind, make) in KINDS {
        let error = make(&target).unwrap_err();
        assert!(error.to_string().ends_with(&format!("cannot {}", DiskAction::Create)), "{kind}: {error}");
    }
}

#[test]
fn a_new_file_has_the_permissions_of_any_new_file() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let [target, ordinary] = ["object", "ordinary"].map(|name| folder.path().join(name));
        fs::write(&ordinary, "").unwrap();
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        make(&target).unwrap().publish().unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&target), mode(&ordinary), "{kind}");
    }
}

#[test]
fn a_link_is_written_through() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::write(there.join("file"), "old").unwrap();
        symlink("there/file", folder.path().join("link")).unwrap();
        let staged = make(&folder.path().join("link")).unwrap();
        write(&staged, b"new");
        assert_eq!(names(folder.path()), ["link", "there"], "{kind}: it is staged in the file's folder");
        staged.publish().unwrap();
        assert!(fs::symlink_metadata(folder.path().join("link")).unwrap().is_symlink(), "{kind}");
        assert_eq!((fs::read(there.join("file")).unwrap(), names(&there)), (b"new".to_vec(), vec!["file".to_owned()]));

        symlink("nowhere", folder.path().join("dangling")).unwrap();
        let error = make(&folder.path().join("dangling")).unwrap_err().to_string();
        assert!(error.contains("its target nowhere does not exist"), "{kind}: {error}");
    }
}

#[test]
fn what_an_earlier_download_left_is_gone_after_the_next() {
    for (kind, make) in KINDS {
        for over in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("object");
            if over {
                fs::write(&target, "old").unwrap();
            }
            leave_a_pair(folder.path());
            make(&target).unwrap().publish().unwrap();
            assert_eq!(names(folder.path()), ["object"], "{kind}");
            // The journal, where there is one, decides the use of bytes that are there.
            let expected = if kind == "resumable" { "stale" } else { "" };
            assert_eq!(fs::read_to_string(&target).unwrap(), expected, "{kind}");

            // Killed between renaming and removing the journal.
            fs::write(folder.path().join(".object.s3xfer-journal"), "stale").unwrap();
            make(&target).unwrap().publish().unwrap();
            assert_eq!(names(folder.path()), ["object"], "{kind}");
        }
    }
}

#[test]
fn what_another_download_is_writing_is_left_alone() {
    for (kind, make) in &KINDS[..2] {
        for over in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("object");
            if over {
                fs::write(&target, "old").unwrap();
            }
            let living = resumable(&target).unwrap();
            fs::write(folder.path().join(".object.s3xfer-journal"), "living").unwrap();
            write(&living, b"living");
            let other = make(&target).unwrap();
            write(&other, b"other");
            other.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"other", "{kind}");
            assert_eq!(names(folder.path()), [".object.s3xfer", ".object.s3xfer-journal", "object"], "{kind}");
            living.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"living", "{kind}");
            assert_eq!(names(folder.path()), ["object"], "{kind}");
        }
    }
}

#[test]
fn a_download_that_was_dropped_is_told_from_one_that_is_running_until_its_last_handle_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let first = resumable(&target).unwrap();
    first.place().keep(true);
    let writer = first.open_file();
    resumable(&target).unwrap_err();
    drop(first);
    assert!(matches!(StagedFile::resumable(&target), Ok(Claimed::Leaving)));
    drop(writer);
    let second = resumable(&target).unwrap();
    resumable(&target).expect_err("the second one is running");
    drop(second);
}

#[test]
fn a_second_download_that_would_go_on_with_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let first = resumable(&target).unwrap();
    let error = resumable(&target).unwrap_err();
    assert!(error.to_string().contains("another download into it is running"), "{error}");
    let writer = first.open_file();
    drop(first);
    // Its late bytes go into a file that has no name any more.
    let second = resumable(&target).unwrap();
    drop(writer);
    assert_eq!(names(folder.path()), [".object.s3xfer"]);
    drop(second);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_file_that_is_kept_is_not_given_to_the_next_as_long_as_somebody_may_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let first = resumable(&target).unwrap();
    first.place.keep(true);
    let writer = first.open_file();
    drop(first);
    assert!(matches!(StagedFile::resumable(&target), Ok(Claimed::Leaving)));
    drop(writer);
    resumable(&target).unwrap();
}

#[test]
fn nobody_has_a_file_that_another_has_whatever_is_published_and_removed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (target, inside) = (&target, &inside);
            scope.spawn(move || {
                for round in 0..500 {
                    if worker == 0 {
                        StagedFile::create(target).unwrap().publish().unwrap();
                        continue;
                    }
                    let Ok(Claimed::Ours(staged)) = StagedFile::resumable(target) else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    assert!(staged.place.folder.is(&staged.file.file, &staged.place.names.data).unwrap());
                    inside.fetch_sub(1, Ordering::SeqCst);
                    match round % 2 {
                        0 => drop(staged.publish().unwrap()),
                        _ => staged.discard(),
                    }
                }
            });
        }
    });
    // Meanwhile all of them may have come too late; one alone does not.
    resumable(&target).unwrap();
    assert_eq!(names(folder.path()), ["object"]);
}

#[test]
fn what_somebody_put_under_the_temporary_name_is_not_followed() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let [target, victim] = ["object", "victim"].map(|name| folder.path().join(name));
        fs::write(&victim, "precious").unwrap();
        symlink("victim", folder.path().join(".object.s3xfer")).unwrap();
        match make(&target) {
            Ok(staged) => {
                write(&staged, b"bytes");
                staged.publish().unwrap();
                assert_eq!(fs::read(&target).unwrap(), b"bytes", "{kind}");
            }
            Err(error) => assert_eq!(kind, "resumable", "{error}"),
        }
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{kind}");
        assert!(names(folder.path()).contains(&".object.s3xfer".to_owned()), "{kind}: it is not ours to remove");
    }
}

#[test]
fn bytes_are_not_thrown_away_before_the_journal_that_speaks_of_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".object.s3xfer"), "stale").unwrap();
    // A folder cannot be removed as a file.
    fs::create_dir(folder.path().join(".object.s3xfer-journal")).unwrap();
    drop(named(&folder.path().join("object")).unwrap());
    assert_eq!(fs::read(folder.path().join(".object.s3xfer")).unwrap(), b"stale");
}

#[test]
fn what_another_user_left_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let [target, other] = ["object", ".object.s3xfer"].map(|name| folder.path().join(name));
    fs::write(&other, "theirs").unwrap();
    if std::os::unix::fs::chown(&other, Some(1), None).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let error = resumable(&target).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it belongs to another user");
    for make in [StagedFile::create, named] {
        make(&target).unwrap().publish().unwrap();
        assert_eq!((fs::read(&target).unwrap(), fs::read(&other).unwrap()), (vec![], b"theirs".to_vec()));
    }
    assert_eq!(names(folder.path()), [".object.s3xfer", "object"]);
}

#[test]
fn what_took_the_temporary_name_meanwhile_is_neither_published_nor_removed() {
    for (kind, make) in &KINDS[1..] {
        let folder = tempfile::tempdir().unwrap();
        let staged = make(&folder.path().join("object")).unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "precious").unwrap();
        fs::rename(&other, folder.path().join(".object.s3xfer")).unwrap();
        let error = staged.publish().unwrap_err();
        assert!(matches!(error, TransferError::Disk { .. }), "{kind}: {error}");
        assert_eq!(names(folder.path()), [".object.s3xfer"], "{kind}");
        assert_eq!(fs::read(folder.path().join(".object.s3xfer")).unwrap(), b"precious", "{kind}");
    }
}

#[test]
fn a_file_is_continued_with_what_is_in_it_unless_it_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let staged = resumable(&target).unwrap();
    write(&staged, b"begun");
    staged.place.keep(true);
    drop(staged);
    let staged = resumable(&target).unwrap();
    assert_eq!(staged.open_file().len().unwrap(), 5);
    staged.place.keep(true);
    staged.discard();
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_journal_that_nobody_has_looked_at_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    leave_a_pair(folder.path());
    drop(resumable(&folder.path().join("object")).unwrap());
    assert_eq!(names(folder.path()).len(), 3);
}

#[test]
fn a_file_that_has_another_name_as_well_is_not_written_through() {
    for (kind, make) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let [target, data, victim] = ["object", ".object.s3xfer", "victim"].map(|name| folder.path().join(name));
        leave_a_pair(folder.path());
        fs::hard_link(&data, &victim).unwrap();
        let staged = make(&target).unwrap();
        write(&staged, b"bytes");
        staged.publish().unwrap();
        assert_eq!((fs::read(&target).unwrap(), fs::read(&victim).unwrap()), (b"bytes".to_vec(), b"stale".to_vec()));
        assert_eq!(names(folder.path()), ["object", "victim"], "{kind}");
    }
}

#[test]
fn a_file_system_without_locks_has_no_files_that_can_be_continued_but_others() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let watch = Watch::over(folder.path());
    for errno in [rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::NOLCK] {
        watch.fail_once(Call::Lock, errno);
        assert!(matches!(StagedFile::resumable(&target), Ok(Claimed::NoLocks)), "{errno}");
        assert_eq!(names(folder.path()), [""; 0]);
    }
    watch.fail_once(Call::Lock, rustix::io::Errno::IO);
    assert!(matches!(StagedFile::resumable(&target), Err(TransferError::Disk { .. })));
}

#[test]
fn a_sync_that_failed_once_fails_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::over(folder.path());
    let staged = StagedFile::create(&folder.path().join("object")).unwrap();
    write(&staged, b"bytes");
    watch.fail_once(Call::SyncData, rustix::io::Errno::IO);
    let first = staged.open_file().sync_data().unwrap_err();
    // The kernel would have told it once.
    for later in [staged.open_file().sync_data().unwrap_err(), staged.open_file().sync_all().unwrap_err()] {
        let cause = |error: &TransferError| std::error::Error::source(error).unwrap().to_string();
        assert_eq!(cause(&later), cause(&first));
    }
}

#[test]
fn a_file_of_another_length_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let staged = StagedFile::create(&folder.path().join("object")).unwrap();
    write(&staged, b"bytes");
    staged.open_file().must_have(5).unwrap();
    for bytes in [4, 6] {
        let error = staged.open_file().must_have(bytes).unwrap_err();
        assert!(error.to_string().ends_with("cannot publish its temporary file"), "{error}");
    }
}
