//! The beginning of transfers of many objects.

use std::path::PathBuf;

use super::Client;
use crate::engine::batch::across::PrefixCopy;
use crate::engine::batch::down::PrefixDownload;
use crate::engine::batch::up::FolderUpload;
use crate::engine::listing::ObjectListing;
use crate::words::listing::ListRequest;

impl Client {
    /// The objects with keys that begin with `prefix`, as a stream. The next page of a thousand is requested while the
    /// stream gives the page before; several are requested at once if the stream is polled faster than they come. An
    /// empty prefix means the whole bucket.
    pub fn list(&self, bucket: impl Into<String>, prefix: impl Into<String>) -> ObjectListing {
        let (bucket, prefix) = (bucket.into(), prefix.into());
        let asked = ListRequest { bucket, prefix, request_payer: false, expected_bucket_owner: None };
        ObjectListing::new(self.shared.clone(), asked)
    }

    /// A download of all objects below `prefix` into `folder`, which is created if it is missing; awaiting it runs it.
    /// The prefix means a folder: `logs` is `logs/`, and an empty prefix is the whole bucket.
    ///
    /// ```no_run
    /// # async fn example(client: s3xfer::Client) -> Result<(), s3xfer::BatchError> {
    /// use s3xfer::{Compare, Globs};
    ///
    /// let globs = Globs::new().exclude("*").include("*.csv");
    /// let report = client.download_prefix("my-bucket", "logs/2026", "logs").globs(globs).await?;
    /// println!("{} objects, {} bytes", report.transferred, report.bytes);
    /// // Once more, and only what is new; what is there no more, goes.
    /// client.download_prefix("my-bucket", "logs/2026", "logs").sync(Compare::SizeAndTime).delete(true).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download_prefix(
        &self,
        bucket: impl Into<String>,
        prefix: impl AsRef<str>,
        folder: impl Into<PathBuf>,
    ) -> PrefixDownload {
        PrefixDownload::new(self.shared.clone(), bucket.into(), prefix.as_ref(), folder.into())
    }

    /// An upload of all files below `folder`, under keys that begin with `prefix`; awaiting it runs it. The prefix
    /// means a folder, as in [`download_prefix`](Self::download_prefix).
    ///
    /// ```no_run
    /// # async fn example(client: s3xfer::Client) -> Result<(), s3xfer::BatchError> {
    /// let report = client
    ///     .upload_folder("site", "my-bucket", "www")
    ///     .sync(s3xfer::Compare::Checksum)
    ///     .per_object(|upload| upload.cache_control("max-age=3600"))
    ///     .await?;
    /// println!("{} files are new, {} were there", report.transferred, report.unchanged);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload_folder(
        &self,
        folder: impl Into<PathBuf>,
        bucket: impl Into<String>,
        prefix: impl AsRef<str>,
    ) -> FolderUpload {
        FolderUpload::new(self.shared.clone(), folder.into(), bucket.into(), prefix.as_ref())
    }

    /// A copy, by the server, of all objects below a prefix to below another one; awaiting it runs it. Both prefixes
    /// mean folders, as in [`download_prefix`](Self::download_prefix). Neither may be below the other.
    pub fn copy_prefix(
        &self,
        source_bucket: impl Into<String>,
        source_prefix: impl AsRef<str>,
        bucket: impl Into<String>,
        prefix: impl AsRef<str>,
    ) -> PrefixCopy {
        let source = (source_bucket.into(), source_prefix.as_ref());
        PrefixCopy::new(self.shared.clone(), source, (bucket.into(), prefix.as_ref()))
    }
}
