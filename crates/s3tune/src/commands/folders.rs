//! `s3tune cp --recursive` and `s3tune sync`: whole folders.

use rustix::process::Signal;
use s3xfer::{Client, Compare};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::cp::ABORT_WITHIN;
use super::interrupted;
use crate::cli::{CopyFlags, CpArgs, FolderArgs, SyncArgs};
use crate::cp::{read_config, remember, remembering};
use crate::failure::Failure;
use crate::folders::{Folders, copy, places};
use crate::object::Connection;
use crate::show::Show;

pub(super) async fn cp(arguments: CpArgs) -> Result<(), Failure> {
    if arguments.version_id.is_some() {
        return Err(Failure::usage("--version-id is for one object; leave out --recursive or --version-id"));
    }
    let (source, target) = places(&arguments.source, &arguments.target)?;
    let mut what = folders(source, target, &arguments.folders);
    (what.resume, what.request_payer) = (!arguments.flags.no_resume, arguments.flags.request_payer);
    run(&arguments.flags, what).await
}

pub(super) async fn sync(arguments: SyncArgs) -> Result<(), Failure> {
    let (source, target) = places(&arguments.source, &arguments.target)?;
    let mut what = folders(source, target, &arguments.folders);
    (what.resume, what.request_payer) = (!arguments.flags.no_resume, arguments.flags.request_payer);
    what.delete = arguments.delete;
    what.sync = Some(match (arguments.size_only, arguments.checksum, arguments.update) {
        (true, _, _) => Compare::SizeOnly,
        (_, true, _) => Compare::Checksum,
        (_, _, true) => Compare::Update,
        _ => Compare::SizeAndTime,
    });
    run(&arguments.flags, what).await
}

fn folders(source: crate::folders::Place, target: crate::folders::Place, flags: &FolderArgs) -> Folders {
    Folders {
        source,
        target,
        globs: flags.filters.globs.clone(),
        sync: None,
        delete: false,
        dry_run: flags.dry_run,
        fail_fast: flags.fail_fast,
        keep_times: flags.keep_times,
        follow_symlinks: flags.follow_symlinks,
        check_names_first: flags.check_names_first,
        resume: true,
        request_payer: false,
        objects_at_once: flags.objects_at_once.map(|objects| objects as usize),
    }
}

async fn run(flags: &CopyFlags, what: Folders) -> Result<(), Failure> {
    let config = flags.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    let memory = flags.memory.as_deref();
    // A file beyond `ulimit -f` is an error of the write once somebody listens for the signal; it ends the process
    // otherwise.
    let _listens = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))
        .map_err(|error| Failure::work("listen for SIGXFSZ", &error))?;
    let show = Show::new();
    let client = Client::new(Connection::with(flags.access()).await?.client()).with_config(config);
    let client = remembering(client, memory)?;
    let ended = tokio::select! {
        ended = Box::pin(copy(&client, &what, &show)) => ended.map(|_| ()),
        asked = interrupted() => match asked {
            Ok(()) => Err(Failure::Work(
                "interrupted; every file at the target is whole; give the same command again to continue".to_owned(),
            )),
            Err(error) => Err(Failure::work("listen for Ctrl-C", &error)),
        },
    };
    // Uploads that were dropped are aborted in the background.
    let _ = timeout(ABORT_WITHIN, client.settled()).await;
    show.finish();
    ended.and_then(|()| remember(&client, memory))
}
