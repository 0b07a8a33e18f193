//! The two libraries joined by hand: tune the download of one object, without the command line.
//!
//! Question: which of `max_concurrency` and `multipart_chunksize` make this download fastest? Here the object is in an
//! embedded S3; for one of yours, make `sdk` from `aws_config` and leave the lab out.
//!
//! Run it with `cargo run --release -p s3tune --example tune_download`.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::{Lab, NetworkProfile, Server};
use s3xfer::{Client, TransferConfig};
use tunekit::{Domain, Metric, Setup, Space, Tuner};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lab = Lab::builder()
        .bucket("lab")
        .synthetic("lab", "object", 64 << 20)
        .network(NetworkProfile::named("same-region")?)
        .build()?;
    let server = Server::start(&lab, "127.0.0.1:0".parse()?).await?;
    let sdk = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "example"))
            .build(),
    );
    let client = Client::new(sdk);
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("object");

    let space = Space::new()
        .with("max_concurrency", Domain::int(1, 256)?.log()?)?
        .with("multipart_chunksize", Domain::int(1 << 20, 64 << 20)?.log()?)?;
    let tuning = Tuner::new(Setup::new(space, Metric::time("download_time").replicated()))
        .max_trials(12)
        .max_wall_time(Duration::from_secs(30))
        .run(|mut trial| {
            let (client, target) = (&client, &target);
            async move {
                let number = |name| trial.config().int(name).ok_or("a parameter is missing");
                // Fixed numbers: by default these two are upper bounds.
                let config = TransferConfig::builder()
                    .max_concurrency(u32::try_from(number("max_concurrency")?)?)
                    .multipart_chunksize(u64::try_from(number("multipart_chunksize")?)?)
                    .adaptive_concurrency(false)
                    .build()?;
                let client = client.clone().with_config(config);
                for _ in 0..2 {
                    let report = client.download("lab", "object").to_file(target).await?;
                    trial.report(report.elapsed.as_secs_f64()).await;
                }
                println!("trial {:>2}: {}", trial.id().0, trial.config());
                Ok::<(), Box<dyn Error>>(())
            }
        })
        .await?;

    let best = tuning.best.ok_or("nothing was measured")?;
    println!("best: {} in {:.3} s (mean of {})", best.config, best.value, best.n);
    Ok(())
}
