//! `SchedulerSpec`: the name of a scheduler, with its options. The schedulers themselves are rules.
//!
//! In JSON a spec is a name and a flat map of options beside it: `"scheduler":"asha","scheduler_options":{"eta":4}`.

mod options;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::name::UnknownName;

pub use options::{
    BracketOptions, DyhpoOptions, FrontOptions, FrontOrder, MedianOptions, ModelOptions, PbtOptions, RacingOptions,
    ResourceKernel, RungOptions, RushOptions,
};

/// The options of a scheduler as a journal and `create` have them.
pub(crate) type OptionsMap = Map<String, Json>;

/// A scheduler and its options. A [`SchedulerKind`] is one with the defaults.
///
/// ```
/// use tunekit::SchedulerKind;
/// use tunekit::scheduler::{RungOptions, SchedulerSpec};
///
/// let asha = SchedulerSpec::Asha(RungOptions { eta: 4, ..RungOptions::default() });
/// assert_eq!(asha.kind(), Some(SchedulerKind::Asha));
/// assert_eq!(SchedulerSpec::from(SchedulerKind::Asha), SchedulerSpec::Asha(RungOptions::default()));
/// assert_eq!(asha.to_string(), r#"asha {"eta":4,"grace":1,"rungs":[]}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum SchedulerSpec {
    /// Every trial runs to its end, in the order of asking.
    #[default]
    Fifo,
    /// Asynchronous successive halving that stops.
    Asha(RungOptions),
    /// Asynchronous successive halving that pauses and promotes.
    AshaPromotion(RungOptions),
    /// Synchronous Hyperband.
    Hyperband(BracketOptions),
    /// Asynchronous Hyperband: promotion in several brackets.
    HyperbandAsync(BracketOptions),
    /// Promotion up to a resource that grows with need.
    Pasha(RungOptions),
    /// The median stopping rule around another scheduler.
    Median(MedianOptions),
    /// Synchronous Hyperband with densities of good and bad configurations.
    Bohb(BracketOptions),
    /// Asynchronous Hyperband with a Gaussian process over configuration and resource.
    Mobster(ModelOptions),
    /// The same in the brackets that tell most.
    HyperTune(ModelOptions),
    /// Population-based training.
    Pbt(PbtOptions),
    /// Replicates until the better one is clear, against an incumbent that is measured again and again.
    Racing(RacingOptions),
    /// Synchronous Hyperband whose rungs evolve.
    Dehb(BracketOptions),
    /// Promotion by several objectives.
    MoAsha(FrontOptions),
    /// Promotion of configurations that beat the best of earlier studies.
    Rush(RushOptions),
    /// One level more for the trial from which a model of curves expects the largest improvement.
    Dyhpo(DyhpoOptions),
    /// Your own scheduler, given to `Study::with`. A journal has only its name.
    Own {
        /// The name it gives itself.
        name: String,
    },
}

/// The names of the schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// Every trial runs to its end, in the order of asking.
    #[default]
    Fifo,
    /// Asynchronous successive halving that stops.
    Asha,
    /// Asynchronous successive halving that pauses and promotes.
    AshaPromotion,
    /// Synchronous Hyperband.
    Hyperband,
    /// Asynchronous Hyperband: promotion in several brackets.
    HyperbandAsync,
    /// Promotion up to a resource that grows with need.
    Pasha,
    /// The median stopping rule around another scheduler.
    Median,
    /// Synchronous Hyperband with densities of good and bad configurations.
    Bohb,
    /// Asynchronous Hyperband with a Gaussian process over configuration and resource.
    Mobster,
    /// The same in the brackets that tell most.
    HyperTune,
    /// Population-based training.
    Pbt,
    /// Replicates until the better one is clear, against an incumbent that is measured again and again.
    Racing,
    /// Synchronous Hyperband whose rungs evolve.
    Dehb,
    /// Promotion by several objectives.
    MoAsha,
    /// Promotion of configurations that beat the best of earlier studies.
    Rush,
    /// One level more for the trial from which a model of curves expects the largest improvement.
    Dyhpo,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Fifo,
        Self::Asha,
        Self::AshaPromotion,
        Self::Hyperband,
        Self::HyperbandAsync,
        Self::Pasha,
        Self::Median,
        Self::Bohb,
        Self::Mobster,
        Self::HyperTune,
        Self::Pbt,
        Self::Racing,
        Self::Dehb,
        Self::MoAsha,
        Self::Rush,
        Self::Dyhpo,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Asha => "asha",
            Self::AshaPromotion => "asha_promotion",
            Self::Hyperband => "hyperband",
            Self::HyperbandAsync => "hyperband_async",
            Self::Pasha => "pasha",
            Self::Median => "median",
            Self::Bohb => "bohb",
            Self::Mobster => "mobster",
            Self::HyperTune => "hypertune",
            Self::Pbt => "pbt",
            Self::Racing => "racing",
            Self::Dehb => "dehb",
            Self::MoAsha => "mo_asha",
            Self::Rush => "rush",
            Self::Dyhpo => "dyhpo",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// An unknown name; the error lists those there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|k| k.as_str() == name);
        known.ok_or_else(|| UnknownName::new("scheduler", name, Self::ALL.map(Self::as_str)))
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SchedulerKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name)
    }
}

impl From<SchedulerKind> for SchedulerSpec {
    /// With the options its method's paper has, or recommends.
    fn from(kind: SchedulerKind) -> Self {
        match kind {
            SchedulerKind::Fifo => Self::Fifo,
            SchedulerKind::Asha => Self::Asha(RungOptions::default()),
            SchedulerKind::AshaPromotion => Self::AshaPromotion(RungOptions::default()),
            SchedulerKind::Hyperband => Self::Hyperband(BracketOptions::default()),
            SchedulerKind::HyperbandAsync => Self::HyperbandAsync(BracketOptions::default()),
            SchedulerKind::Pasha => Self::Pasha(RungOptions::default()),
            SchedulerKind::Median => Self::Median(MedianOptions::default()),
            SchedulerKind::Bohb => Self::Bohb(BracketOptions::default()),
            SchedulerKind::Mobster => Self::Mobster(ModelOptions::default()),
            SchedulerKind::HyperTune => Self::HyperTune(ModelOptions::default()),
            SchedulerKind::Pbt => Self::Pbt(PbtOptions::default()),
            SchedulerKind::Racing => Self::Racing(RacingOptions::default()),
            SchedulerKind::Dehb => Self::Dehb(BracketOptions::default()),
            SchedulerKind::MoAsha => Self::MoAsha(FrontOptions::default()),
            SchedulerKind::Rush => Self::Rush(RushOptions::default()),
            SchedulerKind::Dyhpo => Self::Dyhpo(DyhpoOptions::default()),
        }
    }
}

/// Why a name with options does not give a scheduler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is no scheduler of that name.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// The scheduler has no such option.
    #[error("scheduler `{scheduler}` has no option `{option}`; {}", known_options(known))]
    Option {
        /// The scheduler.
        scheduler: String,
        /// The option given.
        option: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// An option is not of its type.
    #[error("option `{option}` of scheduler `{scheduler}` is {value}: {source}")]
    Value {
        /// The scheduler.
        scheduler: String,
        /// The option.
        option: String,
        /// The value given, as JSON.
        value: String,
        /// The fault in it.
        source: serde_json::Error,
    },
    /// `median` around itself, or around nothing.
    #[error("`median` cannot wrap {within}; give `within` the name of another scheduler")]
    Within {
        /// The value given, as JSON.
        within: String,
    },
}

fn known_options(known: &[String]) -> String {
    if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) }
}

/// `median`'s own options, as JSON has them beside those of the scheduler it wraps.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MedianAlone {
    share: f64,
    population: u64,
    grace: u64,
}

impl Default for MedianAlone {
    fn default() -> Self {
        let MedianOptions { within: _, share, population, grace } = MedianOptions::default();
        Self { share, population, grace }
    }
}

/// The option by which `median` names the scheduler it wraps.
const WITHIN: &str = "within";

impl SchedulerSpec {
    /// Its name.
    pub fn name(&self) -> &str {
        match (self, self.kind()) {
            (Self::Own { name }, _) => name,
            (_, kind) => kind.map_or("", SchedulerKind::as_str),
        }
    }

    /// Its kind; `None` for your own scheduler.
    pub fn kind(&self) -> Option<SchedulerKind> {
        Some(match self {
            Self::Fifo => SchedulerKind::Fifo,
            Self::Asha(_) => SchedulerKind::Asha,
            Self::AshaPromotion(_) => SchedulerKind::AshaPromotion,
            Self::Hyperband(_) => SchedulerKind::Hyperband,
            Self::HyperbandAsync(_) => SchedulerKind::HyperbandAsync,
            Self::Pasha(_) => SchedulerKind::Pasha,
            Self::Median(_) => SchedulerKind::Median,
            Self::Bohb(_) => SchedulerKind::Bohb,
            Self::Mobster(_) => SchedulerKind::Mobster,
            Self::HyperTune(_) => SchedulerKind::HyperTune,
            Self::Pbt(_) => SchedulerKind::Pbt,
            Self::Racing(_) => SchedulerKind::Racing,
            Self::Dehb(_) => SchedulerKind::Dehb,
            Self::MoAsha(_) => SchedulerKind::MoAsha,
            Self::Rush(_) => SchedulerKind::Rush,
            Self::Dyhpo(_) => SchedulerKind::Dyhpo,
            Self::Own { .. } => return None,
        })
    }

    /// The scheduler of this name with these options, as `scheduler` and `scheduler_options` have them in JSON. Options
    /// that are left out have their defaults. Bounds are checked when a study is made.
    ///
    /// # Errors
    /// The name is unknown, the scheduler has no such option, or an option has another type.
    ///
    /// ```
    /// use tunekit::scheduler::SchedulerSpec;
    ///
    /// let options = serde_json::json!({"quantile": 7.0});
    /// let refused = SchedulerSpec::from_json("asha", options.as_object().ok_or("an object")?);
    /// assert_eq!(
    ///     refused.map_err(|error| error.to_string()),
    ///     Err("scheduler `asha` has no option `quantile`; it has eta, grace, rungs".to_owned())
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_json(name: &str, options: &Map<String, Json>) -> Result<Self, SpecError> {
        Ok(match SchedulerKind::from_name(name)? {
            SchedulerKind::Fifo => {
                parsed::<NoOptions>(name, options)?;
                Self::Fifo
            }
            SchedulerKind::Asha => Self::Asha(parsed(name, options)?),
            SchedulerKind::AshaPromotion => Self::AshaPromotion(parsed(name, options)?),
            SchedulerKind::Hyperband => Self::Hyperband(parsed(name, options)?),
            SchedulerKind::HyperbandAsync => Self::HyperbandAsync(parsed(name, options)?),
            SchedulerKind::Pasha => Self::Pasha(parsed(name, options)?),
            SchedulerKind::Median => Self::Median(median(options)?),
            SchedulerKind::Bohb => Self::Bohb(parsed(name, options)?),
            SchedulerKind::Mobster => Self::Mobster(parsed(name, options)?),
            SchedulerKind::HyperTune => Self::HyperTune(parsed(name, options)?),
            SchedulerKind::Pbt => Self::Pbt(parsed(name, options)?),
            SchedulerKind::Racing => Self::Racing(parsed(name, options)?),
            SchedulerKind::Dehb => Self::Dehb(parsed(name, options)?),
            SchedulerKind::MoAsha => Self::MoAsha(parsed(name, options)?),
            SchedulerKind::Rush => Self::Rush(parsed(name, options)?),
            SchedulerKind::Dyhpo => Self::Dyhpo(parsed(name, options)?),
        })
    }

    /// All of its options, by name, as [`SchedulerSpec::from_json`] reads them.
    pub fn options(&self) -> Map<String, Json> {
        match self {
            Self::Fifo | Self::Own { .. } => Map::new(),
            Self::Asha(options) | Self::AshaPromotion(options) | Self::Pasha(options) => map(options),
            Self::Hyperband(options) | Self::HyperbandAsync(options) | Self::Bohb(options) | Self::Dehb(options) => {
                map(options)
            }
            Self::Mobster(options) | Self::HyperTune(options) => map(options),
            Self::Median(MedianOptions { within, share, population, grace }) => {
                let mut all = within.options();
                all.extend(map(&MedianAlone { share: *share, population: *population, grace: *grace }));
                all.insert(WITHIN.to_owned(), within.name().into());
                all
            }
            Self::Pbt(options) => map(options),
            Self::Racing(options) => map(options),
            Self::MoAsha(options) => map(options),
            Self::Rush(options) => map(options),
            Self::Dyhpo(options) => map(options),
        }
    }

    /// Whether it may pause a trial and let it go on later. A scheduler of your own is taken for one that does.
    pub(crate) fn pauses(&self) -> bool {
        match self {
            Self::Fifo | Self::Asha(_) => false,
            Self::Median(options) => options.within.pauses(),
            _ => true,
        }
    }

    /// The resource of the first rung, if it has rungs.
    pub(crate) fn grace(&self) -> Option<u64> {
        match self {
            Self::Asha(options) | Self::AshaPromotion(options) | Self::Pasha(options) => Some(options.grace),
            Self::Hyperband(options) | Self::HyperbandAsync(options) | Self::Bohb(options) | Self::Dehb(options) => {
                Some(options.grace)
            }
            Self::Mobster(options) | Self::HyperTune(options) => Some(options.grace),
            Self::MoAsha(options) => Some(options.grace),
            Self::Rush(options) => Some(options.grace),
            _ => None,
        }
    }

    /// The options to write into a journal's header: none where all are the defaults.
    pub(super) fn journalled_options(&self) -> OptionsMap {
        match self.kind() {
            Some(kind) if *self != Self::from(kind) => self.options(),
            _ => OptionsMap::new(),
        }
    }

    /// The scheduler that a journal's header names. An unknown name is a scheduler of somebody's own. Headers of
    /// earlier versions have the options of all schedulers, most of which the one they name never looked at: those are
    /// left out.
    pub(super) fn from_journal(name: &str, mut options: OptionsMap) -> Result<Self, SpecError> {
        let Ok(kind) = SchedulerKind::from_name(name) else { return Ok(Self::Own { name: name.to_owned() }) };
        let mut has = Self::from(kind).options();
        if kind == SchedulerKind::Median {
            let within = options.get(WITHIN).and_then(Json::as_str).and_then(|n| SchedulerKind::from_name(n).ok());
            has.extend(within.map(|kind| Self::from(kind).options()).unwrap_or_default());
        }
        options.retain(|option, _| has.contains_key(option) || !IN_EARLIER_HEADERS.contains(&option.as_str()));
        Self::from_json(name, &options)
    }
}

/// The options that earlier headers had for every scheduler.
const IN_EARLIER_HEADERS: [&str; 15] = [
    "eta",
    "grace",
    "rungs",
    "brackets",
    "share",
    "population",
    "members",
    "interval",
    "quantile",
    "within",
    "drop",
    "accept",
    "replicates",
    "recheck",
    "kernel",
];

impl fmt::Display for SchedulerSpec {
    /// The name, and the options unless all of them are the defaults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.journalled_options();
        f.write_str(self.name())?;
        if options.is_empty() { Ok(()) } else { write!(f, " {}", Json::from(options)) }
    }
}

/// The options of a scheduler that has none.
#[derive(Debug, Default, Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NoOptions {}

/// The fields of a struct of options.
fn map(options: &impl Serialize) -> OptionsMap {
    match serde_json::to_value(options) {
        Ok(Json::Object(map)) => map,
        other => unreachable!("options are structs of numbers, texts and lists, not {other:?}"),
    }
}

/// Options from JSON: each by itself first, so that an error names it.
fn parsed<T: Default + Serialize + DeserializeOwned>(scheduler: &str, options: &OptionsMap) -> Result<T, SpecError> {
    let mut all = map(&T::default());
    for (option, value) in options {
        if !all.contains_key(option) {
            let known = all.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect();
            return Err(SpecError::Option { scheduler: scheduler.to_owned(), option: option.clone(), known });
        }
        let alone = Json::from(OptionsMap::from_iter([(option.clone(), value.clone())]));
        if let Err(source) = serde_json::from_value::<T>(alone) {
            let (scheduler, option, value) = (scheduler.to_owned(), option.clone(), value.to_string());
            return Err(SpecError::Value { scheduler, option, value, source });
        }
        all.insert(option.clone(), value.clone());
    }
    let value = || Json::from(all.clone()).to_string();
    serde_json::from_value(Json::from(all.clone())).map_err(|source| SpecError::Value {
        scheduler: scheduler.to_owned(),
        option: "scheduler_options".to_owned(),
        value: value(),
        source,
    })
}

/// `median`'s options, and with them those of the scheduler it wraps.
fn median(options: &OptionsMap) -> Result<MedianOptions, SpecError> {
    let wrong = |within: &Json| SpecError::Within { within: within.to_string() };
    let within = match options.get(WITHIN) {
        None => SchedulerKind::default(),
        Some(within) => match within.as_str().map(SchedulerKind::from_name) {
            Some(Ok(kind)) if kind != SchedulerKind::Median => kind,
            _ => return Err(wrong(within)),
        },
    };
    let (alone, inner) = (map(&MedianAlone::default()), SchedulerSpec::from(within).options());
    let known = || [WITHIN.to_owned()].into_iter().chain(alone.keys().cloned()).chain(inner.keys().cloned());
    let (mut own, mut others) = (OptionsMap::new(), OptionsMap::new());
    for (option, value) in options.iter().filter(|(option, _)| *option != WITHIN) {
        if !alone.contains_key(option) && !inner.contains_key(option) {
            let scheduler = format!("median around {within}");
            let known = known().collect::<BTreeSet<_>>().into_iter().collect();
            return Err(SpecError::Option { scheduler, option: option.clone(), known });
        }
        // `grace` is one option of both.
        if alone.contains_key(option) {
            own.insert(option.clone(), value.clone());
        }
        if inner.contains_key(option) {
            others.insert(option.clone(), value.clone());
        }
    }
    let MedianAlone { share, population, grace } = parsed(SchedulerKind::Median.as_str(), &own)?;
    let within = Box::new(SchedulerSpec::from_json(within.as_str(), &others)?);
    Ok(MedianOptions { within, share, population, grace })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: Json) -> OptionsMap {
        json.as_object().expect("an object").clone()
    }

    #[test]
    fn every_kind_comes_back_from_its_name_and_options() {
        for kind in SchedulerKind::ALL {
            let spec = SchedulerSpec::from(kind);
            assert_eq!((spec.kind(), spec.name()), (Some(kind), kind.as_str()));
            assert_eq!(SchedulerSpec::from_json(kind.as_str(), &spec.options()).unwrap(), spec);
            assert_eq!(SchedulerSpec::from_json(kind.as_str(), &OptionsMap::new()).unwrap(), spec);
            assert!(spec.journalled_options().is_empty(), "{kind}");
        }
        let within = Box::new(SchedulerSpec::Asha(RungOptions { eta: 4, grace: 2, rungs: Vec::new() }));
        let median = SchedulerSpec::Median(MedianOptions { within, grace: 2, ..MedianOptions::default() });
        let given = serde_json::json!({"within": "asha", "eta": 4, "grace": 2});
        assert_eq!(SchedulerSpec::from_json("median", &options(given)).unwrap(), median);
        assert_eq!(SchedulerSpec::from_json("median", &median.options()).unwrap(), median);
    }

    #[test]
    fn an_option_that_the_scheduler_does_not_have_is_named_with_those_it_has() {
        for (name, given, says) in [
            (
                "asha",
                serde_json::json!({"quantile": 7.0}),
                "scheduler `asha` has no option `quantile`; it has eta, grace",
            ),
            ("asha", serde_json::json!({"brackets": 1}), "has no option `brackets`"),
            ("fifo", serde_json::json!({"eta": 3}), "scheduler `fifo` has no option `eta`; it has none"),
            ("racing", serde_json::json!({"eta": 3}), "it has accept, drop, recheck, replicates"),
            ("median", serde_json::json!({"eta": 3}), "`median around fifo` has no option `eta`; it has grace, pop"),
            ("median", serde_json::json!({"within": "median"}), "cannot wrap \"median\""),
            ("median", serde_json::json!({"within": 3}), "cannot wrap 3"),
            ("asha", serde_json::json!({"eta": "many"}), "option `eta` of scheduler `asha` is \"many\": invalid type"),
            ("pbt", serde_json::json!({"quantile": null}), "option `quantile` of scheduler `pbt` is null"),
            ("mobster", serde_json::json!({"kernel": "rbf"}), "unknown variant `rbf`, expected one of `matern`"),
            ("dyhpo", serde_json::json!({"eta": 3}), "has no option `eta`; it has interval, kernel"),
            ("asah", serde_json::json!({}), "no scheduler called `asah`"),
        ] {
            let error = SchedulerSpec::from_json(name, &options(given)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn headers_of_earlier_versions_have_the_options_of_all_schedulers() {
        let all = serde_json::json!({
            "eta": 4, "grace": 1, "brackets": 0, "share": 0.5, "population": 5, "members": 8, "interval": 0,
            "quantile": 7.0, "within": "fifo", "drop": 0.05, "accept": 0.95, "replicates": 3, "recheck": 20
        });
        let asha = SchedulerSpec::Asha(RungOptions { eta: 4, ..RungOptions::default() });
        assert_eq!(SchedulerSpec::from_journal("asha", options(all.clone())).unwrap(), asha);
        let median = SchedulerSpec::from(SchedulerKind::Median);
        assert_eq!(SchedulerSpec::from_journal("median", options(all.clone())).unwrap(), median);
        assert_eq!(
            SchedulerSpec::from_journal("mine", options(all)).unwrap(),
            SchedulerSpec::Own { name: "mine".to_owned() }
        );
        let unknown = serde_json::json!({"eta": 4, "etas": 4});
        assert!(SchedulerSpec::from_journal("asha", options(unknown)).is_err());
    }
}
