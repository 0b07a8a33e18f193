//! Uploads a file, with a content type and metadata, unless the object is there already.
//!
//! `cargo run -p s3xfer --example upload_file`

use s3lab::Lab;
use s3xfer::{Client, TransferErrorKind};

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
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table.csv");
    std::fs::write(&path, "a,b\n".repeat(1 << 20))?;

    let upload = || client.upload(path.as_path(), "lab", "table.csv").metadata("source", "lab 3").if_absent();
    let report = upload().await?;
    println!("{} bytes in {} parts, {:?}", report.bytes, report.parts, report.integrity);

    match upload().await {
        Err(error) if error.kind() == TransferErrorKind::ConditionFailed => println!("again: {error}"),
        other => println!("again: {other:?}"),
    }
    Ok(())
}
