//! The commands `sbatch`, `squeue` and `scancel`, each with a deadline.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The longest that a command of Slurm may take; a busy controller lets one wait.
const LONGEST: Duration = Duration::from_secs(60);

/// A Slurm command failed.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` {reason}")]
#[non_exhaustive]
pub struct SlurmCommandError {
    /// The command.
    pub command: &'static str,
    /// The fault, in one line.
    pub reason: String,
}

/// Submits a script; the answer.
pub(crate) async fn submit(arguments: &[String], script: &Path) -> Result<String, SlurmCommandError> {
    let mut command = Command::new("sbatch");
    command.args(arguments).arg("--").arg(script);
    run("sbatch", command).await
}

/// The jobs of this name that Slurm knows, with their states.
pub(crate) async fn queue(name: &str) -> Result<String, SlurmCommandError> {
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--states=all", "--format=%i %T"]).arg(format!("--name={name}"));
    run("squeue", command).await
}

/// Asks the processes of the jobs of this name to end: those of their steps or, with `scripts`, those of their scripts
/// too. A script that is `srun` must not be asked, for it then kills its tasks at once.
pub(crate) async fn signal(name: &str, scripts: bool) -> Result<(), SlurmCommandError> {
    let mut command = Command::new("scancel");
    command.args(["--quiet", "--signal=TERM"]).args(scripts.then_some("--full")).arg(format!("--name={name}"));
    run("scancel", command).await.map(drop)
}

/// Ends the jobs of this name, those that wait too.
pub(crate) async fn cancel(name: &str) -> Result<(), SlurmCommandError> {
    let mut command = Command::new("scancel");
    command.arg("--quiet").arg(format!("--name={name}"));
    run("scancel", command).await.map(drop)
}

async fn run(name: &'static str, mut command: Command) -> Result<String, SlurmCommandError> {
    let failed = |reason: String| SlurmCommandError { command: name, reason };
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(LONGEST, command.output()).await {
        Ok(output) => {
            output.map_err(|error| failed(format!("cannot be started: {error}; is Slurm on this machine?")))?
        }
        Err(_) => return Err(failed(format!("did not answer within {} s", LONGEST.as_secs()))),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(failed(format!("failed: {}", line.chars().take(400).collect::<String>())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
