//! `Greeting`: the first line of a client or an agent, with the token and the promise of signs of life.
//!
//! Through a shared folder no token is needed, because only its owner can write there. The promise is needed, because
//! nothing else shows there that a client was killed.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::token::Token;

/// A client is lost after so many of its heartbeats without a line.
const BEATS_TO_LOSS: f64 = 3.0;

/// The first line of a client that may take part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Greeting {
    /// The silence after which the client is lost; `None`: it promises no signs of life.
    pub(super) patience: Option<Duration>,
    /// The job of the machine's queue that it runs in.
    pub(super) job: Option<String>,
    /// It only looks whether the server is there, and takes no trial.
    pub(super) is_probe: bool,
}

impl Greeting {
    /// Reads the line. `beats` are the allowed times between two signs of life, in seconds. Without a token it came
    /// through a shared folder.
    ///
    /// # Errors
    /// The answer to a client without the token, or to one whose heartbeat is out of bounds.
    pub(super) fn read(line: &[u8], token: Option<&Token>, beats: RangeInclusive<f64>) -> Result<Self, Json> {
        let line: Json = serde_json::from_slice(line).unwrap_or_default();
        let is_auth = line["op"] == "auth";
        let refusal = match token {
            Some(token) if !is_auth || !token.is(line["token"].as_str().unwrap_or_default()) => {
                Some("the first line must be {\"op\":\"auth\",\"token\":...} with the token")
            }
            None if !is_auth || line["heartbeat_s"].is_null() => Some(
                "the first line must be {\"op\":\"auth\",\"heartbeat_s\":...}: in a shared folder only silence shows \
                 that a client is lost",
            ),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Err(json!({ "error": refusal }));
        }
        let beat = match &line["heartbeat_s"] {
            Json::Null => None,
            given => match given.as_f64().filter(|beat| beats.contains(beat)) {
                Some(beat) => Some(beat),
                None => {
                    let (from, to) = beats.into_inner();
                    let error = format!("heartbeat_s is {given}; give seconds from {from} to {to}, or leave it out");
                    return Err(json!({ "error": error }));
                }
            },
        };
        Ok(Self {
            patience: beat.map(|beat| Duration::from_secs_f64(BEATS_TO_LOSS * beat)),
            job: line["job"].as_str().map(str::to_owned),
            is_probe: line["probe"] == true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_out_of_bounds_is_refused_and_none_is_no_promise() {
        let token = Token::new("0123456789abcdef").unwrap();
        let read = |rest: &str| {
            let line = format!(r#"{{"op":"auth","token":"0123456789abcdef"{rest}}}"#);
            Greeting::read(line.as_bytes(), Some(&token), 0.1..=60.0)
        };
        for (rest, patience) in [("", None), (r#","heartbeat_s":null"#, None), (r#","heartbeat_s":2"#, Some(6))] {
            assert_eq!(read(rest).unwrap().patience, patience.map(Duration::from_secs), "{rest}");
        }
        for wrong in ["0.05", "61", "-1", "0", "1e300", "\"2\"", "true", "[2]"] {
            let error = read(&format!(r#","heartbeat_s":{wrong}"#)).unwrap_err().to_string();
            assert!(error.contains("heartbeat_s is ") && error.contains("from 0.1 to 60"), "{error}");
        }
        assert!(Greeting::read(b"nonsense", Some(&token), 0.1..=60.0).unwrap_err().to_string().contains("token"));
    }

    #[test]
    fn in_a_folder_signs_of_life_are_promised_and_no_token_is_shown() {
        let read = |line: &str| Greeting::read(line.as_bytes(), None, 1.0..=60.0);
        let greeting = read(r#"{"op":"auth","heartbeat_s":2,"token":null}"#).unwrap();
        assert_eq!(greeting.patience, Some(Duration::from_secs(6)));
        for wrong in [r#"{"op":"auth"}"#, r#"{"op":"auth","heartbeat_s":null}"#, r#"{"op":"ask","heartbeat_s":2}"#, ""]
        {
            assert!(read(wrong).unwrap_err().to_string().contains("heartbeat_s"), "{wrong}");
        }
        assert!(read(r#"{"op":"auth","heartbeat_s":0.5}"#).unwrap_err().to_string().contains("from 1 to 60"));
    }
}
