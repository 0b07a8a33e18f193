//! `s3tune export`: the configuration that a run recommends, on standard output.

use super::tell;
use crate::cli::ExportArgs;
use crate::export::{FORMATS, Recommendation};
use crate::failure::Failure;
use crate::show::say;

pub(super) fn export(arguments: &ExportArgs) -> Result<(), Failure> {
    if arguments.list {
        return tell(&list());
    }
    let (Some(folder), Some(name)) = (&arguments.folder, &arguments.format) else {
        return Err(Failure::usage("export needs a run's folder and --format, or --list"));
    };
    let named = |name: &str| FORMATS.into_iter().find(|format| format.name == name || format.alias == Some(name));
    let format = named(name).ok_or_else(|| Failure::usage(format!("--format {name}: it is not known; see --list")))?;
    let found = Recommendation::load(folder)?;
    let exported =
        format.export(&found).map_err(|error| Failure::work(&format!("export {}", folder.display()), &error))?;
    for note in &exported.notes {
        say(note);
    }
    tell(&exported.text)
}

fn list() -> String {
    let widest = FORMATS.iter().map(|format| format.name.len()).max().unwrap_or_default();
    FORMATS.iter().map(|format| format!("{:widest$}  {}\n", format.name, format.about)).collect()
}
