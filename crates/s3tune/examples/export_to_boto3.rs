//! Makes a short run and prints its recommendation as Python for boto3.
//!
//! `cargo run --release -p s3tune --example export_to_boto3`

use std::error::Error;
use std::time::Duration;

use s3lab::NetworkProfile;
use s3tune::cli::Init;
use s3tune::engines::Engine;
use s3tune::export::{FORMATS, Recommendation};
use s3tune::failure::Failure;
use s3tune::lab::with_object;
use s3tune::measure::Bench;
use s3tune::run::{Budget, Method, Names, Plan, run};
use s3tune::show::Show;
use tunekit::tuner::StopHandle;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    const BYTES: u64 = 8 << 20;
    let line = |failure: Failure| failure.line();
    let network = NetworkProfile::named("same-region")?;
    let (embedded, object) = with_object(network, BYTES).await.map_err(line)?;
    let folder = tempfile::tempdir()?;
    let plan = Plan {
        out: folder.path().join("run"),
        space: Engine::s3xfer().space(None, BYTES).map_err(line)?,
        init: Init::Boto3Defaults,
        method: Method::AUTO,
        n_downloads: 2,
        max_tuning_time: Duration::from_secs(60),
        max_trials: Some(4),
        cut_off: true,
        budget: Budget::default(),
        seed: 1,
        network: "the profile same-region".to_owned(),
        names: Names::Ours,
    };
    let bench = Bench::new(embedded.connection(), object, Engine::s3xfer(), folder.path().to_owned());
    run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await.map_err(line)?;

    let found = Recommendation::load(&plan.out)?;
    let format = FORMATS.iter().find(|format| format.name == "boto3").ok_or("there is no such format")?;
    println!("{}", format.export(&found)?.text);
    Ok(())
}
