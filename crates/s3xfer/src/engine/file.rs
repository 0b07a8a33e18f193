//! Downloads into a file: staged beside the target, published when whole.
//!
//! Dropped at any await, the temporary file is removed.

use crate::doors::disk::StagedFile;
use crate::engine::download::FileDownload;
use crate::engine::place::place;
use crate::engine::sink::Sink;
use crate::engine::transfer::{Transfer, in_time};
use crate::words::failure::DownloadError;
use crate::words::report::TransferReport;

pub(crate) async fn run(download: FileDownload) -> Result<TransferReport, DownloadError> {
    let FileDownload { download, target, .. } = download;
    let (limit, object) = (download.client.config.transfer_timeout(), download.object.address.clone());
    in_time(limit, &object, async {
        // In place, as is the renaming: handed to another thread, they would outlive this future when it is dropped.
        let staged = StagedFile::create(&target, rand::random())?;
        let (transfer, first) = Transfer::begin(download).await?;
        let report = place(transfer, Some(first), Sink::File(staged.open_file()), None).await?;
        staged.publish()?;
        Ok(report)
    })
    .await
}
