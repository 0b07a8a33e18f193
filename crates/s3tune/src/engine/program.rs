//! Another program as an engine: a command whose words hold placeholders for what to download and for the knobs.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tunekit::Config;

use super::TransferError;
use crate::failure::Failure;
use crate::object::{Connection, Object};

/// A command line with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    words: Vec<String>,
}

const PLACES: [&str; 4] = ["bucket", "key", "out", "endpoint"];
const PARAMETERS: [&str; 8] = [
    "multipart_threshold",
    "max_concurrency",
    "multipart_chunksize",
    "num_download_attempts",
    "max_io_queue",
    "io_chunksize",
    "use_threads",
    "max_bandwidth",
];

impl Program {
    /// A command line in the form of a shell's, which is not run by a shell.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a template without `{out}`, with an unknown placeholder or an open quote.
    pub fn from_template(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(format!(
                "--engine {text:?}: {what}; write s3xfer, or a command with {{out}} and any of {}",
                PLACES.iter().chain(&PARAMETERS).map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" ")
            ))
        };
        let words = shlex::split(text).ok_or_else(|| wrong("a quote is left open"))?;
        if !words.iter().any(|word| word.contains("{out}")) {
            return Err(wrong("no {out} says where the file goes"));
        }
        for word in &words {
            for (at, _) in word.match_indices('{') {
                let name = word[at + 1..].split('}').next().unwrap_or_default();
                let known = PLACES.contains(&name) || PARAMETERS.contains(&name);
                if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty() && !known {
                    return Err(wrong(&format!("{{{name}}} is not known")));
                }
            }
        }
        Ok(Self { words })
    }

    pub(super) async fn run(
        &self,
        connection: &Connection,
        object: &Object,
        config: &Config,
        target: &Path,
    ) -> Result<Duration, TransferError> {
        let words = self.fill(connection, object, config, target);
        let (program, arguments) = words.split_first().expect("a template holds at least {out}");
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in connection.environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: a Ctrl-C at the terminal is ours to act on, and what the program starts ends with it.
        command.process_group(0).kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().map_err(|source| TransferError::Start { program: program.clone(), source })?;
        let group = Group::of(&child);
        let output = child
            .wait_with_output()
            .await
            .map_err(|source| TransferError::Start { program: program.clone(), source })?;
        let took = started.elapsed();
        drop(group);
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let mut last: Vec<&str> = stderr.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
            last.reverse();
            let says = if last.is_empty() { "it says nothing".to_owned() } else { last.join(" / ") };
            return Err(TransferError::Status { program: program.clone(), status: output.status, says });
        }
        Ok(took)
    }

    fn fill(&self, connection: &Connection, object: &Object, config: &Config, target: &Path) -> Vec<String> {
        let mut values = vec![
            ("bucket", object.bucket.clone()),
            ("key", object.key.clone()),
            ("out", target.display().to_string()),
            ("endpoint", connection.endpoint().unwrap_or_default().to_owned()),
        ];
        values.extend(config.iter().map(|(name, value)| (name, value.to_string())));
        self.words.iter().map(|word| fill_word(word, &values)).collect()
    }
}

/// A program and whatever it started; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error says that nothing of it is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// One pass from left to right, so that a value that looks like a placeholder stays what it is.
fn fill_word(word: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let place =
            values.iter().find(|(name, _)| rest[1..].strip_prefix(name).is_some_and(|after| after.starts_with('}')));
        match place {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_checked_before_anything_runs() {
        for (text, says) in [
            ("cp a b", "{out}"),
            ("cp {source} {out}", "{source}"),
            ("cp 'a {out}", "quote"),
            ("nonsense", "{out}"),
            ("cp x # {out}", "{out}"),
            ("#{out}", "{out}"),
        ] {
            match Program::from_template(text) {
                Err(Failure::Usage(message)) => assert!(message.contains(says), "{message}"),
                other => panic!("{text}: {other:?}"),
            }
        }

        assert!(Program::from_template("cp -c {max_concurrency} 'a b' {out}").is_ok());
    }

    #[test]
    fn values_are_filled_in_once_and_stay_one_word() {
        let values = [("key", "a {out} b".to_owned()), ("out", "/tmp/x y".to_owned())];
        assert_eq!(fill_word("s3://{key}={out}{", &values), "s3://a {out} b=/tmp/x y{");
        assert_eq!(fill_word("{\"json\": {key}}", &values), "{\"json\": a {out} b}");
    }

    #[tokio::test]
    async fn dropped_a_program_ends_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("alive");
        // The shell's child writes on, long after the shell was killed, unless it is killed too.
        let text = format!("sh -c '(while :; do echo >> {}; sleep 0.01; done) & wait' {{out}}", mark.display());
        let template = Program::from_template(&text).unwrap();
        let connection =
            Connection::to_lab("http://127.0.0.1:9", crate::object::Keys { access: "a".into(), secret: "s".into() });
        let object = Object { bucket: "b".into(), key: "k".into(), bytes: 1, e_tag: None, crc64nvme: None };
        let boto3 = Config::new();
        let run = template.run(&connection, &object, &boto3, Path::new("/x"));
        let started = async {
            while !mark.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = run => panic!("it ended by itself: {ended:?}"),
            () = started => {}
        }
        let size = || std::fs::metadata(&mark).unwrap().len();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = size();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(size(), after);
    }

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_with_its_last_words() {
        let template = Program::from_template("sh -c 'echo first >&2; echo no such host >&2; exit 3' {out}").unwrap();
        let connection =
            Connection::to_lab("http://127.0.0.1:9", crate::object::Keys { access: "a".into(), secret: "s".into() });
        let object = Object { bucket: "b".into(), key: "k".into(), bytes: 1, e_tag: None, crc64nvme: None };
        let error = template.run(&connection, &object, &Config::new(), Path::new("/x")).await.unwrap_err().to_string();
        assert!(error.contains("no such host") && error.contains('3'), "{error}");
    }
}
