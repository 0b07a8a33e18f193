//! Downloads an object into a file. The object is in an S3 inside the process; see the comment for one of yours.
//!
//! `cargo run -p s3xfer --example download_file`

use s3lab::Lab;
use s3xfer::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder().bucket("lab").synthetic("lab", "film.mp4", 20 << 20).build()?;
    // For a bucket of yours: `Client::from_env().await`.
    let client = Client::builder()
        .endpoint_url(Lab::ENDPOINT)
        .keys(lab.access_key(), lab.secret_key())
        .http_client(lab.http_client())
        .without_environment()
        .build()
        .await?;
    let folder = tempfile::tempdir()?;

    let report = client.download("lab", "film.mp4").to_file(folder.path().join("film.mp4")).await?;

    println!("{} bytes in {} requests, {:?}", report.bytes, report.requests, report.integrity);
    println!("{}", report.verdict);
    Ok(())
}
