//! Arrows between the rooms of a crate: words <- rules <- engine, words <- doors <- engine.
//!
//! Inside a room a path into the crate names a room first (`crate::words::Config`), so that the arrow is visible;
//! `crate::Config` would go through the re-exports of lib.rs and hide it. `super` is resolved.

use super::rust::{self, is_word};
use super::{File, Finding};

const ROOMS: [&str; 4] = ["words", "rules", "doors", "engine"];

/// The rooms that code in `room` may name.
fn may_name(room: &str) -> &'static [&'static str] {
    match room {
        "words" => &["words"],
        "rules" => &["words", "rules"],
        "doors" => &["words", "doors"],
        _ => &ROOMS,
    }
}

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let Some(module) = module_of(&file.path) else { return Vec::new() };
    let Some(room) = ROOMS.into_iter().find(|room| module.first().is_some_and(|first| first == room)) else {
        return Vec::new();
    };
    let code = rust::code_only(&file.text);
    let mut findings = Vec::new();
    for (at, path) in crate_paths(&code, &module) {
        let first = path.as_str();
        let what = if !ROOMS.contains(&first) {
            format!("`crate::{first}` inside {room} hides an arrow; name the room it comes from: `crate::<room>::...`")
        } else if !may_name(room).contains(&first) {
            format!("{room} names {first}, against the arrows; pass it in as an argument, or move the code to engine")
        } else {
            continue;
        };
        findings.push(Finding::new(&file.path, rust::line_of(&code, at), what));
    }
    findings
}

/// `crates/x/src/words/config.rs` is module `words::config`; `None` for a file outside of a library's `src`.
fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("crates/")?.split_once("/src/")?.1.strip_suffix(".rs")?;
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    Some(module)
}

/// The first name after the crate's root of every path that starts there, with its place.
fn crate_paths(code: &str, module: &[String]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in rust::words(code, "crate") {
        if let Some(rest) = after_separator(code, at + "crate".len()) {
            paths.extend(first_names(code, rest).into_iter().map(|name| (at, name)));
        }
    }
    for at in rust::words(code, "super") {
        // `super::super::x` is one path: only its first `super` is followed.
        if code[..at].trim_end().ends_with("::") && code[..at].trim_end().trim_end_matches(':').ends_with("super") {
            continue;
        }
        let (mut ups, mut end) = (1, at + "super".len());
        let mut rest = after_separator(code, end);
        while let Some(next) = rest.filter(|next| code[*next..].starts_with("super")) {
            ups += 1;
            end = next + "super".len();
            rest = after_separator(code, end);
        }
        let depth = module.len() + inline_depth(code, at);
        if let Some(rest) = rest {
            match depth.checked_sub(ups) {
                Some(0) => paths.extend(first_names(code, rest).into_iter().map(|name| (at, name))),
                // Still inside the room: the path names a neighbour.
                _ => continue,
            }
        }
    }
    paths.sort();
    paths
}

/// The rest of the path after `::`, blanks allowed.
fn after_separator(code: &str, from: usize) -> Option<usize> {
    let rest = code[from..].trim_start().strip_prefix("::")?.trim_start();
    Some(code.len() - rest.len())
}

/// The names that may follow: one, or each first name of a `{a::b, c}` group.
fn first_names(code: &str, at: usize) -> Vec<String> {
    let rest = &code[at..];
    if rest.starts_with('{') {
        let inside = &code[at + 1..rust::end_of_braces(code, at) - 1];
        return split_group(inside).into_iter().flat_map(|item| first_names(item, 0)).collect();
    }
    let name: String = rest.bytes().take_while(|byte| is_word(*byte)).map(char::from).collect();
    match (name.is_empty(), rest.chars().next()) {
        (false, _) => vec![name],
        (true, Some('*')) => vec!["*".to_owned()],
        (true, _) => Vec::new(),
    }
}

pub(super) fn split_group(inside: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                items.push(inside[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(inside[start..].trim());
    items
}

/// Number of `mod name { ... }` blocks of this file that hold the place.
pub(super) fn inline_depth(code: &str, at: usize) -> usize {
    rust::words(&code[..at], "mod")
        .filter(|start| {
            let rest = &code[*start..];
            let Some(stop) = rest.find(['{', ';']) else { return false };
            rest.as_bytes()[stop] == b'{' && rust::end_of_braces(code, start + stop) > at
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.to_owned(), text: text.to_owned() })
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn arrows_to_the_left_pass() {
        assert!(
            findings("crates/a/src/rules/plan.rs", "use crate::words::{Config, Part};\nuse super::retry;").is_empty()
        );
        assert!(findings("crates/a/src/doors/sdk.rs", "use crate::words::Config;").is_empty());
        assert!(findings("crates/a/src/engine/download.rs", "use crate::{doors::sdk, rules, words::Part};").is_empty());
        assert!(findings("crates/a/src/words/part.rs", "// crate::engine\nlet x = \"crate::rules\";").is_empty());
        assert!(findings("crates/a/src/lib.rs", "pub use crate::engine::x;").is_empty());
        assert!(findings("crates/a/src/words.rs", "mod tests { use super::*; }").is_empty());
    }

    #[test]
    fn an_arrow_to_the_right_is_found_with_its_line() {
        let found = findings("crates/a/src/words/part.rs", "//! x\nuse crate::rules::plan;");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/a/src/words/part.rs:2: words names rules"), "{}", found[0]);
        assert_eq!(findings("crates/a/src/rules/plan.rs", "fn f() { crate::doors::sdk::get() }").len(), 1);
        assert_eq!(findings("crates/a/src/rules/plan.rs", "use crate::{words::A, engine::{B, C}};").len(), 1);
        assert_eq!(findings("crates/a/src/doors.rs", "use crate::rules::Plan;").len(), 1);
    }

    #[test]
    fn super_does_not_escape_unseen() {
        assert_eq!(findings("crates/a/src/words.rs", "use super::rules;").len(), 1);
        assert_eq!(findings("crates/a/src/words/part.rs", "use super::super::engine::x;").len(), 1);
        assert_eq!(findings("crates/a/src/words/part.rs", "mod tests { use super::super::super::rules::x; }").len(), 1);
        assert!(findings("crates/a/src/words/part.rs", "mod tests { use super::super::config; }").is_empty());
    }

    #[test]
    fn a_re_export_does_not_hide_an_arrow() {
        let found = findings("crates/a/src/words/part.rs", "use crate::Download;");
        assert!(found[0].contains("hides an arrow"), "{}", found[0]);
        assert_eq!(findings("crates/a/src/words/part.rs", "use crate::*;").len(), 1);
    }
}
