//! No circles of files: files that name each other in a circle can only be read, tested and moved together.
//!
//! The rule looks at the files and folders of each folder, side by side: `x.rs` and everything in `x/` count as one,
//! because a contract and its kinds name each other. An arrow is a path in code that is not a test. It leads to the
//! file that defines the name, even if another file re-exports the name by a `use`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding, rooms, rust};

/// Most times that a name may be passed on before it is found.
const MOST_PASSED: usize = 8;

/// A module by its names from the crate's root, which is empty.
type Module = Vec<String>;

/// A path in the code of a module, and where it stands.
#[derive(Debug, Clone)]
struct Name {
    path: Vec<String>,
    /// The name that a `use` gives it; `None` for a path that is only used.
    called: Option<String>,
    line: usize,
}

/// The files of one crate.
#[derive(Debug, Default)]
struct Crate<'a> {
    files: BTreeMap<Module, &'a str>,
    names: BTreeMap<Module, Vec<Name>>,
}

/// An arrow between two neighbours, with the first place that draws it.
#[derive(Debug, Clone)]
struct Arrow {
    path: String,
    line: usize,
    name: String,
}

type Arrows = BTreeMap<(Module, Module), Arrow>;

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Crate<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| !rust::is_test_file(&file.path)) {
        let Some((name, module)) = module_of(&file.path) else { continue };
        let one = crates.entry(name).or_default();
        // A program beside a library has one file, which no other file names.
        if let Entry::Vacant(vacant) = one.files.entry(module.clone()) {
            vacant.insert(&file.path);
            one.names.insert(module, names(&file.text));
        }
    }
    crates.values().flat_map(Crate::findings).collect()
}

/// The crate and the module of a file; `None` for a file that is not in a `src`.
fn module_of(path: &str) -> Option<(&str, Module)> {
    let (name, inside) = path.split_once("/src/")?;
    let mut module: Module = inside.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    match module.last().map(String::as_str) {
        Some("mod") => drop(module.pop()),
        Some("lib" | "main") if module.len() == 1 => module.clear(),
        _ => {}
    }
    Some((name, module))
}

impl Crate<'_> {
    fn findings(&self) -> Vec<Finding> {
        let mut by_folder: BTreeMap<Module, Arrows> = BTreeMap::new();
        for (from, names) in &self.names {
            for name in names {
                let Some(to) = self.file_of(from, &name.path, MOST_PASSED) else { continue };
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                // A file and its folder are one.
                if common == from.len() || common == to.len() {
                    continue;
                }
                let arrow = Arrow { path: self.files[from].to_owned(), line: name.line, name: name.path.join("::") };
                let ends = (from[..=common].to_vec(), to[..=common].to_vec());
                by_folder.entry(from[..common].to_vec()).or_default().entry(ends).or_insert(arrow);
            }
        }
        by_folder.values().flat_map(circles).collect()
    }

    /// The module whose file has the item that a path names; `None` for other crates' items.
    fn file_of(&self, from: &[String], path: &[String], passes: usize) -> Option<Module> {
        let mut at = from.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (Module::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            // Since 2018 a path may begin with a module that is declared beside it, or used.
            first if self.files.contains_key(&child(&at, first)) => {}
            first => {
                let used = self.used(from, first)?;
                return if passes > 0 { self.file_of(from, &used.path, passes - 1) } else { None };
            }
        }
        while let Some(inner) = rest.first().map(|name| child(&at, name)).filter(|inner| self.files.contains_key(inner))
        {
            (at, rest) = (inner, &rest[1..]);
        }
        // Passed on by another file; in its own file a name stands for itself.
        if let Some(used) = rest.first().and_then(|name| self.used(&at, name))
            && passes > 0
            && let Some(origin) = self.file_of(&at, &used.path, passes - 1)
        {
            return Some(origin);
        }
        self.files.contains_key(&at).then_some(at)
    }

    fn used(&self, module: &[String], name: &str) -> Option<&Name> {
        self.names.get(module)?.iter().find(|n| n.called.as_deref() == Some(name))
    }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// One finding for each set of neighbours that reach one another.
fn circles(arrows: &Arrows) -> Vec<Finding> {
    let nodes: BTreeSet<&Module> = arrows.keys().flat_map(|(from, to)| [from, to]).collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = nodes.iter().map(|node| (*node, reach(arrows, node))).collect();
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut findings = Vec::new();
    for node in nodes {
        let circle: BTreeSet<&Module> =
            reached[node].iter().filter(|other| reached[**other].contains(node)).copied().collect();
        if circle.is_empty() || !seen.insert(node) {
            continue;
        }
        seen.extend(&circle);
        let inside = |(from, to): &&(Module, Module)| circle.contains(from) && circle.contains(to);
        let all: Vec<String> = arrows
            .keys()
            .filter(inside)
            .map(|ends| {
                let Arrow { path, line, name } = &arrows[ends];
                format!("{} -> {} by `{name}` in {path}:{line}", last(&ends.0), last(&ends.1))
            })
            .collect();
        let first = arrows.iter().find(|(ends, _)| inside(ends)).map(|(_, arrow)| arrow);
        let place = first.map_or(("", 0), |arrow| (arrow.path.as_str(), arrow.line));
        let what = format!("a circle of files: {}; move what both need to a file below them", all.join(", "));
        findings.push(Finding::new(place.0, place.1, what));
    }
    findings
}

fn reach<'a>(arrows: &'a Arrows, from: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for (_, to) in arrows.keys().filter(|(start, _)| start == node) {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

fn last(module: &Module) -> &str {
    module.last().map_or("lib", String::as_str)
}

/// The paths of a file's code, tests left out: those of `use`, and those that begin with `crate`, `super` or `self`.
fn names(text: &str) -> Vec<Name> {
    let code = rust::code_only(text);
    let tests = rust::test_regions(&code);
    let is_test = |at: usize| tests.iter().any(|region| region.contains(&at));
    let mut names = Vec::new();
    let mut uses = Vec::new();
    for at in rust::words(&code, "use").filter(|at| !is_test(*at)) {
        let Some(end) = code[at..].find(';').map(|end| at + end) else { continue };
        let start = at + "use".len();
        // `impl Trait + use<'_>` is no import.
        if code[start..].trim_start().starts_with('<') {
            continue;
        }
        let line = rust::line_of(&code, at);
        for (path, called) in tree(&code[start..end]) {
            names.push(Name { path: outside(path, rooms::inline_depth(&code, at)), called: Some(called), line });
        }
        uses.push(at..end);
    }
    for word in ["crate", "super", "self"] {
        for at in rust::words(&code, word) {
            let continues = code[..at].trim_end().ends_with("::");
            if is_test(at) || continues || uses.iter().any(|u| u.contains(&at)) {
                continue;
            }
            let path = plain_path(&code[at..]);
            if path.len() > 1 {
                let line = rust::line_of(&code, at);
                names.push(Name { path: outside(path, rooms::inline_depth(&code, at)), called: None, line });
            }
        }
    }
    names
}

/// A path as the file's own module would write it: the first `super`s leave inline modules.
fn outside(mut path: Vec<String>, inline: usize) -> Vec<String> {
    let leaves = path.iter().take_while(|name| *name == "super").count().min(inline);
    if leaves > 0 {
        path.drain(..leaves);
        if path.first().is_none_or(|name| name != "super") {
            path.insert(0, "self".to_owned());
        }
    }
    path
}

/// `a::{b, c as d}` as `a::b`, called b, and `a::c`, called d.
fn tree(text: &str) -> Vec<(Vec<String>, String)> {
    let text = text.trim();
    if let Some(open) = text.find('{') {
        let before = plain_path(&text[..open]);
        let inside = &text[open + 1..rust::end_of_braces(text, open) - 1];
        return rooms::split_group(inside)
            .into_iter()
            .filter(|item| !item.is_empty())
            .flat_map(tree)
            .map(|(rest, called)| {
                // `a::{self}` is `a`.
                let of_itself = rest == ["self"];
                let called = if of_itself { before.last().cloned().unwrap_or(called) } else { called };
                let rest = if of_itself { Vec::new() } else { rest };
                (before.iter().cloned().chain(rest).collect(), called)
            })
            .collect();
    }
    let (path, called) = match text.split_once(" as ") {
        Some((path, called)) => (plain_path(path), Some(called.trim().to_owned())),
        None => (plain_path(text), None),
    };
    let called = called.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, called)]
}

/// The names of a path, up to the first text that does not belong to it.
fn plain_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            return names;
        }
        rest = rest[name.len()..].trim_start();
        names.push(name);
        match rest.strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => return names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let file =
            |(path, text): &(&str, &str)| File { path: format!("crates/a/src/{path}"), text: (*text).to_owned() };
        check(&files.iter().map(file).collect::<Vec<_>>()).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrows_that_never_come_back_pass() {
        let files = [
            ("lib.rs", "mod words;\nmod rules;\npub use rules::plan::Plan;"),
            ("words.rs", "pub(crate) mod part;"),
            ("words/part.rs", "pub struct Part;"),
            ("rules.rs", "pub mod plan;\nmod cut;"),
            ("rules/plan.rs", "use super::cut;\nuse crate::words::part::Part;"),
            ("rules/cut.rs", "// use super::plan;\nfn f() { let s = \"super::plan::x\"; }"),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn a_contract_and_its_kinds_are_no_circle_and_two_kinds_are() {
        let contract = ("sink.rs", "mod file;\nmod memory;\npub use file::File;\npub trait Sink {}");
        let good = [contract, ("sink/file.rs", "use super::Sink;"), ("sink/memory.rs", "use super::{Sink, file};")];
        assert_eq!(findings(&good), Vec::<String>::new());
        let bad = [contract, ("sink/file.rs", "use super::{Sink, memory::M};"), good[2]];
        let found = findings(&bad);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/a/src/sink/file.rs:1: a circle of files: file -> memory by"),
            "{}",
            found[0]
        );
        assert!(found[0].contains("memory -> file by `super::file` in crates/a/src/sink/memory.rs:1"), "{}", found[0]);
    }

    #[test]
    fn a_circle_through_a_folder_is_found_and_one_through_tests_is_none() {
        let folder =
            [("a.rs", "use crate::b::inner;"), ("b.rs", "pub mod inner;"), ("b/inner.rs", "fn f(x: crate::a::X) {}")];
        assert_eq!(findings(&folder).len(), 1);
        let tests = [folder[0], folder[1], ("b/inner.rs", "#[cfg(test)]\nmod tests { use crate::a::X; }")];
        assert_eq!(findings(&tests), Vec::<String>::new());
        let nested = [folder[0], folder[1], ("b/inner.rs", "mod deep { use super::super::super::a::X; }")];
        assert_eq!(findings(&nested).len(), 1);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_its_file() {
        // `b` has `C` from `a`, so that its kind depends on `a`, and `a` on the kind.
        let files = [
            ("a.rs", "use crate::b::kind::Kind;\npub struct C;"),
            ("b.rs", "pub mod kind;\nuse crate::a::C as See;"),
            ("b/kind.rs", "use super::See;"),
        ];
        let found = findings(&files);
        assert!(found[0].contains("b -> a by `crate::a::C`"), "{found:?}");
        let passed =
            [files[0], ("b.rs", "pub mod kind;\nuse crate::c::C as See;"), files[2], ("c.rs", "pub use crate::a::C;")];
        assert!(findings(&passed)[0].contains("b -> a by"), "{found:?}");
    }

    #[test]
    fn three_in_a_circle_are_one_finding() {
        let files =
            [("a.rs", "use crate::b;"), ("b.rs", "use crate::{c, d};"), ("c.rs", "use crate::a;"), ("d.rs", "")];
        let found = findings(&files);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("a -> b") && found[0].contains("b -> c") && found[0].contains("c -> a"),
            "{}",
            found[0]
        );
        assert!(!found[0].contains("-> d"), "{}", found[0]);
    }
}
