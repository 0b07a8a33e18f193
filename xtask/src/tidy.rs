//! The house rules that a compiler does not check: arrows between crates, rooms and files, doors, the map, the index of
//! decisions, packages, their least Rust versions, and plain text.
//!
//! This file reads the tree and calls the rules. Each rule has its own file under `tidy/`, is a pure function of paths
//! and texts, and has an example that breaks it. A finding has the form `path:line: the mistake, and its mend`.

mod arrows;
mod circles;
mod doors;
mod floors;
mod index;
mod manifest;
mod map;
mod package;
mod rooms;
mod rust;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::metadata;

/// A text file of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Relative to the workspace, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A rule broken at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1; 0 for the whole file.
    pub(crate) line: usize,
    /// The mistake, and the way to mend it.
    pub(crate) what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks the workspace at `root`.
///
/// # Errors
/// Every finding, one per line; or the file that could not be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let files = read_tree(root)?;
    let mut findings = check(&files, &metadata::crates(root)?);
    findings.extend(floors::check(&metadata::floors(root)?));
    if findings.is_empty() {
        println!("tidy: {} files, nothing to mend", files.len());
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(format!("{}\ntidy: {} to mend", lines.join("\n"), findings.len()))
}

/// Every rule over every file.
fn check(files: &[File], crates: &[metadata::Crate]) -> Vec<Finding> {
    let mut findings = arrows::check(crates);
    findings.extend(doors::check_table(files));
    findings.extend(map::check(files));
    findings.extend(index::check(files));
    findings.extend(circles::check(files));
    for file in files {
        findings.extend(text::check(file));
        if file.path.ends_with(".rs") {
            findings.extend(rooms::check(file));
            findings.extend(doors::check(file));
            findings.extend(package::check(file));
        }
    }
    findings.extend(manifest::check(files));
    findings.sort();
    findings
}

/// The texts under `root`, sorted by path. Build output and version control stay out.
fn read_tree(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    read_folder(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("failed to read {}: {error}", path.display());
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
        let entry = entry.map_err(|error| failed(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, relative) = (entry.path(), format!("{prefix}{name}"));
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        if kind.is_dir() {
            let outside = ["target", "node_modules", "__pycache__"].contains(&name.as_str());
            let hidden = name.starts_with('.') && ![".ci", ".cargo", ".github"].contains(&name.as_str());
            if !outside && !hidden {
                read_folder(&path, &format!("{relative}/"), files)?;
            }
        } else if (kind.is_file() && is_text(&relative)) || (is_licence(&relative) && path.is_file()) {
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
            files.push(File { path: relative, text });
        }
    }
    Ok(())
}

/// A crate has links to the workspace's licences. Other links are followed.
fn is_licence(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("LICENSE-"))
}

fn is_text(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    path.starts_with(".ci/") || ["rs", "md", "toml", "py", "sh", "yml", "yaml"].contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo test` is enough to learn that a rule is broken.
    #[test]
    fn the_workspace_is_tidy() {
        if let Err(findings) = run(&crate::root()) {
            panic!("\n{findings}");
        }
    }

    #[test]
    fn a_finding_names_place_and_cause() {
        assert_eq!(Finding::new("a.rs", 3, "is wrong").to_string(), "a.rs:3: is wrong");
        assert_eq!(Finding::new("a.rs", 0, "is wrong").to_string(), "a.rs: is wrong");
    }

    #[test]
    fn the_tree_holds_sources_and_no_build_output() {
        let files = read_tree(&crate::root()).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"));
        assert!(files.iter().any(|file| file.path == "Cargo.toml"));
        // Behind a link.
        assert!(files.iter().any(|file| file.path == "crates/s3lab/LICENSE-MIT"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
    }
}
