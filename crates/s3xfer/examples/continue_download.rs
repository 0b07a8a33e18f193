//! Continues a download that broke off: the first attempt is dropped half-way, the second fetches the missing parts.
//!
//! `cargo run -p s3xfer --example continue_download`

use std::time::Duration;

use s3lab::{Lab, NetworkProfile};
use s3xfer::{Client, Progress, TransferConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = NetworkProfile::from_toml("link_mb_per_s = 100")?;
    let lab = Lab::builder().bucket("lab").synthetic("lab", "film.mp4", 60 << 20).network(network).build()?;
    // For a bucket of yours: `Client::from_env().await`.
    let client = Client::builder()
        .endpoint_url(Lab::ENDPOINT)
        .keys(lab.access_key(), lab.secret_key())
        .http_client(lab.http_client())
        .without_environment()
        // Small parts, a few at a time, so that some are whole when it breaks off.
        .config(TransferConfig::builder().multipart_chunksize(1 << 20).max_concurrency(4).build()?)
        .build()
        .await?;
    let folder = tempfile::tempdir()?;
    let download = || client.download("lab", "film.mp4");
    let file = || folder.path().join("film.mp4");

    let progress = Progress::new();
    let half_way = async {
        while progress.snapshot().written_bytes < 30 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = download().progress(progress.clone()).to_file(file()).resume(true) => {
            done?;
            return Err("the download was to be dropped".into());
        }
        () = half_way => {}
    }

    let report = download().to_file(file()).resume(true).await?;
    println!("{} of {} bytes were there already", report.resumed_bytes, report.object_bytes);
    Ok(())
}
