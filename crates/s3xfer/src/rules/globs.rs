//! The selection of names by patterns like those of Python's `fnmatch`, which the AWS CLI uses
//! (`awscli/customizations/s3/filters.py`).

use crate::words::globs::Globs;

impl Globs {
    /// Whether the path is taken.
    #[must_use]
    pub fn take(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let last = self.patterns.iter().rev().find(|(_, pattern)| matches(pattern, &path));
        last.is_none_or(|(include, _)| *include)
    }

    /// Whether the path or a path below it may be taken. False only where patterns leave out all of them for certain.
    pub(crate) fn may_take_below(&self, path: &str) -> bool {
        let below: Vec<char> = path.trim_end_matches('/').chars().chain(['/']).collect();
        for (include, pattern) in self.patterns.iter().rev() {
            match include {
                true if may_match_below(pattern, &below) => return true,
                // A star at the end takes any further letters, too.
                false if pattern.ends_with(&['*']) && matches(pattern, &below) => return self.take(path),
                _ => {}
            }
        }
        true
    }
}

/// Whether `pattern` may match a text that begins with `beginning`. Only the letters before the first wildcard tell.
fn may_match_below(pattern: &[char], beginning: &[char]) -> bool {
    let letters = pattern.iter().take_while(|letter| !matches!(letter, '*' | '?' | '['));
    letters.zip(beginning).all(|(one, other)| one == other)
}

/// Whether all of `text` is as `pattern` says. Time: at most the product of both lengths.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Behind the last star, and the text that it has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, seen));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match set(&pattern[at..]) {
                Some((set, length)) => set.holds(text[seen]).then_some(length),
                // Without its end it is a letter like others.
                None => (text[seen] == '[').then_some(1),
            },
            Some(letter) => (*letter == text[seen]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => (at, seen) = (at + length, seen + 1),
            (None, Some((behind, taken))) => {
                star = Some((behind, taken + 1));
                (at, seen) = (behind, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Letters between brackets.
struct Set<'a> {
    letters: &'a [char],
    others: bool,
}

/// The set at the pattern's beginning, and how long it is with its brackets. A `]` in first place is one of its
/// letters.
fn set(pattern: &[char]) -> Option<(Set<'_>, usize)> {
    let others = pattern.get(1) == Some(&'!');
    let begin = if others { 2 } else { 1 };
    let end = (begin + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    Some((Set { letters: &pattern[begin..end], others }, end + 1))
}

impl Set<'_> {
    fn holds(&self, letter: char) -> bool {
        let mut rest = self.letters;
        let mut found = false;
        while let [first, more @ ..] = rest {
            if let ['-', last, after @ ..] = more {
                found |= (*first..=*last).contains(&letter);
                rest = after;
            } else {
                found |= *first == letter;
                rest = more;
            }
        }
        found != self.others
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        matches(&chars(pattern), &chars(text))
    }

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a/b"),
            ("*.txt", "a/b.txt"),
            ("a?c", "a/c"),
            ("[ab]x", "bx"),
            ("[!ab]x", "cx"),
            ("[a-c]", "b"),
            ("[]]", "]"),
            ("[!]]", "a"),
            ("[-a]", "-"),
            ("[", "["),
            ("a[b", "a[b"),
            ("*a*b*", "xaybz"),
            ("é?", "éü"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", "ab"), ("*.txt", "a.txt2"), ("[!ab]x", "ax"), ("[a-c]", "d"), ("?", ""), ("A", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let globs = Globs::new().exclude("*").include("*.txt");
        assert!(globs.take("a.txt") && !globs.take("a.bin"));
        let globs = Globs::new().include("*.txt").exclude("*");
        assert!(!globs.take("a.txt"));
        assert!(Globs::new().take("anything") && Globs::new().include("x").take("y"));
    }

    #[test]
    fn a_folder_is_left_out_with_all_below_it_only_where_that_is_certain() {
        let texts = Globs::new().exclude("*").include("*.txt");
        assert!(texts.may_take_below("private/") && !texts.take("private/"));
        let named = Globs::new().exclude("*").include("public/*");
        assert!(!named.may_take_below("private/") && named.may_take_below("public/"));
        let left_out = Globs::new().exclude("private/*");
        assert!(!left_out.may_take_below("private/") && !left_out.may_take_below("private/a"));
        assert!(left_out.may_take_below("private") && left_out.may_take_below("other/"));
        assert!(Globs::new().exclude("private/").may_take_below("private/"));
    }

    /// As plain as it gets, and exponential.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ['?', rest @ ..] => text.split_first().is_some_and(|(_, text)| naive(rest, text)),
            [letter, rest @ ..] => text.split_first().is_some_and(|(first, text)| first == letter && naive(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn stars_are_tried_in_all_ways(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), naive(&pattern, &text));
        }

        #[test]
        fn no_pattern_is_too_odd(pattern in any::<String>(), text in any::<String>()) {
            let _ = fits(&pattern, &text);
            let _ = Globs::new().include(&pattern).take(&pattern);
        }
    }
}
