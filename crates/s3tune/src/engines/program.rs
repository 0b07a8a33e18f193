//! [`Program`]: another program as an engine: a command whose words hold placeholders for the object and for the
//! knobs, with variables and files of its own.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use tunekit::Config;

use super::gauge::Gauge;
use super::metric::{self, Metric};
use super::template::{PLACES, fill, in_braces, is_name, placeholders};
use super::{TransferError, process};
use crate::checksum::checksum_of;
use crate::failure::Failure;
use crate::object::{Connection, Object};

/// Another program: its command, and the things it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The command, with placeholders; the word `{unsigned}` stands for the words of `unsigned`.
    pub(super) words: Vec<String>,
    /// Words for requests without a signature.
    pub(super) unsigned: Vec<String>,
    /// Variables and their values, with placeholders.
    pub(super) env: Vec<(String, String)>,
    /// Variables it must not find.
    pub(super) unset: Vec<String>,
    /// Files and their texts, with placeholders.
    pub(super) files: Vec<(String, String)>,
    /// The source of its time.
    pub(super) metric: Metric,
    /// A command that fails where the program cannot be used.
    pub(super) check: Vec<String>,
    /// The way to install it.
    pub(super) install: Option<String>,
}

/// The word for the words of `unsigned`.
pub(super) const UNSIGNED: &str = "{unsigned}";
/// The knobs that a command template can name, because it cannot declare knobs of its own.
const PARAMETERS: [&str; 7] = [
    "multipart_threshold",
    "max_concurrency",
    "multipart_chunksize",
    "num_download_attempts",
    "max_io_queue",
    "io_chunksize",
    "use_threads",
];
/// boto3's parameter without a default: nothing could be written in its place.
const NO_DEFAULT: &str = "max_bandwidth";
/// A program that is asked for its version answers at once; a machine that is busy may take a while.
const MOST_FOR_CHECK: Duration = Duration::from_secs(20);

impl Program {
    /// A command line in the form of a shell's, which is not run by a shell.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a template without `{out}`, with an unknown placeholder, with `{max_bandwidth}`, which
    /// has no default, or with an open quote.
    pub fn from_template(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(format!(
                "--engine {text:?}: {what}; write s3xfer, boto3, aws-cli, s5cmd, rclone, the name of an engine file, or a \
                 command with {{out}} and any of {}",
                in_braces(PLACES.into_iter().filter(|name| *name != "files").chain(PARAMETERS))
            ))
        };
        let words = shlex::split(text).ok_or_else(|| wrong("a quote is left open"))?;
        if !words.iter().any(|word| word.contains("{out}")) {
            return Err(wrong("no word has {out}, the file to write"));
        }
        if words.iter().flat_map(|word| placeholders(word)).any(|name| name == NO_DEFAULT) {
            return Err(Failure::usage(format!(
                "--engine {text:?}: {{{NO_DEFAULT}}} has no value by default, so a command cannot name it; write an \
                 engine file with [space.{NO_DEFAULT}] and a default in it"
            )));
        }
        let known = |name: &str| (PLACES.contains(&name) && name != "files") || PARAMETERS.contains(&name);
        if let Some(name) = words.iter().flat_map(|word| placeholders(word)).find(|name| !known(name)) {
            return Err(wrong(&format!("{{{name}}} is not known")));
        }
        Ok(Self { words, ..Self::default() })
    }

    /// A checksum of everything that determines the started program. It distinguishes two programs across sessions.
    pub(super) fn crc64nvme(&self) -> u64 {
        let Self { words, unsigned, env, files, metric, unset, check: _, install: _ } = self;
        let mut bytes = vec![u8::from(*metric == Metric::Stdout)];
        let pairs = |pairs: &[(String, String)]| pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect();
        let parts: [Vec<String>; 5] = [words.clone(), unsigned.clone(), unset.clone(), pairs(env), pairs(files)];
        for part in parts {
            bytes.extend((part.len() as u64).to_le_bytes());
            for text in part {
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.into_bytes());
            }
        }
        checksum_of(bytes.len() as u64, |offset, buffer| {
            buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        })
    }

    /// Everything that may hold a placeholder, with where it stands.
    pub(super) fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let words = self.words.iter().enumerate();
        let words = words.map(|(at, word)| (format!("command, word {}", at + 1), word.as_str()));
        let variables = self.env.iter().map(|(name, value)| (format!("[env] {name}"), value.as_str()));
        let files = self.files.iter().map(|(path, text)| (format!("[files] {path:?}"), text.as_str()));
        words.chain(variables).chain(files)
    }

    /// Whether any word, variable or file holds the placeholder.
    pub(super) fn names(&self, placeholder: &str) -> bool {
        self.texts().any(|(_, text)| placeholders(text).any(|name| name == placeholder))
    }

    /// Finds mistakes that do not depend on the names of the knobs.
    pub(super) fn fault(&self) -> Option<String> {
        if self.words.first().is_none_or(|word| word.is_empty() || word == UNSIGNED) {
            return Some("command: its first word must name a program".to_owned());
        }
        if self.words.iter().any(|word| word == UNSIGNED) == self.unsigned.is_empty() {
            return Some(format!("unsigned and the word {UNSIGNED} of command: each needs the other"));
        }
        let is_variable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        if let Some(name) = self.env.iter().map(|(name, _)| name).chain(&self.unset).find(|name| !is_variable(name)) {
            return Some(format!("{name:?} is not a variable's name"));
        }
        for (path, _) in &self.files {
            let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            if path.is_empty() || !inside || path.ends_with('/') {
                return Some(format!(
                    "[files] {path:?}: a path must lead to a file inside the folder; leave / and .. out"
                ));
            }
            if let Some((below, _)) =
                self.files.iter().find(|(other, _)| other != path && Path::new(other).starts_with(path))
            {
                return Some(format!("[files] {path:?} cannot be a file and, for {below:?}, a folder; rename one"));
            }
        }
        None
    }

    /// Runs the program's check command, and returns the first line of its output.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] for a program that is missing, or that fails.
    pub(super) async fn check(&self, engine: &str) -> Result<Option<String>, Failure> {
        let fails = |why: String| {
            let mend = self.install.as_ref().map_or_else(String::new, |how| format!("; to install it: {how}"));
            Failure::Work(format!("the engine {engine} cannot be used: {why}{mend}"))
        };
        let program = self.words.first().filter(|word| placeholders(word).next().is_none());
        for word in program.into_iter().chain(self.check.first()) {
            if !is_there(word) {
                return Err(fails(format!("there is no program {word:?}")));
            }
        }
        let Some((program, arguments)) = self.check.split_first() else { return Ok(None) };
        let mut command = Command::new(program);
        command.args(arguments);
        for name in &self.unset {
            command.env_remove(name);
        }
        let ended = match timeout(MOST_FOR_CHECK, process::run(&mut command, || ())).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Err(fails(format!("cannot start {program}: {error}"))),
            Err(_) => {
                return Err(fails(format!(
                    "{} did not end within {} s",
                    self.check.join(" "),
                    MOST_FOR_CHECK.as_secs()
                )));
            }
        };
        if !ended.status.success() {
            return Err(fails(format!("{program} ended with {}: {}", ended.status, ended.last_words(1, &[]))));
        }
        let answers = [&ended.stdout, &ended.stderr].map(|tail| tail.text(&[]));
        let line = answers.iter().flat_map(|text| text.lines()).map(str::trim).find(|line| !line.is_empty());
        Ok(line.map(metric::shortened))
    }

    /// Downloads the object, and returns the time by the program's metric.
    pub(super) async fn run(
        &self,
        connection: &Connection,
        object: &Object,
        config: &Config,
        target: &Path,
        gauge: &Gauge,
    ) -> Result<Duration, TransferError> {
        let environment = connection.environment().await?;
        let files = tempfile::Builder::new().prefix("s3tune-engine-").tempdir();
        let files = files.map_err(|source| TransferError::Files { path: env::temp_dir(), source })?;
        let values = values(connection, object, config, target, &files);
        for (path, text) in &self.files {
            let path = files.path().join(path);
            write(&path, &fill(text, &values)).map_err(|source| TransferError::Files { path, source })?;
        }
        let words = self.filled_words(connection, &values);
        let (program, arguments) = words.split_first().expect("a command has a word");
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in &environment.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        for name in &self.unset {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, fill(value, &values))));
        gauge.watch_folder(target, object.bytes, self.metric);

        let ended = process::run(&mut command, || gauge.end()).await;
        let ended = ended.map_err(|source| TransferError::Start { program: program.clone(), source })?;
        if !ended.status.success() {
            let says = ended.last_words(3, &environment.secrets);
            return Err(TransferError::Status { program: program.clone(), status: ended.status, says });
        }
        match self.metric {
            Metric::Wall => Ok(ended.took),
            Metric::Stdout => metric::from_stdout(&ended.stdout.text(&environment.secrets), ended.took)
                .map_err(|source| TransferError::Metric { program: program.clone(), source }),
        }
    }

    fn filled_words(&self, connection: &Connection, values: &[(&str, String)]) -> Vec<String> {
        let mut words = Vec::new();
        for word in &self.words {
            match word.as_str() {
                UNSIGNED if connection.signs() => {}
                UNSIGNED => words.extend(self.unsigned.iter().cloned()),
                word => words.push(fill(word, values)),
            }
        }
        words
    }
}

/// The values of the placeholders.
fn values<'a>(
    connection: &Connection,
    object: &Object,
    config: &'a Config,
    target: &Path,
    files: &TempDir,
) -> Vec<(&'a str, String)> {
    let mut values = vec![
        ("bucket", object.bucket.clone()),
        ("key", object.key.clone()),
        ("out", target.display().to_string()),
        ("endpoint", connection.endpoint_url()),
        ("region", connection.region().to_owned()),
        ("files", files.path().display().to_string()),
    ];
    values.extend(config.iter().filter(|(name, _)| is_name(name)).map(|(name, value)| (name, value.to_string())));
    values
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)
}

/// Whether there is a file of this name, or one in a folder of `PATH`. Whether it can be run shows when it is.
fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder: PathBuf| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Keys;

    fn connection() -> Connection {
        Connection::to_lab("http://127.0.0.1:9", Keys { access: "a".into(), secret: "sesame-open".into() })
    }

    fn object() -> Object {
        Object { bucket: "b".into(), key: "k".into(), bytes: 1, e_tag: None, crc64nvme: None }
    }

    #[test]
    fn a_template_is_checked_before_anything_runs() {
        for (text, says) in [
            ("cp a b", "{out}"),
            ("cp {source} {out}", "{source}"),
            ("cp {part_2} {out}", "{part_2}"),
            ("cp {files} {out}", "{files}"),
            ("cp {unsigned} {out}", "{unsigned}"),
            ("cp --limit={max_bandwidth} x {out}", "[space.max_bandwidth]"),
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

        assert!(Program::from_template("cp -c {max_concurrency} {endpoint} {region} 'a b' {out}").is_ok());
    }

    #[tokio::test]
    async fn dropped_a_program_ends_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("alive");
        // The shell's child writes on, long after the shell was killed, unless it is killed too.
        let text = format!("sh -c '(while :; do echo >> {}; sleep 0.01; done) & wait' {{out}}", mark.display());
        let template = Program::from_template(&text).unwrap();
        let (connection, object, boto3, gauge) = (connection(), object(), Config::new(), Gauge::new());
        let run = template.run(&connection, &object, &boto3, Path::new("/x"), &gauge);
        let started = async {
            while !mark.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = run => panic!("it ended by itself: {ended:?}"),
            () = started => {}
        }
        let size = || fs::metadata(&mark).unwrap().len();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = size();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(size(), after);
    }

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_with_its_last_words() {
        let script = "sh -c 'echo first >&2; echo no such host, said $AWS_SECRET_ACCESS_KEY >&2; exit 3' {out}";
        let template = Program::from_template(script).unwrap();
        let run = template.run(&connection(), &object(), &Config::new(), Path::new("/x"), &Gauge::new()).await;
        let error = run.unwrap_err().to_string();
        assert!(error.contains("no such host, said ***") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn words_for_requests_without_a_signature_are_there_only_then() {
        let program = Program {
            words: ["get", UNSIGNED, "{key}"].map(str::to_owned).to_vec(),
            unsigned: ["--no-sign", "--really"].map(str::to_owned).to_vec(),
            ..Program::default()
        };
        let values = [("key", "{unsigned}".to_owned())];
        assert_eq!(program.filled_words(&connection(), &values), ["get", "{unsigned}"]);
        let unsigned = Connection::from_env(Some("http://127.0.0.1:9"), false).await.unwrap();
        assert_eq!(program.filled_words(&unsigned, &values), ["get", "--no-sign", "--really", "{unsigned}"]);
    }
}
