//! Arrows between crates: the allowed dependencies between the workspace's crates. Arrows inside a crate are in
//! `rooms`.

use super::Finding;
use crate::metadata::Crate;

/// A crate, the crates it may depend on, and those that its tests may use besides. One that uses itself there asks for
/// features of its own.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("s3lab", &[], &[]),
    ("s3tune", &["s3lab", "s3xfer", "tunekit"], &[]),
    ("s3xfer", &[], &["s3lab"]),
    ("tunekit", &[], &["tunekit"]),
    ("xtask", &[], &[]),
];

pub(crate) fn check(crates: &[Crate]) -> Vec<Finding> {
    let ours: Vec<&str> = crates.iter().map(|crate_| crate_.name.as_str()).collect();
    let mut findings = Vec::new();
    for crate_ in crates {
        let path = if crate_.name == "xtask" {
            "xtask/Cargo.toml".to_owned()
        } else {
            format!("crates/{}/Cargo.toml", crate_.name)
        };
        let Some((_, always, tests)) = ARROWS.iter().find(|(name, ..)| *name == crate_.name) else {
            let what = format!("{} has no arrows; say what it may depend on in xtask/src/tidy/arrows.rs", crate_.name);
            findings.push(Finding::new(&path, 0, what));
            continue;
        };
        for dependency in crate_.dependencies.iter().filter(|dependency| ours.contains(&dependency.name.as_str())) {
            let name = dependency.name.as_str();
            let allowed = always.contains(&name) || (dependency.dev && tests.contains(&name));
            if !allowed {
                let kind = if dependency.dev { "dev-depends" } else { "depends" };
                let what = format!(
                    "{} {kind} on {name}, against the arrows; move the code that needs it to a crate that may",
                    crate_.name
                );
                findings.push(Finding::new(&path, 0, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn named(name: &str, dependencies: &[(&str, bool)]) -> Crate {
        let dependencies =
            dependencies.iter().map(|(name, dev)| Dependency { name: (*name).to_owned(), dev: *dev }).collect();
        Crate { name: name.to_owned(), dependencies, features: Default::default() }
    }

    #[test]
    fn the_arrows_of_the_design_pass() {
        let crates = [
            named("s3lab", &[("s3s", false)]),
            named("s3tune", &[("s3lab", false), ("s3xfer", false), ("tunekit", false)]),
            named("s3xfer", &[("aws-sdk-s3", false), ("s3lab", true)]),
            named("tunekit", &[("tunekit", true)]),
            named("xtask", &[]),
        ];
        assert_eq!(check(&crates), []);
    }

    #[test]
    fn an_arrow_the_wrong_way_is_found() {
        let broken = |name: &str, dependencies: &[(&str, bool)]| {
            let others = ["s3lab", "s3tune", "s3xfer", "tunekit", "xtask"].into_iter().filter(|other| *other != name);
            let mut crates: Vec<Crate> = others.map(|other| named(other, &[])).collect();
            crates.push(named(name, dependencies));
            check(&crates).len()
        };
        assert_eq!(broken("s3xfer", &[("s3lab", false)]), 1, "s3lab only in the tests of s3xfer");
        assert_eq!(broken("tunekit", &[("s3xfer", true)]), 1);
        assert_eq!(broken("s3lab", &[("tunekit", false)]), 1);
        assert_eq!(broken("s3tune", &[("xtask", false)]), 1);
        assert_eq!(broken("newcomer", &[]), 1);
    }
}
