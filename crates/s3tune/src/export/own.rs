//! The engine's own parameters, in full and under its own names, as TOML or as JSON.
//!
//! For s3xfer, `s3tune cp --config` and s3xfer's example `cp` read this form. TOML has no null: a parameter without a
//! limit is a comment. JSON has null but no comments: the notes on the values are returned separately.

use serde_json::{Map, Value};

use super::{Body, Comments, Format, Recommendation};
use crate::results::{BestError, Origin, best_toml};

pub(super) static TOML: Format = Format {
    name: "toml",
    alias: None,
    about: "the engine's own parameters; s3xfer's are what s3tune cp --config reads",
    tool: None,
    comments: Comments::After("#"),
    write: toml,
};

pub(super) static JSON: Format = Format {
    name: "json",
    alias: None,
    about: "the engine's own parameters as one object",
    tool: None,
    comments: Comments::Apart,
    write: json,
};

fn toml(found: &Recommendation) -> Result<Body, BestError> {
    let settings = found.settings();
    let origin = Origin { lines: Vec::new() };
    let text = best_toml(&origin, settings.iter().map(|setting| (setting.name, &setting.value)))?;
    Ok(Body { text, notes: Vec::new() })
}

fn json(found: &Recommendation) -> Result<Body, BestError> {
    let object: Map<String, Value> =
        found.settings().into_iter().map(|setting| (setting.name.to_owned(), setting.value)).collect();
    Ok(Body { text: format!("{:#}\n", Value::Object(object)), notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use s3xfer::TransferConfig;
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;

    #[test]
    fn s3xfer_reads_both_and_the_values_are_in_force() {
        let toml = TOML.export(&s3xfer()).unwrap().text;
        assert!(toml.starts_with("# By s3tune.\n\nmultipart_threshold = 8388608\n"), "{toml}");
        assert!(toml.contains("# max_bandwidth: none\n"), "{toml}");
        let json = JSON.export(&s3xfer()).unwrap();
        let expected = TransferConfig::builder()
            .max_concurrency(61)
            .multipart_chunksize(7_190_169)
            .max_io_queue(10)
            .io_chunksize(398_803)
            .adaptive_concurrency(false)
            .build()
            .unwrap();
        assert_eq!(toml::from_str::<TransferConfig>(&toml).unwrap(), expected);
        assert_eq!(serde_json::from_str::<TransferConfig>(&json.text).unwrap(), expected);
        assert_eq!(json.notes, ["By s3tune."]);
    }

    #[test]
    fn another_engines_names_and_kinds_are_kept() {
        let found = found("mytool", &[("a \"b\"\n", None, None, json!(3)), ("mode", None, None, json!("x = 1\n"))]);
        let toml: toml::Table = TOML.export(&found).unwrap().text.parse().unwrap();
        assert_eq!((toml["a \"b\"\n"].as_integer(), toml["mode"].as_str()), (Some(3), Some("x = 1\n")));
        let json: Value = serde_json::from_str(&JSON.export(&found).unwrap().text).unwrap();
        assert_eq!(json, json!({"a \"b\"\n": 3, "mode": "x = 1\n"}));
    }
}
