//! Counts requests by kind: what does a program ask of S3, and what would that cost?
//!
//! `cargo run -p s3lab --features sdk --example count_requests`

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::{Lab, RequestKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::builder().bucket("lab").object("lab", "a/1", "one").object("lab", "a/2", "two").build()?;
    let client = client(&lab);
    let listed = client.list_objects_v2().bucket("lab").prefix("a/").send().await?;
    for object in listed.contents() {
        client.get_object().bucket("lab").key(object.key().unwrap_or_default()).send().await?;
    }
    let stats = lab.stats();
    println!("{} GETs of {} requests", stats.count(RequestKind::GetObject), stats.total());
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
