//! `best.toml`: the configuration that was found, for `s3tune cp --config` and for people.
//!
//! One `key = value` per line under boto3's names, in the given order. TOML has no null: a parameter without a value is
//! a comment, and the reader's default applies.

use std::path::Path;

use serde_json::Value;

use super::file::{WriteError, write_whole};

/// The origin of a configuration: the comment on top of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// One statement per line, such as `found for s3://bucket/key (3 GiB) on 16 cores`.
    pub lines: Vec<String>,
}

/// The reason why a configuration could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BestError {
    /// A list or a table; parameters are single values.
    #[error("write the configuration: {key} is {value}, but must be a number, a text or a boolean")]
    NotAScalar {
        /// The parameter.
        key: String,
        /// Its value.
        value: Value,
    },
    /// TOML's whole numbers have 64 bits with a sign.
    #[error("write the configuration: {key} is {value}, but a whole number in TOML is at most {}", i64::MAX)]
    TooLarge {
        /// The parameter.
        key: String,
        /// Its value.
        value: u64,
    },
    /// The encoder refused.
    #[error("write the configuration: {key}: {source}")]
    Encoding {
        /// The parameter.
        key: String,
        /// The writer's error.
        source: toml::ser::Error,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes [`best_toml`] to `path`, whole or not at all.
///
/// # Errors
/// TOML cannot hold a value, or the file cannot be written.
pub fn write_best<'a>(
    path: &Path,
    origin: &Origin,
    configuration: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Result<(), BestError> {
    Ok(write_whole(path, best_toml(origin, configuration)?.as_bytes())?)
}

/// The text of `best.toml`.
///
/// ```
/// use s3tune::results::{Origin, best_toml};
/// use serde_json::{Value, json};
///
/// let origin = Origin { lines: vec!["found by s3tune for s3://data/a.bin".to_owned()] };
/// let found = [("max_concurrency", json!(61)), ("max_bandwidth", Value::Null)];
/// let text = best_toml(&origin, found.iter().map(|(key, value)| (*key, value)))?;
/// assert_eq!(text, "\
/// ## found by s3tune for s3://data/a.bin
///
/// max_concurrency = 61
/// ## max_bandwidth: none
/// ");
/// # Ok::<(), s3tune::results::BestError>(())
/// ```
///
/// # Errors
/// TOML cannot hold a value: a list, a table, or a whole number beyond 64 bits with a sign.
pub fn best_toml<'a>(
    origin: &Origin,
    configuration: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Result<String, BestError> {
    let mut text = String::new();
    for line in &origin.lines {
        text.push_str(&comment(line));
    }
    if !origin.lines.is_empty() {
        text.push('\n');
    }
    for (key, value) in configuration {
        match to_toml(key, value)? {
            // A table of one entry, so that keys and texts are quoted where they have to be.
            Some(value) => {
                let entry = toml::Table::from_iter([(key.to_owned(), value)]);
                let line =
                    toml::to_string(&entry).map_err(|source| BestError::Encoding { key: key.to_owned(), source })?;
                text.push_str(&line);
            }
            None => text.push_str(&comment(&format!("{key}: none"))),
        }
    }
    Ok(text)
}

/// The text as comment lines: an object's key may hold a line feed.
fn comment(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {line}").trim_end().to_owned() + "\n"
}

fn to_toml(key: &str, value: &Value) -> Result<Option<toml::Value>, BestError> {
    let value = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => toml::Value::Boolean(*value),
        Value::String(value) => toml::Value::String(value.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => toml::Value::Integer(whole),
            (None, Some(value), _) => return Err(BestError::TooLarge { key: key.to_owned(), value }),
            (None, None, Some(real)) => toml::Value::Float(real),
            (None, None, None) => return Err(BestError::NotAScalar { key: key.to_owned(), value: value.clone() }),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(BestError::NotAScalar { key: key.to_owned(), value: value.clone() });
        }
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(lines: &[&str], configuration: &[(&str, Value)]) -> Result<String, BestError> {
        let origin = Origin { lines: lines.iter().map(|line| (*line).to_owned()).collect() };
        best_toml(&origin, configuration.iter().map(|(key, value)| (*key, value)))
    }

    #[test]
    fn the_order_is_kept_and_the_values_read_back() {
        let configuration = [
            ("multipart_threshold", json!(8_388_608)),
            ("max_concurrency", json!(61)),
            ("use_threads", json!(true)),
            ("rate", json!(2.0)),
            ("kind", json!("a \"b\"")),
            ("max_bandwidth", Value::Null),
        ];
        let text = written(&["found by s3tune"], &configuration).unwrap();
        let keys: Vec<&str> = text.lines().skip(2).map(|line| line.split([' ', ':']).next().unwrap()).collect();
        assert_eq!(keys, ["multipart_threshold", "max_concurrency", "use_threads", "rate", "kind", "#"]);
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["multipart_threshold"].as_integer(), Some(8_388_608));
        assert_eq!(read["rate"].as_float(), Some(2.0));
        assert_eq!(read["kind"].as_str(), Some("a \"b\""));
        assert!(!read.contains_key("max_bandwidth"));
    }

    #[test]
    fn text_from_outside_stays_in_its_comment() {
        let text = written(&["found for s3://b/k\nmax_concurrency = 1\r\u{0}"], &[("x", json!(2))]).unwrap();
        assert_eq!(text, "# found for s3://b/k max_concurrency = 1\n\nx = 2\n");
        let read: toml::Table = written(&[], &[("a b\n= 1", json!(3))]).unwrap().parse().unwrap();
        assert_eq!(read["a b\n= 1"].as_integer(), Some(3));
    }

    #[test]
    fn what_toml_cannot_hold_is_refused_by_name() {
        let error = written(&[], &[("x", json!([1]))]).unwrap_err();
        assert_eq!(error.to_string(), "write the configuration: x is [1], but must be a number, a text or a boolean");
        assert!(matches!(written(&[], &[("x", json!(u64::MAX))]), Err(BestError::TooLarge { value: u64::MAX, .. })));
    }

    #[test]
    fn the_file_is_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("best.toml");
        write_best(&path, &Origin { lines: vec![] }, [("x", &json!(1))]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x = 1\n");
    }
}
