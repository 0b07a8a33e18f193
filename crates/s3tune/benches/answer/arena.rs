//! The places to measure downloads at: real sockets, or inside the process in virtual time.

use std::path::Path;
use std::time::Duration;

use s3lab::Lab;
use s3tune::cli::Init;
use s3tune::engines::Engine;
use s3tune::lab::{self, EmbeddedS3};
use s3tune::measure::Bench;
use s3tune::object::{Connection, Keys};
use s3tune::results::{Recommended, Summary};
use s3tune::run::{Budget, Method, Names, Plan, run};
use s3tune::show::Show;
use tunekit::tuner::StopHandle;
use tunekit::{Config, Value};

use crate::networks::Network;

/// The way in which time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Sockets, and the machine's own pace.
    Real,
    /// No sockets: only the network takes time. A study is over in seconds, however busy the machine is.
    Virtual,
}

/// A network with one object behind it.
pub(crate) struct Arena {
    pub(crate) network: Network,
    pub(crate) bench: Bench,
    /// Kept alive while it is downloaded from.
    _embedded: Option<EmbeddedS3>,
}

/// A search: how, how long, and from where its randomness comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) method: &'a str,
    pub(crate) space: &'a str,
    pub(crate) seconds: f64,
    pub(crate) n_downloads: u32,
    pub(crate) cut_off: bool,
    pub(crate) seed: u64,
}

impl Clock {
    /// A runtime whose time passes so.
    pub(crate) fn runtime(self) -> Result<tokio::runtime::Runtime, String> {
        let mut builder = match self {
            Self::Real => tokio::runtime::Builder::new_multi_thread(),
            Self::Virtual => tokio::runtime::Builder::new_current_thread(),
        };
        let builder = builder.enable_all().start_paused(self == Self::Virtual);
        builder.build().map_err(|error| format!("failed to start a runtime: {error}"))
    }
}

impl Arena {
    /// `network` with randomness of this seed; files are written to `folder`.
    pub(crate) async fn new(clock: Clock, network: Network, seed: u64, folder: &Path) -> Result<Self, String> {
        let profile = network.profile(seed);
        let failed = |failure: s3tune::failure::Failure| failure.line();
        let (connection, object, embedded) = match clock {
            Clock::Real => {
                let (embedded, object) = lab::with_object(profile, network.object).await.map_err(failed)?;
                (embedded.connection(), object, Some(embedded))
            }
            Clock::Virtual => {
                let (lab, object) = lab::holding_object(profile, network.object).map_err(failed)?;
                let keys = Keys { access: lab.access_key().to_owned(), secret: lab.secret_key().to_owned() };
                let connection = Connection::to_lab(Lab::ENDPOINT, keys).over(lab.http_client());
                (connection, object, None)
            }
        };
        let bench = Bench::new(connection, object, Engine::s3xfer(), folder.to_owned());
        Ok(Self { network, bench, _embedded: embedded })
    }

    /// Seconds of one checked download.
    pub(crate) async fn seconds(&self, config: &Config) -> Result<f64, String> {
        let took = self.bench.download(config).await;
        took.map(|took| took.as_secs_f64()).map_err(|error| format!("{}: {config}: {error}", self.network.name))
    }

    /// A whole run of s3tune in a folder that is removed again.
    pub(crate) async fn tune(&self, search: Search<'_>) -> Result<Summary, String> {
        let failed = |failure: s3tune::failure::Failure| format!("{}: {}", self.network.name, failure.line());
        let out = tempfile::tempdir().map_err(|error| format!("failed to make a folder: {error}"))?;
        let plan = Plan {
            out: out.path().join("run"),
            space: self.bench.engine.space(Some(search.space), self.network.object).map_err(failed)?,
            init: Init::Random,
            method: Method::named(search.method).map_err(failed)?,
            n_downloads: search.n_downloads,
            max_tuning_time: Duration::from_secs_f64(search.seconds),
            max_trials: None,
            cut_off: search.cut_off,
            budget: Budget::default(),
            seed: search.seed,
            network: self.network.name.to_owned(),
            names: Names::Ours,
        };
        let outcome = run(&plan, &self.bench, &StopHandle::new(), &Show::nothing()).await.map_err(failed)?;
        Ok(outcome.summary)
    }
}

/// The configuration that a run recommends.
pub(crate) fn recommended(summary: &Summary) -> Config {
    let measured = match summary.recommended {
        Recommended::Best => &summary.best,
        Recommended::EngineDefault => &summary.engine_default,
    };
    measured.config.iter().fold(Config::new(), |config, (name, value)| match value {
        serde_json::Value::Bool(value) => config.with(name, *value),
        value => config.with(name, Value::from(value.as_i64().unwrap_or(i64::MAX))),
    })
}
