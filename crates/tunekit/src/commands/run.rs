//! `tunekit run` and `tunekit resume`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tunekit::program::{Backend, Show, StudyFile, StudyFolder};
use tunekit::tuner::{Observer, StopHandle, StoppedBy};

use super::{Failure, print, write_report};

/// The starter of a study's programs, instead of the starter in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// This machine.
    Process,
    /// A Slurm cluster.
    Slurm,
}

/// Runs or continues the study of a file in a folder.
pub(crate) fn run(study: &Path, out: PathBuf, workers: Option<usize>, kind: Option<Kind>) -> Result<(), Failure> {
    let study = StudyFile::read(study).map_err(|error| Failure::usage(&error))?;
    go(study, &StudyFolder::new(out), workers, kind)
}

/// Continues the study in a folder.
pub(crate) fn resume(folder: PathBuf, workers: Option<usize>, kind: Option<Kind>) -> Result<(), Failure> {
    let folder = StudyFolder::new(folder);
    go(folder.study_file()?, &folder, workers, kind)
}

fn go(mut study: StudyFile, folder: &StudyFolder, workers: Option<usize>, kind: Option<Kind>) -> Result<(), Failure> {
    study.workers = workers.unwrap_or(study.workers);
    match (kind, &study.backend) {
        (Some(Kind::Process), _) => study.backend = Backend::Process,
        (Some(Kind::Slurm), Backend::Process) => study.backend = Backend::Slurm(Box::default()),
        _ => {}
    }
    let stop = StopHandle::new();
    let show = Show::new(io::stderr(), io::stderr().is_terminal(), study.stop.clone());
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(show)];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::work(&error))?;
    let ran = runtime.block_on(async {
        // Before anything is started, so that every signal is handled.
        heed_signals(&stop).map_err(|error| Failure::work(&error))?;
        folder.run(&study, stop.clone(), observers).await.map_err(Failure::from)
    });
    // The page shows the measurements, whatever ended the study; the reason of the end is reported first.
    let page = match &ran {
        Err(Failure::Usage(_)) => Ok(()),
        _ => write_report(folder).map(drop),
    };
    let tuning = ran?;
    if tuning.stopped_by == Some(StoppedBy::Cancelled) {
        let path = folder.path().display();
        return Err(Failure::Work(format!("interrupted; the measurements are kept, go on with tunekit resume {path}")));
    }
    page?;
    match &tuning.best {
        Some(best) => {
            let line = serde_json::to_string(best).map_err(|error| Failure::work(&error))?;
            print(format!("{line}\n").as_bytes())
        }
        None => {
            let study = folder.study()?;
            let why = study.why_no_best().unwrap_or("nothing was measured yet");
            Err(Failure::Work(format!("{why}; see the trials in results.csv")))
        }
    }
}

/// Ends the study at Ctrl-C and at SIGTERM.
pub(super) fn heed_signals(stop: &StopHandle) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.stop();
            }
        });
    }
    Ok(())
}
