//! Serves an S3 over TCP to any client, and prints the settings that the client needs.
//!
//! `cargo run -p s3lab --example serve_any_client`; the example `serve` does the same until Ctrl-C.

use s3lab::{Lab, NetworkProfile, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder()
        .bucket("lab")
        .object("lab", "hello.txt", "hello")
        .synthetic("lab", "big", 300 << 30) // computed, not stored
        .network(NetworkProfile::named("same-region")?)
        .build()?;
    let server = Server::start(&lab, "127.0.0.1:0".parse()?).await?;
    println!("AWS_ENDPOINT_URL={} AWS_REGION={}", server.endpoint(), lab.region());
    println!("AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}", lab.access_key(), lab.secret_key());
    server.shutdown().await;
    Ok(())
}
