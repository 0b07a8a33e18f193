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
    assert!(unknown.contains("random, sobol, gp"), "{unknown}");
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

#[test]
fn what_matters_and_how_is_answered() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    say(r#"{"op":"create","searcher":"sobol","space":{"x":{"type":"float","lo":0,"hi":1},"k":{"type":"bool"}}}"#);
    assert!(say(r#"{"op":"importances"}"#).contains("at least 5"));
    for trial in 0..40 {
        let job: Json = serde_json::from_str(&say(r#"{"op":"ask"}"#)).unwrap();
        let value = 3.0 * job["config"]["x"].as_f64().unwrap();
        say(&format!(r#"{{"op":"tell","trial":{trial},"value":{value}}}"#));
    }
    let answer: Json = serde_json::from_str(&say(r#"{"op":"importances"}"#)).unwrap();
    let x = answer["importances"]["x"].as_f64().unwrap();
    assert!(x > 0.9 && answer["importances"]["k"].as_f64().unwrap() < 0.05, "{answer}");
    assert_eq!((&answer["surface"], &answer["pairs"][0][0]), (&Json::from("forest"), &Json::from("x")));
    let partial: Json = serde_json::from_str(&say(r#"{"op":"partial","parameter":"k","points":20}"#)).unwrap();
    assert_eq!((partial["points"].as_array().unwrap().len(), &partial["points"][1]["value"]), (2, &Json::from(true)));
    assert!(say(r#"{"op":"partial","parameter":"q"}"#).contains("not in the space"));
}

#[test]
fn a_session_starts_from_earlier_journals_and_needs_them_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let [earlier, now, other] = ["earlier.jsonl", "now.jsonl", "other.jsonl"].map(|name| folder.path().join(name));
    let space = r#""space":{"x":{"type":"float","lo":0,"hi":1}}"#;
    let mut server = Server::with_journal(&earlier).unwrap();
    say(&mut server, &format!(r#"{{"op":"create","searcher":"sobol",{space}}}"#));
    for trial in 0..12 {
        let job: Json = serde_json::from_str(&say(&mut server, r#"{"op":"ask"}"#)).unwrap();
        let value = (job["config"]["x"].as_f64().unwrap() - 0.8).abs();
        say(&mut server, &format!(r#"{{"op":"tell","trial":{trial},"value":{value}}}"#));
    }
    drop(server);
    let create = |path: &std::path::Path, method: &str, space: &str| {
        let path = serde_json::to_string(path).unwrap();
        format!(r#"{{"op":"create",{space},"transfer":{{"journals":[{path}],"method":"{method}","points":2}}}}"#)
    };
    let mut server = Server::with_journal(&now).unwrap();
    assert_eq!(say(&mut server, &create(&earlier, "zero_shot", space)), r#"{"ok":true}"#);
    let first: Json = serde_json::from_str(&say(&mut server, r#"{"op":"ask"}"#)).unwrap();
    assert!((first["config"]["x"].as_f64().unwrap() - 0.8).abs() < 0.1, "{first}");
    // The new journal tells it all: the points are in its header.
    drop(server);
    let header = std::fs::read_to_string(&now).unwrap();
    assert!(header.lines().next().unwrap().contains("points_to_evaluate"), "{header}");
    std::fs::remove_file(&earlier).unwrap();
    let mut server = Server::with_journal(&now).unwrap();
    let again: Json = serde_json::from_str(&say(&mut server, r#"{"op":"ask"}"#)).unwrap();
    assert_eq!(again["config"], first["config"]);
    drop(server);

    let mut server = Server::with_journal(&other).unwrap();
    assert!(say(&mut server, &create(&earlier, "zero_shot", space)).contains("earlier.jsonl"));
    assert!(say(&mut server, &create(&now, "guess", space)).contains("zero_shot"));
    let wider = space.replace("\"hi\":1", "\"hi\":2");
    assert!(say(&mut server, &create(&now, "quantile", &wider)).contains("another space"));
}
