//! The workspace's list of dependencies (alphabetical, each with its reason), the files that a repository must have,
//! and the files and keys of a published package.

use super::{File, Finding};

/// Files without which a checkout is not whole, and their purpose.
const REQUIRED: [(&str, &str); 3] = [
    (".ci/run", "it is what CI calls"),
    ("CHANGELOG.md", "it tells users what changed, `Unreleased` on top"),
    ("README.md", "it is where everybody starts"),
];

/// Files of every package, and their purpose.
const PACKAGED: [(&str, &str); 3] = [
    ("README.md", "it is the package's page"),
    ("LICENSE-APACHE", "it is a licence of the package; link the workspace's"),
    ("LICENSE-MIT", "it is a licence of the package; link the workspace's"),
];

/// Keys of every package: a registry shows them, and finds the package by them.
const KEYS: [&str; 5] = ["description", "readme", "keywords", "categories", "repository"];

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let there = |path: &str| files.iter().any(|file| file.path == path);
    let mut findings: Vec<Finding> = REQUIRED
        .iter()
        .filter(|(path, _)| !there(path))
        .map(|(path, purpose)| Finding::new(path, 0, format!("is missing; {purpose}")))
        .collect();
    if let Some(manifest) = files.iter().find(|file| file.path == "Cargo.toml") {
        findings.extend(dependencies(&manifest.text));
    }
    for manifest in files.iter().filter(|file| file.path.starts_with("crates/")) {
        if let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") {
            let missing = PACKAGED.iter().map(|(name, purpose)| (format!("{folder}/{name}"), purpose));
            let missing = missing.filter(|(path, _)| !there(path));
            findings.extend(missing.map(|(path, purpose)| Finding::new(&path, 0, format!("is missing; {purpose}"))));
            findings.extend(keys(manifest));
        }
    }
    findings
}

/// The keys that the table `[package]` lacks.
fn keys(manifest: &File) -> Vec<Finding> {
    let package = manifest.text.split_once("[package]\n").map_or("", |(_, rest)| rest);
    let package = package.split("\n[").next().unwrap_or_default();
    let there: Vec<&str> = package.lines().filter_map(dependency_name).collect();
    let missing = KEYS.into_iter().filter(|key| !there.contains(key));
    missing.map(|key| Finding::new(&manifest.path, 0, format!("has no `{key}`; write it into [package]"))).collect()
}

fn dependencies(manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut inside = false;
    let mut line_above = "";
    let mut last = String::new();
    for (line, content) in (1..).zip(manifest.lines()) {
        if content.starts_with('[') {
            inside = content.trim() == "[workspace.dependencies]";
            last.clear();
        } else if let Some(name) = dependency_name(content).filter(|_| inside) {
            // Our own crates are a list of their own, at the end.
            let ours = content.contains("path =");
            if !ours && name < last.as_str() {
                let what = format!("{name} stands after {last}; keep the list alphabetical");
                findings.push(Finding::new("Cargo.toml", line, what));
            }
            let explained = line_above.starts_with('#') || (!last.is_empty() && same_family(&last, name));
            if !ours && !explained {
                let what = format!("{name} comes without a reason; write it as a comment on the line above");
                findings.push(Finding::new("Cargo.toml", line, what));
            }
            if !ours {
                last = name.to_owned();
            }
        }
        line_above = content;
    }
    findings
}

fn dependency_name(line: &str) -> Option<&str> {
    let name = line.split_once('=')?.0.trim_end();
    let name = name.strip_suffix(".workspace").unwrap_or(name);
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (plain && !name.is_empty() && !line.starts_with(char::is_whitespace)).then_some(name)
}

/// `http`, `http-body`, `http-body-util`: one reason serves them all.
fn same_family(first: &str, next: &str) -> bool {
    let family = first.split(['-', '_']).next().unwrap_or(first);
    next.split(['-', '_']).next() == Some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(dependencies_: &str) -> Vec<String> {
        let text = format!("[package]\nzeta = 1\nalpha = 1\n[workspace.dependencies]\n{dependencies_}");
        dependencies(&text).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn an_ordered_list_with_reasons_passes() {
        let good = "# A.\nbytes = \"1\"\n# B.\nhttp = \"1\"\nhttp-body = \"1\"\n\n# Ours.\na = { path = \"a\" }\nb = { path = \"b\" }\n";
        assert_eq!(findings(good), Vec::<String>::new());
    }

    #[test]
    fn a_dependency_out_of_order_is_found() {
        let found = findings("# A.\nhttp = \"1\"\n# B.\nbytes = \"1\"\n");
        assert_eq!(found, ["Cargo.toml:8: bytes stands after http; keep the list alphabetical"]);
    }

    #[test]
    fn a_dependency_without_reason_is_found() {
        assert_eq!(findings("bytes = \"1\"\n").len(), 1);
        assert_eq!(findings("# A.\nbytes = \"1\"\nhttp = \"1\"\n").len(), 1);
    }

    #[test]
    fn a_missing_file_is_found() {
        assert_eq!(check(&[]).len(), 3);
    }

    #[test]
    fn a_package_without_its_files_and_keys_is_found() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let whole = "[package]\nname = \"a\"\ndescription = \"A.\"\nreadme = \"README.md\"\nkeywords = []\n\
                     categories = []\nrepository.workspace = true\n\n[features]\n";
        let names = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];
        let mut files: Vec<File> = names.into_iter().map(|name| file(&format!("crates/a/{name}"), "")).collect();
        files.extend(REQUIRED.iter().map(|(path, _)| file(path, "")));
        files.push(file("crates/a/Cargo.toml", whole));
        assert_eq!(check(&files), []);

        files.retain(|file| file.path != "crates/a/LICENSE-MIT");
        let found = check(&files);
        assert!(found.len() == 1 && found[0].path == "crates/a/LICENSE-MIT", "{found:?}");
        let elsewhere = whole.replace("keywords = []\n", "") + "keywords = []\n";
        let found = keys(&file("crates/a/Cargo.toml", &elsewhere));
        assert_eq!(found.len(), 1, "a key of another table is none of the package's");
    }
}
