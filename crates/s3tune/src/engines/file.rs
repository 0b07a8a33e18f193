//! The text of an engine file: TOML that describes how another program is started, and its knobs.
//!
//! `docs/ENGINES.md` explains each key. A file that cannot be right is refused here, before anything runs.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use toml::{Spanned, Table};
use tunekit::{Domain, Value};

use super::metric::Metric;
use super::parameters::{Ignored, Parameter, Parameters};
use super::program::Program;
use super::template::{PLACES, in_braces, is_name, placeholders};
use super::{COLUMNS, Knob, program};

/// The contents of a file.
#[derive(Debug)]
pub(super) struct EngineFile {
    pub(super) name: String,
    pub(super) program: Program,
    pub(super) parameters: Parameters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    command: Vec<String>,
    #[serde(default)]
    unsigned: Vec<String>,
    #[serde(default)]
    metric: Metric,
    #[serde(default)]
    check: Vec<String>,
    install: Option<String>,
    #[serde(default)]
    unset: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, RawText>,
    /// With their places, for a search lists parameters in the order of the file.
    #[serde(default)]
    space: BTreeMap<Spanned<String>, Table>,
    #[serde(default)]
    ignored: Vec<RawIgnored>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or { from = \"FILE\" }")]
enum RawText {
    Here(String),
    Beside(Beside),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    from: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIgnored {
    knobs: Vec<String>,
    when: BTreeMap<String, Value>,
    because: String,
}

/// The settings in a parameter's table beside its domain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKnob {
    default: Value,
    #[serde(default)]
    meaning: String,
    boto3: Option<String>,
    unit: Option<String>,
    at_most_of_object: Option<f64>,
    #[serde(default = "yes")]
    search: bool,
}

fn yes() -> bool {
    true
}

const OF_KNOB: [&str; 6] = ["default", "meaning", "boto3", "unit", "at_most_of_object", "search"];
/// The parameters of boto3's `TransferConfig` (boto3 1.43), for `boto3 = "..."`.
const OF_BOTO3: [&str; 9] = [
    "multipart_threshold",
    "max_concurrency",
    "multipart_chunksize",
    "num_download_attempts",
    "max_io_queue",
    "io_chunksize",
    "use_threads",
    "max_bandwidth",
    "preferred_transfer_client",
];
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a file's text; `beside` reads the files that its `[files]` name with `from`.
///
/// The error has the place and the mistake in one line.
pub(super) fn parse(text: &str, beside: &dyn Fn(&str) -> io::Result<String>) -> Result<EngineFile, String> {
    let raw: Raw = toml::from_str(text).map_err(|error| in_one_line(text, &error))?;
    if raw.name.trim().is_empty() || raw.name.chars().any(char::is_control) || raw.name == "s3xfer" {
        return Err(format!("name = {:?}: write a name of its own, in one line", raw.name));
    }
    let mut files = Vec::new();
    for (path, content) in raw.files {
        let content = match content {
            RawText::Here(content) => content,
            RawText::Beside(Beside { from }) => beside(&from).map_err(|error| {
                format!("[files] {path:?}: {from:?}, beside the engine file, cannot be read: {error}")
            })?,
        };
        files.push((path, content));
    }
    let program = Program {
        words: raw.command,
        unsigned: raw.unsigned,
        env: raw.env.into_iter().collect(),
        unset: raw.unset,
        files,
        metric: raw.metric,
        check: raw.check,
        install: raw.install,
    };
    if let Some(fault) = program.fault() {
        return Err(fault);
    }
    let mut tables: Vec<_> = raw.space.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let all =
        tables.into_iter().map(|(name, table)| parameter(name.into_inner(), table)).collect::<Result<Vec<_>, _>>()?;
    check_placeholders(&program, &all)?;
    let mut parameters = Parameters { all, ignored: Vec::new() };
    for rule in raw.ignored {
        let rule = ignored(rule, &parameters)?;
        parameters.ignored.push(rule);
    }
    Ok(EngineFile { name: raw.name, program, parameters })
}

/// The error and its line, without the picture of the place.
fn in_one_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => {
            let line = text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line}: {message}")
        }
        None => message,
    }
}

fn parameter(name: String, table: Table) -> Result<Parameter, String> {
    let wrong = |what: &str| format!("[space.{name}]: {what}");
    if !is_name(&name) {
        return Err(wrong("a name holds lower-case letters, digits and underscores, and begins with no digit"));
    }
    if PLACES.contains(&name.as_str()) || format!("{{{name}}}") == program::UNSIGNED {
        return Err(wrong("the name is a placeholder with another meaning; rename the parameter"));
    }
    if COLUMNS.contains(&name.as_str()) {
        return Err(wrong("the name is a column of measurements.csv; rename the parameter"));
    }
    let (knob, domain): (Table, Table) = table.into_iter().partition(|(key, _)| OF_KNOB.contains(&key.as_str()));
    let knob: RawKnob = knob.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
    let domain: Domain = domain.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
    let default = domain.conform(&knob.default);
    let default = default.ok_or_else(|| wrong(&format!("default = {} is not {}", knob.default, domain.allows())))?;
    let unit = |unit: &String| {
        let known = UNITS.iter().find(|(name, _)| name == unit).map(|(_, bytes)| *bytes);
        known.ok_or_else(|| wrong(&format!("unit = {unit:?} is not one of {}", UNITS.map(|(name, _)| name).join(", "))))
    };
    let unit_bytes = knob.unit.as_ref().map(unit).transpose()?;
    if let Some(boto3) = knob.boto3.as_ref().filter(|boto3| !OF_BOTO3.contains(&boto3.as_str())) {
        return Err(wrong(&format!("boto3 = {boto3:?} is not one of {}", OF_BOTO3.join(", "))));
    }
    if let Some(part) = knob.at_most_of_object {
        if !(part > 0.0 && part <= 1.0) {
            return Err(wrong(&format!("at_most_of_object = {part} is not above 0 and at most 1")));
        }
        if unit_bytes.is_none() || !matches!(domain, Domain::Int(_) | Domain::Float(_)) {
            return Err(wrong("at_most_of_object is for an int or float with a unit"));
        }
    }
    let at_most_of_object = knob.at_most_of_object;
    let is_searched = knob.search;
    let knob = Knob { name, default: Some(default), meaning: knob.meaning, boto3: knob.boto3, unit_bytes };
    Ok(Parameter { knob, domain, is_searched, at_most_of_object })
}

/// Every placeholder is known, every parameter is named somewhere, and so is the file to write.
fn check_placeholders(program: &Program, parameters: &[Parameter]) -> Result<(), String> {
    let names = || parameters.iter().map(|parameter| parameter.knob.name.as_str());
    for (place, text) in program.texts() {
        let known = |name: &str| PLACES.contains(&name) || names().any(|own| own == name);
        let is_unsigned = place.starts_with("command") && text == program::UNSIGNED;
        if let Some(name) = placeholders(text).find(|name| !known(name) && !is_unsigned) {
            let all = in_braces(PLACES.into_iter().chain(names()));
            return Err(format!("{place}: {{{name}}} is not known; write one of {all}, or add [space.{name}]"));
        }
    }
    if let Some(name) = names().find(|name| !program.names(name)) {
        return Err(format!("[space.{name}]: no word, variable or file names {{{name}}}, so it would change nothing"));
    }
    if !program.names("out") {
        return Err("command: no word has {out}, the file to write".to_owned());
    }
    Ok(())
}

fn ignored(raw: RawIgnored, parameters: &Parameters) -> Result<Ignored, String> {
    let unknown = |name: &str| format!("[[ignored]]: there is no [space.{name}]");
    if let Some(name) = raw.knobs.iter().find(|name| parameters.find(name).is_none()) {
        return Err(unknown(name));
    }
    if raw.knobs.is_empty() || raw.when.is_empty() {
        return Err("[[ignored]]: knobs and when must not be empty".to_owned());
    }
    let mut when = Vec::new();
    for (name, value) in raw.when {
        let own = parameters.find(&name).ok_or_else(|| unknown(&name))?;
        let Some(value) = own.domain.conform(&value) else {
            return Err(format!("[[ignored]]: when {name} = {value}: it must be {}", own.domain.allows()));
        };
        when.push((name, value));
    }
    Ok(Ignored { knobs: raw.knobs, when, because: raw.because })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
name = "mytool"
command = ["mytool", "--threads={threads}", "{unsigned}", "s3://{bucket}/{key}", "{out}"]
unsigned = ["--anonymous"]
metric = "stdout"
check = ["mytool", "--version"]
install = "pip install mytool"
unset = ["MYTOOL_THREADS"]

[env]
MYTOOL_CONFIG = "{files}/etc/mytool.json"

[files]
"etc/mytool.json" = '{"part": {part}, "endpoint": "{endpoint}", "region": "{region}"}'
"script.py" = { from = "script.py" }

[space.threads]
type = "int"
lo = 1
hi = 64
log = true
default = 8
boto3 = "max_concurrency"
meaning = "Requests at a time."

[space.part]
type = "int"
lo = 1
hi = 1024
log = true
default = 8
unit = "MiB"
at_most_of_object = 0.25

[[ignored]]
knobs = ["part"]
when = { threads = 1 }
because = "one thread takes all"
"#;

    fn beside(name: &str) -> io::Result<String> {
        if name == "script.py" { Ok("print({threads})".to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    #[test]
    fn a_file_is_read_in_its_own_order() {
        let file = parse(WHOLE, &beside).unwrap();
        assert_eq!((file.name.as_str(), file.program.metric), ("mytool", Metric::Stdout));
        let names: Vec<&str> = file.parameters.all.iter().map(|parameter| parameter.knob.name.as_str()).collect();
        assert_eq!(names, ["threads", "part"]);
        let knob = &file.parameters.all[1].knob;
        assert_eq!((knob.default.clone(), knob.unit_bytes), (Some(8.into()), Some(1 << 20)));
        assert_eq!(file.program.files[1], ("script.py".to_owned(), "print({threads})".to_owned()));
    }

    #[test]
    fn whatever_cannot_be_right_is_refused_with_its_place() {
        let long = "ü".repeat(9);
        for (of, with, says) in [
            ("name = \"mytool\"", "name = \"\"", "name = \"\""),
            ("name = \"mytool\"", "name = \"s3xfer\"", "name"),
            ("name = \"mytool\"", "", "missing field `name`"),
            ("name = \"mytool\"", "nam = \"mytool\"", "line 2: unknown field `nam`"),
            ("metric = \"stdout\"", "metric = \"stderr\"", "line 5: unknown variant `stderr`"),
            ("check = [", "check = {", "line 6"),
            ("\"mytool\", \"--threads={threads}\"", "\"\", \"{threads}\"", "command"),
            ("\"{unsigned}\", ", "", "unsigned"),
            ("unsigned = [\"--anonymous\"]", "", "unsigned"),
            ("{key}", "{keys}", "command, word 4: {keys} is not known"),
            ("{endpoint}", "{end_point}", "[files] \"etc/mytool.json\": {end_point}"),
            ("{files}/etc", "{file}/etc", "[env] MYTOOL_CONFIG: {file} is not known"),
            ("\"{out}\"]", "\"out\"]", "{out}"),
            ("{\"part\": {part}, ", "{", "[space.part]: no word, variable or file names {part}"),
            ("MYTOOL_CONFIG =", "\"A=B\" =", "A=B"),
            ("\"etc/mytool.json\"", "\"../mytool.json\"", "../mytool.json"),
            ("\"etc/mytool.json\"", "\"/etc/mytool.json\"", "/etc/mytool.json"),
            ("\"etc/mytool.json\"", "\"script.py/x\"", "script.py"),
            ("from = \"script.py\"", "from = \"absent.py\"", "absent.py"),
            ("from = \"script.py\"", "form = \"script.py\"", "from"),
            ("[space.threads]", "[space.Threads]", "[space.Threads]"),
            ("[space.threads]", "[space.key]", "[space.key]"),
            ("[space.threads]", "[space.seconds]", "[space.seconds]: the name is a column of measurements.csv"),
            ("[space.threads]", "[space.cut_off]", "measurements.csv"),
            (
                "type = \"int\"\nlo = 1\nhi = 64",
                "type = \"whole\"\nlo = 1\nhi = 64",
                "[space.threads]: unknown variant",
            ),
            ("hi = 64", "hi = 0", "[space.threads]"),
            ("hi = 64", "hi = 64\nstop = 3", "stop"),
            ("default = 8\nboto3", "boto3", "[space.threads]: missing field `default`"),
            ("default = 8\nboto3", "default = 65\nboto3", "default = 65 is not a whole number from 1 to 64"),
            ("default = 8\nboto3", "default = \"many\"\nboto3", "default = many"),
            ("unit = \"MiB\"", "unit = \"MiBs\"", "MiBs"),
            ("unit = \"MiB\"", "", "at_most_of_object"),
            (
                "boto3 = \"max_concurrency\"",
                "boto3 = \"max_concurency\"",
                "\"max_concurency\" is not one of multipart_threshold",
            ),
            ("at_most_of_object = 0.25", "at_most_of_object = 25", "at_most_of_object = 25"),
            ("knobs = [\"part\"]", "knobs = [\"parts\"]", "[space.parts]"),
            ("when = { threads = 1 }", "when = { thread = 1 }", "[space.thread]"),
            ("when = { threads = 1 }", "when = { threads = 0 }", "threads = 0"),
            ("because =", "why =", "because"),
            ("name = \"mytool\"", long.as_str(), "line 2"),
        ] {
            assert!(WHOLE.contains(of), "{of}");
            let why = parse(&WHOLE.replacen(of, with, 1), &beside).map(|file| file.name).unwrap_err();
            assert!(why.contains(says) && !why.contains('\n'), "{of} -> {with}: {why}");
        }
    }
}
