//! [`PrefixDownload`]: a download of a prefix into a folder.

use std::collections::HashSet;
use std::fs;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;

use super::settings::settings;
use super::side::{self, Seen, Side, What};
use super::{Direction, Settings, same};
use crate::doors::tree::{Tree, TreeError};
use crate::engine::download::discover;
use crate::engine::download::file::{self, IntoFile};
use crate::engine::download::order::Order;
use crate::engine::shared::Shared;
use crate::rules::names::{FolderRules, Names, Relative, as_folder, is_temporary};
use crate::words::batch::{BatchError, BatchReport, ItemError, Symlinks};
use crate::words::batch_progress::BatchProgress;
use crate::words::compare::Compare;
use crate::words::failure::TransferError;
use crate::words::listing::ListRequest;
use crate::words::object::ObjectAddress;

/// A download of all objects below a prefix into a folder; [`Client::download_prefix`](crate::Client::download_prefix)
/// makes it, and awaiting it runs it.
///
/// A key's path below the folder is the rest of the key after the prefix; a key that ends with `/` is an empty folder.
/// A key with a path that would leave the folder, or that another key has, too, fails before anything is written for it
/// ([`NameError`](crate::NameError)). For small prefixes all names are checked before the first transfer begins, for
/// larger ones as they are listed; [`check_names_first`](Self::check_names_first) lists twice instead. No symbolic link
/// below the folder is followed.
///
/// Each file appears under its name whole and checked against its object's checksum, or not at all.
///
/// # Errors
///
/// [`BatchError`]: the prefix cannot be listed, or, with [`OnFailure::Stop`](crate::OnFailure::Stop), an object failed.
#[derive(Debug)]
#[must_use = "a download does nothing until it is awaited"]
pub struct PrefixDownload {
    settings: Settings,
    bucket: String,
    prefix: String,
    folder: PathBuf,
    keep_times: bool,
    resume: bool,
    check_names_first: bool,
}

settings!(PrefixDownload);

impl PrefixDownload {
    pub(crate) fn new(shared: Shared, bucket: String, prefix: &str, folder: PathBuf) -> Self {
        let settings = Settings::new(shared);
        let prefix = as_folder(prefix);
        Self { settings, bucket, prefix, folder, keep_times: false, resume: false, check_names_first: false }
    }

    /// Gives each file the time of the last change that is stored with its object (by [`FolderUpload::keep_times`] or
    /// rclone), otherwise the object's `LastModified`.
    ///
    /// [`FolderUpload::keep_times`]: crate::FolderUpload::keep_times
    pub fn keep_times(mut self, keep: bool) -> Self {
        self.keep_times = keep;
        self
    }

    /// Keeps the downloaded parts of an object when the batch ends early. The next download of the same object to the
    /// same file continues from them ([`FileDownload::resume`](crate::FileDownload::resume)).
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Lists the whole prefix and checks every name before the first transfer begins, and then lists it again.
    pub fn check_names_first(mut self, check: bool) -> Self {
        self.check_names_first = check;
        self
    }

    async fn run(self) -> Result<BatchReport, BatchError> {
        let Self { settings, bucket, prefix, folder, keep_times, resume, check_names_first } = self;
        let early = |error: ItemError| BatchError { error, report: Box::default() };
        let rules = folder_rules(&folder, resume);
        let rules = rules.map_err(|error| early(error.into()))?;
        let asked = settings.listing(bucket, prefix);
        let (shared, progress) = (settings.shared.clone(), settings.progress.clone());
        let tree = OnceLock::new();
        let place =
            Arc::new(Place { shared, progress, asked, folder, tree, keep_times, resume, kept: Mutex::default() });
        let ordered = settings.sync.is_some() || settings.delete;
        let mut down = Down { place, names: Names::new(rules), ordered, looks: settings.dry_run, sync: settings.sync };
        if check_names_first {
            let mut source = down.source();
            while let Some(seen) = source.next().await {
                let seen = seen.map_err(early)?;
                let What::Object { bytes, .. } = seen.what else { continue };
                if settings.globs.take(&seen.name) {
                    down.admit(&seen, bytes).map_err(early)?;
                }
            }
            down.names = Names::new(rules);
        }
        super::run(down, settings).await
    }
}

struct Down {
    place: Arc<Place>,
    names: Names,
    ordered: bool,
    /// Whether links on the way are looked for before anything is transferred.
    looks: bool,
    sync: Option<Compare>,
}

#[derive(Debug)]
struct Place {
    shared: Shared,
    progress: BatchProgress,
    asked: ListRequest,
    folder: PathBuf,
    /// Made with the first file.
    tree: OnceLock<Tree>,
    keep_times: bool,
    resume: bool,
    /// Folders that keys stand for: deleting the last file in one of them does not remove it.
    kept: Mutex<HashSet<String>>,
}

impl Direction for Down {
    fn source(&self) -> Side {
        side::of_prefix(&self.place.shared, self.place.asked.clone(), self.ordered)
    }

    fn target(&self) -> Side {
        match fs::metadata(&self.place.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => side::empty(),
            // The walk reports other errors.
            _ => {
                let files = side::of_folder(&self.place.folder, Symlinks::Skip, self.place.shared.config.use_threads());
                // Those of downloads that run, or that are to be continued, are not missing at the source.
                let is_ours = |seen: &Result<Seen, _>| seen.as_ref().is_ok_and(|seen| is_temporary(&seen.name));
                files.filter(move |seen| ready(!is_ours(seen))).boxed()
            }
        }
    }

    fn admit(&mut self, seen: &Seen, bytes: u64) -> Result<(), ItemError> {
        let Place { asked, .. } = &*self.place;
        let key = format!("{}{}", asked.prefix, seen.name);
        let shown = || format!("s3://{}/{key}", asked.bucket);
        let named = self.names.next(&asked.prefix, &key, bytes);
        let relative = named.map_err(|source| ItemError::Name { name: shown(), source })?;
        if let Relative::Folder(path) = &relative {
            self.place.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
        if self.looks
            && let Ok(tree) = Tree::open(&self.place.folder, false)
            && let Relative::File(path) = &relative
        {
            tree.would_be_spot(path).map_err(|error| tree_error(shown(), error))?;
        }
        Ok(())
    }

    fn transfer(&self, seen: Seen) -> BoxFuture<'static, Result<u64, ItemError>> {
        let place = self.place.clone();
        async move { place.transfer(seen).await }.boxed()
    }

    fn keeps_times(&self) -> bool {
        self.place.keep_times
    }

    fn same(&self, source: &Seen, target: &Seen) -> BoxFuture<'static, Result<bool, ItemError>> {
        let (What::Object { e_tag, .. }, What::Object { path: Some(path), modified, .. }) =
            (&source.what, &target.what)
        else {
            return async { Ok(false) }.boxed();
        };
        let place = self.place.clone();
        let object = place.address(&source.name);
        if self.sync != Some(Compare::Checksum) {
            let modified = *modified;
            return async move { place.has_time(object, modified).await }.boxed();
        }
        let (e_tag, path) = (e_tag.clone(), path.clone());
        async move { same::object_and_file(&place.shared, &place.asked, object, e_tag, path).await }.boxed()
    }

    fn delete(&self, names: Vec<String>) -> BoxFuture<'static, Vec<(String, Result<(), ItemError>)>> {
        let place = self.place.clone();
        let threads = place.shared.config.use_threads();
        side::wait(threads, move || names.into_iter().map(|name| (name.clone(), place.delete(&name))).collect()).boxed()
    }

    fn deleted_at_once(&self) -> usize {
        100
    }
}

impl Place {
    fn address(&self, name: &str) -> ObjectAddress {
        ObjectAddress { bucket: self.asked.bucket.clone(), key: format!("{}{name}", self.asked.prefix) }
    }

    fn tree(&self) -> Result<&Tree, TransferError> {
        match self.tree.get() {
            Some(tree) => Ok(tree),
            None => {
                let tree = Tree::open(&self.folder, true)?;
                Ok(self.tree.get_or_init(|| tree))
            }
        }
    }

    /// Whether the file's time, to the second, is the time that was kept with the object.
    async fn has_time(&self, object: ObjectAddress, modified: Option<SystemTime>) -> Result<bool, ItemError> {
        let order = self.order(object);
        let _permit = self.shared.limits.permit().await;
        let kept = discover::modified(&order).await?;
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs());
        Ok(kept.is_some() && kept.and_then(seconds) == modified.and_then(seconds))
    }

    fn order(&self, object: ObjectAddress) -> Order {
        let mut order = Order::new(self.shared.clone(), object);
        order.object.request_payer = self.asked.request_payer;
        order.object.expected_bucket_owner = self.asked.expected_bucket_owner.clone();
        order
    }

    async fn transfer(&self, seen: Seen) -> Result<u64, ItemError> {
        let Seen { name, what } = seen;
        let What::Object { bytes, modified, .. } = what else { return Ok(0) };
        let address = self.address(&name);
        let fail = |error| tree_error(address.to_string(), error);
        let tree = self.tree()?;
        if let Some(folder) = name.strip_suffix('/').or_else(|| name.is_empty().then_some("")) {
            return tree.folder(folder).map(|_| 0).map_err(fail);
        }
        let spot = tree.spot(&name).map_err(fail)?;
        let mut order = self.order(address);
        order.object_bytes = Some(bytes);
        order.progress = self.progress.bytes().into();
        let mut into = IntoFile::new(spot.path);
        into.within = Some(spot.folder);
        into.resume = self.resume;
        (into.keep_time, into.listed) = (self.keep_times, modified);
        let report = Box::pin(order.run(|order| file::run(order, into))).await?;
        Ok(report.bytes)
    }

    fn delete(&self, name: &str) -> Result<(), ItemError> {
        let tree = self.tree()?;
        let is_kept = |folder: &str| self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(folder);
        tree.remove(name, is_kept).map_err(|error| tree_error(tree.path(name).display().to_string(), error))
    }
}

fn tree_error(name: String, error: TreeError) -> ItemError {
    match error {
        TreeError::Name(source) => ItemError::Name { name, source },
        TreeError::Disk(error) => error.into(),
    }
}

/// The rules of the folder's file system for names; if the folder does not exist yet, the rules of its nearest existing
/// parent.
fn folder_rules(folder: &Path, keeps_temporary_files: bool) -> Result<FolderRules, TransferError> {
    let there = folder.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
    let tree = Tree::open(there.unwrap_or(Path::new(".")), false)?;
    Ok(FolderRules { name_max: tree.name_max(), ignores_case: tree.ignores_case(), keeps_temporary_files })
}
