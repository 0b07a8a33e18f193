//! The engine files inside the binary, by name, and suggestions for misspelt names.

use std::io;

/// The engines that a name alone selects, beside s3xfer.
pub(super) const NAMES: [&str; 4] = ["boto3", "aws-cli", "s5cmd", "rclone"];

/// The engine file of a name.
pub(super) fn text(name: &str) -> Option<&'static str> {
    match name {
        "boto3" => Some(include_str!("shipped/boto3.toml")),
        "aws-cli" => Some(include_str!("shipped/aws-cli.toml")),
        "s5cmd" => Some(include_str!("shipped/s5cmd.toml")),
        "rclone" => Some(include_str!("shipped/rclone.toml")),
        _ => None,
    }
}

/// The files that the shipped engines name with `from`.
pub(super) fn beside(name: &str) -> io::Result<String> {
    match name {
        "boto3.py" => Ok(include_str!("shipped/boto3.py").to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The engine that a misspelt word probably means: word and name differ in at most two letters, or one begins with the
/// other.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let word = plain(word);
    if word.is_empty() {
        return None;
    }
    let all = || NAMES.into_iter().chain(["s3xfer"]);
    let begins =
        all().find(|name| plain(name).starts_with(&word) || (name.len() > 3 && word.starts_with(&plain(name))));
    begins.or_else(|| {
        all().map(|name| (distance(&word, &plain(name)), name)).filter(|(n, _)| *n <= 2).min().map(|(_, name)| name)
    })
}

/// Levenshtein's distance: letters to add, drop or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::file;

    #[test]
    fn every_engine_that_is_shipped_can_be_read() {
        for name in NAMES {
            let engine = file::parse(text(name).unwrap(), &beside).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(engine.name, name);
        }
    }

    #[test]
    fn a_near_name_is_guessed_and_a_far_one_is_not() {
        for (word, name) in [
            ("boto", "boto3"),
            ("botto3", "boto3"),
            ("aws", "aws-cli"),
            ("awscli", "aws-cli"),
            ("aws_cli2", "aws-cli"),
            ("s5cm", "s5cmd"),
            ("RClone", "rclone"),
            ("s3xfr", "s3xfer"),
        ] {
            assert_eq!(meant(word), Some(name), "{word}");
        }
        for word in ["wget", "curl", "nonsense", "-"] {
            assert_eq!(meant(word), None, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
