//! [`OptunaLive`]: a journal file of Optuna's that grows with a study.

use serde_json::{Value as Json, json};

use super::{CREATE_STUDY, CREATE_TRIAL, State, WORKER, created, study};
use crate::words::event::Header;
use crate::words::trial::Trial;

const SET_STATE_VALUES: u8 = 6;
const SET_INTERMEDIATE_VALUE: u8 = 7;
const SET_USER_ATTR: u8 = 8;
const SET_SYSTEM_ATTR: u8 = 9;

/// A journal file of Optuna's that grows with a study: its present lines, and the missing ones.
///
/// Optuna does not allow changes to a trial that ended, so a paused trial is shown as running.
#[derive(Debug, Default)]
pub(crate) struct OptunaLive {
    has_study: bool,
    trials: Vec<Known>,
}

/// The facts of a trial that the file has.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The last step that was written.
    step: u64,
    is_ended: bool,
}

impl OptunaLive {
    /// The contents of such a file.
    pub(crate) fn read(text: &str) -> Self {
        let mut live = Self::default();
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Json>(line) else { continue };
            let op = line["op_code"].as_u64().and_then(|op| u8::try_from(op).ok());
            let place = line["trial_id"].as_u64().and_then(|trial| usize::try_from(trial).ok());
            let is_ended = line["state"] != json!(State::Running as u8);
            match op {
                Some(CREATE_STUDY) => live.has_study = true,
                Some(CREATE_TRIAL) => live.trials.push(Known { step: 0, is_ended }),
                Some(SET_STATE_VALUES | SET_INTERMEDIATE_VALUE) => {
                    if let Some(known) = place.and_then(|place| live.trials.get_mut(place)) {
                        known.is_ended = known.is_ended || (op == Some(SET_STATE_VALUES) && is_ended);
                        known.step = line["step"].as_u64().unwrap_or(known.step);
                    }
                }
                _ => {}
            }
        }
        live
    }

    /// Lines that bring the file up to date on this trial and on earlier trials it lacks. `epoch_s` is the time of the
    /// study's beginning, in seconds since 1970.
    pub(crate) fn lines(&mut self, header: &Header, name: &str, trials: &[Trial], at: usize, epoch_s: f64) -> String {
        let mut lines = Vec::new();
        if !self.has_study {
            self.has_study = true;
            lines.push(study(header, name));
        }
        for trial in trials.get(self.trials.len()..=at).unwrap_or_default() {
            let is_ended = trial.is_finished();
            // Its reports follow one by one unless it ended.
            let line = if is_ended { created(header, trial, epoch_s) } else { begun(header, trial, epoch_s) };
            lines.push(line);
            self.trials.push(Known { step: 0, is_ended });
        }
        if let (Some(trial), Some(known)) = (trials.get(at), self.trials.get_mut(at)) {
            changed(header, trial, known, epoch_s, &mut lines);
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The changes of a trial.
fn changed(header: &Header, trial: &Trial, known: &mut Known, epoch_s: f64, lines: &mut Vec<Json>) {
    if known.is_ended {
        return;
    }
    let line = |op: u8, more: Json| {
        let mut line = json!({ "op_code": op, "worker_id": WORKER, "trial_id": trial.id });
        if let (Some(line), Json::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        line
    };
    let last = trial.measurements.last().map_or(0, |m| m.step);
    if last < known.step {
        // It was interrupted and starts over; repeated reports replace the earlier ones.
        known.step = 0;
    }
    if header.objectives.is_empty() {
        let from = trial.measurements.partition_point(|m| m.step <= known.step);
        for m in &trial.measurements[from..] {
            lines.push(line(SET_INTERMEDIATE_VALUE, json!({ "step": m.step, "intermediate_value": m.value })));
        }
    }
    known.step = last;
    if !trial.is_finished() {
        return;
    }
    known.is_ended = true;
    let whole = created(header, trial, epoch_s);
    for (op, name, many) in
        [(SET_USER_ATTR, "user_attr", "user_attrs"), (SET_SYSTEM_ATTR, "system_attr", "system_attrs")]
    {
        for (key, value) in whole[many].as_object().into_iter().flatten() {
            lines.push(line(op, json!({ name: { key: value } })));
        }
    }
    let values = match (&whole["value"], &whole["values"]) {
        (Json::Null, values) => values.clone(),
        (value, _) => json!([value]),
    };
    let ended = json!({
        "state": whole["state"], "values": values, "datetime_complete": whole["datetime_complete"],
    });
    lines.push(line(SET_STATE_VALUES, ended));
}

/// A trial that has just begun.
fn begun(header: &Header, trial: &Trial, epoch_s: f64) -> Json {
    let mut line = created(header, trial, epoch_s);
    line["state"] = json!(State::Running as u8);
    line["intermediate_values"] = json!({});
    line["user_attrs"] = json!({});
    if let Some(line) = line.as_object_mut() {
        for name in ["value", "values", "datetime_complete"] {
            line.remove(name);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;
    use crate::words::trial::Outcome;

    #[test]
    fn a_file_that_grows_has_each_trial_and_each_report_once_wherever_it_was_left() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let mut study = Study::new(Setup::new(space, Metric::minimize("loss"))).unwrap();
        let (mut live, mut text) = (OptunaLive::default(), String::new());
        let sync = |study: &Study, at: u64, live: &mut OptunaLive, text: &mut String| {
            *text += &live.lines(study.header(), "s", study.trials(), at as usize, 1e9);
            // A later process finds in the file the state that this one knows.
            let again = OptunaLive::read(text).lines(study.header(), "s", study.trials(), at as usize, 1e9);
            assert_eq!(again, "", "after {text}");
        };
        for i in 0..4 {
            let trial = study.ask().unwrap().assignment().unwrap().trial;
            if i != 2 {
                // The file may hear of a trial late.
                sync(&study, i, &mut live, &mut text);
            }
            study.report(trial, 1, 0.5).unwrap();
            study.report(trial, 2, 0.25).unwrap();
            sync(&study, i, &mut live, &mut text);
            match i {
                0 => study.tell(trial, Outcome::Done).unwrap(),
                1 => study.tell(trial, Outcome::Infeasible("too large".to_owned())).unwrap(),
                2 => {
                    study.interrupt(trial).unwrap();
                    sync(&study, i, &mut live, &mut text);
                    study.ask().unwrap();
                    study.report(trial, 1, 0.75).unwrap();
                    sync(&study, i, &mut live, &mut text);
                    study.tell(trial, Outcome::Done).unwrap();
                }
                _ => study.tell(trial, 0.125).unwrap(),
            }
            sync(&study, i, &mut live, &mut text);
        }
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |op: u8| lines.iter().filter(|line| line["op_code"] == op).count();
        assert_eq!((count(CREATE_STUDY), count(CREATE_TRIAL), count(SET_STATE_VALUES)), (1, 4, 4));
        // Two reports of each trial, and one more of the trial that started over.
        assert_eq!(count(SET_INTERMEDIATE_VALUE), 9);
        let states: Vec<&Json> =
            lines.iter().filter(|l| l["op_code"] == SET_STATE_VALUES).map(|l| &l["state"]).collect();
        assert_eq!(states, [&json!(1), &json!(3), &json!(1), &json!(1)]);
        assert!(text.contains("2001-09-09T01:46:40"), "{text}");
    }
}
