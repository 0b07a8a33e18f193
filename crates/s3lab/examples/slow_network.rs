//! Measures a download behind a slow network in no time: in tokio's paused time the clock jumps to the next event.
//!
//! `cargo run -p s3lab --features sdk --example slow_network`

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::{Lab, NetworkProfile};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = NetworkProfile::from_toml("first_byte_ms = 100\nconnection_mb_per_s = 1")?;
    let lab = Lab::builder().bucket("lab").synthetic("lab", "big", 20_000_000).network(network).build()?;
    let (began, clock) = (tokio::time::Instant::now(), std::time::Instant::now());
    let answer = client(&lab).get_object().bucket("lab").key("big").send().await?;
    let bytes = answer.body.collect().await?.into_bytes().len();
    println!("{bytes} bytes in {:.1} s of the network's time", began.elapsed().as_secs_f64());
    assert!(clock.elapsed() < began.elapsed());
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
