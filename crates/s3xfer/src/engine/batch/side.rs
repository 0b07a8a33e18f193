//! One side of a batch: the objects of a prefix, or the files of a folder, in the order of their names.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{StreamExt, TryStreamExt};

use crate::doors::blocking;
pub(crate) use crate::doors::s3::MOST_KEYS;
use crate::doors::s3::has_form_in_xml;
use crate::doors::tree::{Kind, Walk, Walked};
use crate::engine::listing::{self, ObjectListing};
use crate::engine::session::Session;
use crate::engine::shared::Shared;
use crate::words::action::DiskAction;
use crate::words::batch::{ItemError, Symlinks};
use crate::words::failure::{RequestError, TransferError};
use crate::words::listing::{ListRequest, ListedObject, NotDeleted};

/// Objects that are deleted at once, by a request each.
const DELETED_AT_ONCE: usize = 16;

/// Names in order. After an error there is nothing more.
pub(crate) type Side = BoxStream<'static, Result<Seen, ItemError>>;

/// A name below the prefix or the folder, and the kind of thing that it names.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) what: What,
}

/// The kinds of [`Seen`].
#[derive(Debug)]
pub(crate) enum What {
    /// An object, a file, or an empty folder, whose name ends with `/`.
    Object {
        bytes: u64,
        modified: Option<SystemTime>,
        e_tag: Option<String>,
        /// The file's, where it is one.
        path: Option<PathBuf>,
    },
    NoFile,
    NotUtf8 {
        path: PathBuf,
    },
    Unlisted {
        path: PathBuf,
        source: io::Error,
    },
}

impl Seen {
    /// An object.
    pub(crate) fn object(name: String, bytes: u64, modified: Option<SystemTime>, e_tag: Option<String>) -> Self {
        Self { name, what: What::Object { bytes, modified, e_tag, path: None } }
    }
}

/// Names in order, with everything below them. Names that the comparison has passed are forgotten, so that a million
/// names take no memory and no time.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn add(&mut self, name: String) {
        self.forget(&name);
        self.0.push(name);
    }

    /// Whether `name` is one of them, or below one. It comes behind all names that were given before.
    pub(crate) fn hold(&mut self, name: &str) -> bool {
        self.forget(name);
        self.0.iter().any(|above| match name.strip_prefix(above.as_str()) {
            Some(rest) => rest.is_empty() || above.ends_with('/') || rest.starts_with('/'),
            None => false,
        })
    }

    /// Forgets the names that contain neither `name` nor any later name. A name below `b` may come behind `b!`, and
    /// comes before `b0`, for `0` is the letter behind `/`.
    fn forget(&mut self, name: &str) {
        let is_behind = |above: &String| {
            let above = above.strip_suffix('/').unwrap_or(above);
            match name.strip_prefix(above) {
                Some(rest) => rest.as_bytes().first() > Some(&b'/'),
                None => name > above,
            }
        };
        self.0.retain(|above| !is_behind(above));
    }
}

/// The objects below a prefix, which is empty or ends with `/`. `ordered`: an answer that is not in the order of keys
/// is an error, for names on one side would be taken for missing on the other.
pub(crate) fn of_prefix(shared: &Shared, asked: ListRequest, ordered: bool) -> Side {
    let (bucket, prefix) = (asked.bucket.clone(), asked.prefix.clone());
    let mut last: Option<String> = None;
    let seen = move |object: ListedObject| {
        let ListedObject { key, bytes, e_tag, last_modified } = object;
        if ordered && last.as_ref().is_some_and(|last| *last >= key) {
            let what = format!("the listing is not in the order of its keys, which a sync needs: {key:?} comes late");
            let object = format!("s3://{bucket}/{prefix}");
            return Err(TransferError::Request { object, source: RequestError::BadResponse { what } }.into());
        }
        let name = key[prefix.len()..].to_owned();
        last = Some(key);
        Ok(Seen::object(name, bytes, last_modified, e_tag))
    };
    let mut seen = seen;
    ObjectListing::new(shared.clone(), asked).map(move |object| seen(object?)).boxed()
}

/// The files below a folder. Some of the folder is gone through at a time, on a thread that may block.
pub(crate) fn of_folder(root: &Path, links: Symlinks, threads: bool) -> Side {
    /// The number of entries that are read ahead.
    const AT_ONCE: usize = 500;

    let fail = {
        let root = root.to_owned();
        move |source| TransferError::Disk { path: root, action: DiskAction::ListFolder, source }
    };
    let begin = {
        let root = root.to_owned();
        move || Walk::new(&root, links)
    };
    stream::once(async move { wait(threads, begin).await.map_err(|source| ItemError::from(fail(source))) })
        .map_ok(move |walk| {
            stream::unfold(Some(walk), move |walk| async move {
                let mut walk = walk?;
                let some = move || {
                    let entries: Vec<Walked> = walk.by_ref().take(AT_ONCE).collect();
                    (entries, walk)
                };
                let (entries, walk) = wait(threads, some).await;
                let walk = (!entries.is_empty()).then_some(walk);
                Some((stream::iter(entries.into_iter().map(|walked| Ok(seen(walked)))), walk))
            })
            .flatten()
        })
        .try_flatten()
        .boxed()
}

/// Deletes objects below a prefix, up to [`MOST_KEYS`], and returns the outcome of each.
pub(crate) async fn delete(
    shared: Shared,
    asked: ListRequest,
    names: Vec<String>,
) -> Vec<(String, Result<(), ItemError>)> {
    let keys: Vec<String> = names.iter().map(|name| format!("{}{name}", asked.prefix)).collect();
    let session = Session::new(shared);
    let mut left = not_deleted(&session, &asked, &keys).await;
    let ended = |(name, key): (String, String)| match left.remove(&key) {
        Some(NotDeleted { key, code, message }) => {
            (name, Err(ItemError::NotDeleted { bucket: asked.bucket.clone(), key, code, message }))
        }
        None => (name, Ok(())),
    };
    names.into_iter().zip(keys).map(ended).collect()
}

/// Deletes objects, and returns those that still exist, by their keys. It uses one request for all of them. It deletes
/// one by one if the server has no such request, and for a key that XML cannot represent, because the server would
/// refuse the whole request.
async fn not_deleted(session: &Session, asked: &ListRequest, keys: &[String]) -> HashMap<String, NotDeleted> {
    let (together, mut alone): (Vec<&String>, Vec<&String>) = keys.iter().partition(|key| has_form_in_xml(key));
    let mut left = HashMap::new();
    if !together.is_empty() {
        match listing::delete(session, asked, &together).await {
            Ok(Some(not_deleted)) => left.extend(not_deleted.into_iter().map(|object| (object.key.clone(), object))),
            Ok(None) => alone.extend(&together),
            // One error of all of them: each has its words.
            Err(error) => left.extend(together.iter().map(|key| ((*key).clone(), failed(key, &error)))),
        }
    }
    let mut running = FuturesUnordered::new();
    for key in alone {
        running.push(alone_not_deleted(session, asked, key));
        if running.len() >= DELETED_AT_ONCE {
            left.extend(running.next().await.flatten());
        }
    }
    while let Some(ended) = running.next().await {
        left.extend(ended);
    }
    left
}

/// Deletes one object, and returns it, with its key, if it is still there.
async fn alone_not_deleted(session: &Session, asked: &ListRequest, key: &str) -> Option<(String, NotDeleted)> {
    let error = listing::delete_one(session, asked, key).await.err()?;
    Some((key.to_owned(), failed(key, &error)))
}

/// The object was not deleted because of `error`.
fn failed(key: &str, error: &TransferError) -> NotDeleted {
    let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
    NotDeleted { key: key.to_owned(), code: "nothing".to_owned(), message: format!("{error}{source}") }
}

/// Nothing: a folder that is not there yet.
pub(crate) fn empty() -> Side {
    stream::empty().boxed()
}

fn seen(walked: Walked) -> Seen {
    let Walked { name, path, kind } = walked;
    let what = match kind {
        Kind::File { bytes, modified } => What::Object { bytes, modified, e_tag: None, path: Some(path) },
        Kind::EmptyFolder { modified } => What::Object { bytes: 0, modified, e_tag: None, path: Some(path) },
        Kind::NoFile => What::NoFile,
        Kind::NotUtf8 => What::NotUtf8 { path },
        Kind::Unlisted(source) => What::Unlisted { path, source },
    };
    Seen { name, what }
}

/// Makes a call that may wait for a device.
pub(crate) async fn wait<T: Send + 'static>(threads: bool, call: impl FnOnce() -> T + Send + 'static) -> T {
    match threads {
        true => blocking::run(call).await,
        false => call(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_is_below_them() {
        let mut names = Names::default();
        names.add("a/".to_owned());
        assert!(names.hold("a/x") && !names.hold("ab"));
        names.add("b".to_owned());
        for name in ["b", "b!", "b/x", "bc"] {
            assert_eq!(names.hold(name), ["b", "b/x"].contains(&name), "{name}");
        }
        assert!(names.0.is_empty());
    }

    #[test]
    fn a_hundred_thousand_names_take_no_memory() {
        let mut names = Names::default();
        for number in 0..100_000 {
            names.add(format!("link{number:06}"));
            assert!(names.hold(&format!("link{number:06}/x")));
            assert!(!names.hold(&format!("link{number:06}0")));
            assert!(names.0.len() <= 2, "{} are kept", names.0.len());
        }
    }
}
