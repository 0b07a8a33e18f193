//! The engines: the command of each, its limits, and the check that it is on this machine.
//!
//! The engines of `xtask/peers` are always available. Other programs are searched in the folder of a virtual
//! environment and on PATH, and are never installed. All run with their defaults.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::workloads::{BUCKET, Job};

/// One way to download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) name: &'static str,
    /// Its crate in the lock file of the peers, or the program that is asked for its version.
    made_of: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// An engine of the `peers` program.
    Peer,
    S5cmd,
    Rclone,
    /// A module of Python beneath `xtask/peers/boto3_engines.py`.
    Python(&'static str),
}

/// The first is the base of all ratios.
pub(super) const ENGINES: &[Engine] = &[
    Engine { name: "ceiling", made_of: "rustls", how: How::Peer },
    Engine { name: "s3xfer", made_of: "s3xfer", how: How::Peer },
    Engine { name: "s3xfer-sdk-http", made_of: "aws-smithy-http-client", how: How::Peer },
    Engine { name: "sdk-ranged", made_of: "aws-sdk-s3", how: How::Peer },
    Engine { name: "sdk-stream", made_of: "aws-sdk-s3", how: How::Peer },
    Engine { name: "tm", made_of: "aws-sdk-s3-transfer-manager", how: How::Peer },
    Engine { name: "object-store", made_of: "object_store", how: How::Peer },
    Engine { name: "opendal", made_of: "opendal", how: How::Peer },
    Engine { name: "s5cmd", made_of: "s5cmd", how: How::S5cmd },
    Engine { name: "rclone", made_of: "rclone", how: How::Rclone },
    Engine { name: "boto3", made_of: "boto3", how: How::Python("boto3") },
    Engine { name: "boto3-crt", made_of: "awscrt", how: How::Python("awscrt") },
];

/// Enough for a first look.
pub(super) const QUICK: [&str; 5] = ["ceiling", "s3xfer", "s3xfer-sdk-http", "sdk-ranged", "tm"];

/// The places of programs on this machine; an absent one is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    peers: PathBuf,
    s5cmd: Option<PathBuf>,
    rclone: Option<PathBuf>,
    python: Option<PathBuf>,
    /// Modules that Python has, with their versions.
    modules: Vec<(String, String)>,
    script: PathBuf,
}

/// The source and the target of one run.
#[derive(Debug, Clone)]
pub(super) struct Ends<'a> {
    pub(super) endpoint: &'a str,
    pub(super) region: &'a str,
    /// A file, or a folder for many objects.
    pub(super) out: &'a str,
}

impl Tools {
    /// Looks in `venv/bin`, then on PATH.
    pub(super) fn find(root: &Path, peers: &Path, venv: Option<&Path>) -> Self {
        let mut folders: Vec<PathBuf> = venv.iter().flat_map(|venv| [venv.join("bin"), venv.to_path_buf()]).collect();
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let find = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        let python = find("python3");
        let modules = python.iter().flat_map(|python| {
            ["boto3", "awscrt"].into_iter().filter_map(move |module| {
                let ask = format!("import {module}; print(getattr({module}, '__version__', 'unknown'))");
                let version = first_line(Command::new(python).args(["-c", &ask]))?;
                Some((module.to_owned(), version))
            })
        });
        Self {
            peers: peers.join("peers"),
            s5cmd: find("s5cmd"),
            rclone: find("rclone"),
            modules: modules.collect(),
            python,
            script: root.join("xtask/peers/boto3_engines.py"),
        }
    }

    fn module(&self, name: &str) -> Option<&str> {
        self.modules.iter().find(|(module, _)| module == name).map(|(_, version)| version.as_str())
    }
}

impl Engine {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ENGINES.iter().find(|engine| engine.name == name)
    }

    /// Its version; `lock` is the text of the peers' lock file.
    ///
    /// # Errors
    /// The programs that this machine lacks.
    pub(super) fn version(&self, tools: &Tools, lock: &str) -> Result<String, String> {
        let program = |path: &Option<PathBuf>| {
            let path = path.as_ref().ok_or_else(|| format!("{} is not on PATH", self.made_of))?;
            let line = first_line(Command::new(path).arg("version")).unwrap_or_default();
            // "rclone v1.70.0", "v2.3.0-991c9fb".
            Ok(line.split_whitespace().last().unwrap_or("unknown").to_owned())
        };
        match self.how {
            How::Peer => locked(lock, self.made_of).ok_or_else(|| format!("{} is in no lock file", self.made_of)),
            How::S5cmd => program(&tools.s5cmd),
            How::Rclone => program(&tools.rclone),
            How::Python(module) => {
                tools.module(module).map(str::to_owned).ok_or_else(|| format!("python3 has no module {module}"))
            }
        }
    }

    /// The versions it is made of, for the table's foot.
    pub(super) fn made_of(&self) -> &'static str {
        self.made_of
    }

    /// The command that does the job.
    ///
    /// # Errors
    /// Why it cannot be done by this engine on this machine.
    pub(super) fn command(
        &self,
        tools: &Tools,
        job: Job,
        concurrency: Option<u32>,
        ends: &Ends<'_>,
    ) -> Result<Vec<String>, String> {
        let Ends { endpoint, region, out } = *ends;
        let key = job.key();
        let absent = |program: &Option<PathBuf>| {
            let path = program.as_ref().ok_or_else(|| format!("{} is not on PATH", self.made_of))?;
            Ok::<_, String>(path.display().to_string())
        };
        let forgets = || Err(format!("{} has no target that counts and forgets", self.name));
        let command: Vec<String> = match (self.how, job) {
            (How::Peer, _) => {
                let mut words = vec![tools.peers.display().to_string(), self.name.to_owned()];
                words.extend(match job {
                    Job::File { .. } => ["get", endpoint, BUCKET, &key, out].map(str::to_owned).to_vec(),
                    Job::Null { .. } => ["get", endpoint, BUCKET, &key, "/dev/null"].map(str::to_owned).to_vec(),
                    Job::Many { count, .. } => {
                        ["get-many", endpoint, BUCKET, &key, out, &count.to_string()].map(str::to_owned).to_vec()
                    }
                });
                words.extend(concurrency.into_iter().flat_map(|n| ["--concurrency".to_owned(), n.to_string()]));
                return Ok(words);
            }
            (How::S5cmd, Job::Null { .. }) | (How::Rclone, Job::Null { .. }) => return forgets(),
            (How::S5cmd, Job::File { .. }) => {
                [&absent(&tools.s5cmd)?, "--endpoint-url", endpoint, "cp", &format!("s3://{BUCKET}/{key}"), out]
                    .map(str::to_owned)
                    .to_vec()
            }
            (How::S5cmd, Job::Many { .. }) => {
                let (source, folder) = (format!("s3://{BUCKET}/{key}*"), format!("{out}/"));
                [&absent(&tools.s5cmd)?, "--log", "error", "--endpoint-url", endpoint, "cp", &source, &folder]
                    .map(str::to_owned)
                    .to_vec()
            }
            (How::Rclone, _) => {
                let verb = if let Job::Many { .. } = job { "copy" } else { "copyto" };
                let source = format!(":s3:{BUCKET}/{}", key.trim_end_matches('/'));
                let mut words = vec![absent(&tools.rclone)?];
                words.extend(["--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth"].map(str::to_owned));
                words.extend(["--s3-endpoint", endpoint, "--s3-region", region].map(str::to_owned));
                words.extend(["--s3-force-path-style", verb, &source, out].map(str::to_owned));
                words
            }
            (How::Python(module), _) => {
                let python = absent(&tools.python)?;
                if let Some(module) = ["boto3", module].into_iter().find(|module| tools.module(module).is_none()) {
                    return Err(format!("python3 has no module {module}"));
                }
                let (verb, count) = match job {
                    Job::File { .. } => ("get", 1),
                    Job::Null { .. } => ("null", 1),
                    Job::Many { count, .. } => ("get-many", count),
                };
                let script = tools.script.display().to_string();
                [&python, &script, self.name, verb, endpoint, BUCKET, &key, out, &count.to_string()]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        match concurrency {
            None => Ok(command),
            Some(_) => Err(format!("{} takes no concurrency here", self.name)),
        }
    }
}

/// A crate's version in a lock file. Of several, the highest line wins: the newest stands last.
fn locked(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines();
    let mut version = None;
    while let Some(line) = lines.next() {
        if line == wanted {
            let found = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
            version = Some(found.to_owned());
        }
    }
    version
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}

/// The engine's name as [`ENGINES`] has it.
pub(super) fn engine_named(name: &str) -> Option<&'static str> {
    ENGINES.iter().map(|engine| engine.name).find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends<'_> = Ends { endpoint: "http://e:1", region: "r", out: "/t/out" };

    fn tools() -> Tools {
        Tools {
            peers: "p".into(),
            s5cmd: Some("s5cmd".into()),
            rclone: Some("rclone".into()),
            python: Some("python3".into()),
            modules: vec![("boto3".into(), "1".into())],
            script: "x.py".into(),
        }
    }

    fn line(name: &str, job: Job, concurrency: Option<u32>) -> Result<String, String> {
        Ok(Engine::named(name).unwrap().command(&tools(), job, concurrency, &ENDS)?.join(" "))
    }

    #[test]
    fn our_peers_take_every_job() {
        let many = Job::Many { count: 200, bytes: 5 };
        assert_eq!(line("tm", Job::File { bytes: 7 }, None).unwrap(), "p tm get http://e:1 lab one/7 /t/out");
        assert_eq!(
            line("s3xfer", Job::Null { bytes: 7 }, Some(32)).unwrap(),
            "p s3xfer get http://e:1 lab one/7 /dev/null --concurrency 32"
        );
        assert_eq!(line("tm", many, None).unwrap(), "p tm get-many http://e:1 lab many/200x5/ /t/out 200");
    }

    #[test]
    fn what_an_engine_cannot_do_is_an_error_and_no_command() {
        assert!(line("s5cmd", Job::Null { bytes: 7 }, None).unwrap_err().contains("forgets"));
        assert!(line("boto3", Job::File { bytes: 7 }, Some(4)).unwrap_err().contains("concurrency"));
        assert!(line("boto3-crt", Job::File { bytes: 7 }, None).unwrap_err().contains("no module awscrt"));
        let nothing = Tools::default();
        let error =
            Engine::named("rclone").unwrap().command(&nothing, Job::File { bytes: 7 }, None, &ENDS).unwrap_err();
        assert_eq!(error, "rclone is not on PATH");
    }

    #[test]
    fn programs_of_others_get_their_own_words() {
        assert_eq!(
            line("s5cmd", Job::File { bytes: 7 }, None).unwrap(),
            "s5cmd --endpoint-url http://e:1 cp s3://lab/one/7 /t/out"
        );
        assert!(
            line("rclone", Job::Many { count: 2, bytes: 5 }, None).unwrap().ends_with("copy :s3:lab/many/2x5 /t/out")
        );
        assert_eq!(
            line("boto3", Job::Null { bytes: 7 }, None).unwrap(),
            "python3 x.py boto3 null http://e:1 lab one/7 /t/out 1"
        );
    }

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"rustls\"\nversion = \"0.21.12\"\n\n[[package]]\nname = \"rustls\"\nversion = \"0.23.1\"\n";
        assert_eq!(locked(lock, "rustls").as_deref(), Some("0.23.1"));
        assert_eq!(locked(lock, "rust"), None);
    }

    #[test]
    fn the_quick_ones_exist_and_names_differ() {
        assert!(QUICK.iter().all(|name| Engine::named(name).is_some()));
        let mut names: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENGINES.len());
    }
}
