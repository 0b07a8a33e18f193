//! `s3tune demo`: the search on the embedded S3, without any setup.

use std::time::Duration;

use s3lab::NetworkProfile;

use super::{download_folder, out_folder, run_and_tell};
use crate::cli::{DemoArgs, Init};
use crate::engines::Engine;
use crate::failure::Failure;
use crate::lab;
use crate::measure::Bench;
use crate::run::{Budget, Method, Names, Plan};
use crate::show::say;
use crate::size::ByteSize;

/// The seed experiment of the AWS sample, scaled to a small machine: 3 GiB there.
const OBJECT_BYTES: u64 = 256 << 20;
const PROFILE: &str = "same-region";
/// With two downloads per configuration the search tries twice as many configurations as with four, and the model
/// averages over the noise.
const N_DOWNLOADS: u32 = 2;

pub(super) async fn demo(arguments: DemoArgs) -> Result<(), Failure> {
    let network = NetworkProfile::named(PROFILE).map_err(|error| Failure::work("emulate a network", &error))?;
    let network = network
        .with_seed(arguments.seed)
        .map_err(|error| Failure::usage(format!("--seed {}: {error}", arguments.seed)))?;
    let in_words = lab::in_words(PROFILE, &network);
    let (embedded, object) = lab::with_object(network, OBJECT_BYTES).await?;
    let plan = Plan {
        out: out_folder(arguments.out, "s3tune-demo"),
        space: Engine::s3xfer().space(None, OBJECT_BYTES)?,
        init: Init::Random,
        method: Method::AUTO,
        n_downloads: N_DOWNLOADS,
        max_tuning_time: Duration::from_secs_f64(arguments.max_tuning_time),
        max_trials: None,
        cut_off: true,
        budget: Budget::default(),
        seed: arguments.seed,
        network: in_words,
        names: Names::Ours,
    };
    say(&format!(
        "embedded S3 at {}, network {PROFILE}; {object} of {}; {} s of search, then the comparison",
        embedded.endpoint(),
        ByteSize(OBJECT_BYTES),
        arguments.max_tuning_time
    ));
    let bench = Bench::new(embedded.connection(), object, Engine::s3xfer(), download_folder(None)?);
    run_and_tell(&plan, &bench).await
}
