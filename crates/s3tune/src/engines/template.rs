//! Texts with placeholders such as `{out}`: lists the names in a text, and fills in their values.

/// The names that every engine knows: the object, the file to write, the server, and the folder of the engine's own
/// files.
pub(super) const PLACES: [&str; 6] = ["bucket", "key", "out", "endpoint", "region", "files"];

/// Every placeholder of the form `{lower_case}` in a text, without the braces.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(at, _)| {
        let (name, _) = text[at + 1..].split_once('}')?;
        is_name(name).then_some(name)
    })
}

/// Whether a text is a name that can be a placeholder: a lower-case letter or underscore, then those and digits.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Names in braces, as error texts list them.
pub(super) fn in_braces<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" ")
}

/// One pass from left to right, so that a value that looks like a placeholder stays as it is.
pub(super) fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let place =
            values.iter().find(|(name, _)| rest[1..].strip_prefix(name).is_some_and(|after| after.starts_with('}')));
        match place {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once_and_stay_one_word() {
        let values = [("key", "a {out} b".to_owned()), ("out", "/tmp/x y".to_owned())];
        assert_eq!(fill("s3://{key}={out}{", &values), "s3://a {out} b=/tmp/x y{");
        assert_eq!(fill("{\"json\": {key}}", &values), "{\"json\": a {out} b}");
    }

    #[test]
    fn only_lower_case_names_are_placeholders() {
        let names = |text| placeholders(text).collect::<Vec<_>>();
        assert_eq!(names("{a}{part_2} {{b}} {\"c\": {d}}"), ["a", "part_2", "b", "d"]);
        assert!(names("{} {A} {2} { e } {f").is_empty());
    }
}
