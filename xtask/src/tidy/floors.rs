//! The Rust version that a crate states is sufficient: no crate that every build of it needs requires a newer one.
//!
//! CI has one compiler, which is newer than the lowest of these versions, so no build would find a violation. Crates
//! that only a feature or a test needs may require more.

use super::Finding;
use crate::metadata::Floor;

pub(crate) fn check(floors: &[Floor]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for floor in floors {
        let path = match floor.name.as_str() {
            "xtask" => "xtask/Cargo.toml".to_owned(),
            name => format!("crates/{name}/Cargo.toml"),
        };
        if floor.rust.is_empty() {
            findings.push(Finding::new(&path, 0, "states no rust-version; write the least one that builds it"));
            continue;
        }
        for (name, needs) in &floor.needs {
            if number(needs) > number(&floor.rust) {
                let what = format!("states Rust {}, but {name} needs {needs}; raise rust-version", floor.rust);
                findings.push(Finding::new(&path, 0, what));
            }
        }
    }
    findings
}

/// `1.94.1` as three numbers; missing ones are 0.
fn number(version: &str) -> [u64; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(rust: &str, needs: &[(&str, &str)]) -> Vec<String> {
        let needs = needs.iter().map(|(name, rust)| ((*name).to_owned(), (*rust).to_owned())).collect();
        let floor = Floor { name: "a".to_owned(), rust: rust.to_owned(), needs };
        check(&[floor]).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_found() {
        let found = findings("1.89", &[("old", "1.71"), ("as-new", "1.89.0"), ("new", "1.89.1"), ("newer", "1.100")]);
        assert_eq!(
            found,
            [
                "crates/a/Cargo.toml: states Rust 1.89, but new needs 1.89.1; raise rust-version",
                "crates/a/Cargo.toml: states Rust 1.89, but newer needs 1.100; raise rust-version"
            ]
        );
    }

    #[test]
    fn a_crate_without_a_version_is_found() {
        assert_eq!(findings("", &[]).len(), 1);
    }
}
