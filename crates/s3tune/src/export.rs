//! The recommendation of a run in the format of another program: configuration files, flags or code.
//!
//! A [`Format`] defines the parameters of its program (`carry` finds their values in a run), and the text for them. If
//! the program cannot take a value, or takes it only rounded, a note says so: in a comment, or in a separate list if
//! the format has no comments (JSON). Nothing here measures; an export is never read back.

mod aws_cli;
mod boto3;
mod carry;
mod duckdb;
mod own;
mod polars;
mod rclone;
mod recommendation;
mod rust;
mod s3fs;
mod s3torchconnector;
mod s5cmd;

pub use recommendation::{Recommendation, RunError};

use crate::results::BestError;

/// Every format, in the order of `--list`.
pub const FORMATS: [&Format; 11] = [
    &own::TOML,
    &own::JSON,
    &rust::FORMAT,
    &boto3::FORMAT,
    &aws_cli::FORMAT,
    &s5cmd::FORMAT,
    &rclone::FORMAT,
    &s3fs::FORMAT,
    &s3torchconnector::FORMAT,
    &polars::FORMAT,
    &duckdb::FORMAT,
];

/// An export format.
#[derive(Debug)]
pub struct Format {
    /// The name for `--format`.
    pub name: &'static str,
    /// Another name for `--format`.
    pub alias: Option<&'static str>,
    /// One line that describes the output.
    pub about: &'static str,
    /// The program that reads the output, by its engine name; none if the format prints the parameters of any engine.
    tool: Option<&'static str>,
    comments: Comments,
    write: fn(&Recommendation) -> Result<Body, BestError>,
}

/// The place of a format's notes.
#[derive(Debug, Clone, Copy)]
enum Comments {
    /// In comment lines that begin with this text.
    After(&'static str),
    /// Outside the text, because the format has no comments.
    Apart,
}

/// The values, and the notes on them.
#[derive(Debug, Default)]
struct Body {
    text: String,
    notes: Vec<String>,
}

/// A configuration in the format of its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The text for the program.
    pub text: String,
    /// The notes, one line each, if the format has no comments; empty otherwise.
    pub notes: Vec<String>,
}

impl Format {
    /// Writes the recommendation.
    ///
    /// # Errors
    ///
    /// [`BestError`]: the format cannot hold a value.
    pub fn export(&self, found: &Recommendation) -> Result<Exported, BestError> {
        let body = (self.write)(found)?;
        let mut notes = found.origin.clone();
        if found.only_default {
            notes.push(format!("Nothing better was proven than the defaults of {}.", found.engine));
        }
        match self.tool {
            Some(tool) if tool != found.engine => notes.push(format!(
                "Found with {}, not measured with {tool}: measure there before relying on it.",
                found.engine
            )),
            _ => {}
        }
        notes.extend(body.notes);
        let notes: Vec<String> = notes.iter().map(|note| one_line(note)).collect();
        Ok(match self.comments {
            Comments::Apart => Exported { text: body.text, notes },
            Comments::After(mark) => {
                let comments: String = notes.iter().map(|note| format!("{mark} {note}\n")).collect();
                let between = if comments.is_empty() { "" } else { "\n" };
                Exported { text: format!("{comments}{between}{}", body.text), notes: Vec::new() }
            }
        })
    }
}

/// Makes a text safe for a comment, which it must not end: keys of objects and names of engines come from outside.
/// Characters that change the direction of text are removed too: rustc refuses them in comments ("Trojan Source",
/// CVE-2021-42574).
fn one_line(text: &str) -> String {
    let breaks = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::recommendation::tests::{found, s3xfer};
    use super::*;

    fn named(name: &str) -> &'static Format {
        FORMATS.into_iter().find(|format| format.name == name).unwrap()
    }

    #[test]
    fn names_are_unique_and_described_in_a_line() {
        let mut names: Vec<&str> =
            FORMATS.iter().flat_map(|format| [Some(format.name), format.alias]).flatten().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMATS.len() + 1);
        assert!(FORMATS.iter().all(|format| !format.about.is_empty() && format.about.len() < 90));
    }

    #[test]
    fn a_key_with_line_feeds_stays_in_a_comment() {
        let mut found = s3xfer();
        found.origin = vec!["Found for s3://b/x\nmax_concurrency = 1\r\u{2028}\u{202e}y.".to_owned()];
        for format in FORMATS {
            let exported = format.export(&found).unwrap();
            match format.comments {
                Comments::After(mark) => {
                    let first = exported.text.lines().next().unwrap();
                    assert_eq!(first, format!("{mark} Found for s3://b/x max_concurrency = 1   y."), "{}", format.name);
                }
                Comments::Apart => assert!(!exported.text.contains("s3://") && !exported.notes.is_empty()),
            }
            assert!(!exported.text.contains(['\r', '\u{2028}', '\u{202e}']), "{}", format.name);
        }
    }

    #[test]
    fn another_program_than_the_measured_one_is_told() {
        let foreign = "Found with s3xfer, not measured with boto3: measure there before relying on it.";
        assert!(named("boto3").export(&s3xfer()).unwrap().text.contains(foreign));
        assert!(!named("rust").export(&s3xfer()).unwrap().text.contains("not measured"));
        assert!(!named("toml").export(&s3xfer()).unwrap().text.contains("not measured"));
        let storage_options = named("s3fs").export(&s3xfer()).unwrap();
        assert!(
            storage_options.notes.iter().any(|note| note.contains("not measured with s3fs")),
            "{storage_options:?}"
        );
    }

    #[test]
    fn a_default_that_nothing_beat_is_told() {
        let said = "Nothing better was proven than the defaults of s3xfer";
        for format in FORMATS {
            for only_default in [true, false] {
                let exported = format.export(&Recommendation { only_default, ..s3xfer() }).unwrap();
                let all = exported.text + &exported.notes.join("\n");
                assert_eq!(all.contains(said), only_default, "{}", format.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_carried_is_told_in_every_format() {
        // Written in full by those that have all of boto3's parameters.
        let complete = ["toml", "json", "rust", "boto3"];
        for format in FORMATS {
            let exported = format.export(&s3xfer()).unwrap();
            let all = exported.text + &exported.notes.join("\n");
            let told = all.contains("num_download_attempts = 5 is not carried");
            assert_eq!(told, !complete.contains(&format.name), "{}: {all}", format.name);
        }
        let unknown = found("mytool", &[("depth\n", None, None, 3.into())]);
        let all = named("rclone").export(&unknown).unwrap().text;
        assert!(all.contains("# depth  = 3 is not carried: rclone has no parameter that means the same."), "{all}");
    }
}
