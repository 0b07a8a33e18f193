//! The map in docs/ARCHITECTURE.md: complete and true.
//!
//! Under the heading `## Map`, each crate has a heading `### crates/NAME` (or `### xtask`) and a table. The second
//! column of its rows lists files in backticks, relative to the crate's `src`; `words/{part,plan}.rs` means two files.
//! Elsewhere in the document, a path in backticks that starts with a folder of the workspace must exist.

use std::collections::BTreeSet;

use super::{File, Finding};

const PATH: &str = "docs/ARCHITECTURE.md";
const MAX_LINES: usize = 200;

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let Some(document) = files.iter().find(|file| file.path == PATH) else {
        return vec![Finding::new(PATH, 0, "is missing; write it, with the map of all crates")];
    };
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    check_document(&document.text, &paths)
}

fn check_document(text: &str, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let what = format!("has {lines} lines, at most {MAX_LINES}; move details into the files they are about");
        findings.push(Finding::new(PATH, 0, what));
    }

    let mut mapped = BTreeSet::new();
    let mut crates = BTreeSet::new();
    let mut base = None;
    for (line, content) in (1..).zip(text.lines()) {
        if let Some(heading) = content.strip_prefix("### ") {
            let name = heading.trim().trim_matches('`');
            base = (name == "xtask" || name.starts_with("crates/")).then(|| name.to_owned());
            crates.extend(base.clone());
        } else if content.starts_with("## ") {
            base = None;
        }
        if let (Some(base), Some(cell)) = (&base, second_cell(content)) {
            for path in in_backticks(cell).flat_map(expand).map(|file| format!("{base}/src/{file}")) {
                if !paths.contains(path.as_str()) {
                    findings.push(Finding::new(PATH, line, format!("{path} does not exist; correct the map")));
                }
                if !mapped.insert(path.clone()) {
                    findings.push(Finding::new(PATH, line, format!("{path} is on the map twice; keep one row")));
                }
            }
        }
        for place in in_backticks(content).filter(|place| is_place(place)).flat_map(expand) {
            let folder = format!("{}/", place.trim_end_matches('/'));
            if !paths.iter().any(|path| *path == place || path.starts_with(&folder)) {
                findings.push(Finding::new(PATH, line, format!("{place} does not exist; correct the path")));
            }
        }
    }

    for path in paths.iter().filter(|path| path.ends_with(".rs") && !mapped.contains(**path)) {
        if let Some((base, _)) = path.split_once("/src/")
            && (base == "xtask" || base.starts_with("crates/"))
        {
            let what = format!("is not on the map; add it to the table of {base} in {PATH}");
            findings.push(Finding::new(path, 0, what));
        }
    }
    for path in paths.iter().filter(|path| path.starts_with("crates/")) {
        if let Some(base) = path.strip_suffix("/Cargo.toml")
            && !crates.contains(base)
        {
            findings.push(Finding::new(path, 0, format!("the crate is not on the map; add `### {base}` to {PATH}")));
        }
    }
    findings
}

fn second_cell(line: &str) -> Option<&str> {
    line.strip_prefix('|')?.split('|').nth(1)
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_place(text: &str) -> bool {
    ["crates/", "docs/", "xtask/", ".ci/"].iter().any(|folder| text.starts_with(folder)) && !text.contains(' ')
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`; several braces multiply.
fn expand(pattern: &str) -> Vec<String> {
    let Some((before, (inside, after))) =
        pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![pattern.to_owned()];
    };
    let tails = expand(after);
    inside
        .split(',')
        .flat_map(|choice| tails.iter().map(move |tail| format!("{before}{}{tail}", choice.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# A
See `docs/ARCHITECTURE.md` and `crates/a`.
## Map
### `crates/a`
| room | files | does |
|---|---|---|
| | `lib.rs` | contents |
| words | `words{,/part,/plan}.rs` | types |
";

    fn findings(text: &str, paths: &[&str]) -> Vec<String> {
        check_document(text, &paths.iter().copied().collect()).iter().map(Finding::to_string).collect()
    }

    const PATHS: [&str; 6] = [
        "crates/a/Cargo.toml",
        "crates/a/src/lib.rs",
        "crates/a/src/words.rs",
        "crates/a/src/words/part.rs",
        "crates/a/src/words/plan.rs",
        PATH,
    ];

    #[test]
    fn a_true_and_complete_map_passes() {
        assert_eq!(findings(GOOD, &PATHS), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_not_on_the_map_is_found() {
        let found = findings(GOOD, &[&PATHS[..], &["crates/a/src/rules.rs"]].concat());
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/a/src/rules.rs: is not on the map"), "{}", found[0]);
    }

    #[test]
    fn a_path_that_does_not_exist_is_found_with_its_line() {
        let gone: Vec<&str> = PATHS.into_iter().filter(|path| !path.ends_with("plan.rs")).collect();
        assert_eq!(
            findings(GOOD, &gone),
            [format!("{PATH}:8: crates/a/src/words/plan.rs does not exist; correct the map")]
        );
        let elsewhere = GOOD.replace("`crates/a`.", "`crates/b/README.md`.");
        assert!(findings(&elsewhere, &PATHS)[0].contains("crates/b/README.md does not exist"));
    }

    #[test]
    fn a_crate_without_heading_and_a_file_named_twice_are_found() {
        assert_eq!(findings(GOOD, &[&PATHS[..], &["crates/b/Cargo.toml"]].concat()).len(), 1);
        assert_eq!(findings(&format!("{GOOD}| words | `words.rs` | again |\n"), &PATHS).len(), 1);
    }

    #[test]
    fn a_document_that_grew_too_long_is_found() {
        assert!(findings(&format!("{GOOD}{}", "\n".repeat(200)), &PATHS)[0].contains("at most 200"));
    }

    #[test]
    fn braces_multiply() {
        assert_eq!(expand("{a,b}/{c,d}.rs"), ["a/c.rs", "a/d.rs", "b/c.rs", "b/d.rs"]);
        assert_eq!(expand("words{,/part}.rs"), ["words.rs", "words/part.rs"]);
        assert_eq!(expand("plain.rs"), ["plain.rs"]);
    }
}
