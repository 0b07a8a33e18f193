//! A configuration as a program's words and environment: pure text.

use std::collections::BTreeSet;

use crate::words::program::{Pass, Program};
use crate::words::space::Space;
use crate::words::value::Config;

/// The facts about a run that a word may hold besides parameters. A parameter of the same name comes first.
pub(crate) const FACTS: [&str; 7] = ["trial", "seed", "checkpoint", "resource", "worker", "device", "config"];

/// Why a program's description does not fit its space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no command.
    #[error("`command` is empty; name the program first, as in [\"python3\", \"train.py\"]")]
    Empty,
    /// A word holds an unknown placeholder.
    #[error(
        "`{word}` in `command` holds {{{name}}}, which is no parameter; known are {known} (write {{{{{name}}}}} for \
         the braces themselves)"
    )]
    Unknown {
        /// The word.
        word: String,
        /// The placeholder.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A parameter cannot be an environment variable.
    #[error("parameter `{name}` cannot be an environment variable; rename it, or use pass = \"arguments\"")]
    Variable {
        /// The parameter.
        name: String,
    },
}

/// A part of a word.
enum Part<'a> {
    Text(&'a str),
    /// `{name}`.
    Slot(&'a str),
    /// `{{name}}`: the braces are meant.
    Braced(&'a str),
}

/// The parts of a word. Braces around anything but a name are text.
fn parts(word: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = word;
    let mut from = 0;
    while let Some(open) = rest[from..].find('{').map(|at| at + from) {
        let doubled = rest[open..].starts_with("{{");
        let start = open + if doubled { 2 } else { 1 };
        let name = rest[start..].find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).map(|n| start + n);
        let close = if doubled { "}}" } else { "}" };
        match name.filter(|end| *end > start && rest[*end..].starts_with(close)) {
            Some(end) => {
                if open > 0 {
                    parts.push(Part::Text(&rest[..open]));
                }
                let name = &rest[start..end];
                parts.push(if doubled { Part::Braced(name) } else { Part::Slot(name) });
                (rest, from) = (&rest[end + close.len()..], 0);
            }
            None => from = start,
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// Whether every placeholder of the command names a parameter or a fact, and every parameter can be handed over.
pub(crate) fn check(program: &Program, space: &Space) -> Result<(), CommandError> {
    if program.command.first().is_none_or(String::is_empty) {
        return Err(CommandError::Empty);
    }
    for word in &program.command {
        for part in parts(word) {
            if let Part::Slot(name) = part
                && space.domain(name).is_none()
                && !FACTS.contains(&name)
            {
                let known = space.iter().map(|(name, _)| name).chain(FACTS).collect::<Vec<_>>().join(", ");
                return Err(CommandError::Unknown { word: word.clone(), name: name.to_owned(), known });
            }
        }
    }
    if program.pass == Pass::Environment
        && let Some((name, _)) = space.iter().find(|(name, _)| name.contains(['=', '\0']) || name.is_empty())
    {
        return Err(CommandError::Variable { name: name.to_owned() });
    }
    Ok(())
}

/// The words of a run. `facts` are those of [`FACTS`] that hold for it; a word whose parameter does not exist in this
/// configuration is left out, and so is one whose fact is absent.
pub(crate) fn words(program: &Program, config: &Config, facts: &[(&str, String)]) -> Vec<String> {
    let value = |name: &str| {
        let own = config.value(name).map(ToString::to_string);
        own.or_else(|| facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| value.clone()))
    };
    let mut held = BTreeSet::new();
    let mut words: Vec<String> = Vec::new();
    for word in &program.command {
        let filled = parts(word).into_iter().map(|part| match part {
            Part::Text(text) => Some(text.to_owned()),
            Part::Braced(name) => Some(format!("{{{name}}}")),
            Part::Slot(name) => {
                held.insert(name.to_owned());
                value(name)
            }
        });
        words.extend(filled.collect::<Option<String>>());
    }
    if program.pass == Pass::Arguments {
        for (name, value) in config.iter().filter(|(name, _)| !held.contains(*name)) {
            words.extend([format!("--{name}"), value.to_string()]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::domain::Domain;

    fn space() -> Space {
        let with = |space: Space, name: &str| space.with(name, Domain::float(0.0, 1.0).unwrap()).unwrap();
        with(with(Space::new(), "lr"), "width")
    }

    fn config() -> Config {
        Config::new().with("lr", 0.5).with("width", 8)
    }

    fn filled(command: &[&str]) -> Vec<String> {
        words(&Program::new(command.iter().copied(), "loss"), &config(), &[("trial", "3".to_owned())])
    }

    #[test]
    fn parameters_are_appended_except_where_a_word_holds_them() {
        assert_eq!(filled(&["p", "a.py"]), ["p", "a.py", "--lr", "0.5", "--width", "8"]);
        assert_eq!(filled(&["p", "-l{lr}", "t{trial}"]), ["p", "-l0.5", "t3", "--width", "8"]);
        assert_eq!(filled(&["p", "{lr}{width}{lr}"]), ["p", "0.580.5"]);
        // A fact that does not hold takes its word with it.
        assert_eq!(filled(&["p", "--at={resource}", "{lr}", "{width}"]), ["p", "0.5", "8"]);
    }

    #[test]
    fn braces_that_hold_no_name_stay() {
        let code = "d = {}; e = { 1: 2 }; f = {{lr}}; {";
        let words = filled(&["p", code, "{lr}{width}"]);
        assert_eq!(words, ["p", "d = {}; e = { 1: 2 }; f = {lr}; {", "0.58"]);
    }

    #[test]
    fn a_placeholder_that_nothing_fills_is_refused() {
        let check = |command: &[&str]| check(&Program::new(command.iter().copied(), "loss"), &space());
        assert_eq!(check(&[]), Err(CommandError::Empty));
        assert!(check(&["p", "{lr}", "{checkpoint}", "{{depth}}"]).is_ok());
        let error = check(&["p", "--d={depth}"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--d={depth}` in `command` holds {depth}, which is no parameter; known are lr, width, trial, seed, \
             checkpoint, resource, worker, device, config (write {{depth}} for the braces themselves)"
        );
    }
}
