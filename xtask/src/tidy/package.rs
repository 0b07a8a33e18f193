//! A published crate is complete: its sources need no file outside its own folder.
//!
//! `cargo package` packs a crate without compiling it here, so a path that leaves the crate would fail only after
//! publication. Tests and doctests are exempt, because an installation does not build them.

use super::{File, Finding, rust};

/// The words before a path that the compiler reads.
const READS: [&str; 3] = ["#[path = \"", "include_str!(\"", "include_bytes!(\""];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let Some((crate_, inside)) = crate_of(&file.path).filter(|(_, inside)| !inside.starts_with("tests/")) else {
        return Vec::new();
    };
    let folders = inside.matches('/').count();
    let code = rust::code_only(&file.text);
    let tests = rust::test_regions(&code);
    let mut findings = Vec::new();
    for (at, word) in READS.iter().flat_map(|word| file.text.match_indices(word)) {
        let path = file.text[at + word.len()..].split('"').next().unwrap_or_default();
        let in_code = !code[at..].starts_with(' ') && !tests.iter().any(|region| region.contains(&at));
        if in_code && leaves(path, folders) && !is_doctest(&file.text[..at]) {
            let what = format!("{path} is not in the package of {crate_}; put a link to it into the crate's folder");
            findings.push(Finding::new(&file.path, rust::line_of(&file.text, at), what));
        }
    }
    findings
}

/// The crate under `crates/` that a file belongs to, and the file's path in it.
fn crate_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("crates/")?.split_once('/')
}

/// Whether `path`, read from so many folders below the crate's, ends outside of it.
fn leaves(path: &str, folders: usize) -> bool {
    path.split('/').take_while(|step| *step == "..").count() > folders
}

/// Whether the item that `before` ends in is there for `cargo test --doc` only.
fn is_doctest(before: &str) -> bool {
    before.rfind("#[cfg(doctest)]").is_some_and(|at| !before[at..].contains("\n}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.to_owned(), text: text.to_owned() }).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_path_out_of_the_crate_is_found() {
        let found = findings("crates/a/src/lib.rs", "//! A.\n#[path = \"../../b/src/c.rs\"]\nmod c;\n");
        let expected = "crates/a/src/lib.rs:2: ../../b/src/c.rs is not in the package of a; \
                        put a link to it into the crate's folder";
        assert_eq!(found, [expected]);
        assert_eq!(findings("crates/a/benches/b.rs", "const T: &str = include_str!(\"../../../x.md\");").len(), 1);
    }

    #[test]
    fn paths_within_the_crate_and_in_tests_are_free() {
        assert!(findings("crates/a/benches/b/main.rs", "#[path = \"../../src/c.rs\"]\nmod c;").is_empty());
        assert!(findings("crates/a/tests/t.rs", "const T: &str = include_str!(\"../../../x.md\");").is_empty());
        assert!(findings("xtask/src/a.rs", "const T: &str = include_str!(\"../../x.md\");").is_empty());
        assert!(findings("crates/a/src/lib.rs", "// #[path = \"../../b/src/c.rs\"]").is_empty());
        let doctest = "#[cfg(doctest)]\n#[doc = include_str!(\"../../../README.md\")]\nstruct Readme;";
        assert!(findings("crates/a/src/lib.rs", doctest).is_empty());
    }

    #[test]
    fn every_published_crate_carries_its_licences_and_its_readme() {
        let root = crate::root();
        let crates = crate::metadata::crates(&root).expect("cargo knows the workspace");
        for crate_ in crates.iter().filter(|crate_| crate_.name != "xtask") {
            let folder = root.join("crates").join(&crate_.name);
            for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
                let text =
                    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{}/{name}: {error}", crate_.name));
                assert_eq!(text, std::fs::read(root.join(name)).unwrap(), "{}/{name}", crate_.name);
            }
            assert!(folder.join("README.md").is_file(), "{} has no README.md", crate_.name);
        }
    }
}
