//! `tunekit replay`: reads a journal again, and derives every decision in it again.

use std::path::PathBuf;

use tunekit::Study;
use tunekit::journal::{Event, JournalFile};
use tunekit::program::StudyFolder;

use super::{Failure, print};

/// Replays a study's journal; with `verify`, derives its decisions again.
pub(crate) fn replay(folder: PathBuf, verify: bool) -> Result<(), Failure> {
    let folder = StudyFolder::new(folder);
    // For its errors: a folder without a study is wrong usage.
    let study = folder.study()?;
    let contents = JournalFile::read(folder.journal()).map_err(|error| Failure::work(&error))?;
    let count = contents.events.len();
    let mut text = format!("{count} events, {} trials", study.trials().len());
    if contents.torn_bytes > 0 {
        text += &format!(", {} bytes of a last line without an end", contents.torn_bytes);
    }
    if verify {
        // Journals begun before schema 8 do not tell their limits.
        let planned = match contents.events.first() {
            Some(Event::Header(header)) => header.budget,
            _ => None,
        };
        let limit = folder.study_file().ok().map_or(planned, |file| file.stop.max_trials);
        let decisions = Study::verify(contents.events, limit).map_err(|error| Failure::work(&error))?;
        text += &format!("; all {decisions} decisions follow from the events before them");
    }
    print(format!("{text}\n").as_bytes())
}
