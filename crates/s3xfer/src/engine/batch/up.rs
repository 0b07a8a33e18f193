//! [`FolderUpload`]: an upload of a folder to a prefix.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::settings::settings;
use super::side::{self, MOST_KEYS, Seen, Side, What};
use super::{Direction, Settings, same};
use crate::engine::shared::Shared;
use crate::engine::upload::Upload;
use crate::engine::upload::order::Order;
use crate::engine::upload::source::UploadSource;
use crate::rules::names::{as_folder, is_temporary};
use crate::words::batch::{BatchError, BatchReport, ItemError, Symlinks};
use crate::words::batch_progress::BatchProgress;
use crate::words::failure::{RequestError, TransferError};
use crate::words::listing::ListRequest;
use crate::words::mtime;
use crate::words::object::{ObjectAddress, ObjectRequest};
use crate::words::target::Target;

/// An upload of all files below a folder; [`Client::upload_folder`](crate::Client::upload_folder) makes it, and
/// awaiting it runs it.
///
/// A file's key is the prefix and its path below the folder. An empty folder becomes an empty object with a key that
/// ends with `/`, unless [`empty_folders`](Self::empty_folders) turns that off. FIFOs, sockets and devices are skipped,
/// and so are files of unfinished downloads (`.NAME.s3xfer`) and the journals of uploads. Each object appears whole, or
/// not at all.
///
/// # Errors
///
/// [`BatchError`]: the folder cannot be listed, or, with [`OnFailure::Stop`](crate::OnFailure::Stop), a file failed.
#[must_use = "an upload does nothing until it is awaited"]
pub struct FolderUpload {
    settings: Settings,
    folder: PathBuf,
    bucket: String,
    prefix: String,
    symlinks: Symlinks,
    empty_folders: bool,
    keep_times: bool,
    resume: bool,
    per_object: Option<PerObject>,
}

type PerObject = Arc<dyn Fn(Upload) -> Upload + Send + Sync>;

settings!(FolderUpload);

impl fmt::Debug for FolderUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("FolderUpload");
        out.field("folder", &self.folder).field("bucket", &self.bucket).field("prefix", &self.prefix);
        out.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl FolderUpload {
    pub(crate) fn new(shared: Shared, folder: PathBuf, bucket: String, prefix: &str) -> Self {
        let (settings, prefix) = (Settings::new(shared), as_folder(prefix));
        let symlinks = Symlinks::default();
        let (empty_folders, keep_times, resume) = (true, false, false);
        Self { settings, folder, bucket, prefix, symlinks, empty_folders, keep_times, resume, per_object: None }
    }

    /// The treatment of symbolic links; by default they are left out.
    pub fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// Whether empty folders become objects with keys that end with `/`; by default they do.
    pub fn empty_folders(mut self, upload: bool) -> Self {
        self.empty_folders = upload;
        self
    }

    /// Keeps the time of each file's last change in its object's metadata, as `mtime`: seconds of the Unix epoch with
    /// nine decimal places, as rclone writes them.
    pub fn keep_times(mut self, keep: bool) -> Self {
        self.keep_times = keep;
        self
    }

    /// Keeps a file's parts at the server when the batch ends early. The next upload of the same file to the same place
    /// continues from them ([`Upload::resume`](crate::Upload::resume)). The journals lie beside the files and are not
    /// uploaded.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Changes each upload before it begins: its storage class, its encryption, its metadata, a condition.
    pub fn per_object(mut self, change: impl Fn(Upload) -> Upload + Send + Sync + 'static) -> Self {
        self.per_object = Some(Arc::new(change));
        self
    }

    async fn run(self) -> Result<BatchReport, BatchError> {
        let Self { settings, folder, bucket, prefix, symlinks, empty_folders, keep_times, resume, per_object } = self;
        let asked = settings.listing(bucket, prefix);
        let (shared, progress) = (settings.shared.clone(), settings.progress.clone());
        let place = Place { shared, progress, asked, keep_times, resume, per_object };
        let up = Up { place: Arc::new(place), folder, symlinks, empty_folders };
        super::run(up, settings).await
    }
}

struct Up {
    place: Arc<Place>,
    folder: PathBuf,
    symlinks: Symlinks,
    empty_folders: bool,
}

struct Place {
    shared: Shared,
    progress: BatchProgress,
    asked: ListRequest,
    keep_times: bool,
    resume: bool,
    per_object: Option<PerObject>,
}

impl Direction for Up {
    fn source(&self) -> Side {
        use futures::StreamExt;

        let files = side::of_folder(&self.folder, self.symlinks, self.place.shared.config.use_threads());
        match self.empty_folders {
            true => files,
            false => files
                .filter(|seen| {
                    let is_folder = seen
                        .as_ref()
                        .is_ok_and(|seen| seen.name.ends_with('/') && matches!(seen.what, What::Object { .. }));
                    std::future::ready(!is_folder)
                })
                .boxed(),
        }
    }

    fn target(&self) -> Side {
        side::of_prefix(&self.place.shared, self.place.asked.clone(), true)
    }

    fn leaves_out(&self, name: &str) -> bool {
        is_temporary(name)
    }

    fn admit(&mut self, seen: &Seen, _: u64) -> Result<(), ItemError> {
        checked(self.place.address(&seen.name))
    }

    fn transfer(&self, seen: Seen) -> BoxFuture<'static, Result<u64, ItemError>> {
        let place = self.place.clone();
        async move { place.transfer(seen).await }.boxed()
    }

    fn same(&self, source: &Seen, target: &Seen) -> BoxFuture<'static, Result<bool, ItemError>> {
        let (What::Object { path: Some(path), .. }, What::Object { e_tag, .. }) = (&source.what, &target.what) else {
            return async { Ok(false) }.boxed();
        };
        let (place, object) = (self.place.clone(), self.place.address(&source.name));
        let (e_tag, path) = (e_tag.clone(), path.clone());
        async move { same::object_and_file(&place.shared, &place.asked, object, e_tag, path).await }.boxed()
    }

    fn delete(&self, names: Vec<String>) -> BoxFuture<'static, Vec<(String, Result<(), ItemError>)>> {
        side::delete(self.place.shared.clone(), self.place.asked.clone(), names).boxed()
    }

    fn deleted_at_once(&self) -> usize {
        MOST_KEYS
    }
}

impl Place {
    fn address(&self, name: &str) -> ObjectAddress {
        ObjectAddress { bucket: self.asked.bucket.clone(), key: format!("{}{name}", self.asked.prefix) }
    }

    async fn transfer(&self, seen: Seen) -> Result<u64, ItemError> {
        let address = self.address(&seen.name);
        let What::Object { bytes, modified, path: Some(path), .. } = seen.what else { return Ok(0) };
        let source = match seen.name.ends_with('/') {
            true => UploadSource::from(Bytes::new()),
            false => UploadSource::file(path),
        };
        let order = Order::new(self.shared.clone(), source, Target::new(address));
        let mut upload = Upload::new(order).progress(self.progress.bytes()).object_bytes(bytes).resume(self.resume);
        if self.asked.request_payer {
            upload = upload.request_payer();
        }
        if let Some(owner) = &self.asked.expected_bucket_owner {
            upload = upload.expected_bucket_owner(owner);
        }
        if let Some(time) = modified.filter(|_| self.keep_times).and_then(mtime::written) {
            upload = upload.metadata(mtime::NAME, time);
        }
        if let Some(change) = &self.per_object {
            upload = change(upload);
        }
        Ok(upload.await?.bytes)
    }
}

/// Checks a key before anything is sent for it.
pub(super) fn checked(address: ObjectAddress) -> Result<(), ItemError> {
    let object = address.to_string();
    let checked = ObjectRequest::new(address).check();
    let source = |source| TransferError::Request { object, source: RequestError::Argument { source } };
    checked.map_err(|error| source(error).into())
}
