//! `s3tune tune`: the search with the user's own object, or with the embedded S3 behind a network of the user's choice.

use std::time::Duration;

use s3lab::NetworkProfile;

use super::{download_folder, names, out_folder, run_and_tell};
use crate::cli::TuneArgs;
use crate::engines::Engine;
use crate::failure::Failure;
use crate::lab::{self, EmbeddedS3};
use crate::measure::Bench;
use crate::object::{Access, Connection, Object};
use crate::run::{Budget, Method, Plan};

/// The default seed.
const SEED: u64 = 42;

/// The object's place.
struct Place {
    connection: Connection,
    object: Object,
    network: String,
    /// The embedded server, which must live as long as the downloads.
    _embedded: Option<EmbeddedS3>,
}

pub(super) async fn tune(arguments: TuneArgs) -> Result<(), Failure> {
    // Mistakes that show without the network are looked for first.
    let method = Method::named(&arguments.search)?;
    if arguments.workers > 1 {
        return Err(Failure::usage(format!(
            "--workers {}: downloads at the same time would share this machine's link and disk, and measure each other; \
             write 1",
            arguments.workers
        )));
    }
    let mut engine = Engine::parse(&arguments.engine)?;
    let space_name = arguments.space.clone();
    engine.space(space_name.as_deref(), u64::MAX)?;
    let folder = download_folder(arguments.file_path.clone())?;
    if let Some(name) = &arguments.file_name
        && (name.is_empty() || name.contains('/') || name == "." || name == "..")
    {
        return Err(Failure::usage(format!("--file-name {name:?}: it must be the name of a file, without a folder")));
    }
    engine.check().await?;
    let place = find(&arguments).await?;
    let plan = Plan {
        out: out_folder(arguments.out, "s3tune-run"),
        space: engine.space(space_name.as_deref(), place.object.bytes)?,
        init: arguments.init,
        method,
        n_downloads: arguments.n_downloads,
        max_tuning_time: Duration::from_secs_f64(arguments.max_tuning_time),
        max_trials: arguments.max_trials,
        cut_off: !arguments.no_cut_off,
        budget: Budget {
            max_bytes: arguments.max_bytes.map(|size| size.0),
            max_requests: arguments.max_requests,
            max_cost: arguments.max_cost,
            price_per_1000_requests: arguments.price_per_1000_requests.unwrap_or(0.0),
            price_per_gb: arguments.price_per_gb.unwrap_or(0.0),
        },
        seed: arguments.seed.unwrap_or(SEED),
        network: place.network,
        names: names(arguments.syne_tune_names),
    };
    let mut bench = Bench::new(place.connection, place.object, engine, folder);
    if let Some(name) = arguments.file_name {
        bench.file_name = name;
    }
    run_and_tell(&plan, &bench).await
}

async fn find(arguments: &TuneArgs) -> Result<Place, Failure> {
    if let Some(name) = &arguments.lab {
        let profile = lab::profile("--lab", name)?;
        let profile = match arguments.seed {
            // The file's own.
            None if NetworkProfile::named(name).is_err() => profile,
            seed => {
                let seed = seed.unwrap_or(SEED);
                profile.with_seed(seed).map_err(|error| Failure::usage(format!("--seed {seed}: {error}")))?
            }
        };
        let network = lab::in_words(name, &profile);
        let (embedded, object) = lab::with_object(profile, arguments.object_size.0).await?;
        return Ok(Place { connection: embedded.connection(), object, network, _embedded: Some(embedded) });
    }
    let (Some(bucket), Some(key)) = (&arguments.bucket, &arguments.key) else {
        return Err(Failure::usage("tune needs --bucket and --key, or --lab"));
    };
    let mut connection = Connection::with(Access {
        endpoint: arguments.endpoint_url.as_deref(),
        region: arguments.region.as_deref(),
        profile: arguments.profile.as_deref(),
        unsigned: arguments.no_sign_request,
    })
    .await?;
    let object = Object::find(&mut connection, bucket, key).await?;
    let network = connection.endpoint().map_or_else(|| "AWS".to_owned(), |endpoint| format!("to {endpoint}"));
    Ok(Place { connection, object, network, _embedded: None })
}
