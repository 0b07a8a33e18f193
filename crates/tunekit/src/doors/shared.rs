//! `SharedFolder`: connections through a folder that a server and its clients both see, for instance over NFS.
//!
//! A client creates its own folder in the shared folder; its name is `client-` with 32 random hexadecimal digits. Each
//! message is a file there: `up.1`, `up.2`, ... from the client, `down.1`, `down.2`, ... from the server. A file holds
//! one line with its line end; an empty file ends the connection. The file is written under another name and renamed,
//! so that no reader sees half a message, and its reader removes it. The reader of the empty file removes the
//! connection's folder.
//!
//! - Other names are ignored, links are not followed, and only regular files are read.
//! - A reader lists the folder, because an NFS client caches for long that a name was missing, but asks its server when
//!   a folder is opened.
//! - A message is removed when its reader checks for the next one, not at once. An NFS client may see two changes
//!   within a few milliseconds as one, and would then miss an answer that follows a removal.
//! - Clocks and file times are not used.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::lock::LockedFile;

/// Held by the server. The folder of a study, which may be the same, has a `lock` of its own.
const LOCK: &str = "serve.lock";
/// The action that fails on a mount without locks.
const TO_LOCK: &str = "lock the file `serve.lock` in it (the mount needs file locks, such as Lustre's option `flock`)";
/// The beginnings of the names of a connection's folder, while it lasts and while it is removed.
const CLIENT: &str = "client-";
const ENDED: &str = "ended-";
/// Digits after these.
const DIGITS: usize = 32;
/// A link is not followed, and a fifo does not hold up its opening.
const CAREFUL: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Why a folder cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedFolderError {
    /// The file system refused.
    #[error("shared folder {}: cannot {action}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Its mode lets others in, so that anybody could take part in the study.
    #[error("shared folder {} is open to others (mode {mode:o}); keep them out with `chmod 700`", path.display())]
    Public {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process serves it.
    #[error("shared folder {} is served by another process; wait for it, or use another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SharedFolderError {
    let path = path.to_owned();
    move |source| SharedFolderError::Io { path, action, source }
}

/// A folder as its server has it. Nobody else serves it until this is dropped.
#[derive(Debug)]
pub(crate) struct SharedFolder {
    path: PathBuf,
    _lock: LockedFile,
}

impl SharedFolder {
    /// Serves a folder, which is made if there is none. Connections that a killed server left in it end.
    ///
    /// # Errors
    /// It cannot be made, others may use it, or somebody else serves it.
    pub(crate) fn serve(path: &Path) -> Result<Self, SharedFolderError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path, "make it"))?;
        check(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(CAREFUL);
        let file = options.open(path.join(LOCK)).map_err(io_error(path, "open the file `serve.lock` in it"))?;
        let lock = match LockedFile::lock(file) {
            Ok(lock) => lock,
            Err(TryLockError::WouldBlock) => return Err(SharedFolderError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io_error(path, TO_LOCK)(source)),
        };
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.clear()?;
        Ok(folder)
    }

    /// Ends all connections.
    ///
    /// # Errors
    /// One cannot be removed.
    pub(crate) fn clear(&self) -> Result<(), SharedFolderError> {
        for name in clients(&self.path).map_err(io_error(&self.path, "list it"))? {
            let removed = Connection::of_client(&self.path, &name).remove();
            removed.map_err(io_error(&self.path, "remove a connection from it"))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Checks that a folder is its owner's alone.
///
/// # Errors
/// It is not, or it cannot be looked at.
pub(crate) fn check(path: &Path) -> Result<(), SharedFolderError> {
    let found = fs::metadata(path).map_err(io_error(path, "look at it"))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SharedFolderError::Public { path: path.to_owned(), mode }) }
}

/// The names of the connections in a folder. Remainders of earlier ones are removed.
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn clients(path: &Path) -> io::Result<BTreeSet<String>> {
    let mut clients = BTreeSet::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is = |start: &str| {
            let digits = name.strip_prefix(start).filter(|digits| digits.len() == DIGITS);
            digits.is_some_and(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        };
        // The type of a link is that of a link.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if is(CLIENT) {
            clients.insert(name);
        } else if is(ENDED) {
            // Somebody may still write there; the next look tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(clients)
}

/// The end of a connection that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// A connection, from one of its sides.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    path: PathBuf,
    side: Side,
}

impl Connection {
    /// A new connection to the server of a folder, from its client's side.
    ///
    /// # Errors
    /// The folder is missing, or cannot be written.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut random = [0; DIGITS / 2];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("{CLIENT}{digits}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, side: Side::Client })
    }

    /// The connection of this name in a folder, from its server's side.
    pub(crate) fn of_client(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), side: Side::Server }
    }

    fn message(&self, side: Side, number: u64) -> PathBuf {
        let name = if side == Side::Client { "up" } else { "down" };
        self.path.join(format!("{name}.{number}"))
    }

    fn received(&self, number: u64) -> PathBuf {
        self.message(if self.side == Side::Client { Side::Server } else { Side::Client }, number)
    }

    /// Sends a line with its end, or with an empty one the connection's end. Messages have the numbers 1, 2, 3, ...
    ///
    /// # Errors
    /// It cannot be written, or the other side has removed the connection.
    pub(crate) fn send(&self, number: u64, line: &[u8]) -> io::Result<()> {
        let path = self.message(self.side, number);
        let part = path.with_extension(format!("{number}.part"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        // On NFS a full disk shows no earlier than here.
        let written = file.write_all(line).and_then(|()| file.sync_data());
        written.and_then(|()| fs::rename(&part, &path)).inspect_err(|_| drop(fs::remove_file(&part)))
    }

    /// The other side's message of this number, if it is there. A message of more than `longest` bytes is cut off after
    /// one more than these, and lacks the end of its line.
    ///
    /// # Errors
    /// It is no message, cannot be read, or the other side has removed the connection.
    pub(crate) fn receive(&self, number: u64, longest: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.received(number);
        let mut is_there = false;
        for entry in fs::read_dir(&self.path)? {
            is_there = is_there || Some(entry?.file_name().as_os_str()) == path.file_name();
        }
        if !is_there {
            return Ok(None);
        }
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{} {what}", path.display()));
        let file = match OpenOptions::new().read(true).custom_flags(CAREFUL).open(&path) {
            // A socket, for instance, cannot be opened either.
            Err(_) if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) => {
                return Err(wrong("is not a file"));
            }
            opened => opened?,
        };
        if !file.metadata()?.is_file() {
            return Err(wrong("is not a file"));
        }
        let mut text = Vec::new();
        file.take(longest.saturating_add(1)).read_to_end(&mut text)?;
        match text.iter().position(|byte| *byte == b'\n') {
            Some(end) if end + 1 == text.len() => Ok(Some(text)),
            None if text.is_empty() || text.len() as u64 > longest => Ok(Some(text)),
            _ => Err(wrong("is not one line")),
        }
    }

    /// Removes a message that was received.
    pub(crate) fn forget(&self, number: u64) {
        // A file that stays is removed with the connection.
        let _ = fs::remove_file(self.received(number));
    }

    /// Ends the connection for both sides. A connection that is gone is as good.
    ///
    /// # Errors
    /// It cannot be removed; the server's next look at the folder tries again if it could be renamed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Under another name, so that the other side cannot write into it meanwhile.
        let ended = self.path.with_file_name(name.replacen(CLIENT, ENDED, 1));
        match fs::rename(&self.path, &ended).and_then(|()| fs::remove_dir_all(&ended)) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether an error says that a connection, or the whole folder, has been removed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, StaleNetworkFileHandle};
    matches!(error.kind(), NotFound | NotADirectory | StaleNetworkFileHandle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn pair() -> (tempfile::TempDir, SharedFolder, Connection, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let served = SharedFolder::serve(&folder.path().join("shared")).unwrap();
        let client = Connection::open(served.path()).unwrap();
        let names = clients(served.path()).unwrap();
        let server = Connection::of_client(served.path(), names.first().unwrap());
        (folder, served, client, server)
    }

    #[test]
    fn messages_arrive_in_order_and_whole_and_are_removed() {
        let (_folder, served, client, server) = pair();
        assert_eq!(server.receive(1, 100).unwrap(), None);
        client.send(1, b"one\n").unwrap();
        client.send(2, b"").unwrap();
        server.send(1, b"two\n").unwrap();
        assert_eq!(server.receive(1, 100).unwrap(), Some(b"one\n".to_vec()));
        assert_eq!(server.receive(2, 100).unwrap(), Some(Vec::new()));
        assert_eq!(client.receive(1, 100).unwrap(), Some(b"two\n".to_vec()));
        server.forget(1);
        server.forget(2);
        client.forget(1);
        assert_eq!(fs::read_dir(&client.path).unwrap().count(), 0);
        client.remove().unwrap();
        server.remove().unwrap();
        assert!(is_gone(&server.receive(3, 100).unwrap_err()) && is_gone(&server.send(2, b"x\n").unwrap_err()));
        assert_eq!(fs::read_dir(served.path()).unwrap().count(), 1, "the lock alone");
    }

    #[test]
    fn all_is_the_owners_alone_and_a_folder_for_others_is_refused() {
        let (_folder, served, client, _server) = pair();
        client.send(1, b"one\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(served.path()), mode(&client.path), mode(&client.path.join("up.1"))], [0o700, 0o700, 0o600]);
        assert_eq!(mode(&served.path().join(LOCK)), 0o600);
        let path = served.path().to_owned();
        assert!(matches!(SharedFolder::serve(&path), Err(SharedFolderError::Locked { .. })));
        drop(served);
        for wrong in [0o755, 0o710, 0o702] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wrong)).unwrap();
            let error = SharedFolder::serve(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {wrong:o}")) && error.contains("chmod 700"), "{error}");
        }
    }

    #[test]
    fn a_server_removes_the_connections_of_an_earlier_one_and_nothing_else() {
        let (folder, served, client, server) = pair();
        let path = served.path().to_owned();
        client.send(1, b"one\n").unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let digits = "0123456789abcdef0123456789abcdef";
        let foreign = ["notes", "client-short", "client-0123456789ABCDEF0123456789ABCDEF"];
        foreign.iter().for_each(|name| fs::create_dir(path.join(name)).unwrap());
        symlink(&outside, path.join(format!("client-{digits}"))).unwrap();
        symlink(&outside, path.join(format!("ended-{digits}"))).unwrap();
        fs::create_dir(path.join("ended-00000000000000000000000000000000")).unwrap();
        drop(served);
        let _served = SharedFolder::serve(&path).unwrap();
        assert!(clients(&path).unwrap().is_empty());
        assert!(is_gone(&client.receive(1, 100).unwrap_err()) && is_gone(&server.receive(1, 100).unwrap_err()));
        assert!(outside.join("kept").exists());
        // The lock, the foreign folders and both links.
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1 + foreign.len() + 2);
    }

    #[test]
    fn nothing_but_a_whole_line_in_a_file_is_a_message() {
        let (folder, _served, client, server) = pair();
        let up = client.path.join("up.1");
        for (number, foreign) in ["up.1.part", "up.01", "up.2", "down.1", "up"].iter().enumerate() {
            fs::write(client.path.join(foreign), "half").unwrap();
            assert_eq!(server.receive(1, 100).unwrap(), None, "{number}");
        }
        for torn in ["half a li", "one\ntwo\n", "\n\n", "one\ntwo"] {
            fs::write(&up, torn).unwrap();
            assert!(server.receive(1, 100).unwrap_err().to_string().contains("up.1 is not one line"), "{torn}");
        }
        fs::remove_file(&up).unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret\n").unwrap();
        symlink(&secret, &up).unwrap();
        assert!(server.receive(1, 100).unwrap_err().to_string().contains("up.1 is not a file"));
        fs::remove_file(&up).unwrap();
        fs::create_dir(&up).unwrap();
        assert!(server.receive(1, 100).unwrap_err().to_string().contains("up.1 is not a file"));
        fs::remove_dir(&up).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &up, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        assert!(server.receive(1, 100).unwrap_err().to_string().contains("up.1 is not a file"));
    }

    #[test]
    fn a_message_that_is_too_long_is_read_up_to_the_bound() {
        let (_folder, _served, client, server) = pair();
        client.send(1, &[b'x'; 1000]).unwrap();
        assert_eq!(server.receive(1, 100).unwrap().unwrap().len(), 101);
        client.send(2, &[[b'x'; 99].as_slice(), b"\n"].concat()).unwrap();
        assert_eq!(server.receive(2, 100).unwrap().unwrap().len(), 100);
    }
}
