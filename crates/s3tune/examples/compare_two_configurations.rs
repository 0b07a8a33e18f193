//! Compares two configurations by downloads in turn, and prints the difference with its interval.
//!
//! `cargo run --release -p s3tune --example compare_two_configurations`

use std::error::Error;

use s3lab::NetworkProfile;
use s3tune::engines::Engine;
use s3tune::failure::Failure;
use s3tune::lab::with_object;
use s3tune::measure::Bench;
use tunekit::{Config, compare};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For an object of yours: `Connection::from_env` and `Object::find` in `s3tune::object`.
    let network = NetworkProfile::named("same-region")?;
    let (embedded, object) = with_object(network, 16 << 20).await.map_err(|failure: Failure| failure.line())?;
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(embedded.connection(), object, Engine::s3xfer(), folder.path().to_owned());

    let parts =
        |requests: i64| Config::new().with("max_concurrency", requests).with("multipart_chunksize", 1_i64 << 20);
    let (few, many) = (parts(2), parts(16));
    let (mut baseline, mut candidate) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        baseline.push(bench.download(&few).await?.as_secs_f64());
        candidate.push(bench.download(&many).await?.as_secs_f64());
    }
    let less = compare::relative_improvement(&baseline, &candidate, 0.95)?;
    let [estimate, lower, upper] = [less.estimate, less.lower, less.upper].map(|share| 100.0 * share);
    println!("{many} takes {estimate:.0} % less time than {few}, 95 % interval {lower:.0} to {upper:.0} %");
    Ok(())
}
