//! The search spaces: named spaces over the parameters of a transfer, or a space from a file.

use std::fs;

use s3xfer::TransferConfig;
use tunekit::{Config, Domain, Space, Value};

use super::s3xfer::{ADAPTIVE, as_config, transfer_config};
use crate::failure::Failure;

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;

/// The space called `name`, or the one in the TOML file `name`, for an object of `object_bytes`.
///
/// - `default`: the four parameters of the AWS sample, without the corners that cannot be fast: at least 4 requests at
///   a time, and parts of at most a quarter of the object (but 8 MiB are always allowed), so that 4 requests have work.
/// - `compat`: the four parameters in the very ranges of the AWS sample.
///
/// A file holds a table for each parameter, by its name in [`TransferConfig`](s3xfer::TransferConfig):
/// `max_concurrency = { type = "int", lo = 1, hi = 256, log = true }`.
///
/// s3xfer's own `default` is [`of_s3xfer`].
///
/// # Errors
///
/// [`Failure::Usage`] for an unknown name, a file that cannot be read, and a parameter or value that a transfer would
/// refuse.
pub(super) fn named(name: &str, object_bytes: u64) -> Result<Space, Failure> {
    let space = match name {
        "default" => space([
            ("max_concurrency", 4, 256),
            ("multipart_chunksize", MIB, largest_part(object_bytes, 8 * MIB)),
            ("io_chunksize", 64 * KIB, 16 * MIB),
            ("max_io_queue", 10, 1_000),
        ]),
        "compat" => compat(),
        file => of_file(file)?,
    };
    check(&space).map_err(|why| Failure::usage(format!("--space {name}: {why}")))?;
    Ok(space)
}

/// The default space of s3xfer: it is wide enough for s3xfer's own defaults, which are bounds, and includes the switch
/// that makes numbers bounds.
pub(crate) fn of_s3xfer(object_bytes: u64) -> Space {
    let four = space([
        ("max_concurrency", 4, 512),
        ("multipart_chunksize", MIB, largest_part(object_bytes, 64 * MIB)),
        ("io_chunksize", 64 * KIB, 16 * MIB),
        ("max_io_queue", 10, 1_000),
    ]);
    four.with(ADAPTIVE, Domain::Bool).expect("no other parameter has this name")
}

/// Configurations of [`of_s3xfer`]'s space to try early: they fetch the object in one wave, each request one part. The
/// engine's default begins with few requests and adapts; these configurations show the time that the adaptation costs.
pub(crate) fn one_wave(space: &Space, object_bytes: u64) -> Vec<Config> {
    if !["max_concurrency", "multipart_chunksize", ADAPTIVE].into_iter().all(|name| space.domain(name).is_some()) {
        return Vec::new();
    }
    let of = |requests: i64| {
        let part = i64::try_from(object_bytes).unwrap_or(i64::MAX) / requests + 1;
        let fixed = as_config(&TransferConfig::default()).with(ADAPTIVE, false);
        nearest(space, &fixed.with("max_concurrency", requests).with("multipart_chunksize", part))
    };
    [64, 16, 256].map(of).into()
}

fn largest_part(object_bytes: u64, least: i64) -> i64 {
    i64::try_from(object_bytes / 4).unwrap_or(i64::MAX).clamp(least, 5 << 30)
}

/// The space in a TOML file; its parameters may have any names.
pub(crate) fn of_file(file: &str) -> Result<Space, Failure> {
    let wrong = |why: String| Failure::usage(format!("--space {file}: {why}"));
    let text = fs::read_to_string(file).map_err(|error| {
        wrong(format!("{error}; write default, compat or the name of a TOML file that can be read"))
    })?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Int parameters on a log scale.
fn space(parameters: [(&str, i64, i64); 4]) -> Space {
    parameters.into_iter().fold(Space::new(), |space, (name, lo, hi)| {
        let domain = Domain::int(lo, hi).and_then(Domain::log).expect("the ranges above are positive and not empty");
        space.with(name, domain).expect("the names above differ")
    })
}

/// The space of `launcher.py` of the AWS sample: a linear range for the threads, logarithmic ranges for the rest.
fn compat() -> Space {
    let logarithmic = space([
        ("max_concurrency", 10, 1_000),
        ("max_io_queue", 100, 100_000),
        ("io_chunksize", 1_000, 1_000_000_000),
        ("multipart_chunksize", 1_000_000, 10_000_000_000),
    ]);
    logarithmic.iter().fold(Space::new(), |space, (name, domain)| {
        let linear = Domain::int(10, 1_000).expect("10 is less than 1000");
        let domain = if name == "max_concurrency" { linear } else { domain.clone() };
        space.with(name, domain).expect("the names above differ")
    })
}

/// The point of the space that is nearest to `config`. A value outside a range becomes the end of the range; a missing
/// value, or a value that is not a choice, becomes the centre's. A parameter that does not exist with the values of the
/// earlier parameters is left out.
pub(crate) fn nearest(space: &Space, config: &Config) -> Config {
    space.iter().fold(Config::new(), |near, (name, domain)| {
        let has = |(parent, values): (&str, &[Value])| near.value(parent).is_some_and(|value| values.contains(value));
        if !space.conditions(name).all(has) {
            return near;
        }
        let inside = config.value(name).and_then(|value| match domain {
            Domain::Int(int) => value.as_i64().map(|x| x.clamp(int.lo(), int.hi()).into()),
            Domain::Float(float) => value.as_f64().map(|x| x.clamp(float.lo(), float.hi()).into()),
            _ => Some(value.clone()),
        });
        let conformed = inside.and_then(|value| domain.conform(&value));
        near.with(name, conformed.unwrap_or_else(|| domain.centre()))
    })
}

/// Checks that every parameter is valid for a transfer, at both ends of its domain.
fn check(space: &Space) -> Result<(), String> {
    if space.is_empty() {
        return Err("it has no parameters; give at least one".to_owned());
    }
    let centre = space.centre();
    for (name, domain) in space.iter() {
        let ends: Vec<Value> = match domain {
            Domain::Float(float) => vec![float.lo().into(), float.hi().into()],
            Domain::Int(int) => vec![int.lo().into(), int.hi().into()],
            Domain::Categorical(choices) | Domain::Ordinal(choices) => choices.values().to_vec(),
            Domain::Bool => vec![true.into(), false.into()],
            other => return Err(format!("{name}: a domain of this kind ({other:?}) is not known here")),
        };
        for end in ends {
            transfer_config(&centre.clone().with(name, end.clone()))
                .map_err(|error| format!("{name} = {end:?} is not a transfer parameter: {error}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::Engine;

    #[test]
    fn boto3s_defaults_lie_in_the_named_spaces() {
        for (name, bytes) in [("default", 1), ("default", 256 << 20), ("default", u64::MAX), ("compat", 3 << 30)] {
            let space = named(name, bytes).unwrap();
            let boto3 = Engine::s3xfer().boto3_defaults().unwrap();
            let named = space
                .iter()
                .fold(Config::new(), |config, (name, _)| config.with(name, boto3.value(name).unwrap().clone()));
            space.validate(&named).unwrap();
        }
    }

    #[test]
    fn compat_has_the_samples_ranges() {
        let space = named("compat", 1).unwrap();
        let text = serde_json::to_value(&space).unwrap();
        assert_ne!(text["max_concurrency"]["log"], true);
        assert_eq!(text["multipart_chunksize"]["hi"], 10_000_000_000_i64);
        assert_eq!(space.len(), 4);
    }

    #[test]
    fn a_space_of_a_file_is_checked_against_what_a_transfer_takes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("space.toml");
        let try_space = |text: &str| {
            fs::write(&file, text).unwrap();
            named(file.to_str().unwrap(), 1 << 20).map_err(|failure| failure.line())
        };
        assert_eq!(try_space("max_concurrency = { type = 'int', lo = 1, hi = 9 }").unwrap().len(), 1);
        assert!(try_space("use_threads = { type = 'bool' }").is_ok());
        for (text, says) in [
            ("max_concurrency = { type = 'int', lo = 0, hi = 9 }", "max_concurrency"),
            ("io_chunksize = { type = 'float', lo = 0.5, hi = 9.5 }", "io_chunksize"),
            ("speed = { type = 'int', lo = 1, hi = 9 }", "speed"),
            ("max_concurrency = { type = 'int', lo = 9, hi = 1 }", "9"),
            ("", "no parameters"),
        ] {
            let error = try_space(text).unwrap_err();
            assert!(error.contains(says) && error.contains("--space"), "{text}: {error}");
        }
        assert!(named("defualt", 1).unwrap_err().line().contains("compat"));
    }

    #[test]
    fn the_nearest_point_is_the_configuration_itself_where_the_space_has_it() {
        let space = Space::new()
            .with("a", Domain::int(10, 100).unwrap())
            .unwrap()
            .with("b", Domain::categorical(["x", "y"]).unwrap())
            .unwrap();
        let near = |config| nearest(&space, &config);
        let inside = Config::new().with("a", 32).with("b", "y");
        assert_eq!(near(inside.clone().with("other", 1)), inside);
        assert_eq!(near(Config::new().with("a", 3).with("b", "y")).int("a"), Some(10));
        assert_eq!(near(Config::new().with("a", 3000).with("b", "z")).int("a"), Some(100));
        assert!(space.validate(&near(Config::new())).is_ok());
    }

    #[test]
    fn one_wave_of_parts_is_the_whole_object_and_of_fixed_numbers() {
        let cells = |bytes: u64| -> Vec<(i64, i64)> {
            let space = of_s3xfer(bytes);
            let points = one_wave(&space, bytes);
            assert!(points.iter().all(|point| space.validate(point).is_ok() && point.bool(ADAPTIVE) == Some(false)));
            let cell =
                |point: &Config| (point.int("max_concurrency").unwrap(), point.int("multipart_chunksize").unwrap());
            points.iter().map(cell).collect()
        };
        assert_eq!(cells(3 << 30), [(64, (48 << 20) + 1), (16, (192 << 20) + 1), (256, (12 << 20) + 1)]);
        assert_eq!(cells(64 << 20)[2], (256, 1 << 20), "no smaller part is in the space");
        assert_eq!(one_wave(&compat(), 3 << 30), [], "it has no switch");
    }

    #[test]
    fn points_of_a_space_with_conditions_have_the_parameters_that_exist() {
        let int = |lo, hi| Domain::int(lo, hi).unwrap();
        let space = Space::new().with(ADAPTIVE, Domain::Bool).unwrap().with("max_concurrency", int(1, 512)).unwrap();
        let space = space.with_when("multipart_chunksize", int(MIB, 64 * MIB), ADAPTIVE, [false]).unwrap();
        let default = nearest(&space, &as_config(&TransferConfig::default()));
        assert_eq!((default.bool(ADAPTIVE), default.int("multipart_chunksize")), (Some(true), None));
        assert_eq!(space.complete(&default).unwrap(), default);
        for point in one_wave(&space, 3 << 30) {
            assert!(point.int("multipart_chunksize").is_some());
            space.validate(&point).unwrap();
        }
    }
}
