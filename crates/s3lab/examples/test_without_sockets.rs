//! Calls S3 inside the process, without a socket: for unit tests of code that takes an aws_sdk_s3::Client.
//!
//! `cargo run -p s3lab --features sdk --example test_without_sockets`

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::Lab;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder().bucket("lab").build()?;
    client(&lab).put_object().bucket("lab").key("greeting").body(b"hello".to_vec().into()).send().await?;
    assert_eq!(lab.object("lab", "greeting").as_deref(), Some(&b"hello"[..]));
    println!("{} requests, ETag {:?}", lab.stats().total(), lab.etag("lab", "greeting"));
    Ok(())
}

fn client(lab: &Lab) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(Lab::ENDPOINT)
        .force_path_style(true)
        .region(Region::new(lab.region().to_owned()))
        .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "lab"))
        .http_client(lab.http_client())
        .build();
    Client::from_conf(config)
}
