//! The JSON lines contract, line by line.
#![cfg(feature = "cli")]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value as Json;
use tunekit::serve::Server;

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
    assert!(answer.contains("its seed is ") && answer.contains("; create that one"), "{answer}");
}

#[test]
fn everything_a_study_measures_goes_over_the_wire() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let create = r#"{"op":"create","searcher":"random","mode":"min","objectives":[{"name":"rate","mode":"max"}],
        "constraints":["memory"],"cost_aware":true,"predicates":["a * b <= 1024","not on or b < 9"],
        "space":{"a":{"type":"int","lo":1,"hi":512,"log":true},"on":{"type":"bool"},
                 "b":{"type":"int","lo":1,"hi":64,"when":{"on":[true]}}},"points_to_evaluate":[{"a":4,"on":true,"b":8}]}"#;
    for (wrong, what) in [
        (create.replace("<= 1024", "< = 1024"), "character 9"),
        (create.replace(r#"{"on":[true]}"#, r#"{"off":[true]}"#), "`off`"),
        (create.replace(r#""b":8"#, r#""b":9"#), "point 0"),
        (create.replace(r#""mode":"max"}"#, r#""goal":"max"}"#), "goal"),
        (create.replace(r#"["memory"]"#, r#"["rate"]"#), "`rate`"),
    ] {
        let answer = say(&wrong);
        assert!(answer.contains("error") && answer.contains(what), "{answer}");
    }
    assert_eq!(say(create), r#"{"ok":true}"#);
    let ask = say(r#"{"op":"ask"}"#);
    assert_eq!(ask, r#"{"trial":0,"config":{"a":4,"on":true,"b":8},"resource":null,"resumed":false}"#);
    assert!(say(r#"{"op":"tell","trial":0,"value":0.7}"#).contains("further objective"));
    assert!(say(r#"{"op":"tell","trial":0,"more":[1]}"#).contains("come with a value"));
    assert!(say(r#"{"op":"tell","trial":0,"value":1,"more":[1],"constraints":[0],"cost":0}"#).contains("positive"));
    assert_eq!(say(r#"{"op":"pareto"}"#), r#"{"front":[]}"#);
    let tell = r#"{"op":"tell","trial":0,"value":0.7,"more":[9],"constraints":[0.5],"cost":1.5}"#;
    assert_eq!(say(tell), r#"{"ok":true}"#);
    assert!(say(r#"{"op":"best"}"#).contains("meets the constraints"));
    let add = r#"{"op":"add","config":{"a":2,"on":false},"value":2,"more":[3],"constraints":[0]}"#;
    assert_eq!(say(add), r#"{"ok":true}"#);
    assert!(say(&add.replace(r#""on":false"#, r#""on":false,"b":1"#)).contains("`b`"));
    let front = r#"{"front":[{"trial":1,"config":{"a":2,"on":false},"values":[2.0,3.0]}]}"#;
    assert_eq!(say(r#"{"op":"pareto"}"#), front);
    let best: Json = serde_json::from_str(&say(r#"{"op":"best"}"#)).unwrap();
    assert_eq!((best["trial"].as_u64(), best["more"][0].as_f64()), (Some(1), Some(3.0)));
}

#[test]
fn every_default_may_be_left_out_or_null() {
    let space = r#""space":{"x":{"type":"float","lo":0,"hi":1}}"#;
    for fields in [
        "",
        r#","workers":4"#,
        r#","workers":null,"budget":null,"max_resource":null,"searcher":null,"scheduler":null"#,
        r#","mode":"max","kind":"time","noise":"deterministic","value":"mean""#,
    ] {
        let create = format!(r#"{{"op":"create",{space}{fields}}}"#);
        assert_eq!(say(&mut Server::new(), &create), r#"{"ok":true}"#, "{create}");
    }
}

#[test]
fn a_trial_that_was_cut_off_is_told_by_what_it_is_no_better_than() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    assert_eq!(say(CREATE), r#"{"ok":true}"#);
    assert!(say(r#"{"op":"ask"}"#).contains(r#""trial":0"#));
    for (wrong, says) in [
        (r#""at_least":3.2,"value":3.2"#, "not both"),
        (r#""at_least":null,"value":3.2"#, "not both"),
        (r#""at_least":3.2,"failed":"slow""#, "not both"),
        (r#""at_least":null"#, "at_least is null; it must be a finite number"),
        (r#""at_least":"3.2""#, "expected f64"),
        (r#""at_least":1e999"#, "out of range"),
        (r#""at_least":3.2,"cost":-1"#, "the cost is -1"),
    ] {
        let answer = say(&format!(r#"{{"op":"tell","trial":0,{wrong}}}"#));
        assert!(answer.starts_with(r#"{"error":"#) && answer.contains(says), "{wrong}: {answer}");
    }
    assert_eq!(say(r#"{"op":"tell","trial":0,"at_least":3.2,"cost":3.2}"#), r#"{"ok":true}"#);
    assert_eq!(say(r#"{"op":"add","config":{"x":1.0,"n":5,"kind":"b"},"at_least":1}"#), r#"{"ok":true}"#);
    assert!(say(r#"{"op":"best"}"#).contains("only bounds are known"));
    let neither = say(r#"{"op":"add","config":{"x":1.0,"n":5,"kind":"b"}}"#);
    assert!(neither.contains("at_least"), "{neither}");
    assert_eq!(say(r#"{"op":"add","config":{"x":2.0,"n":5,"kind":"b"},"value":7}"#), r#"{"ok":true}"#);
    let best: Json = serde_json::from_str(&say(r#"{"op":"best"}"#)).unwrap();
    assert_eq!((best["trial"].as_u64(), best["value"].as_f64()), (Some(2), Some(7.0)));
}

/// Lines a client might send, and lines that are nearly those.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let known: &[&str] = &[
        CREATE,
        r#"{"op":"create","searcher":"random","space":{"k":{"type":"ordinal","values":[1,2]},"x":{"type":"float","lo":0,"hi":1,"log":false,"step":0.1,"when":{"k":[2]}}},"predicates":["x < 0.9"]}"#,
        r#"{"op":"create","searcher":"sobol","space":{"b":{"type":"bool"}},"objectives":[{"name":"o"}],"constraints":["c"]}"#,
        r#"{"op":"ask"}"#,
        r#"{"op":"ask"}"#,
        r#"{"op":"report","trial":0,"resource":1,"value":0.7}"#,
        r#"{"op":"report","trial":1,"resource":18446744073709551615,"value":null}"#,
        r#"{"op":"tell","trial":0,"value":-1e308}"#,
        r#"{"op":"tell","trial":1,"value":0.5,"more":[1],"constraints":[-1],"cost":2}"#,
        r#"{"op":"tell","trial":0}"#,
        r#"{"op":"tell","trial":2,"failed":"no\n disk"}"#,
        r#"{"op":"add","config":{"x":1.0,"n":5,"kind":"b"},"value":1.3}"#,
        r#"{"op":"add","config":{"b":true},"value":1e-320,"more":[0],"constraints":[0]}"#,
        r#"{"op":"best"}"#,
        r#"{"op":"pareto"}"#,
    ];
    let known: Vec<String> = known.iter().map(|line| (*line).to_owned()).collect();
    let pieces = [
        "",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "-",
        "1",
        "9e999",
        "null",
        "true",
        "\u{0}",
        "é",
        "\n",
        "(",
        "when",
        "18446744073709551616",
    ];
    let mutated =
        (prop::sample::select(known.clone()), any::<[prop::sample::Index; 2]>(), prop::sample::select(pieces.to_vec()))
            .prop_map(|(line, cut, piece)| {
                // A piece in place of a stretch of at most a few characters.
                let marks: Vec<usize> = line.char_indices().map(|(i, _)| i).chain([line.len()]).collect();
                let from = cut[0].index(marks.len());
                let to = (from + cut[1].index(6)).min(marks.len() - 1);
                format!("{}{piece}{}", &line[..marks[from]], &line[marks[to]..])
            });
    let line = prop_oneof![3 => prop::sample::select(known), 3 => mutated, 1 => any::<String>()];
    prop::collection::vec(line, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any line of a client, there is one answer on one line, an object, and the session goes on.
    #[test]
    fn any_line_has_one_answer_and_none_is_fatal(lines in lines()) {
        let mut server = Server::new();
        for line in &lines {
            let answer = say(&mut server, line);
            prop_assert!(!answer.contains('\n'));
            let read: Json = serde_json::from_str(&answer).unwrap();
            prop_assert!(read.as_object().is_some_and(|o| !o.is_empty()), "{} answered with {}", line, answer);
        }
        let after = say(&mut server, r#"{"op":"sing"}"#);
        prop_assert!(after.contains("error"));
    }
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

#[test]
fn a_race_takes_reports_for_replicates_over_the_wire() {
    let mut server = Server::new();
    let create = |value: &str| {
        format!(
            r#"{{"op":"create","searcher":"random","scheduler":"racing","max_resource":9,"kind":"time"{value},
            "space":{{"x":{{"type":"float","lo":0,"hi":1}}}}}}"#
        )
        .replace('\n', "")
    };
    assert!(say(&mut server, &create(r#","value":"last""#)).contains("takes reports as replicates"));
    assert_eq!(say(&mut server, &create("")), r#"{"ok":true}"#);
    for (resource, value, resumed) in [(1, 2.0, "false"), (2, 2.1, "true"), (3, 1.9, "true")] {
        let ask = say(&mut server, r#"{"op":"ask"}"#);
        assert!(ask.contains(&format!(r#""resource":{resource},"resumed":{resumed}"#)), "{ask}");
        let report = format!(r#"{{"op":"report","trial":0,"resource":{resource},"value":{value}}}"#);
        assert_eq!(say(&mut server, &report), r#"{"decision":"pause"}"#);
    }
    say(&mut server, r#"{"op":"ask"}"#);
    assert_eq!(say(&mut server, r#"{"op":"report","trial":1,"resource":1,"value":9.0}"#), r#"{"decision":"stop"}"#);
    assert_eq!(say(&mut server, r#"{"op":"tell","trial":1}"#), r#"{"ok":true}"#);
    let best = say(&mut server, r#"{"op":"best"}"#);
    assert!(best.contains(r#""trial":0"#) && best.contains(r#""value":2.0"#), "{best}");
}

#[test]
fn a_scheduler_pauses_and_resumes_over_the_wire() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let create = r#"{"op":"create","searcher":"random","scheduler":"asha_promotion","max_resource":9,"workers":1,
        "scheduler_options":{"eta":3},"space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
    assert!(say(&create.replace(r#""max_resource":9,"#, "")).contains("needs max_resource"));
    assert!(say(&create.replace(r#""eta":3"#, r#""eta":1"#)).contains("at least 2"));
    assert!(say(&create.replace(r#""eta":3"#, r#""theta":3"#)).contains("theta"));
    assert_eq!(say(create), r#"{"ok":true}"#);
    assert!(say(r#"{"op":"plan"}"#).contains("1.000 to 1, 0.333 to 3, 0.111 to 9"));
    for (trial, value) in [(0, 3), (1, 1), (2, 2)] {
        let ask = say(r#"{"op":"ask"}"#);
        assert!(
            ask.starts_with(&format!(r#"{{"trial":{trial},"#)) && ask.ends_with(r#""resource":1,"resumed":false}"#)
        );
        let report = format!(r#"{{"op":"report","trial":{trial},"resource":1,"value":{value}}}"#);
        assert_eq!(say(&report), r#"{"decision":"pause"}"#);
    }
    // It goes on from its state then; the others are not known yet.
    let ask = say(r#"{"op":"ask"}"#);
    let end = r#""resource":3,"resumed":true,"from":{"trial":1,"resource":1}}"#;
    assert!(ask.starts_with(r#"{"trial":1,"#) && ask.ends_with(end), "{ask}");
    let all = r#"{"checkpoints":[{"trial":0,"resource":1},{"trial":1,"resource":1},{"trial":2,"resource":1}]}"#;
    assert_eq!(say(r#"{"op":"checkpoints"}"#), all);
    assert!(say(r#"{"op":"report","trial":1,"resource":2,"value":0.9,"cost":0}"#).contains("positive"));
    let report = r#"{"op":"report","trial":1,"resource":2,"value":0.9,"cost":7}"#;
    assert_eq!(say(report), r#"{"decision":"continue"}"#);
    assert!(say(r#"{"op":"report","trial":1,"resource":3,"value":0.9,"cost":6.5}"#).contains("6.5 after 7"));
    assert_eq!(say(r#"{"op":"report","trial":1,"resource":9,"value":0.8}"#), r#"{"decision":"stop"}"#);
    assert_eq!(say(r#"{"op":"tell","trial":1}"#), r#"{"ok":true}"#);
    assert_eq!(say(r#"{"op":"checkpoints"}"#), all.replace(r#"{"trial":1,"resource":1},"#, ""));
}

#[test]
fn reports_carry_the_objectives_by_which_mo_asha_promotes() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let create = r#"{"op":"create","searcher":"nsga2","scheduler":"mo_asha","max_resource":3,
        "scheduler_options":{"order":"crowding"},"objectives":[{"name":"size"},{"name":"rate","mode":"max"}],
        "space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
    assert!(say(&create.replace("order", "brackets")).contains("has no option `brackets`; it has eta, grace, order"));
    assert!(say(&create.replace("crowding", "luck")).contains("unknown variant `luck`"));
    assert_eq!(say(create), r#"{"ok":true}"#);
    for (trial, more) in [(0, "[5,5]"), (1, "[4,6]"), (2, "[5,6]")] {
        assert!(say(r#"{"op":"ask"}"#).ends_with(r#""resource":1,"resumed":false}"#));
        let report = format!(r#"{{"op":"report","trial":{trial},"resource":1,"value":1,"more":{more}}}"#);
        assert!(say(&report.replace(&format!(",\"more\":{more}"), "")).contains("compares trials by them"));
        assert!(say(&report.replace(more, "[5]")).contains("1 further objective(s) were told, but the study has 2"));
        assert_eq!(say(&report), r#"{"decision":"pause"}"#);
    }
    // All are equal in the metric; the second beats the others in the other objective.
    assert!(say(r#"{"op":"ask"}"#).starts_with(r#"{"trial":1,"#));
    assert_eq!(say(r#"{"op":"report","trial":1,"resource":3,"value":1,"more":[4,6]}"#), r#"{"decision":"stop"}"#);
    assert_eq!(say(r#"{"op":"tell","trial":1}"#), r#"{"ok":true}"#);
    assert!(say(r#"{"op":"pareto"}"#).contains(r#""values":[1.0,4.0,6.0]"#));
}

#[test]
fn a_copy_says_over_the_wire_where_it_begins_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let create = r#"{"op":"create","searcher":"random","scheduler":"pbt","max_resource":8,
        "scheduler_options":{"members":2,"interval":2},"space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
    let mut server = Server::with_journal(&path).unwrap();
    assert!(say(&mut server, &create.replace(r#""members":2"#, r#""members":1"#)).contains("at least 2"));
    say(&mut server, create);
    for _ in 0..2 {
        assert!(say(&mut server, r#"{"op":"ask"}"#).ends_with(r#""resource":2,"resumed":false}"#));
    }
    let report = |server: &mut Server, trial: u64, resource: u64, value: f64| {
        say(server, &format!(r#"{{"op":"report","trial":{trial},"resource":{resource},"value":{value}}}"#))
    };
    assert!(report(&mut server, 0, 2, 1.0).contains("pause"));
    assert!(report(&mut server, 1, 2, 2.0).contains("stop"));
    say(&mut server, r#"{"op":"tell","trial":1}"#);
    let copy = say(&mut server, r#"{"op":"ask"}"#);
    assert!(copy.ends_with(r#""resource":4,"resumed":false,"from":{"trial":0,"resource":2}}"#), "{copy}");
    assert!(report(&mut server, 2, 2, 0.5).contains("steps increase"));
    drop(server);
    let mut server = Server::with_journal(&path).unwrap();
    say(&mut server, create);
    assert_eq!(say(&mut server, r#"{"op":"checkpoints"}"#), r#"{"checkpoints":[{"trial":0,"resource":2}]}"#);
    assert_eq!(say(&mut server, r#"{"op":"ask"}"#), copy);
}

#[test]
fn a_value_of_null_is_a_failure_also_after_reports() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    assert_eq!(say(CREATE), r#"{"ok":true}"#);
    for (trial, rest) in [(0, ""), (1, r#","failed":"out of memory""#)] {
        assert!(say(r#"{"op":"ask"}"#).contains(&format!(r#""trial":{trial}"#)));
        say(&format!(r#"{{"op":"report","trial":{trial},"resource":1,"value":0.1}}"#));
        let tell = format!(r#"{{"op":"tell","trial":{trial},"value":null{rest}}}"#);
        assert_eq!(say(&tell), r#"{"ok":true}"#);
    }
    assert!(say(r#"{"op":"best"}"#).contains("nothing was measured yet"));
    let added = say(r#"{"op":"add","config":{"x":1.0,"n":5,"kind":"b"},"value":null}"#);
    assert!(added.contains("has a finite value"), "{added}");
    // A cost would be dropped.
    assert!(say(r#"{"op":"ask"}"#).contains(r#""trial":2"#));
    let told = say(r#"{"op":"tell","trial":2,"value":null,"cost":90}"#);
    assert!(told.contains("a failed trial has no cost"), "{told}");
    assert_eq!(say(r#"{"op":"tell","trial":2,"value":null,"more":[],"constraints":[]}"#), r#"{"ok":true}"#);
}

#[test]
fn null_stands_for_a_number_that_is_not_finite_whichever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut server = Server::with_journal(&path).unwrap();
    let mut say = |line: &str| say(&mut server, line);
    let create = r#"{"op":"create","searcher":"random","objectives":[{"name":"size"}],"constraints":["memory"],
        "space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
    assert_eq!(say(create), r#"{"ok":true}"#);
    let cases = [r#""more":[null],"constraints":[1]"#, r#""more":[1],"constraints":[null]"#];
    for (trial, numbers) in cases.into_iter().enumerate() {
        say(r#"{"op":"ask"}"#);
        assert_eq!(say(&format!(r#"{{"op":"tell","trial":{trial},"value":1,{numbers}}}"#)), r#"{"ok":true}"#);
    }
    for (trial, numbers) in (2..).zip(cases) {
        say(r#"{"op":"ask"}"#);
        let report = format!(r#"{{"op":"report","trial":{trial},"resource":1,"value":1,{numbers}}}"#);
        assert_eq!(say(&report), r#"{"decision":"stop"}"#);
        assert_eq!(say(&format!(r#"{{"op":"tell","trial":{trial}}}"#)), r#"{"ok":true}"#);
    }
    for numbers in cases {
        let added = say(&format!(r#"{{"op":"add","config":{{"x":1.0}},"value":1,{numbers}}}"#));
        assert!(added.contains("it must be finite"), "{added}");
    }
    drop(server);
    let experiment = tunekit::Experiment::load(&path).unwrap();
    assert_eq!(experiment.trials().len(), 4);
    for trial in experiment.trials() {
        let failure = trial.failure.as_deref().unwrap_or_default();
        assert!(failure.contains("not a finite number"), "{failure}");
    }
}

#[test]
fn after_a_refused_create_nothing_is_done_to_the_journals_study() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    assert_eq!(say(&mut Server::with_journal(&path).unwrap(), CREATE), r#"{"ok":true}"#);
    let before = std::fs::read_to_string(&path).unwrap();
    let mut server = Server::with_journal(&path).unwrap();
    for other in [
        CREATE.replace(r#""seed":1"#, r#""seed":2"#),
        CREATE.replace(r#""gp""#, r#""gpp""#),
        // These do not read as a request at all.
        CREATE.replace(r#""seed":1"#, r#""sede":1"#),
        CREATE.replace(r#""seed":1"#, r#""seed":NaN"#),
        CREATE.replace(r#""op":"create""#, r#""op" : "create", "#),
        CREATE[..CREATE.len() - 1].to_owned(),
        r#"{"op":"create"}"#.to_owned(),
    ] {
        assert!(say(&mut server, &other).contains("error"));
        let ask = say(&mut server, r#"{"op":"ask"}"#);
        assert!(ask.contains("create was refused"), "{ask}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    let bytes = [br#"{"op":"create","searcher":""#.as_slice(), b"\xff\"}"].concat();
    assert!(server.answer_bytes(&bytes, Duration::ZERO).unwrap().contains("not UTF-8"));
    assert!(say(&mut server, r#"{"op":"ask"}"#).contains("create was refused"));
    assert_eq!(say(&mut server, CREATE), r#"{"ok":true}"#);
    // The study is the session's now, and a wrong line changes nothing.
    assert!(say(&mut server, r#"{"op":"create"}"#).contains("error"));
    assert!(say(&mut server, r#"{"op":"ask"}"#).contains(r#""trial":0"#));
}

#[test]
fn the_same_create_is_answered_again_and_leaves_the_limit_alone() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let space = r#""space":{"x":{"type":"float","lo":0,"hi":1}}"#;
    let create = |rest: &str| format!(r#"{{"op":"create","searcher":"random"{rest},{space}}}"#);
    assert_eq!(say(&create(r#","budget":1"#)), r#"{"ok":true}"#);
    for rest in ["", r#","budget":9"#] {
        assert_eq!(say(&create(rest)), r#"{"ok":true}"#);
    }
    let other = say(&create(r#","seed":2"#));
    assert!(other.contains("another study already: its seed is 0, not 2"), "{other}");
    assert!(say(r#"{"op":"ask"}"#).contains(r#""trial":0"#));
    assert_eq!(say(r#"{"op":"tell","trial":0,"value":1}"#), r#"{"ok":true}"#);
    assert_eq!(say(r#"{"op":"ask"}"#), r#"{"done":true}"#);
}

#[test]
fn the_cost_before_a_trial_goes_on_is_in_the_answer() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let create = r#"{"op":"create","searcher":"random","scheduler":"asha_promotion","max_resource":9,
        "scheduler_options":{"eta":2},"space":{"x":{"type":"float","lo":0,"hi":1}}}"#;
    assert_eq!(say(create), r#"{"ok":true}"#);
    for trial in 0..2 {
        assert!(!say(r#"{"op":"ask"}"#).contains("spent"));
        let report = format!(r#"{{"op":"report","trial":{trial},"resource":1,"value":{trial},"cost":15}}"#);
        assert_eq!(say(&report), r#"{"decision":"pause"}"#);
    }
    let ask = say(r#"{"op":"ask"}"#);
    assert!(ask.ends_with(r#""resumed":true,"from":{"trial":0,"resource":1},"spent":15.0}"#), "{ask}");
}

#[test]
fn an_interval_beyond_all_numbers_is_left_out() {
    let mut server = Server::new();
    let mut say = |line: &str| say(&mut server, line);
    let create = CREATE.replace(r#""gp""#, r#""random""#);
    assert_eq!(say(&create), r#"{"ok":true}"#);
    for value in ["1e308", "-1e308"] {
        let add = format!(r#"{{"op":"add","config":{{"x":1.0,"n":5,"kind":"b"}},"value":{value}}}"#);
        assert_eq!(say(&add), r#"{"ok":true}"#);
    }
    let best: Json = serde_json::from_str(&say(r#"{"op":"best"}"#)).unwrap();
    assert!(best["ci95"].is_null() && best["mean"].as_f64() == Some(0.0), "{best}");
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
    let mut server = Server::new();
    let answer = server.answer_bytes(b"{\"op\":\"\xffask\"}", Duration::ZERO).unwrap();
    assert!(answer.contains("byte 8 of the line is not UTF-8"), "{answer}");
    assert!(server.answer_bytes(CREATE.as_bytes(), Duration::ZERO).unwrap().contains("ok"));
}

/// What, where, and how to mend it.
#[test]
fn a_refusal_says_what_is_wrong_where_and_how_to_mend_it() {
    let mut server = Server::new();
    let mut say = |line: &str| server.answer(line, Duration::ZERO).expect("no journal fails here");
    let create = |rest: &str| {
        format!(r#"{{"op":"create","space":{{"x":{{"type":"float","lo":0,"hi":1}}}},"max_resource":9{rest}}}"#)
    };
    for (rest, says) in [
        (
            r#","scheduler":"asha","scheduler_options":{"quantile":7.0,"drop":9.0}"#,
            "scheduler `asha` has no option `quantile`; it has eta, grace, rungs",
        ),
        (r#","scheduler":"fifo","scheduler_options":{"eta":5}"#, "scheduler `fifo` has no option `eta`; it has none"),
        (r#","scheduler":"asha","scheduler_options":{"eta":1}"#, "eta is 1; it is at least 2"),
        (r#","scheduler":"asha","scheduler_options":{"eta":null}"#, "option `eta` of scheduler `asha` is null"),
        (r#","points_to_evaluate":[{"x":null}]"#, "parameter `x`: a value is true or false, a number or a text"),
    ] {
        let answer = say(&create(rest));
        assert!(answer.contains(says), "{answer}");
    }
    assert_eq!(say(&create("")), r#"{"ok":true}"#);
    say(r#"{"op":"ask"}"#);
    for line in [
        r#"{"op":"tell","trial":0,"value":NaN}"#,
        r#"{"op":"tell","trial":0,"value":-Infinity}"#,
        r#"{"op":"tell","trial":0,"value": nan }"#,
        r#"{"op":"report","trial":0,"resource":1,"value":inf}"#,
    ] {
        let answer = say(line);
        assert!(answer.contains("column") && answer.contains("write null for one that is not finite"), "{answer}");
    }
    assert!(!say(r#"{"op":"tell","trial":0,"value":x}"#).contains("write null"));
    let answer = say(r#"{"op":"add","config":{"x":null},"value":1.0}"#);
    assert!(answer.contains("parameter `x`: a value is true or false, a number or a text"), "{answer}");
}

#[test]
fn a_journal_of_another_scheduler_or_with_a_torn_line_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let create = |scheduler: &str| {
        format!(
            r#"{{"op":"create","space":{{"x":{{"type":"float","lo":0,"hi":1}}}},"max_resource":9,"searcher":"random",
            "scheduler":{scheduler}}}"#
        )
    };
    let mut server = Server::with_journal(&path).unwrap();
    assert_eq!(server.warning(), None);
    server.answer(&create(r#""asha","scheduler_options":{"eta":4}"#), Duration::ZERO).unwrap();
    server.answer(r#"{"op":"ask"}"#, Duration::ZERO).unwrap();
    drop(server);
    let mut server = Server::with_journal(&path).unwrap();
    let other = server.answer(&create(r#""fifo""#), Duration::ZERO).unwrap();
    let says = "its scheduler is asha {\\\"eta\\\":4,\\\"grace\\\":1,\\\"rungs\\\":[]}, not fifo; create that one";
    assert!(other.contains(says), "{other}");
    drop(server);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let server = Server::with_journal(&path).unwrap();
    let warning = server.warning().unwrap();
    assert!(warning.contains("journal.jsonl: the last line had no end") && warning.contains("cut off"), "{warning}");
}
