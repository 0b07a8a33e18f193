//! The commands: each turns its flags into a run, or a server.

mod cp;
mod demo;
mod export;
mod folders;
mod report;
mod serve;
mod tune;

use std::io::Write;
use std::path::{Path, PathBuf};

use tunekit::tuner::StopHandle;

use crate::cli::Command;
use crate::engines::kill_programs;
use crate::failure::Failure;
use crate::measure::Bench;
use crate::run::{Names, Plan, run};
use crate::show::Show;

/// Runs a command to its end.
///
/// # Errors
///
/// [`Failure`].
pub async fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::demo(arguments).await,
        Command::Tune(arguments) => tune::tune(*arguments).await,
        Command::Report(arguments) => report::report(arguments).await,
        Command::Export(arguments) => export::export(&arguments),
        Command::Cp(arguments) if arguments.recursive => folders::cp(*arguments).await,
        Command::Cp(arguments) => cp::cp(*arguments).await,
        Command::Sync(arguments) => folders::sync(*arguments).await,
        Command::Serve(arguments) => serve::serve(arguments).await,
    }
}

/// Runs a plan on a terminal: the first Ctrl-C (or another termination signal) ends the run cleanly, a second one at
/// once.
async fn run_and_tell(plan: &Plan, bench: &Bench) -> Result<(), Failure> {
    let (stop, show) = (StopHandle::new(), Show::new());
    let asked_to_stop = {
        let (stop, show) = (stop.clone(), show.clone());
        tokio::spawn(async move {
            if interrupted().await.is_ok() {
                show.line("stopping; a second Ctrl-C stops at once");
                stop.stop();
                if interrupted().await.is_ok() {
                    // No destructor runs from here on, and the programs are in process groups of their own.
                    kill_programs();
                    std::process::exit(1);
                }
            }
        })
    };
    let outcome = run(plan, bench, &stop, &show).await;
    asked_to_stop.abort();
    show.finish();
    let words = outcome?.words;
    let out = plan.out.display();
    tell(&format!("{words}results in {out}: report.html, best.toml, summary.json, results.csv, measurements.csv\n"))
}

/// The names of tables' columns.
fn names(syne_tune_names: bool) -> Names {
    if syne_tune_names { Names::SyneTune } else { Names::Ours }
}

/// Writes to standard output, which may be closed or on a full disk.
fn tell(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::work("write to standard output", &error))
}

/// Returns when the process is asked to end: by Ctrl-C, a termination signal, or a hang-up of its terminal.
async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    // `nohup` ignores hang-ups, and a listener would undo that.
    let mut hang_up = if ignores_hang_ups() { None } else { Some(signal(SignalKind::hangup())?) };
    let hung_up = async {
        match &mut hang_up {
            Some(hang_up) => hang_up.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
        _ = hung_up => Ok(()),
    }
}

/// Whether this process ignores hang-ups.
#[expect(unsafe_code, reason = "no safe call tells how a signal is handled")]
fn ignores_hang_ups() -> bool {
    use nix::libc;
    let mut handling = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: Without a new action, sigaction(2) changes nothing and writes the present one to the third argument,
    // which has room for it.
    let asked = unsafe { libc::sigaction(libc::SIGHUP, std::ptr::null(), handling.as_mut_ptr()) };
    // SAFETY: The result of the call above confirms that it wrote the action.
    asked == 0 && unsafe { handling.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// `out` as it was given, or the first of `name`, `name-2`, ... that does not exist yet.
fn out_folder(out: Option<PathBuf>, name: &str) -> PathBuf {
    let numbered = |n: u32| if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
    out.unwrap_or_else(|| (1..).map(numbered).find(|name| !Path::new(name).exists()).expect("names do not end").into())
}

/// The folder that downloads go to.
fn download_folder(file_path: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let folder = file_path.unwrap_or_else(std::env::temp_dir);
    match std::fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => Err(Failure::usage(format!("--file-path {}: it is not a folder", folder.display()))),
        Err(error) => {
            Err(Failure::usage(format!("--file-path {}: {error}; name a folder that exists", folder.display())))
        }
    }
}
