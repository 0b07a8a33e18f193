//! Breaks exactly one request: the second GET of a key is refused, and the program under test has to cope.
//!
//! `cargo run -p s3lab --features sdk --example break_a_request`

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::{FaultKind, FaultPlan, Lab, Requests};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Counted from 0.
    let faults = FaultPlan::none().and("key", Requests::At(1), FaultKind::SlowDown)?;
    let lab = Lab::builder().bucket("lab").object("lab", "key", "hello").faults(faults).build()?;
    for _ in 0..2 {
        let answer = client(&lab).get_object().bucket("lab").key("key").send().await?;
        println!("{} bytes", answer.body.collect().await?.into_bytes().len());
    }
    let statuses: Vec<_> = lab.requests().iter().filter_map(|request| request.status).collect();
    println!("answers: {statuses:?}; the client has tried again");
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
