//! [`Failure`]: the error of a command, with one line and one exit code.

use std::error::Error;
use std::process::ExitCode;

/// The reason why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command was used or configured wrongly: exit code 2.
    Usage(String),
    /// The work failed: exit code 1. The measurements so far are kept.
    Work(String),
}

impl Failure {
    /// Wrong usage: the mistake, and the way to mend it.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// The work failed: `doing` is a fragment such as "download s3://b/k", and the error with its causes says why.
    pub fn work(doing: &str, error: &dyn Error) -> Self {
        Self::Work(format!("failed to {doing}: {}", chain(error)))
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Work(_) => ExitCode::from(1),
        }
    }

    /// One line, without control characters from keys, servers and causes.
    #[must_use]
    pub fn line(&self) -> String {
        let (Self::Usage(message) | Self::Work(message)) = self;
        let words = message.split(|c: char| c.is_whitespace() || c.is_control());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// An error and its causes in one line, without repetitions.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open the journal")]
    struct Outer {
        source: io::Error,
    }

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let error = Outer { source: io::Error::other("disk\n on fire") };
        let failure = Failure::work("resume the run", &error);
        assert_eq!(failure.line(), "failed to resume the run: open the journal: disk on fire");
    }

    #[test]
    fn what_would_steer_a_terminal_is_not_shown() {
        assert_eq!(Failure::usage("key \x1b[2J\u{9b}x\0y").line(), "key [2J x y");
    }

    #[test]
    fn a_cause_that_its_error_already_says_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {source}")]
        struct Says {
            source: io::Error,
        }
        assert_eq!(chain(&Says { source: io::Error::other("inner") }), "outer: inner");
    }
}
