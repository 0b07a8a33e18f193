//! `Server`: a study over JSON lines, one answer a line. The caller provides the lines.
//!
//! Requests are `create`, `ask`, `report`, `tell`, `add`, `best`, `pareto`, `plan`, `checkpoints`, `header`, `why`,
//! `importances` and `partial`; each has its fields in [`Request`]. A request that is wrong is answered with
//! `{"error": "..."}` and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value as Json, json};

use super::open::{OpenError, StudyJournal};
use crate::doors::journal::{JournalError, JournalFile};
use crate::rules::experiment::Experiment;
use crate::rules::importance::{Importance, Importances};
use crate::rules::searcher::SearcherKind;
use crate::rules::study::{Setup, Study};
use crate::rules::transfer::{Transfer, TransferMethod};
use crate::words::event::Event;
use crate::words::metric::{Goal, Metric, MetricKind, Noise, ValueRule};
use crate::words::schedule::{OptionsMap, SchedulerKind, SchedulerSpec};
use crate::words::space::Space;
use crate::words::trial::{Ask, Best, Measured, Outcome, Status, Trial, TrialId};
use crate::words::value::Config;

/// One line of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// Makes the study, or goes on with the same one from the journal.
    Create(Box<Create>),
    /// The next trial to run.
    Ask {},
    /// A running trial's measurement at a resource; `null` for one that is not finite.
    Report {
        trial: TrialId,
        resource: u64,
        // JSON writes NaN and infinity as `null`; a missing field is a mistake.
        #[serde(deserialize_with = "Option::deserialize")]
        value: Option<f64>,
        /// The further objectives and the constraints, if they are known already.
        #[serde(default, deserialize_with = "numbers")]
        more: Vec<f64>,
        #[serde(default, deserialize_with = "numbers")]
        constraints: Vec<f64>,
        /// The trial's cost so far.
        cost: Option<f64>,
    },
    /// A trial ended: with a value or a bound of it; with the reason why it failed, took too long or cannot be
    /// measured; or with none of them after reports. A value or a bound comes with the study's further objectives and
    /// constraints.
    Tell {
        trial: TrialId,
        // JSON writes NaN and infinity as `null`.
        #[serde(default, deserialize_with = "given")]
        value: Given,
        #[serde(default, deserialize_with = "given")]
        at_least: Given,
        failed: Option<String>,
        timed_out: Option<String>,
        infeasible: Option<String>,
        #[serde(default, deserialize_with = "numbers")]
        more: Vec<f64>,
        #[serde(default, deserialize_with = "numbers")]
        constraints: Vec<f64>,
        cost: Option<f64>,
    },
    /// A result from elsewhere.
    Add {
        config: Config,
        #[serde(default, deserialize_with = "given")]
        value: Given,
        #[serde(default, deserialize_with = "given")]
        at_least: Given,
        #[serde(default, deserialize_with = "numbers")]
        more: Vec<f64>,
        #[serde(default, deserialize_with = "numbers")]
        constraints: Vec<f64>,
        cost: Option<f64>,
    },
    /// The best configuration so far.
    Best {},
    /// The configurations that no other one beats in everything.
    Pareto {},
    /// Rungs, quotas and the expected budget.
    Plan {},
    /// The checkpoints that a trial may still go on from.
    Checkpoints {},
    /// The settings of the study: its journal's first event.
    Header {},
    /// The searcher in use, and the reason for its choice.
    Why {},
    /// The parameters by their importance.
    Importances {},
    /// The metric as a function of one parameter.
    Partial {
        parameter: String,
        #[serde(default = "partial_points")]
        points: usize,
    },
}

/// A number that was given, possibly as `null`, or left out.
type Given = Option<Option<f64>>;

/// The given value, `null` included: a bound of `null` must not pass for one that was left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Numbers, of which a `null` is one that is not finite.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let given: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
    Ok(given.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

/// The value or the bound of a result; whether it is a bound. A value of `null` is not a number.
fn value_or_bound(value: Given, at_least: Given) -> Result<Option<(f64, bool)>, String> {
    match (value, at_least) {
        (Some(_), Some(_)) => Err("a result has a value or is at_least something, not both; leave one out".to_owned()),
        (None, Some(None)) => Err("at_least is null; it must be a finite number".to_owned()),
        (None, Some(Some(bound))) => Ok(Some((bound, true))),
        (value, None) => Ok(value.map(|value| (value.unwrap_or(f64::NAN), false))),
    }
}

fn partial_points() -> usize {
    20
}

/// The settings of a new study; all but the space have a default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    space: Space,
    /// The predicates that every configuration must meet.
    #[serde(default)]
    predicates: Vec<String>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    mode: Goal,
    #[serde(default)]
    kind: MetricKind,
    #[serde(default)]
    noise: Noise,
    /// The rule that makes a trial's value from its reports; by default the scheduler's.
    value: Option<ValueRule>,
    /// The further objectives.
    #[serde(default)]
    objectives: Vec<Objective>,
    /// Names of the values that must be at most 0.
    #[serde(default)]
    constraints: Vec<String>,
    #[serde(default)]
    cost_aware: bool,
    searcher: Option<String>,
    scheduler: Option<String>,
    /// Those that the scheduler has.
    scheduler_options: Option<OptionsMap>,
    /// The most trials that are started.
    budget: Option<u64>,
    max_resource: Option<u64>,
    /// Number of trials that the client runs at once: for schedulers that ask for it; nothing else depends on it.
    #[serde(rename = "workers")]
    _workers: Option<u64>,
    #[serde(default)]
    points_to_evaluate: Vec<Config>,
    transfer: Option<Earlier>,
}

/// The use of earlier studies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Earlier {
    /// Their journals, or folders with one.
    journals: Vec<PathBuf>,
    method: TransferMethod,
    /// Number of configurations, for methods that give some.
    points: Option<usize>,
}

/// A further objective.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Objective {
    name: String,
    #[serde(default)]
    mode: Goal,
    #[serde(default)]
    kind: MetricKind,
    #[serde(default)]
    noise: Noise,
}

/// The standing of a session, which is standard input or a connection, with its study.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// A `create` of the session was answered with `ok`.
    created: bool,
    /// There is a study, and the session asked for another one or could not be understood: it must not run its trials.
    refused: bool,
}

/// A trial that was lost so often has failed: it may be the cause.
const MOST_LOSSES: u32 = 5;

/// Answers requests on one study.
///
/// ```
/// use std::time::Duration;
/// let mut server = tunekit::serve::Server::new();
/// let mut say = |line: &str| server.answer(line, Duration::ZERO);
/// let create = r#"{"op":"create","space":{"x":{"type":"float","lo":-5,"hi":10}},"points_to_evaluate":[{"x":0}]}"#;
/// assert_eq!(say(create)?, r#"{"ok":true}"#);
/// assert_eq!(say(r#"{"op":"ask"}"#)?, r#"{"trial":0,"config":{"x":0.0},"resource":null,"resumed":false}"#);
/// assert_eq!(say(r#"{"op":"tell","trial":0,"value":0.7}"#)?, r#"{"ok":true}"#);
/// # Ok::<(), tunekit::journal::JournalError>(())
/// ```
#[derive(Debug, Default)]
pub struct Server {
    study: Option<Study>,
    journal: Option<JournalFile>,
    warning: Option<String>,
    /// The study was asked for by a `create`, or by the caller, and has its limit.
    is_begun: bool,
    /// An `ask` was answered with `done`.
    is_done: bool,
    /// The standing of the caller's own session.
    standing: Standing,
    /// Number of clients that were lost while they had a trial.
    losses: BTreeMap<TrialId, u32>,
    /// The time of the journal's last event: this session's time counts from there.
    before: Duration,
}

impl Server {
    /// Without a journal: the study ends with the session.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a journal, and the study in it if there is one: its open trials are asked for again.
    ///
    /// # Errors
    /// A journal that cannot be opened, is in use, or is no study's.
    pub fn with_journal(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let found = StudyJournal::open(&path)?;
        let torn = found.torn_bytes();
        let (study, journal) = found.resume()?;
        let before = study.as_ref().and_then(Study::elapsed).unwrap_or_default();
        let warning = (torn > 0).then(|| {
            format!(
                "journal {}: the last line had no end, as after a kill while it was written; its {torn} bytes were cut \
                 off, and what they told counts as not told",
                path.as_ref().display()
            )
        });
        Ok(Self { study, journal: Some(journal), warning, before, ..Self::default() })
    }

    /// A warning about the journal that it was opened with, if there is one.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// With this study, or the same one from the journal: clients need not create it. It ends after `max_trials`,
    /// whatever a client's `create` says.
    ///
    /// # Errors
    /// A setup that cannot be worked with, or a journal of another study; in a sentence.
    pub fn with_study(mut self, setup: Setup, max_trials: Option<u64>) -> Result<Self, String> {
        self.begin(setup, max_trials)?;
        Ok(self)
    }

    /// Says that the client of a trial was lost: the trial will be asked for again, or has failed after the fifth loss.
    /// A trial that was told to stop has its result and ends with it. One that is not running stays as it is.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn lose(&mut self, trial: TrialId, now: Duration) -> Result<(), JournalError> {
        let now = self.before.saturating_add(now);
        if let Some(study) = &mut self.study
            && let Some(lost) = study.trial(trial).filter(|trial| trial.status == Status::Running)
        {
            let is_over = study.is_over(lost);
            let losses = self.losses.entry(trial).or_default();
            *losses += 1;
            // It runs, so that neither is refused.
            let _ = match *losses {
                losses if losses < MOST_LOSSES || is_over => study.at(now).interrupt(trial),
                losses => study.at(now).tell(trial, Outcome::Failed(format!("its client was lost {losses} times"))),
            };
        }
        self.store()
    }

    /// Says that nobody runs any trial any more: those that ran will be asked for again.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn interrupt_open(&mut self, now: Duration) -> Result<(), JournalError> {
        let now = self.before.saturating_add(now);
        if let Some(study) = &mut self.study {
            study.at(now).interrupt_open();
        }
        self.store()
    }

    /// Whether there is nothing to do any more, and nobody runs a trial.
    pub(super) fn is_over(&self) -> bool {
        self.is_done && !self.has_open_besides(&BTreeSet::new())
    }

    /// Whether another trial than these runs or is to run again.
    pub(super) fn has_open_besides(&self, own: &BTreeSet<TrialId>) -> bool {
        let is_open = |trial: &Trial| match trial.status {
            Status::Running => !own.contains(&trial.id),
            status => status == Status::Interrupted,
        };
        self.study.as_ref().is_some_and(|study| study.trials().iter().any(is_open))
    }

    fn store(&mut self) -> Result<(), JournalError> {
        match (&mut self.study, &mut self.journal) {
            (Some(study), Some(journal)) => journal.append(&study.take_events()),
            // Nobody stores them, and they would grow with the study.
            (Some(study), None) => {
                drop(study.take_events());
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// The same, and all stored events are on the disk: a client may remove checkpoints that the answer does not name.
    fn store_for_good(&mut self) -> Result<(), JournalError> {
        self.store()?;
        self.journal.as_mut().map_or(Ok(()), JournalFile::sync)
    }

    /// The answer to one line, without its end; `now` is the time of the session. The events behind the answer are in
    /// the journal when this returns.
    ///
    /// # Errors
    /// The journal cannot be written. The session is then over: the study is ahead of its journal.
    pub fn answer(&mut self, line: &str, now: Duration) -> Result<String, JournalError> {
        let request =
            serde_json::from_str(line).map_err(|error| format!("not a request: {error}{}", hint(line, error.column())));
        if request.is_err() && is_create(line) {
            self.refuse();
        }
        let is_ask = matches!(request, Ok(Request::Ask {}));
        let answer = request.and_then(|request| self.act(request, now));
        if is_ask {
            self.store()?
        } else {
            self.store_for_good()?
        }
        if let Ok(answer) = &answer
            && answer.get("done").is_some()
        {
            self.is_done = true;
        }
        Ok(answer.unwrap_or_else(|error| json!({ "error": error })).to_string())
    }

    /// The answer to one line of a session that is not the caller's own: of one connection among several.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub(super) fn answer_to(
        &mut self,
        standing: &mut Standing,
        line: &[u8],
        now: Duration,
    ) -> Result<String, JournalError> {
        std::mem::swap(&mut self.standing, standing);
        let answer = self.answer_bytes(line, now);
        std::mem::swap(&mut self.standing, standing);
        answer
    }

    /// The answer to one line that may not be text: bytes that are not UTF-8 are refused with their place.
    ///
    /// # Errors
    /// As [`Server::answer`].
    pub fn answer_bytes(&mut self, line: &[u8], now: Duration) -> Result<String, JournalError> {
        match std::str::from_utf8(line) {
            Ok(line) => self.answer(line, now),
            Err(error) => {
                if is_create(&String::from_utf8_lossy(line)) {
                    self.refuse();
                }
                let at = error.valid_up_to() + 1;
                let error = format!("not a request: byte {at} of the line is not UTF-8; write the line in UTF-8");
                Ok(json!({ "error": error }).to_string())
            }
        }
    }

    /// A `create` of the session was refused. If there is a study, it is not the session's.
    fn refuse(&mut self) {
        self.standing.refused = !self.standing.created && self.study.is_some();
    }

    fn act(&mut self, request: Request, now: Duration) -> Result<Json, String> {
        if let Request::Create(create) = request {
            let answer = self.create(*create);
            match &answer {
                Ok(_) => self.standing = Standing { created: true, refused: false },
                Err(_) => self.refuse(),
            }
            return answer;
        }
        if self.standing.refused {
            return Err(if self.is_begun {
                "there is another study and create was refused; create the same study, or ask another server"
            } else {
                "the journal has a study and create was refused; create the journal's study, or begin a session with \
                 another journal"
            }
            .to_owned());
        }
        let now = self.before.saturating_add(now);
        let study = self.study.as_mut().ok_or("there is no study yet; create one first")?.at(now);
        match request {
            Request::Ask {} => match study.ask().map_err(text)? {
                Ask::Trial(job) => {
                    let spent = study.trial(job.trial).and_then(Trial::cost);
                    let mut answer = serde_json::to_value(job).map_err(text)?;
                    if let Some(spent) = spent {
                        answer["spent"] = json!(spent);
                    }
                    Ok(answer)
                }
                Ask::Wait => Ok(json!({ "wait": true })),
                Ask::Done(_) => Ok(json!({ "done": true })),
            },
            Request::Report { trial, resource, value, more, constraints, cost } => {
                let value = value.unwrap_or(f64::NAN);
                let measured = Measured { more, constraints, cost, ..Measured::new(value) };
                let decision = study.report(trial, resource, measured).map_err(text)?;
                Ok(json!({ "decision": decision }))
            }
            Request::Tell { trial, value, at_least, failed, timed_out, infeasible, more, constraints, cost } => {
                let alone = more.is_empty() && constraints.is_empty() && cost.is_none();
                let is_null = value == Some(None);
                if is_null && cost.is_some() {
                    return Err("the value is null, so the trial failed, and a failed trial has no cost; leave it out"
                        .to_owned());
                }
                let given = [
                    failed.map(Outcome::Failed),
                    timed_out.map(Outcome::TimedOut),
                    infeasible.map(Outcome::Infeasible),
                ];
                let mut given = given.into_iter().flatten();
                let failed = given.next();
                if given.next().is_some() {
                    return Err("a trial has failed, timed_out or is infeasible; say one of them".to_owned());
                }
                let outcome = match (value_or_bound(value, at_least)?, failed) {
                    (Some((_, false)), reason) if is_null => {
                        let is_null = || Outcome::Failed("the value is null, not a finite number".to_owned());
                        reason.unwrap_or_else(is_null)
                    }
                    (Some((_, is_bound)), Some(_)) => {
                        let what = if is_bound { "is at_least something" } else { "has a value" };
                        return Err(format!("a trial {what} or has failed, not both"));
                    }
                    (Some((value, is_bound)), None) => Measured { value, is_bound, more, constraints, cost }.into(),
                    (None, _) if !alone => {
                        return Err("more, constraints and cost come with a value or at_least; tell it too".to_owned());
                    }
                    (None, Some(failed)) => failed,
                    (None, None) => Outcome::Done,
                };
                study.tell(trial, outcome).map_err(text)?;
                Ok(ok())
            }
            Request::Add { config, value, at_least, more, constraints, cost } => {
                let (value, is_bound) = value_or_bound(value, at_least)?
                    .filter(|(value, _)| !value.is_nan())
                    .ok_or("a result from elsewhere has a finite value, or is at_least one; give it")?;
                let measured = Measured { value, is_bound, more, constraints, cost };
                study.add(&config, measured).map(|_| ok()).map_err(text)
            }
            Request::Best {} => {
                let best = study.best();
                let best = best.ok_or_else(|| study.why_no_best().unwrap_or("nothing was measured yet"))?;
                serde_json::to_value(best).map_err(text)
            }
            Request::Pareto {} => {
                let point = |best: Best| {
                    let values: Vec<f64> = std::iter::once(best.value).chain(best.more).collect();
                    json!({ "trial": best.trial, "config": best.config, "values": values })
                };
                Ok(json!({ "front": study.pareto().into_iter().map(point).collect::<Vec<_>>() }))
            }
            Request::Plan {} => {
                let plan = study
                    .plan()
                    .ok_or_else(|| format!("scheduler `{}` has no rungs to plan", study.header().scheduler.name()))?;
                Ok(
                    json!({ "brackets": plan.brackets, "budget_per_trial": plan.budget_per_trial(), "text": plan.to_string() }),
                )
            }
            Request::Checkpoints {} => Ok(json!({ "checkpoints": study.checkpoints() })),
            Request::Header {} => serde_json::to_value(Event::Header(Box::new(study.header().clone()))).map_err(text),
            Request::Why {} => {
                let why = study.why().unwrap_or_else(|| format!("{}: as asked", study.header().searcher));
                Ok(json!({ "why": why }))
            }
            Request::Importances {} => study.importances().map(|i| shares(&i)).map_err(text),
            Request::Partial { parameter, points } => {
                serde_json::to_value(study.partial_dependence(&parameter, points).map_err(text)?).map_err(text)
            }
            Request::Create(_) => Ok(ok()),
        }
    }

    fn create(&mut self, create: Create) -> Result<Json, String> {
        let searcher = create.searcher.map_or(Ok(SearcherKind::default()), |n| n.parse()).map_err(text)?;
        let scheduler = create.scheduler.as_deref().unwrap_or(SchedulerKind::default().as_str());
        let options = create.scheduler_options.unwrap_or_default();
        let scheduler = SchedulerSpec::from_json(scheduler, &options).map_err(text)?;
        let asked = create.value;
        let metric = Metric {
            goal: create.mode,
            kind: create.kind,
            noise: create.noise,
            value: create.value.unwrap_or_default(),
            ..Metric::default()
        };
        let objective =
            |o: Objective| Metric { name: o.name, goal: o.mode, kind: o.kind, noise: o.noise, ..Metric::default() };
        let space = create.predicates.iter().try_fold(create.space, |s, p| s.require(p)).map_err(text)?;
        let setup = Setup {
            objectives: create.objectives.into_iter().map(objective).collect(),
            constraints: create.constraints,
            cost_aware: create.cost_aware,
            searcher,
            scheduler,
            max_resource: create.max_resource,
            budget: create.budget,
            points_to_evaluate: create.points_to_evaluate,
            ..Setup::new(space, metric).seed(create.seed)
        };
        let setup = match create.transfer {
            Some(from) => transferred(setup, from)?,
            None => setup,
        };
        let header = setup.header().map_err(text)?;
        if asked.is_some_and(|asked| asked != header.metric.value) {
            return Err(format!(
                "scheduler `{}` takes reports as replicates; leave value out, or say \"mean\"",
                header.scheduler.name()
            ));
        }
        self.begin(setup, create.budget)?;
        Ok(ok())
    }

    /// Begins with a study, or goes on with the same one. A study that was begun keeps its limit.
    fn begin(&mut self, setup: Setup, max_trials: Option<u64>) -> Result<(), String> {
        let header = setup.header().map_err(text)?;
        if let Some(study) = &self.study
            && let Some(difference) = study.header().difference(&header)
        {
            return Err(match self.is_begun {
                true => format!("there is another study already: {difference}; create that one, or ask another server"),
                false => format!(
                    "the journal is of another study: {difference}; create that one, or begin a session with another \
                     journal"
                ),
            });
        }
        if self.is_begun {
            return Ok(());
        }
        let study = match self.study.take() {
            Some(study) => study,
            None => Study::new(setup).map_err(text)?,
        };
        self.study.insert(study).limit_trials(max_trials);
        self.is_begun = true;
        Ok(())
    }
}

/// Whether a line that does not read was meant for a `create`.
fn is_create(line: &str) -> bool {
    let is_value = |rest: &str| {
        let value = rest.trim_start().strip_prefix(':').map(str::trim_start);
        value.is_some_and(|value| value.starts_with("\"create\""))
    };
    line.split("\"op\"").skip(1).any(is_value)
}

/// Advice where a language has written a number that is not finite, which JSON lacks.
fn hint(line: &str, column: usize) -> &'static str {
    // The place is one past the byte that does not fit.
    let from = line
        .get(..column.saturating_sub(1))
        .map_or(0, |before| before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '-').len());
    let word = line.get(from..).unwrap_or_default().trim_start_matches('-');
    let is_number = ["NaN", "nan", "Infinity", "inf"].iter().any(|name| word.starts_with(name));
    if is_number { "; JSON has no such number, write null for one that is not finite" } else { "" }
}

/// The setup with the results of earlier studies. The new journal's header keeps them as points or as the space.
fn transferred(setup: Setup, from: Earlier) -> Result<Setup, String> {
    let load =
        |path: &PathBuf| Experiment::load(path).map_err(|error| format!("failed to load an earlier study: {error}"));
    let experiments = from.journals.iter().map(load).collect::<Result<_, _>>()?;
    let transfer = Transfer::new(&setup, experiments).map_err(text)?;
    Ok(transfer.apply(from.method, from.points.unwrap_or(Transfer::POINTS), setup))
}

/// By name, the largest share first; the standard errors likewise, and pairs as [one, other, share, error].
fn shares(importances: &Importances) -> Json {
    let by_name = |of: fn(&Importance) -> f64| -> Json {
        importances.main.iter().map(|i| (i.parameters.concat(), json!(of(i)))).collect::<serde_json::Map<_, _>>().into()
    };
    let pair = |i: &Importance| json!([i.parameters[0], i.parameters[1], i.share, i.sd]);
    json!({
        "importances": by_name(|i| i.share),
        "sd": by_name(|i| i.sd),
        "pairs": importances.pairs.iter().map(pair).collect::<Vec<_>>(),
        "surface": importances.surface,
        "known": importances.known,
    })
}

fn ok() -> Json {
    json!({ "ok": true })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_without_a_journal_keeps_no_events() {
        let mut server = Server::new();
        let create = r#"{"op":"create","searcher":"random","space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
        for line in [create, r#"{"op":"ask"}"#, r#"{"op":"tell","trial":0,"value":1}"#, r#"{"op":"ask"}"#] {
            let answer = server.answer(line, Duration::ZERO).unwrap();
            assert!(!answer.contains("error"), "{answer}");
            assert!(server.study.as_mut().unwrap().take_events().is_empty(), "{line}");
        }
    }

    #[test]
    fn a_trial_that_lost_five_clients_has_failed() {
        let mut server = Server::new();
        let create = r#"{"op":"create","searcher":"random","space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
        server.answer(create, Duration::ZERO).unwrap();
        for _ in 0..MOST_LOSSES {
            assert!(server.answer(r#"{"op":"ask"}"#, Duration::ZERO).unwrap().contains(r#""trial":0,"#));
            server.lose(TrialId(0), Duration::ZERO).unwrap();
            // A client may be lost after its trial ended.
            server.lose(TrialId(7), Duration::ZERO).unwrap();
        }
        let study = server.study.as_ref().unwrap();
        assert_eq!(study.trials()[0].failure.as_deref(), Some("its client was lost 5 times"));
        assert!(server.answer(r#"{"op":"ask"}"#, Duration::ZERO).unwrap().contains(r#""trial":1,"#));
    }

    #[test]
    fn a_trial_that_was_told_to_stop_keeps_its_result_whoever_is_lost() {
        let mut server = Server::new();
        let create = r#"{"op":"create","searcher":"random","scheduler":"asha","max_resource":3,
            "space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
        server.answer(create, Duration::ZERO).unwrap();
        for loss in 1..=MOST_LOSSES {
            assert!(server.answer(r#"{"op":"ask"}"#, Duration::ZERO).unwrap().contains(r#""trial":0,"#));
            if loss == MOST_LOSSES {
                let report = r#"{"op":"report","trial":0,"resource":3,"value":0.5}"#;
                assert_eq!(server.answer(report, Duration::ZERO).unwrap(), r#"{"decision":"stop"}"#);
            }
            server.lose(TrialId(0), Duration::ZERO).unwrap();
        }
        let trial = &server.study.as_ref().unwrap().trials()[0];
        assert_eq!((trial.status, trial.failure.as_deref()), (Status::Stopped, None));
        assert_eq!(trial.value(ValueRule::Last), Some(0.5));
    }
}
