//! The sections of `cargo xtask bench transfer` that do not download an object: uploads, folders, listings, syncs.
//!
//! `crates/s3tune/benches/moves` measures everything; this file calls it and writes its tables into the document. No
//! test runs it.

use std::path::Path;

use super::answer::table_of;
use super::{BENCH, Options, document, machine};

/// A section of the document.
struct Section {
    name: &'static str,
    /// Heading and question.
    head: &'static str,
}

const SECTIONS: [Section; 7] = [
    Section {
        name: "upload",
        head: "## A file into an object\n\n\
               The cost of an upload of 3 GiB where the network is no limit. s3tune computes and compares a\n\
               checksum of the whole object.",
    },
    Section {
        name: "upload-shaped",
        head: "## A file into an object over an emulated network\n\n\
               The use of a link by an upload where a connection is slow: 20 MB/s a connection, 400 MB/s together,\n\
               30 ms to the first byte (log-normal, sigma 0.4), 60 ms to connect. The bytes of 1 GiB alone take\n\
               2.68 s, and the requests before and after them 0.21 s.",
    },
    Section { name: "files-up", head: "## 20,000 files of 16 KiB into a prefix\n\nThe cost of a small upload." },
    Section { name: "files-down", head: "## 20,000 objects of 16 KiB into a folder\n\nThe cost of a small download." },
    Section {
        name: "listing",
        head: "## A listing of 1,000,000 keys\n\n\
               One flat prefix, 30 ms to the first byte of an answer: speed and memory.",
    },
    Section {
        name: "first-object",
        head: "## The first object of 1,000,000\n\n\
               The same prefix is copied into a folder: the time from the program's start until its first GET\n\
               arrives. The copy is ended then.",
    },
    Section {
        name: "sync",
        head: "## A sync of 200,000 files with nothing to do\n\n\
               A folder and a prefix that are the same, 30 ms to the first byte of an answer. rclone compares sizes\n\
               only.",
    },
];

/// Runs the sections that `options` name.
///
/// # Errors
/// A section that could not be built, did not end well, or could not be written down.
pub(super) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let out = root.join(&options.out);
    let commit = machine::commit(root).map_or_else(String::new, |commit| format!("s3tune at {commit}; "));
    let rounds = options.rounds.to_string();
    let foot = format!(
        "{}: loopback, in the clear; {rounds} rounds in turn; {commit}{}",
        machine::today()?,
        machine::hardware(root)
    );
    for section in SECTIONS.iter().filter(|section| options.names(section.name)) {
        let mut arguments = vec!["section", section.name, "--rounds", &rounds];
        arguments.extend(options.quick.then_some("--quick"));
        let table = table_of(root, ("s3tune", "moves"), &arguments, options.venv.as_deref())?;
        let text = format!("{}\n\n{}\n\n{foot}", section.head, table.trim_end());
        println!("{text}\n");
        let document = document::with_section(&document::read(&out)?, BENCH, section.name, &text)?;
        std::fs::write(&out, document).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workloads::MOVES;

    #[test]
    fn every_section_has_its_place_in_the_document() {
        assert_eq!(SECTIONS.each_ref().map(|section| section.name), MOVES);
    }
}
