//! Rules about one file's text: its first lines, its length, the length of its lines, and texts that must not be
//! published.

use super::rust;
use super::{File, Finding};

/// Longer than this is a question: are these two concepts?
const MAX_LINES: usize = 800;

/// Columns of a comment's or a document's line; `.rustfmt.toml` has the same for code.
const MAX_COLUMNS: usize = 120;

/// Files that answered the question, with the answer.
const MAY_BE_LONG: &[(&str, &str)] = &[];

/// Marks of unfinished work, spelled so that this file does not carry them, and how to mend them.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimplemented", "!")];

/// Folders that exist on one machine only.
const ONE_MACHINE: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let mut findings = everywhere(file);
    if file.path.ends_with(".rs") {
        findings.extend(rust_only(file));
    }
    findings
}

fn everywhere(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, content) in (1..).zip(file.text.lines()) {
        let columns = content.chars().count();
        if columns > MAX_COLUMNS && prose(&file.path, content).is_some_and(can_be_broken) {
            let what = format!("has {columns} columns, at most {MAX_COLUMNS}; break the line");
            findings.push(Finding::new(&file.path, line, what));
        }
        for mark in UNFINISHED {
            if rust::words(content, mark.trim_end_matches('!')).any(|at| content[at..].starts_with(mark)) {
                findings.push(Finding::new(&file.path, line, format!("says {mark}; do it, or open an issue")));
            }
        }
        for folder in ONE_MACHINE {
            // In the middle of a path or an address it is somebody else's folder.
            let starts_path =
                |at: usize| !content[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}*~".contains(c));
            if content.match_indices(folder).any(|(at, _)| starts_path(at)) {
                let what =
                    format!("names {folder}, a folder of one machine; use a relative path or a temporary folder");
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
    if file.path == "CHANGELOG.md" && !file.text.contains("Unreleased") {
        findings.push(Finding::new(&file.path, 0, "has no `Unreleased`; add `## [Unreleased]` on top"));
    }
    findings
}

/// The text of a comment's or a document's line; none of code, and of a licence, which is not ours to write.
fn prose<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim_start();
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "md" => Some(line),
        "rs" => line.starts_with("//").then(|| line.trim_start_matches(['/', '!', ' '])),
        _ => line.starts_with('#').then(|| line.trim_start_matches(['#', ' '])),
    }
}

/// A row of a table is one line, and so is a link.
fn can_be_broken(prose: &str) -> bool {
    !prose.starts_with('|') && !prose.contains("](") && !prose.contains("://")
}

fn rust_only(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        let what = "does not open with `//!`; say what lives here and what does not";
        findings.push(Finding::new(&file.path, 1, what));
    }
    let lines = file.text.lines().count();
    if lines > MAX_LINES && !MAY_BE_LONG.iter().any(|(path, _)| *path == file.path) {
        let what =
            format!("has {lines} lines, at most {MAX_LINES}; split it by concept, or give the reason in tidy/text.rs");
        findings.push(Finding::new(&file.path, 0, what));
    }

    let code = rust::code_only(&file.text);
    for (at, _) in code.match_indices("#[ignore]") {
        let what = "ignores a test without a reason; write `#[ignore = \"why, and how to run it\"]`";
        findings.push(Finding::new(&file.path, rust::line_of(&code, at), what));
    }
    if !rust::is_test_file(&file.path) {
        let tests = rust::test_regions(&code);
        for (at, _) in code.match_indices(".unwrap()") {
            if !tests.iter().any(|region| region.contains(&at)) {
                let what = "unwraps; return the error, or `expect(\"the invariant\")`";
                findings.push(Finding::new(&file.path, rust::line_of(&code, at), what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! Adds.\nfn a() {}\n// x.unwrap()\n#[cfg(test)]\nmod tests { fn t() { x.unwrap() } }\n";
        assert_eq!(findings("crates/a/src/lib.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_header_is_found() {
        assert!(findings("a.rs", "fn a() {}")[0].starts_with("a.rs:1: does not open"));
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_in_comments() {
        for mark in UNFINISHED {
            let found = findings("a.rs", &format!("//! x\n// {mark}(me)\n"));
            assert!(found.len() == 1 && found[0].starts_with("a.rs:2:"), "{mark}: {found:?}");
            assert_eq!(findings("a.md", mark).len(), 1, "{mark}");
        }
        assert!(findings("a.md", "a method").is_empty());
    }

    #[test]
    fn a_folder_of_one_machine_is_found() {
        for folder in ONE_MACHINE {
            assert_eq!(findings("a.toml", &format!("path = \"{folder}x\"")).len(), 1, "{folder}");
        }
        let elsewhere = format!("https://example.org{}x and a relative{}x", ONE_MACHINE[0], ONE_MACHINE[2]);
        assert!(findings("a.md", &elsewhere).is_empty());
    }

    #[test]
    fn a_test_ignored_without_reason_is_found() {
        assert_eq!(findings("a.rs", "//! x\n#[ignore]\nfn t() {}").len(), 1);
        assert!(findings("a.rs", "//! x\n#[ignore = \"needs an account\"]\nfn t() {}").is_empty());
    }

    #[test]
    fn unwrap_is_found_outside_tests_only() {
        assert_eq!(findings("crates/a/src/b.rs", "//! x\nfn f() { g().unwrap() }").len(), 1);
        assert!(findings("crates/a/tests/b.rs", "//! x\nfn f() { g().unwrap() }").is_empty());
    }

    #[test]
    fn a_long_file_is_a_question() {
        let text = format!("//! x\n{}", "\n".repeat(MAX_LINES));
        assert!(findings("a.rs", &text)[0].contains("at most 800"));
    }

    #[test]
    fn a_long_line_of_prose_is_found_outside_of_tables_and_links() {
        let long = "word ".repeat(25);
        for (path, begin) in [("a.md", ""), ("a.rs", "//! x\n    /// "), ("a.toml", "# "), (".ci/run", "# ")] {
            let found = findings(path, &format!("{begin}{long}"));
            assert!(found.len() == 1 && found[0].contains("columns, at most 120"), "{path}: {found:?}");
        }
        for (path, begin) in [("a.md", "| "), ("a.rs", "//! | "), ("a.md", "[x](y) "), ("a.md", "see https://x.org ")] {
            assert!(findings(path, &format!("{begin}{long}")).is_empty(), "{path}: {begin}");
        }
        assert!(findings("a.rs", &format!("//! x\nlet a = \"{long}\";")).is_empty());
        assert!(findings("a.md", &"ä".repeat(MAX_COLUMNS)).is_empty());
    }

    #[test]
    fn a_changelog_has_a_place_for_what_comes_next() {
        assert_eq!(findings("CHANGELOG.md", "# Changelog\n## 0.1.0\n").len(), 1);
        assert!(findings("CHANGELOG.md", "# Changelog\n## [Unreleased]\n").is_empty());
    }
}
