//! The JSON lines contract, line by line.
#![cfg(feature = "cli")]

use std::time::Duration;

use serde_json::Value as Json;
use tunekit::Server;

const CREATE: &str = r#"{"op":"create","seed":1,"mode":"min","searcher":"gp","scheduler":"fifo","budget":50,
    "max_resource":null,"workers":1,
    "space":{"x":{"type":"float","lo":-5,"hi":10},"n":{"type":"int","lo":1,"hi":512,"log":true},
             "kind":{"type":"categorical","values":["a","b"]}},
    "points_to_evaluate":[{"x":0.0}]}"#;

fn say(server: &mut Server, line: &str) -> String {
    server.answer(line, Duration::from_secs(1)).expect("no journal fails here")
}

#[test]
fn the_documented_session_is_answered_as_documented() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    assert_eq!(say(CREATE), r#"{"ok":true}"#);
    let ask = say(r#"{"op":"ask"}"#);
    assert_eq!(ask, r#"{"trial":0,"config":{"x":0.0,"n":23,"kind":"a"},"resource":null,"resumed":false}"#);
    assert_eq!(say(r#"{"op":"report","trial":0,"resource":1,"value":0.7}"#), r#"{"decision":"continue"}"#);
    assert_eq!(say(r#"{"op":"tell","trial":0}"#), r#"{"ok":true}"#);
    assert_eq!(say(r#"{"op":"add","config":{"x":1.0,"n":5,"kind":"b"},"value":1.3}"#), r#"{"ok":true}"#);
    let best: Json = serde_json::from_str(&say(r#"{"op":"best"}"#)).unwrap();
    assert_eq!(
        (best["trial"].as_u64(), best["value"].as_f64(), best["mean"].as_f64()),
        (Some(0), Some(0.7), Some(0.7))
    );
    assert!(best["ci95"].is_null());
}

#[test]
fn a_wrong_line_is_answered_and_changes_nothing() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    for wrong in ["", "{", "[]", "7", r#"{"op":"sing"}"#, r#"{"op":"ask"}"#, r#"{"op":"create"}"#] {
        assert!(say(wrong).starts_with(r#"{"error":"#), "{wrong}");
    }
    let unknown = say(r#"{"op":"create","searcher":"bayes","space":{"x":{"type":"bool"}}}"#);
    assert!(unknown.contains("random, sobol, grid, gp, tpe"), "{unknown}");
    assert!(say(r#"{"op":"create","space":{}}"#).contains("no parameter"));
    assert_eq!(say(r#"{"op":"create","budget":1,"space":{"x":{"type":"bool"}}}"#), r#"{"ok":true}"#);
    assert!(say(CREATE).contains("already"));
    assert!(say(r#"{"op":"tell","trial":0,"value":1}"#).contains("unknown"));
    assert!(say(r#"{"op":"best"}"#).contains("nothing"));
    assert!(say(r#"{"op":"ask"}"#).contains(r#""trial":0"#));
    assert!(say(r#"{"op":"tell","trial":0}"#).contains("without a value"));
    assert!(say(r#"{"op":"tell","trial":0,"value":1,"failed":"x"}"#).contains("not both"));
    assert_eq!(say(r#"{"op":"report","trial":0,"resource":1,"value":null}"#), r#"{"decision":"stop"}"#);
    assert_eq!(say(r#"{"op":"tell","trial":0}"#), r#"{"ok":true}"#);
    assert_eq!(say(r#"{"op":"ask"}"#), r#"{"done":true}"#);
}

#[test]
fn a_session_goes_on_from_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut first = Server::with_journal(&path).unwrap();
    say(&mut first, CREATE);
    say(&mut first, r#"{"op":"ask"}"#);
    say(&mut first, r#"{"op":"tell","trial":0,"value":1}"#);
    let open = say(&mut first, r#"{"op":"ask"}"#);
    drop(first);
    let mut second = Server::with_journal(&path).unwrap();
    assert_eq!(say(&mut second, CREATE), r#"{"ok":true}"#);
    assert_eq!(say(&mut second, r#"{"op":"ask"}"#), open);
    drop(second);
    let mut other = Server::with_journal(&path).unwrap();
    let answer = say(&mut other, &CREATE.replace(r#""seed":1"#, r#""seed":2"#));
    assert!(answer.contains("seed differs"), "{answer}");
}
