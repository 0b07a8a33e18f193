//! The behaviour of the emulated network and service: nine numbers, as a type and as a TOML file.
//!
//! The effect of the numbers is `rules::network`'s business. MB are 1e6 bytes, so 1000 MB/s are 8 Gbit/s.

use serde::{Deserialize, Serialize};

/// The file's shape: every field may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_sigma: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail_fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_mb_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_mb_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// Ten minutes: longer than any client waits.
const MAX_MS: f64 = 600_000.0;
/// 1 kB/s to 1 TB/s; one request in a thousand seconds to a million a second.
const RATE: (f64, f64) = (0.001, 1e6);

/// The behaviour of the emulated network and service. A field that is absent is unlimited, or its event does not
/// happen.
///
/// | field | unit | meaning | range |
/// |---|---|---|---|
/// | `first_byte_ms` | ms | median time to the first byte of an answer | 0 to 600000 |
/// | `first_byte_sigma` | - | its log-normal's sigma; needs `first_byte_ms` | 0 to 3 |
/// | `tail_fraction` | - | share of requests that take `tail_ms` longer; needs `tail_ms` | 0 to 1 |
/// | `tail_ms` | ms | the extra time of these requests; needs `tail_fraction` | 0 to 600000 |
/// | `connect_ms` | ms | the extra wait of a new connection's first request | 0 to 600000 |
/// | `connection_mb_per_s` | MB/s | bandwidth of one connection, in each direction | 0.001 to 1e6 |
/// | `link_mb_per_s` | MB/s | bandwidth all connections share fairly, in each direction | 0.001 to 1e6 |
/// | `requests_per_s` | 1/s | requests beyond this rate are answered 503 SlowDown | 0.001 to 1e6 |
/// | `seed` | - | seed of the delays; 0 when absent | 0 to 2^63 - 1 |
///
/// ```
/// use s3lab::NetworkProfile;
///
/// let profile = NetworkProfile::from_toml("first_byte_ms = 30\nfirst_byte_sigma = 0.4\nlink_mb_per_s = 400")?;
/// assert_eq!(profile.link_mb_per_s(), Some(400.0));
/// assert_eq!(profile.connect_ms(), None);
/// let refused = NetworkProfile::from_toml("link_mb_per_s = 0").unwrap_err();
/// assert_eq!(refused.to_string(), "link_mb_per_s = 0 is outside 0.001 to 1000000; leave it out for no limit");
/// # Ok::<(), s3lab::ProfileError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct NetworkProfile(Fields);

/// Why a profile was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A value is outside its range, or not a number.
    #[error("{field} = {value} is outside {min} to {max}; {mend}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The value that was given.
        value: f64,
        /// The least that is allowed.
        min: f64,
        /// The most that is allowed.
        max: f64,
        /// The way to mend it.
        mend: &'static str,
    },
    /// A field has no effect without another one.
    #[error("{field} has no effect without {needs}; give both or neither")]
    Needs {
        /// The field that was given.
        field: &'static str,
        /// The field that was not.
        needs: &'static str,
    },
    /// No built-in profile has this name.
    #[error("there is no profile {name:?}; the names are {}", NetworkProfile::NAMES.join(", "))]
    UnknownName {
        /// The name that was asked for.
        name: String,
    },
    /// Not TOML, an unknown field, or a field of the wrong type.
    #[error("the profile cannot be read: {message}")]
    Syntax {
        /// The place and the reason.
        message: String,
    },
}

fn check(
    field: &'static str,
    value: Option<f64>,
    (min, max): (f64, f64),
    mend: &'static str,
) -> Result<(), ProfileError> {
    match value {
        // A NaN is in no range.
        Some(value) if !(min..=max).contains(&value) => Err(ProfileError::OutOfRange { field, value, min, max, mend }),
        _ => Ok(()),
    }
}

impl TryFrom<Fields> for NetworkProfile {
    type Error = ProfileError;

    fn try_from(f: Fields) -> Result<Self, ProfileError> {
        const NONE: &str = "leave it out for none";
        const UNLIMITED: &str = "leave it out for no limit";
        check("first_byte_ms", f.first_byte_ms, (0.0, MAX_MS), NONE)?;
        check("first_byte_sigma", f.first_byte_sigma, (0.0, 3.0), NONE)?;
        check("tail_fraction", f.tail_fraction, (0.0, 1.0), NONE)?;
        check("tail_ms", f.tail_ms, (0.0, MAX_MS), NONE)?;
        check("connect_ms", f.connect_ms, (0.0, MAX_MS), NONE)?;
        check("connection_mb_per_s", f.connection_mb_per_s, RATE, UNLIMITED)?;
        check("link_mb_per_s", f.link_mb_per_s, RATE, UNLIMITED)?;
        check("requests_per_s", f.requests_per_s, RATE, UNLIMITED)?;
        // TOML's integers are signed.
        check(
            "seed",
            f.seed.filter(|seed| i64::try_from(*seed).is_err()).map(|s| s as f64),
            (0.0, i64::MAX as f64 - 1024.0),
            "take a smaller one",
        )?;
        for (field, given, needs, there) in [
            ("first_byte_sigma", f.first_byte_sigma.is_some(), "first_byte_ms", f.first_byte_ms.is_some()),
            ("tail_fraction", f.tail_fraction.is_some(), "tail_ms", f.tail_ms.is_some()),
            ("tail_ms", f.tail_ms.is_some(), "tail_fraction", f.tail_fraction.is_some()),
        ] {
            if given && !there {
                return Err(ProfileError::Needs { field, needs });
            }
        }
        Ok(Self(f))
    }
}

impl From<NetworkProfile> for Fields {
    fn from(profile: NetworkProfile) -> Self {
        profile.0
    }
}

impl NetworkProfile {
    /// The names [`named`](Self::named) knows.
    pub const NAMES: [&'static str; 4] = ["unlimited", "lan", "same-region", "far"];

    /// No delay and no limit: as fast as the machine is.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// A built-in profile.
    ///
    /// - `unlimited`: no delay and no limit.
    /// - `lan`: a store in the same room; 1 ms, 1000 MB/s, 500 MB/s a connection.
    /// - `same-region`: the shape of a large instance and a bucket in its region, scaled to the power of two cores:
    ///   a connection carries a fourteenth of the link, so ten of them cannot fill it.
    /// - `far`: another continent; 150 ms to the first byte, and much less a connection.
    ///
    /// # Errors
    ///
    /// [`ProfileError::UnknownName`] lists the names there are.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let fields = match name {
            "unlimited" => Fields::default(),
            "lan" => Fields {
                first_byte_ms: Some(1.0),
                first_byte_sigma: Some(0.2),
                connect_ms: Some(0.5),
                connection_mb_per_s: Some(500.0),
                link_mb_per_s: Some(1000.0),
                ..Fields::default()
            },
            "same-region" => Fields {
                first_byte_ms: Some(30.0),
                first_byte_sigma: Some(0.4),
                tail_fraction: Some(0.01),
                tail_ms: Some(150.0),
                connect_ms: Some(10.0),
                connection_mb_per_s: Some(28.0),
                link_mb_per_s: Some(400.0),
                ..Fields::default()
            },
            "far" => Fields {
                first_byte_ms: Some(150.0),
                first_byte_sigma: Some(0.3),
                tail_fraction: Some(0.01),
                tail_ms: Some(400.0),
                connect_ms: Some(300.0),
                connection_mb_per_s: Some(12.0),
                link_mb_per_s: Some(200.0),
                ..Fields::default()
            },
            _ => return Err(ProfileError::UnknownName { name: name.to_owned() }),
        };
        Self::try_from(fields)
    }

    /// Reads a profile from TOML; unknown fields are refused.
    ///
    /// # Errors
    ///
    /// Names the field, its value and the allowed range, or the place in the text that is not TOML.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        // In two steps, so that a refused value stays data and does not become text.
        let fields: Fields =
            toml::from_str(text).map_err(|e| ProfileError::Syntax { message: e.to_string().trim_end().to_owned() })?;
        Self::try_from(fields)
    }

    /// The profile as TOML; [`from_toml`](Self::from_toml) reads the same back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.0).expect("numbers in a flat table are always TOML")
    }

    fn with(&self, change: impl FnOnce(&mut Fields)) -> Result<Self, ProfileError> {
        let mut fields = self.0.clone();
        change(&mut fields);
        Self::try_from(fields)
    }

    /// The same with another time to the first byte: its median in ms, and sigma.
    ///
    /// # Errors
    ///
    /// When a value is outside its range.
    pub fn with_first_byte(&self, median_ms: f64, sigma: f64) -> Result<Self, ProfileError> {
        self.with(|f| (f.first_byte_ms, f.first_byte_sigma) = (Some(median_ms), Some(sigma)))
    }

    /// The same with another tail: the share of slow requests, and their extra time in ms.
    ///
    /// # Errors
    ///
    /// When a value is outside its range.
    pub fn with_tail(&self, fraction: f64, ms: f64) -> Result<Self, ProfileError> {
        self.with(|f| (f.tail_fraction, f.tail_ms) = (Some(fraction), Some(ms)))
    }

    /// The same with another delay of new connections, in ms.
    ///
    /// # Errors
    ///
    /// When the value is outside its range.
    pub fn with_connect_ms(&self, ms: f64) -> Result<Self, ProfileError> {
        self.with(|f| f.connect_ms = Some(ms))
    }

    /// The same with another bandwidth per connection, in MB/s; `None` for no limit.
    ///
    /// # Errors
    ///
    /// When the value is outside its range.
    pub fn with_connection_mb_per_s(&self, rate: Option<f64>) -> Result<Self, ProfileError> {
        self.with(|f| f.connection_mb_per_s = rate)
    }

    /// The same with another bandwidth of the link, in MB/s; `None` for no limit.
    ///
    /// # Errors
    ///
    /// When the value is outside its range.
    pub fn with_link_mb_per_s(&self, rate: Option<f64>) -> Result<Self, ProfileError> {
        self.with(|f| f.link_mb_per_s = rate)
    }

    /// The same with another request rate; `None` for no limit.
    ///
    /// # Errors
    ///
    /// When the value is outside its range.
    pub fn with_requests_per_s(&self, rate: Option<f64>) -> Result<Self, ProfileError> {
        self.with(|f| f.requests_per_s = rate)
    }

    /// The same with another seed, at most 2^63 - 1.
    ///
    /// # Errors
    ///
    /// When the seed is above that.
    pub fn with_seed(&self, seed: u64) -> Result<Self, ProfileError> {
        self.with(|f| f.seed = Some(seed))
    }

    /// Median time to the first byte, in ms.
    #[must_use]
    pub fn first_byte_ms(&self) -> Option<f64> {
        self.0.first_byte_ms
    }

    /// Sigma of the log-normal time to the first byte.
    #[must_use]
    pub fn first_byte_sigma(&self) -> Option<f64> {
        self.0.first_byte_sigma
    }

    /// Share of requests that take [`tail_ms`](Self::tail_ms) longer.
    #[must_use]
    pub fn tail_fraction(&self) -> Option<f64> {
        self.0.tail_fraction
    }

    /// The extra time of slow requests, in ms.
    #[must_use]
    pub fn tail_ms(&self) -> Option<f64> {
        self.0.tail_ms
    }

    /// The extra wait of a new connection's first request, in ms.
    #[must_use]
    pub fn connect_ms(&self) -> Option<f64> {
        self.0.connect_ms
    }

    /// Bandwidth of one connection in each direction, in MB/s.
    #[must_use]
    pub fn connection_mb_per_s(&self) -> Option<f64> {
        self.0.connection_mb_per_s
    }

    /// Bandwidth all connections share in each direction, in MB/s.
    #[must_use]
    pub fn link_mb_per_s(&self) -> Option<f64> {
        self.0.link_mb_per_s
    }

    /// Requests a second before 503 SlowDown.
    #[must_use]
    pub fn requests_per_s(&self) -> Option<f64> {
        self.0.requests_per_s
    }

    /// The seed that the delays are drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_is_a_profile_that_reads_back() {
        for name in NetworkProfile::NAMES {
            let profile = NetworkProfile::named(name).expect("a listed name");
            assert_eq!(NetworkProfile::from_toml(&profile.to_toml()), Ok(profile));
        }
        let error = NetworkProfile::named("moon").unwrap_err();
        assert_eq!(error.to_string(), "there is no profile \"moon\"; the names are unlimited, lan, same-region, far");
    }

    #[test]
    fn errors_name_field_value_and_bound() {
        for (text, part) in [
            ("first_byte_ms = -1", "first_byte_ms = -1 is outside 0 to 600000"),
            ("tail_fraction = 1.5\ntail_ms = 1", "tail_fraction = 1.5 is outside 0 to 1"),
            ("connection_mb_per_s = nan", "connection_mb_per_s = NaN is outside"),
            ("requests_per_s = inf", "requests_per_s = inf is outside"),
            ("first_byte_sigma = 0.1", "first_byte_sigma has no effect without first_byte_ms"),
            ("tail_ms = 1", "tail_ms has no effect without tail_fraction"),
            ("link_mbps = 3", "unknown field `link_mbps`"),
            ("link_mb_per_s = \"fast\"", "invalid type"),
            ("seed = -1", "seed"),
            ("= 3", "cannot be read"),
        ] {
            let error = NetworkProfile::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(NetworkProfile::unlimited().with_seed(u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_back_the_same(ms in 0.0..600_000.0, sigma in 0.0..3.0, link in 0.001..1e6, seed in 0..u64::MAX / 2) {
            let profile = NetworkProfile::unlimited().with_first_byte(ms, sigma).and_then(|p| p.with_link_mb_per_s(Some(link)))
                .and_then(|p| p.with_seed(seed)).expect("all in range");
            prop_assert_eq!(NetworkProfile::from_toml(&profile.to_toml()), Ok(profile));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = NetworkProfile::from_toml(&text);
        }
    }
}
