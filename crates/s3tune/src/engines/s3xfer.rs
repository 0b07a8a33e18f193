//! s3xfer as an engine: its knobs, and the transfer configuration for a configuration of the search.

use std::path::Path;
use std::time::Duration;

use s3xfer::{Client, Parameter, TransferConfig, Unit};
use serde_json::{Map, Value};
use tunekit::Config;

use super::{Gauge, Knob, TransferError};
use crate::object::{Connection, Object};

/// boto3's parameters and the switch that makes them bounds, with the defaults of `config`.
pub(super) fn knobs(config: &TransferConfig) -> Vec<Knob> {
    let values = as_config(config);
    let knob = |parameter: Parameter| Knob {
        name: parameter.name.to_owned(),
        default: values.value(parameter.name).cloned(),
        meaning: parameter.meaning.to_owned(),
        boto3: parameter.is_boto3s.then(|| parameter.name.to_owned()),
        unit_bytes: matches!(parameter.unit, Unit::Bytes | Unit::BytesPerSecond).then_some(1),
    };
    let searched = |parameter: &Parameter| parameter.is_boto3s || parameter.name == ADAPTIVE;
    TransferConfig::parameters().into_iter().filter(searched).map(knob).collect()
}

/// Downloads the object over new connections.
pub(super) async fn download(
    connection: &Connection,
    object: &Object,
    config: &Config,
    target: &Path,
    gauge: &Gauge,
) -> Result<Duration, TransferError> {
    let config = transfer_config(config)?;
    // Making a client reads certificates from the disk; that is not the transfer's.
    let client = Client::new(connection.client()).with_config(config);
    let report = client.download(&object.bucket, &object.key).progress(gauge.watch_progress()).to_file(target).await?;
    tracing::debug!(?report, "downloaded");
    Ok(report.elapsed)
}

/// The transfer that a configuration means: its parameters, and the library's defaults for the rest.
///
/// # Errors
///
/// A parameter is unknown to [`TransferConfig`], or outside its range.
pub fn transfer_config(config: &Config) -> Result<TransferConfig, serde_json::Error> {
    let mut parameters = as_object(&TransferConfig::default());
    for (name, value) in as_it_says(config).iter() {
        parameters.insert(name.to_owned(), serde_json::to_value(value)?);
    }
    serde_json::from_value(Value::Object(parameters))
}

/// Makes a configuration's number of requests and part size exact, unless the configuration says that they are bounds.
pub(super) fn as_it_says(config: &Config) -> Config {
    let names = |name: &str| config.value(name).is_some();
    match !names(ADAPTIVE) && BOUNDS.into_iter().any(names) {
        true => config.clone().with(ADAPTIVE, false),
        false => config.clone(),
    }
}

/// The parameters that can be bounds, within which the engine chooses.
pub(crate) const BOUNDS: [&str; 2] = ["max_concurrency", "multipart_chunksize"];
/// The parameter that makes them bounds.
pub(crate) const ADAPTIVE: &str = "adaptive_concurrency";

/// `settled` is `best` with `default`'s values where they make no difference. Whether numbers are bounds stays as it
/// was found, and numbers that are meant as they are stay, too: the default's are bounds, and mean nothing without the
/// switch.
pub(crate) fn keep_meaning(settled: Config, best: &Config, default: &Config) -> Config {
    let settled = match (best.value(ADAPTIVE), default.value(ADAPTIVE)) {
        (Some(found), _) => settled.with(ADAPTIVE, found.clone()),
        (None, Some(_)) => as_it_says(&settled),
        (None, None) => settled,
    };
    let is_fixed = default.bool(ADAPTIVE) == Some(true) && settled.bool(ADAPTIVE) == Some(false);
    BOUNDS.into_iter().filter(|_| is_fixed).fold(settled, |config, name| match best.value(name) {
        Some(found) => config.with(name, found.clone()),
        None => config,
    })
}

/// Every parameter of a transfer that has a value.
#[must_use]
pub fn as_config(config: &TransferConfig) -> Config {
    let mut all = as_object(config);
    // Written only where it was changed; named here, for boto3's defaults change it.
    all.entry(ADAPTIVE).or_insert(Value::Bool(config.adaptive_concurrency()));
    all.into_iter().fold(Config::new(), |config, (name, value)| match value {
        Value::Bool(value) => config.with(name, value),
        value => config.with(name, value.as_i64().unwrap_or(i64::MAX)),
    })
}

/// Names and values, in the order of the struct.
fn as_object(config: &TransferConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(object)) => object,
        _ => unreachable!("a struct of numbers serialises as an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_in_full_means_the_transfer_it_is_of() {
        for config in [TransferConfig::default(), TransferConfig::boto3()] {
            assert_eq!(transfer_config(&as_config(&config)).unwrap(), config);
        }
    }

    #[test]
    fn the_defaults_bounds_do_not_take_the_place_of_numbers_that_were_found() {
        let default = as_config(&TransferConfig::default());
        let best = Config::new().with("multipart_chunksize", 5 << 20).with("max_io_queue", 700);
        let settled = default.clone();
        for (best, fixed) in [(best.clone().with(ADAPTIVE, false), true), (best.clone().with(ADAPTIVE, true), false)] {
            let kept = keep_meaning(settled.clone(), &best, &default);
            let part = if fixed { 5 << 20 } else { 64 << 20 };
            assert_eq!((kept.bool(ADAPTIVE), kept.int("multipart_chunksize")), (Some(!fixed), Some(part)));
            assert_eq!(kept.int("max_io_queue"), Some(16), "it makes no difference");
        }
    }

    #[test]
    fn numbers_that_are_named_are_meant_and_bounds_are_called_so() {
        let adaptive = |config: &Config| transfer_config(config).unwrap().adaptive_concurrency();
        let named = Config::new().with("max_concurrency", 61);
        assert!(!adaptive(&named) && !adaptive(&Config::new().with("multipart_chunksize", 5)));
        assert!(adaptive(&named.with(ADAPTIVE, true)) && adaptive(&Config::new().with("io_chunksize", 5)));
    }
}
