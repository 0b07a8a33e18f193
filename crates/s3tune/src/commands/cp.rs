//! `s3tune cp`: one copy from, to or within S3.

use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{interrupted, tell};
use crate::cli::CpArgs;
use crate::cp::{Copy, Places, client, copy, places, plan, read_config, remember, remembering};
use crate::failure::Failure;
use crate::object::{Access, Connection};
use crate::show::Show;

/// The longest time that Ctrl-C waits for the abort of an upload.
pub(super) const ABORT_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn cp(arguments: CpArgs) -> Result<(), Failure> {
    if let Some(flag) = arguments.folders.given() {
        return Err(Failure::usage(format!("{flag} is for copies of whole folders; add --recursive")));
    }
    let places = places(&arguments.source, &arguments.target)?;
    if arguments.version_id.is_some() && matches!(places, Places::Up { .. } | Places::Fetch { .. }) {
        return Err(Failure::usage(
            "--version-id names a version of the S3 object that is read, and SRC is a file or a URL; leave it out",
        ));
    }
    if let Places::Up { path, .. } = &places
        && path.is_dir()
    {
        return Err(Failure::usage(format!("{} is a folder: add --recursive", path.display())));
    }
    let flags = &arguments.flags;
    let config = flags.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    let keeps = !flags.no_resume && places.goes_on();
    let keep_times = arguments.folders.keep_times;
    if keep_times && !places.goes_on() {
        return Err(Failure::usage("--keep-times is for copies from or into a file; leave it out"));
    }
    let (version_id, resume) = (arguments.version_id, !flags.no_resume);
    let what = Copy { places, version_id, config, resume, request_payer: flags.request_payer, keep_times };
    // A file beyond `ulimit -f` is an error of the write once somebody listens for the signal; it ends the process
    // otherwise.
    let _listens = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))
        .map_err(|error| Failure::work("listen for SIGXFSZ", &error))?;
    let access = flags.access();
    // A URL needs no keys, and gets none.
    let unsigned = access.unsigned || matches!(what.places, Places::Fetch { .. });
    let connection = Box::pin(Connection::with(Access { unsigned, ..access }));
    let memory = flags.memory.as_deref();
    let client = remembering(client(&connection.await?, &what), memory)?;
    if arguments.folders.dry_run {
        return tell(&format!("{}\n", Box::pin(plan(&client, &what)).await?));
    }
    let show = Show::new();
    // Dropping the copy ends it: the parts that it has fetched or sent are kept, and nothing appears under the target's
    // name; an upload that cannot be continued is aborted.
    let ended = tokio::select! {
        copied = Box::pin(copy(&client, &what, &show)) => Ok(copied),
        asked = interrupted() => Err(asked),
    };
    show.finish();
    match ended {
        Ok(copied) => copied.and_then(|()| remember(&client, memory)),
        Err(asked) => {
            let _ = timeout(ABORT_WITHIN, client.settled()).await;
            asked.map_err(|error| Failure::work("listen for Ctrl-C", &error))?;
            let again = if keeps { "; give the same command again to continue" } else { "" };
            Err(Failure::Work(format!("interrupted{again}")))
        }
    }
}
