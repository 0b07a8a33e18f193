//! Uploads a folder, then brings another folder in step with it: only files that differ are downloaded.
//!
//! `cargo run -p s3xfer --example sync_folder`

use s3lab::Lab;
use s3xfer::{Client, Compare, Globs};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder().bucket("lab").build()?;
    // For a bucket of yours: `Client::from_env().await`.
    let client = Client::builder()
        .endpoint_url(Lab::ENDPOINT)
        .keys(lab.access_key(), lab.secret_key())
        .http_client(lab.http_client())
        .without_environment()
        .build()
        .await?;
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for name in ["a.csv", "b.csv", "notes.txt"] {
        std::fs::write(here.path().join(name), name)?;
    }

    let up = client.upload_folder(here.path(), "lab", "tables").await?;
    println!("up: {} new", up.transferred);

    let globs = || Globs::new().exclude("*").include("*.csv");
    let sync = || client.download_prefix("lab", "tables", there.path()).globs(globs()).sync(Compare::SizeAndTime);
    for round in ["down", "down again"] {
        let report = sync().await?;
        println!("{round}: {} new, {} unchanged", report.transferred, report.unchanged);
    }
    Ok(())
}
