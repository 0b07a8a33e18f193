//! Prints the `tracing` spans of a study whose trials download an object: a line for each, with its fields and the time
//! that it was busy and idle. Filter by `trial`, `config`, `bucket`, `key`, `part`, `range` or `attempt`.
//!
//! `cargo run -p s3tune --example print_spans`

use std::io::{IsTerminal, stdout};

use s3lab::{FaultKind, FaultPlan, Lab, Requests};
use s3xfer::{Client, TransferConfig};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};
use tunekit::{Domain, Metric, SearcherKind, Setup, Space, Tuner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Our own crates only: the SDK's have many spans below each request.
    let ours = Targets::new().with_targets([("s3xfer", Level::DEBUG), ("tunekit", Level::DEBUG)]);
    let lines = fmt::layer().with_span_events(FmtSpan::CLOSE).with_ansi(stdout().is_terminal()).with_writer(stdout);
    registry().with(lines.with_filter(ours)).init();

    // One request is refused, so that a second attempt shows.
    let faults = FaultPlan::none().and("film.mp4", Requests::At(1), FaultKind::SlowDown)?;
    let lab = Lab::builder().bucket("lab").synthetic("lab", "film.mp4", 4 << 20).faults(faults).build()?;
    // For a bucket of yours: `Client::from_env().await`.
    let client = Client::builder()
        .endpoint_url(Lab::ENDPOINT)
        .keys(lab.access_key(), lab.secret_key())
        .http_client(lab.http_client())
        .without_environment()
        .build()
        .await?;

    let space = Space::new().with("part_mib", Domain::int(1, 2)?)?;
    let setup = Setup::new(space, Metric::time("seconds")).searcher(SearcherKind::Random).seed(1);
    Tuner::new(setup)
        .max_trials(2)
        .run(async |trial| {
            let part_mib = trial.config().int("part_mib").ok_or("no part_mib")?;
            let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize((part_mib as u64) << 20);
            let config = config.adaptive_concurrency(false).build()?;
            let report = client.clone().with_config(config).download("lab", "film.mp4").discard().await?;
            Ok::<f64, Box<dyn std::error::Error>>(report.elapsed.as_secs_f64())
        })
        .await?;
    Ok(())
}
