//! Reads an object piece by piece, in order, while later parts are fetched ahead: counts its lines.
//!
//! `cargo run -p s3xfer --example read_as_stream`

use futures::TryStreamExt;
use s3lab::Lab;
use s3xfer::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder().bucket("lab").object("lab", "table.csv", "a,b\n".repeat(5 << 20)).build()?;
    // For a bucket of yours: `Client::from_env().await`.
    let client = Client::builder()
        .endpoint_url(Lab::ENDPOINT)
        .keys(lab.access_key(), lab.secret_key())
        .http_client(lab.http_client())
        .without_environment()
        .build()
        .await?;

    let mut pieces = client.download("lab", "table.csv").stream();
    let mut lines = 0;
    while let Some(piece) = pieces.try_next().await? {
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
    }

    println!("{lines} lines");
    Ok(())
}
