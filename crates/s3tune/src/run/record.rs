//! The contents of a run's folder: the study, the comparison, and the description of both. Summary, tables and report
//! are computed from this record alone, so that they can be written again at any time without measuring.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tunekit::journal::{JOURNAL_NAME, JournalFile};
use tunekit::study::ValueRule;
use tunekit::{Best, Config, Experiment, Space, Study};

use super::METRIC;
use super::arms::{Role, shown_in_space};
use super::compare::{Improvements, mean};
use super::comparison::{Comparison, Contents};
use super::identity::Identity;
use crate::engines::{ADAPTIVE, keep_meaning, nearest};
use crate::failure::Failure;
use crate::results::{Measured, Schema, Summary, Verdict, Versus};

/// A run, read from its folder.
pub(crate) struct Record {
    folder: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) study: Study,
    pub(crate) experiment: Experiment,
    pub(crate) comparisons: Contents,
    /// The best of the search so far, if anything is measured.
    pub(crate) best: Option<Best>,
    /// The outcome that was written last. If the last comparison is not finished, it belongs to an earlier one.
    pub(crate) written: Option<Summary>,
}

impl Record {
    /// Reads a folder. Its run may still be in progress.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a folder without a run, [`Failure::Work`] for a folder that cannot be read or is damaged.
    pub(crate) fn load(folder: &Path) -> Result<Self, Failure> {
        let identity = Identity::read(folder)?.ok_or_else(|| {
            Failure::usage(format!(
                "{}: there is no run in this folder; name one that `s3tune demo` or `s3tune tune` made",
                folder.display()
            ))
        })?;
        let journal = folder.join(JOURNAL_NAME);
        let doing = format!("read {}", journal.display());
        let contents = JournalFile::read(&journal).map_err(|error| Failure::work(&doing, &error))?;
        if contents.events.is_empty() {
            return Err(Failure::Work(format!("{}: nothing was measured yet", folder.display())));
        }
        let study = Study::replay(contents.events).map_err(|error| Failure::work(&doing, &error))?;
        let best = study.best();
        let experiment = Experiment::of(&study);
        let comparisons = Contents::read(folder)?;
        let written = Summary::load(&folder.join("summary.json")).ok();
        Ok(Self { folder: folder.to_owned(), identity, study, experiment, comparisons, best, written })
    }

    /// Reads a folder whose journal may hold nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Record::load`].
    pub(crate) fn load_if_measured(folder: &Path) -> Result<Option<Self>, Failure> {
        let journal = folder.join(JOURNAL_NAME);
        let is_empty = fs::metadata(&journal).map_or(true, |file| file.len() == 0);
        if is_empty { Ok(None) } else { Self::load(folder).map(Some) }
    }

    pub(crate) fn space(&self) -> &Space {
        &self.experiment.header().space
    }

    /// The rule that computes a trial's value from its measurements.
    pub(crate) fn rule(&self) -> ValueRule {
        self.experiment.header().metric.value
    }

    /// The search's own mean of the engine's default, its first point.
    pub(crate) fn default_value(&self) -> Option<f64> {
        let first = self.experiment.trials().first()?;
        let asked = self.experiment.header().points_to_evaluate.first()?;
        first.value(self.rule()).filter(|_| first.config == *asked)
    }

    /// The last comparison, if it is finished and summary and `best.toml` therefore describe it.
    ///
    /// # Errors
    ///
    /// The state of the unfinished comparison in words, and the way to finish it.
    pub(crate) fn compared(&self) -> Result<(&Comparison, Improvements), String> {
        if let (Some(last), Some(written), Ok(now)) = (&self.comparisons.last, &self.written, self.summary())
            && (&written.best, &written.engine_default, &written.baseline)
                == (&now.best, &now.engine_default, &now.baseline)
            && let Ok(improvements) = Improvements::of(last)
        {
            return Ok((last, improvements));
        }
        let state = match &self.comparisons.last {
            Some(last) => format!("the comparison is not finished, with {} downloads so far", last.downloads.len()),
            None => "no comparison yet".to_owned(),
        };
        let earlier = if self.written.is_some() { "; best.toml is from the comparison before" } else { "" };
        Err(format!("{state}: {}{earlier}", goes_on(&self.folder)))
    }

    /// The configuration that the last comparison tested as the best, or else the search's best so far.
    pub(crate) fn found(&self) -> Option<Config> {
        let compared = self.comparisons.last.as_ref().and_then(|last| last.arm(Role::Best));
        compared.map(|arm| arm.config.clone()).or_else(|| self.best.as_ref().map(|best| best.config.clone()))
    }

    /// The trial that found it.
    pub(crate) fn found_by(&self) -> Option<u64> {
        let compared = self.comparisons.last.as_ref().and_then(|last| last.arm(Role::Best));
        compared.and_then(|arm| arm.trial).or_else(|| self.best.as_ref().map(|best| best.trial.0))
    }

    /// The search's best configuration in full, with the engine's default for the parameters without a measurable
    /// effect: a recommendation of such a value would be pointless. The switch that makes `max_concurrency` and
    /// `multipart_chunksize` bounds keeps the found value, because it decides their meaning.
    pub(crate) fn settled(&self, best: &Config) -> Config {
        let default = &self.identity.references.engine_default;
        let near = nearest(self.space(), default);
        let settled = match self.study.effects() {
            Ok(effects) => {
                let settled = effects.settle(best, &near);
                // A default outside of the space stands in for the point next to it.
                effects.dead().fold(settled, |config, name| match (config.value(name), default.value(name)) {
                    (Some(value), Some(own)) if Some(value) == near.value(name) => config.with(name, own.clone()),
                    _ => config,
                })
            }
            Err(_) => best.clone(),
        };
        let settled = keep_meaning(settled, best, default);
        default.iter().fold(settled, |config, (name, value)| match config.value(name) {
            Some(_) => config,
            None => config.with(name, value.clone()),
        })
    }

    /// The parameters that, by a test, have no measurable effect.
    pub(crate) fn without_effect(&self) -> Vec<String> {
        let Ok(effects) = self.study.effects() else { return Vec::new() };
        effects.dead().filter(|name| *name != ADAPTIVE).map(str::to_owned).collect()
    }

    /// The number of downloads that were timed and verified.
    pub(crate) fn measurements(&self) -> u64 {
        let compared: usize =
            self.comparisons.earlier.iter().chain(&self.comparisons.last).map(|one| one.downloads.len()).sum();
        (self.experiment.measurements() + compared) as u64
    }

    /// Bytes of these downloads.
    pub(crate) fn bytes(&self) -> u64 {
        self.measurements().saturating_mul(self.identity.object_bytes)
    }

    /// The outcome of a run whose comparison is finished.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] if there is no finished comparison.
    pub(crate) fn summary(&self) -> Result<Summary, Failure> {
        let (Some(comparison), Some(search)) = (&self.comparisons.last, &self.comparisons.search) else {
            return Err(Failure::Work(format!("the run has no comparison yet: {}", goes_on(&self.folder))));
        };
        let improvements = Improvements::of(comparison)?;
        let measured = |role| {
            let samples = comparison.samples(role);
            let config = comparison.arm(role).map(|arm| as_map(&shown_in_space(self.space(), &arm.config)));
            Measured { config: config.unwrap_or_default(), mean: mean(&samples), n: samples.len() as u64 }
        };
        let (over_baseline, over_default) = (improvements.over_baseline, improvements.over_default);
        let verdict = Verdict::of([over_default.lower, over_default.upper]);
        Ok(Summary {
            schema: Schema,
            metric: METRIC.to_owned(),
            unit: "s".to_owned(),
            baseline: measured(Role::Baseline),
            engine_default: measured(Role::EngineDefault),
            best: measured(Role::Best),
            improvement: over_baseline.estimate,
            improvement_ci95: [over_baseline.lower, over_baseline.upper],
            versus_engine_default: Versus {
                improvement: over_default.estimate,
                ci95: [over_default.lower, over_default.upper],
            },
            verdict,
            recommended: verdict.recommended(),
            trials: self.experiment.trials().len() as u64,
            measurements: self.measurements(),
            search_seconds: search.seconds,
            bytes_moved: self.bytes(),
            object_bytes: self.identity.object_bytes,
            seed: self.experiment.header().seed,
            engine: self.identity.engine.clone(),
            stopped_by: search.stopped_by.clone(),
        })
    }
}

/// The way to continue a run that is not finished. Without `--out` its command would begin another folder.
pub(crate) fn goes_on(folder: &Path) -> String {
    format!("the run's command with --out {} continues from there", folder.display())
}

/// Names and values, in the order of the configuration.
pub(crate) fn as_map(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(object)) => object,
        _ => unreachable!("a configuration serialises as an object"),
    }
}
