//! Cargo's view of the workspace: its crates, their dependencies, their features, and their least Rust versions.
//!
//! It reads `cargo metadata`, which does not use the build folder. Without dependencies it does not use the network;
//! with dependencies it downloads sources that no build has downloaded yet. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Feature name to the features that it switches on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// One line of a crate's dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only for tests, examples and benchmarks.
    pub(crate) dev: bool,
}

/// The least Rust version of a crate of ours, and those of the crates that every build of it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) name: String,
    /// As its manifest states it; empty if it does not.
    pub(crate) rust: String,
    /// Name and version of Rust; a crate that states none is left out.
    pub(crate) needs: Vec<(String, String)>,
}

/// The crates of the workspace at `root`, by name.
///
/// # Errors
/// Cargo cannot be started, fails, or does not print metadata.
pub(crate) fn crates(root: &Path) -> Result<Vec<Crate>, String> {
    parse(&ask(root, &["metadata", "--no-deps", "--format-version", "1", "--offline"])?)
}

/// The least Rust versions of the workspace's crates at `root`, on this platform.
///
/// # Errors
/// As for [`crates`]; also if a source is not on this machine and cannot be downloaded.
pub(crate) fn floors(root: &Path) -> Result<Vec<Floor>, String> {
    let about = ask(root, &["-vV"])?;
    let about = String::from_utf8_lossy(&about);
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("`cargo -vV` names no host")?;
    parse_floors(&ask(root, &["metadata", "--format-version", "1", "--locked", "--filter-platform", host])?)
}

/// The standard output of cargo with these arguments.
fn ask(root: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let line = format!("cargo {}", arguments.join(" "));
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| format!("{line} could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{line} failed: {}", String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    Ok(output.stdout)
}

fn read_json(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| format!("cargo metadata answered no JSON: {error}"))
}

fn parse(json: &[u8]) -> Result<Vec<Crate>, String> {
    let metadata = read_json(json)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata answered without `packages`")?;
    let mut crates = packages.iter().map(read_crate).collect::<Result<Vec<_>, _>>()?;
    crates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(crates)
}

fn read_crate(package: &Value) -> Result<Crate, String> {
    let name = package["name"].as_str().ok_or("cargo metadata lists a package without a name")?.to_owned();
    let dependencies = package["dependencies"]
        .as_array()
        .ok_or_else(|| format!("cargo metadata lists {name} without dependencies"))?
        .iter()
        .filter_map(|dependency| {
            Some(Dependency {
                name: dependency["name"].as_str()?.to_owned(),
                dev: dependency["kind"].as_str() == Some("dev"),
            })
        })
        .collect();
    let features = package["features"]
        .as_object()
        .ok_or_else(|| format!("cargo metadata lists {name} without features"))?
        .iter()
        .map(|(feature, implied)| {
            let implied = implied.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            (feature.clone(), implied.collect())
        })
        .collect();
    Ok(Crate { name, dependencies, features })
}

fn parse_floors(json: &[u8]) -> Result<Vec<Floor>, String> {
    let metadata = read_json(json)?;
    let list = |value: &Value, name: &str| {
        value.as_array().cloned().ok_or_else(|| format!("cargo metadata answered without `{name}`"))
    };
    let packages = list(&metadata["packages"], "packages")?;
    let nodes = list(&metadata["resolve"]["nodes"], "resolve.nodes")?;
    let members = list(&metadata["workspace_members"], "workspace_members")?;
    let package = |id: &Value| packages.iter().find(|package| package["id"] == *id);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut floors = Vec::new();
    for ours in members.iter().filter_map(package) {
        let declared = list(&ours["dependencies"], "dependencies")?;
        let always = |name: &str| {
            declared.iter().any(|dependency| {
                dependency["name"] == name && dependency["kind"].is_null() && dependency["optional"] == false
            })
        };
        let node = nodes.iter().find(|node| node["id"] == ours["id"]);
        let node = node.ok_or_else(|| format!("cargo metadata does not resolve {}", ours["name"]))?;
        let resolved = list(&node["deps"], "deps")?;
        let needs = resolved.iter().filter_map(|dependency| package(&dependency["pkg"]));
        let needs = needs.map(|found| (text(&found["name"]), text(&found["rust_version"])));
        let needs = needs.filter(|(name, rust)| always(name) && !rust.is_empty()).collect();
        floors.push(Floor { name: text(&ours["name"]), rust: text(&ours["rust_version"]), needs });
    }
    floors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(floors)
}

impl Crate {
    /// The flags that build this crate in each of its feature sets: no features, the default, each feature alone, and
    /// all features. Equal sets are listed once.
    pub(crate) fn feature_flags(&self) -> Vec<Vec<String>> {
        let bare = || vec!["--no-default-features".to_owned()];
        let mut candidates: Vec<(Vec<String>, BTreeSet<&str>)> = vec![(Vec::new(), self.closure(["default"]))];
        candidates.push((bare(), BTreeSet::new()));
        for feature in self.features.keys().filter(|feature| *feature != "default") {
            let mut flags = bare();
            flags.extend(["--features".to_owned(), feature.clone()]);
            candidates.push((flags, self.closure([feature.as_str()])));
        }
        candidates.push((vec!["--all-features".to_owned()], self.closure(self.features.keys().map(String::as_str))));

        let mut seen = BTreeSet::new();
        candidates.into_iter().filter_map(|(flags, set)| seen.insert(set).then_some(flags)).collect()
    }

    /// The features of this crate that `roots` switch on, themselves included (`default` itself adds nothing).
    fn closure<'a>(&'a self, roots: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut on = BTreeSet::new();
        let mut open: Vec<&str> = roots.into_iter().collect();
        while let Some(feature) = open.pop() {
            if let Some(implied) = self.features.get(feature)
                && on.insert(feature)
            {
                open.extend(implied.iter().map(String::as_str));
            }
        }
        on.remove("default");
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_features(features: &[(&str, &[&str])]) -> Crate {
        let features = features
            .iter()
            .map(|(name, implied)| ((*name).to_owned(), implied.iter().map(|name| (*name).to_owned()).collect()))
            .collect();
        Crate { name: "x".to_owned(), dependencies: Vec::new(), features }
    }

    fn flags(crate_: &Crate) -> Vec<String> {
        crate_.feature_flags().into_iter().map(|flags| flags.join(" ")).collect()
    }

    #[test]
    fn a_crate_without_features_has_one_shape() {
        assert_eq!(flags(&with_features(&[])), [""]);
    }

    #[test]
    fn shapes_that_switch_on_the_same_features_are_named_once() {
        let one = with_features(&[("sdk", &["dep:client"])]);
        assert_eq!(flags(&one), ["", "--no-default-features --features sdk"]);

        let two = with_features(&[("default", &["cli"]), ("cli", &["dep:clap"]), ("slurm", &[])]);
        assert_eq!(
            flags(&two),
            ["", "--no-default-features", "--no-default-features --features slurm", "--all-features"]
        );
    }

    #[test]
    fn dependencies_are_read_with_their_kind() {
        let json = br#"{"packages":[{"name":"b","features":{},"dependencies":[
            {"name":"tokio","kind":null},{"name":"proptest","kind":"dev"}]},
            {"name":"a","features":{"f":["dep:x"]},"dependencies":[]}]}"#;
        let crates = parse(json).unwrap();
        assert_eq!(crates[0].name, "a");
        assert_eq!(crates[0].features["f"], ["dep:x"]);
        assert_eq!(
            crates[1].dependencies,
            [Dependency { name: "tokio".into(), dev: false }, Dependency { name: "proptest".into(), dev: true }]
        );
    }

    #[test]
    fn rust_versions_are_read_of_what_every_build_needs() {
        let json = br#"{"workspace_members":["ours"],"packages":[
            {"id":"ours","name":"a","rust_version":"1.89","dependencies":[
                {"name":"needed","kind":null,"optional":false},{"name":"asked-for","kind":null,"optional":true},
                {"name":"tested","kind":"dev","optional":false},{"name":"silent","kind":null,"optional":false}]},
            {"id":"1","name":"needed","rust_version":"1.90"},{"id":"2","name":"asked-for","rust_version":"1.99"},
            {"id":"3","name":"tested","rust_version":"1.99"},{"id":"4","name":"silent","rust_version":null}],
            "resolve":{"nodes":[
                {"id":"ours","deps":[{"pkg":"1"},{"pkg":"2"},{"pkg":"3"},{"pkg":"4"}]},{"id":"1","deps":[]}]}}"#;
        let needs = vec![("needed".to_owned(), "1.90".to_owned())];
        assert_eq!(parse_floors(json).unwrap(), [Floor { name: "a".to_owned(), rust: "1.89".to_owned(), needs }]);
    }

    #[test]
    fn an_answer_without_packages_is_an_error() {
        for answer in ["{}", "no json"] {
            assert!(parse(answer.as_bytes()).is_err());
            assert!(parse_floors(answer.as_bytes()).is_err());
        }
    }
}
