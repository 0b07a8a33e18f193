//! `s3tune cp`: one copy from S3.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::interrupted;
use crate::cli::CpArgs;
use crate::cp::{Copy, copy, places, read_config};
use crate::failure::Failure;
use crate::object::{Access, Connection};

pub(super) async fn cp(arguments: CpArgs) -> Result<(), Failure> {
    if arguments.recursive {
        return Err(Failure::usage(
            "--recursive: copies of whole prefixes are not there yet; copy one object at a time",
        ));
    }
    let (source, target) = places(&arguments.source, &arguments.target)?;
    let config = arguments.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    let keeps = !arguments.no_resume && !["-", "/dev/null"].iter().any(|place| target.as_os_str() == *place);
    let what = Copy { source, target, version_id: arguments.version_id, config, resume: !arguments.no_resume };
    // A file beyond `ulimit -f` is an error of the write once somebody listens for the signal; it ends the process
    // otherwise.
    let _listens = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))
        .map_err(|error| Failure::work("listen for SIGXFSZ", &error))?;
    let connection = Connection::with(Access {
        endpoint: arguments.endpoint_url.as_deref(),
        region: arguments.region.as_deref(),
        profile: arguments.profile.as_deref(),
        unsigned: arguments.no_sign_request,
    });
    let work = Box::pin(async { copy(&connection.await?, &what).await });
    // Dropping the copy ends it: the parts that it has fetched are kept, no file appears under the target's name.
    tokio::select! {
        copied = work => copied,
        asked = interrupted() => {
            asked.map_err(|error| Failure::work("listen for Ctrl-C", &error))?;
            let again = if keeps { "; give the same command again to go on" } else { "" };
            Err(Failure::Work(format!("interrupted{again}")))
        }
    }
}
