//! Translates the values of a run's engine to the parameters of another program, and names the values that have no
//! counterpart.
//!
//! If the run measured that same program, a parameter is found by its name, otherwise by its meaning: each engine and
//! each program here states which parameter of boto3 means the same. A note reports every value that is rounded, raised
//! or left out.

use serde_json::Value;

use super::recommendation::{Recommendation, Setting};
use crate::engines::{ADAPTIVE, BOUNDS};

/// A parameter of the target program.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name in the program, with `_` for `-`.
    pub(super) name: &'static str,
    /// The parameter of boto3's `TransferConfig` that means the same, if there is one.
    pub(super) boto3: Option<&'static str>,
    /// Its allowed values.
    pub(super) takes: Takes,
}

/// The allowed values of a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// A whole number in this range.
    Count(u64, u64),
    /// Bytes, in whole numbers of a unit; both ends of the range are in bytes.
    Bytes { unit: u64, unit_name: &'static str, least: u64, most: u64 },
    /// Bytes, a power of two.
    PowerOfTwo,
    /// True or false.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Takes {
    /// Any whole number greater than 0.
    pub(super) const COUNT: Self = Self::Count(1, i64::MAX as u64);
    /// Any number of bytes greater than 0.
    pub(super) const BYTES: Self = Self::Bytes { unit: 1, unit_name: "bytes", least: 1, most: i64::MAX as u64 };
}

/// A value that a program takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// In the parameter's own unit.
    Number(u64),
    Switch(bool),
    Word(String),
}

/// The values that were carried over, in the order of the targets, and the notes about them.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) values: Vec<(&'static str, Taken)>,
    pub(super) notes: Vec<String>,
}

impl Carried {
    /// The number for `name`, in its own unit.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.values.iter().find_map(|(given, value)| match value {
            Taken::Number(number) if *given == name => Some(*number),
            _ => None,
        })
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => on.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// The values for `tool`'s parameters.
pub(super) fn carry(found: &Recommendation, tool: &str, targets: &'static [Target]) -> Carried {
    let settings = found.settings();
    let mut carried = Carried::default();
    let mut used = vec![false; settings.len()];
    let one_at_a_time = one_at_a_time(&settings, targets, &mut used);
    let bounds: &[&str] = if found.engine == tool { &[] } else { bounds(&settings) };
    for (setting, used) in settings.iter().zip(&mut used).filter(|(setting, _)| bounds.contains(&setting.name)) {
        *used = true;
        let why = format!("it is a bound, within which {} chooses by itself; tune {tool} itself", found.engine);
        carried.notes.push(stays(setting, &why));
    }
    for target in targets {
        let same_name = |setting: &Setting<'_>| found.engine == tool && setting.name.replace('-', "_") == target.name;
        let same_meaning = |setting: &Setting<'_>| target.boto3.is_some() && setting.boto3 == target.boto3;
        let at = settings.iter().position(same_name).or_else(|| settings.iter().position(same_meaning));
        let Some(at) = at.filter(|at| !bounds.contains(&settings[*at].name)) else { continue };
        used[at] = true;
        let setting = &settings[at];
        if target.boto3 == Some("max_concurrency") && one_at_a_time {
            carried.values.push((target.name, Taken::Number(1)));
            carried
                .notes
                .push(format!("{} is 1 because use_threads = false means one request at a time.", target.name));
            continue;
        }
        // A program without a limit has none by itself.
        if setting.value.is_null() {
            continue;
        }
        match take(setting, target, tool) {
            Ok((value, note)) => {
                carried.values.push((target.name, value));
                carried.notes.extend(note);
            }
            Err(why) => carried.notes.push(stays(setting, &why)),
        }
    }
    for (setting, _) in settings.iter().zip(used).filter(|(setting, used)| !used && !setting.value.is_null()) {
        carried.notes.push(stays(setting, &format!("{tool} has no parameter that means the same")));
    }
    carried
}

/// The settings that are bounds only, because the engine chooses within them.
fn bounds(settings: &[Setting<'_>]) -> &'static [&'static str] {
    match settings.iter().any(|setting| setting.name == ADAPTIVE && setting.value == Value::Bool(true)) {
        true => &BOUNDS,
        false => &[],
    }
}

fn stays(setting: &Setting<'_>, why: &str) -> String {
    format!("{} = {} is not carried: {why}.", setting.name, setting.value)
}

/// Whether the run demands one request at a time by a switch that the program lacks. If the switch is on, it adds
/// nothing to the number of requests.
fn one_at_a_time(settings: &[Setting<'_>], targets: &[Target], used: &mut [bool]) -> bool {
    let has = |meaning: &str| targets.iter().any(|target| target.boto3 == Some(meaning));
    if has("use_threads") || !has("max_concurrency") {
        return false;
    }
    match settings.iter().position(|setting| setting.boto3 == Some("use_threads")) {
        Some(at) if settings[at].value.is_boolean() => {
            used[at] = true;
            settings[at].value == Value::Bool(false)
        }
        _ => false,
    }
}

/// The value in the program's form, with a note on a change; or the reason why the program cannot take it.
fn take(setting: &Setting<'_>, target: &Target, tool: &str) -> Result<(Taken, Option<String>), String> {
    let (name, value) = (target.name, &setting.value);
    match target.takes {
        Takes::Switch => match value.as_bool() {
            Some(on) => Ok((Taken::Switch(on), None)),
            None => Err(format!("{tool}'s {name} is true or false")),
        },
        Takes::Word(words) => match value.as_str().filter(|word| words.contains(word)) {
            Some(word) => Ok((Taken::Word(word.to_owned()), None)),
            None => Err(format!("{tool}'s {name} is one of {}", words.join(", "))),
        },
        Takes::Count(least, most) => {
            let given = number(value, 1).ok_or_else(|| format!("{tool}'s {name} is a whole number"))?;
            let taken = given.clamp(least, most);
            let note = format!("{name} is {taken}, not {given}: {tool} takes {least} to {most}.");
            Ok((Taken::Number(taken), (taken != given).then_some(note)))
        }
        Takes::Bytes { unit, unit_name, least, most } => {
            let given = bytes(setting).ok_or_else(|| format!("{tool}'s {name} is a number of bytes"))?;
            // To the nearest, but never to none.
            let rounded = (given / unit + u64::from(given % unit * 2 >= unit)).max(1);
            let taken = rounded.clamp(least.div_ceil(unit), most / unit);
            let note = match (taken != rounded, taken * unit != given) {
                (true, _) => {
                    Some(format!("{name} is {} bytes, not {given}: {tool} takes {least} to {most}.", taken * unit))
                }
                (false, true) => Some(format!("{name} is rounded from {given} bytes: {tool} takes {unit_name}.")),
                (false, false) => None,
            };
            Ok((Taken::Number(taken), note))
        }
        Takes::PowerOfTwo => {
            let given = bytes(setting).ok_or_else(|| format!("{tool}'s {name} is a number of bytes"))?;
            let below = 1_u64 << given.max(1).ilog2().min(61);
            let taken = if given - below.min(given) > below / 2 { below * 2 } else { below };
            let note = format!("{name} is rounded from {given} bytes: {tool} takes a power of two.");
            Ok((Taken::Number(taken), (taken != given).then_some(note)))
        }
    }
}

/// A number of bytes; without a unit it is one already.
fn bytes(setting: &Setting<'_>) -> Option<u64> {
    number(&setting.value, setting.unit_bytes.unwrap_or(1))
}

/// A whole number of at most 63 bits with a sign, as every program here takes it.
fn number(value: &Value, unit: u64) -> Option<u64> {
    let whole = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole.checked_mul(unit)?,
        (None, Some(real)) => {
            let whole = (real * unit as f64).round();
            (0.0..=i64::MAX as f64).contains(&whole).then_some(whole as u64)?
        }
        (None, None) => return None,
    };
    (whole <= i64::MAX as u64).then_some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::found;
    use super::*;

    const MIB: u64 = 1 << 20;

    static TARGETS: [Target; 4] = [
        Target { name: "workers", boto3: Some("max_concurrency"), takes: Takes::Count(1, 256) },
        Target {
            name: "part_size",
            boto3: Some("multipart_chunksize"),
            takes: Takes::Bytes { unit: MIB, unit_name: "whole MiB", least: 5 * MIB, most: 5120 * MIB },
        },
        Target { name: "own", boto3: None, takes: Takes::COUNT },
        Target { name: "client", boto3: None, takes: Takes::Word(&["classic", "crt"]) },
    ];

    fn carried(engine: &str, knobs: &[(&str, Option<&str>, Option<u64>, Value)]) -> (Vec<String>, Vec<String>) {
        let carried = carry(&found(engine, knobs), "tool", &TARGETS);
        (carried.values.iter().map(|(name, value)| format!("{name}={value}")).collect(), carried.notes)
    }

    #[test]
    fn meanings_and_units_are_carried_between_programs() {
        let knobs = [
            ("requests", Some("max_concurrency"), None, json!(61)),
            ("chunk", Some("multipart_chunksize"), Some(1 << 10), json!(16384)),
            ("limit", Some("max_bandwidth"), Some(1), Value::Null),
        ];
        assert_eq!(carried("other", &knobs), (vec!["workers=61".to_owned(), "part_size=16".to_owned()], vec![]));
    }

    #[test]
    fn names_count_only_where_the_program_itself_was_measured() {
        let knobs = [("own", None, None, json!(3)), ("client", None, None, json!("crt"))];
        assert_eq!(carried("tool", &knobs), (vec!["own=3".to_owned(), "client=crt".to_owned()], vec![]));
        let (values, notes) = carried("other", &knobs);
        assert_eq!((values.len(), notes.len()), (0, 2));
        assert_eq!(notes[0], "own = 3 is not carried: tool has no parameter that means the same.");
    }

    #[test]
    fn what_is_rounded_or_out_of_range_is_told() {
        let part = |bytes: u64| {
            let (values, notes) = carried("other", &[("size", Some("multipart_chunksize"), Some(1), json!(bytes))]);
            (values.concat(), notes.concat())
        };
        assert_eq!(part(7 * MIB), ("part_size=7".to_owned(), String::new()));
        let rounded = part(7_190_169);
        assert_eq!(rounded.0, "part_size=7");
        assert_eq!(rounded.1, "part_size is rounded from 7190169 bytes: tool takes whole MiB.");
        assert_eq!(part(6 * MIB + MIB / 2).0, "part_size=7");
        assert_eq!(part(6 * MIB + MIB / 2 - 1).0, "part_size=6");
        let raised = part(65_536);
        assert_eq!(raised.0, "part_size=5");
        assert_eq!(raised.1, "part_size is 5242880 bytes, not 65536: tool takes 5242880 to 5368709120.");
        assert_eq!(part(1 << 40).0, "part_size=5120");
        let (values, notes) = carried("other", &[("n", Some("max_concurrency"), None, json!(1000))]);
        assert_eq!((values.concat(), notes.len()), ("workers=256".to_owned(), 1));
        assert_eq!(notes[0], "workers is 256, not 1000: tool takes 1 to 256.");
    }

    #[test]
    fn a_value_of_another_kind_is_told_and_left_out() {
        for value in [json!("many"), json!(-1), json!(1e300), json!([1]), json!(true), json!(u64::MAX)] {
            let (values, notes) = carried("other", &[("n", Some("max_concurrency"), None, value.clone())]);
            assert_eq!(values.len(), 0, "{value}");
            assert_eq!(notes, [format!("n = {value} is not carried: tool's workers is a whole number.")]);
        }
        let (values, notes) = carried("tool", &[("client", None, None, json!("turbo"))]);
        assert_eq!((values.len(), notes.len()), (0, 1));
        // A float that is whole is a number.
        assert_eq!(carried("other", &[("n", Some("max_concurrency"), None, json!(8.0))]).0, ["workers=8"]);
    }

    #[test]
    fn no_threads_is_one_request_where_there_is_no_such_switch() {
        for (threads, workers, notes) in [(true, "workers=61", 0), (false, "workers=1", 1)] {
            let knobs = [
                ("max_concurrency", Some("max_concurrency"), None, json!(61)),
                ("use_threads", Some("use_threads"), None, json!(threads)),
            ];
            let (values, said) = carried("other", &knobs);
            assert_eq!((values.concat().as_str(), said.len()), (workers, notes));
        }
    }

    #[test]
    fn powers_of_two_are_the_nearest() {
        static POWER: [Target; 1] =
            [Target { name: "block", boto3: Some("multipart_chunksize"), takes: Takes::PowerOfTwo }];
        for (bytes, block) in [(1, 1), (8 * MIB, 8 * MIB), (7_190_169, 8 * MIB), (6 * MIB, 4 * MIB), (5 * MIB, 4 * MIB)]
        {
            let size = [("size", Some("multipart_chunksize"), Some(1), json!(bytes))];
            let carried = carry(&found("other", &size), "tool", &POWER);
            assert_eq!((carried.number("block"), carried.notes.len()), (Some(block), usize::from(bytes != block)));
        }
    }
}
