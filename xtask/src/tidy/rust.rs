//! The minimum of Rust for the rules: it finds the bytes that are code, the code that is a test, and the places of
//! names.
//!
//! It is a scanner, not a parser: it knows comments, strings, character literals, braces and attributes. It does not
//! know macros, types or scopes, so the rules judge names, never meaning.

use std::ops::Range;

/// The text with comments and the contents of strings blanked: the same length, the same lines.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (blank, next) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                let end = find(bytes, at, |rest| rest[0] == b'\n');
                (at..end, end)
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = end_of_block_comment(bytes, at);
                (at..end, end)
            }
            b'"' => {
                let end = end_of_quoted(bytes, at + 1, b'"');
                (at + 1..end, end + 1)
            }
            b'r' => match raw_string(bytes, at) {
                Some((inside, end)) => (inside, end),
                None => (at..at, at + 1),
            },
            b'\'' => match character(text, at) {
                Some(end) => (at + 1..end - 1, end),
                None => (at..at, at + 1),
            },
            _ => (at..at, at + 1),
        };
        for byte in &mut code[blank.start..blank.end.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = next;
    }
    String::from_utf8(code).expect("whole characters are blanked, so what is left is UTF-8")
}

fn find(bytes: &[u8], from: usize, found: impl Fn(&[u8]) -> bool) -> usize {
    (from..bytes.len()).find(|&at| found(&bytes[at..])).unwrap_or(bytes.len())
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The place of the closing quote, backslashes respected.
fn end_of_quoted(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The inside and the end of `r"..."`, `r#"..."#`, `br"..."` whose `r` stands at `at`.
fn raw_string(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let starts_word = match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at < 2 || !is_word(bytes[at - 2]),
        Some(before) => !is_word(before),
        None => true,
    };
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if !starts_word || bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let end = find(bytes, open + 1, |rest| rest.starts_with(&close));
    Some((open + 1..end, (end + close.len()).min(bytes.len())))
}

/// The end of the character literal that starts at `at`; none for a lifetime.
fn character(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.get(at + 1) == Some(&b'\\') {
        // The character after the backslash may itself be the quote.
        return Some((end_of_quoted(bytes, at + 1, b'\'') + 1).min(bytes.len()));
    }
    let inside = text[at + 1..].chars().next()?;
    let close = at + 1 + inside.len_utf8();
    (bytes.get(close) == Some(&b'\'')).then_some(close + 1)
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The places of `word` in `text` as a word of its own.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(at + word.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The line of a byte, from one.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Whether all of the file is for tests or examples, going by where it is.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.split('/').any(|folder| folder == "tests" || folder == "benches") || path.ends_with("/tests.rs")
}

/// The items under `#[cfg(test)]` and `#[test]`, in code made by [`code_only`].
pub(crate) fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions: Vec<Range<usize>> = Vec::new();
    for mark in ["#[cfg(test)]", "#[cfg(all(test", "#[test]", "#[tokio::test"] {
        for (start, _) in code.match_indices(mark) {
            let item = start + code[start..].find(']').unwrap_or(0);
            regions.push(start..end_of_item(code, item));
        }
    }
    regions
}

/// The end of the item that follows: its closing brace, or its semicolon where it has no body.
fn end_of_item(code: &str, from: usize) -> usize {
    let rest = &code[from..];
    match rest.find(['{', ';']) {
        Some(at) if rest.as_bytes()[at] == b'{' => end_of_braces(code, from + at),
        Some(at) => from + at,
        None => code.len(),
    }
}

/// The end of the block whose opening brace stands at `open`.
pub(crate) fn end_of_braces(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank_and_lines_stay() {
        let text = "a // x\n/* y /* z */ \n */ b \"q\\\"w\" r#\"i \" j\"# c 'd' '\\'' &'e f";
        let code = code_only(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
        let squeezed: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(squeezed, ["a", "b", "\"", "\"", "r#\"", "\"#", "c", "'", "'", "'", "'", "&'e", "f"]);
    }

    #[test]
    fn what_is_not_ascii_does_not_break_the_scanner() {
        let text = "// é\nlet é = 'ß'; \"ü";
        assert_eq!(code_only(text).len(), text.len());
        assert_eq!(code_only("r"), "r");
        assert_eq!(code_only("'"), "'");
        assert_eq!(code_only("\"\\").len(), 2);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("argmin argmin_math xargmin argmin::", "argmin").collect::<Vec<_>>(), [0, 27]);
    }

    #[test]
    fn a_test_region_ends_with_its_item() {
        let code =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { c() }\n}\nfn d() {}\n#[cfg(test)] mod e;\nfn f() {}";
        let regions = test_regions(code);
        assert_eq!(regions.len(), 2);
        assert!(code[regions[0].clone()].ends_with("c() }\n}"));
        assert!(code[regions[1].clone()].ends_with("mod e"));
    }
}
