//! The search methods by name. Each has a searcher, which chooses configurations, and a scheduler, which decides how
//! often each is downloaded.

use tunekit::scheduler::{RacingOptions, RungOptions, SchedulerSpec};
use tunekit::{SchedulerKind, SearcherKind, Setup};

use crate::failure::Failure;

/// A search method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    searcher: SearcherKind,
    scheduler: SchedulerKind,
    /// Whether every download is a rung, as in the AWS sample.
    rung_by_rung: bool,
}

/// The AWS sample's names, and those of Syne Tune's baselines.
const NAMES: [(&str, SearcherKind, SchedulerKind); 2] = [
    ("bayes_fifo", SearcherKind::Gp, SchedulerKind::Fifo),
    ("bayes_hyperband", SearcherKind::Gp, SchedulerKind::AshaPromotion),
];

impl Method {
    /// The best method without knowledge beforehand: a configuration is downloaded again only while it may still be the
    /// best. Its downloads alternate with those of the best so far, which is the engine's default in the beginning.
    pub const AUTO: Self = Self { searcher: SearcherKind::Gp, scheduler: SchedulerKind::Racing, rung_by_rung: false };

    /// This searcher, with the same number of downloads of every configuration.
    pub const fn every(searcher: SearcherKind) -> Self {
        Self { searcher, scheduler: SchedulerKind::Fifo, rung_by_rung: false }
    }

    /// The method of this name. It is a method of the AWS sample, a searcher (every configuration is downloaded equally
    /// often), or a scheduler, which downloads good configurations more often. `racing` uses the Gaussian process; the
    /// other schedulers use random configurations if they have no model of their own.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the names there are.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let name = name.replace('-', "_");
        if name == "auto" {
            return Ok(Self::AUTO);
        }
        if let Some((name, searcher, scheduler)) = NAMES.into_iter().find(|(known, ..)| *known == name) {
            return Ok(Self { searcher, scheduler, rung_by_rung: name == "bayes_hyperband" });
        }
        if let Ok(searcher) = SearcherKind::from_name(&name) {
            return Ok(Self::every(searcher));
        }
        let searcher = if name == "racing" { SearcherKind::Gp } else { SearcherKind::Random };
        match SchedulerKind::from_name(&name) {
            Ok(scheduler) if schedules_downloads(scheduler) => Ok(Self { searcher, scheduler, rung_by_rung: false }),
            Ok(scheduler) => Err(Failure::usage(format!(
                "--search {name} is of no use here, because {}; write auto, racing or another method",
                why_of_no_use(scheduler)
            ))),
            Err(_) => {
                let schedulers = SchedulerKind::ALL.into_iter().filter(|kind| schedules_downloads(*kind));
                let known: Vec<&str> = ["auto"]
                    .into_iter()
                    .chain(NAMES.map(|(name, ..)| name))
                    .chain(SearcherKind::ALL.map(SearcherKind::as_str))
                    .chain(schedulers.map(SchedulerKind::as_str))
                    .collect();
                Err(Failure::usage(format!("--search {name} is not known; write one of {}", known.join(", "))))
            }
        }
    }

    /// Whether a model of the measurements chooses the configurations.
    pub(crate) fn has_model(self) -> bool {
        self.searcher == SearcherKind::Gp
    }

    /// The setup for a search by this method, with up to `n_downloads` downloads of a configuration.
    pub(crate) fn applied(self, setup: Setup, n_downloads: u32) -> Setup {
        let most = u64::from(n_downloads);
        let scheduler = match self.scheduler.into() {
            SchedulerSpec::AshaPromotion(options) if self.rung_by_rung => {
                SchedulerSpec::AshaPromotion(RungOptions { rungs: (1..most).collect(), ..options })
            }
            SchedulerSpec::Racing(options) => {
                SchedulerSpec::Racing(RacingOptions { replicates: options.replicates.min(most), ..options })
            }
            other => other,
        };
        let setup = setup.searcher(self.searcher).scheduler(scheduler);
        if self.scheduler == SchedulerKind::Fifo { setup } else { setup.max_resource(most) }
    }
}

/// The reason why a scheduler is not useful.
fn why_of_no_use(kind: SchedulerKind) -> &'static str {
    match kind {
        SchedulerKind::Pbt => "a download has no state that training could change",
        SchedulerKind::MoAsha => "it compares several objectives, and a download has one",
        SchedulerKind::Rush => "it needs the best configurations of earlier studies",
        SchedulerKind::Median => "it stops trials that learn slowly, and downloads of one configuration do not learn",
        _ => "it downloads every configuration equally often; name a searcher for that",
    }
}

/// Whether a scheduler is useful if the resource is a number of downloads of one object: there is nothing to train or
/// to copy, one objective, no earlier study, and no learning curve for the median rule.
fn schedules_downloads(kind: SchedulerKind) -> bool {
    use SchedulerKind::{Fifo, Median, MoAsha, Pbt, Rush};
    !matches!(kind, Fifo | Median | MoAsha | Pbt | Rush)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_sample_of_searchers_and_of_schedulers_are_known() {
        let named = |name| Method::named(name).map(|m| (m.searcher, m.scheduler)).ok();
        assert_eq!(named("bayes-fifo"), Some((SearcherKind::Gp, SchedulerKind::Fifo)));
        assert_eq!(named("bayes_hyperband"), Some((SearcherKind::Gp, SchedulerKind::AshaPromotion)));
        assert_eq!(named("auto"), named("racing"));
        assert_eq!(named("cmaes"), Some((SearcherKind::CmaEs, SchedulerKind::Fifo)));
        assert_eq!(named("racing"), Some((SearcherKind::Gp, SchedulerKind::Racing)));
        assert_eq!(named("hyperband"), Some((SearcherKind::Random, SchedulerKind::Hyperband)));
        for (name, says) in [
            ("pbt", "no use here, because"),
            ("mo_asha", "objectives"),
            ("rush", "earlier"),
            ("median", "learn"),
            ("fifo", "searcher"),
        ] {
            assert!(matches!(Method::named(name), Err(Failure::Usage(line)) if line.contains(says)), "{name}");
        }
        for name in ["nonsense", ""] {
            assert!(matches!(Method::named(name), Err(Failure::Usage(line)) if line.contains("bayes_hyperband")));
        }
    }
}
