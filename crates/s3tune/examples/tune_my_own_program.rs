//! Tunes a program of one's own. The program is this one with the word `get`; an engine file tells its parameter.
//!
//! `cargo run --release -p s3tune --example tune_my_own_program`

use std::error::Error;
use std::time::Duration;

use s3lab::NetworkProfile;
use s3tune::cli::Init;
use s3tune::engines::Engine;
use s3tune::failure::Failure;
use s3tune::lab::with_object;
use s3tune::measure::Bench;
use s3tune::run::{Budget, Method, Names, Plan, run};
use s3tune::show::Show;
use s3xfer::{Client, TransferConfig};
use tunekit::SearcherKind;
use tunekit::tuner::StopHandle;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["get", endpoint, region, requests, bucket, key, out] => {
            let config = TransferConfig::builder().max_concurrency(requests.parse()?).multipart_chunksize(1 << 20);
            let config = config.adaptive_concurrency(false).build()?;
            // The keys are in the environment, where AWS's tools look for them.
            let client = Client::builder().endpoint_url(*endpoint).region(*region).build().await?.with_config(config);
            client.download(*bucket, *key).to_file(*out).await?;
            Ok(())
        }
        _ => tune().await,
    }
}

async fn tune() -> Result<(), Box<dyn Error>> {
    const BYTES: u64 = 8 << 20;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.toml");
    let program = std::env::current_exe()?;
    let text = format!(
        "name = 'mine'\ncommand = ['{}', 'get', '{{endpoint}}', '{{region}}', '{{requests}}', '{{bucket}}', '{{key}}', \
         '{{out}}']\n[space.requests]\ntype = 'int'\nlo = 1\nhi = 32\nlog = true\ndefault = 1\n",
        program.display()
    );
    std::fs::write(&file, text)?;

    let line = |failure: Failure| failure.line();
    let mut engine = Engine::parse(&file.display().to_string()).map_err(line)?;
    engine.check().await.map_err(line)?;
    let network = NetworkProfile::named("same-region")?;
    let (embedded, object) = with_object(network, BYTES).await.map_err(line)?;
    let plan = Plan {
        out: folder.path().join("run"),
        space: engine.space(None, BYTES).map_err(line)?,
        init: Init::Random,
        method: Method::every(SearcherKind::Sobol),
        n_downloads: 2,
        max_tuning_time: Duration::from_secs(60),
        max_trials: Some(4),
        cut_off: false,
        budget: Budget::default(),
        seed: 1,
        network: "the profile same-region".to_owned(),
        names: Names::Ours,
    };
    let bench = Bench::new(embedded.connection(), object, engine, folder.path().to_owned());
    let outcome = run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await.map_err(line)?;
    println!("{}", outcome.words);
    Ok(())
}
