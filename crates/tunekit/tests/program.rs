//! `tunekit run` and its sisters over real programs: how they behave, and how they misbehave.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tunekit::journal::JournalFile;
use tunekit::study::ValueRule;
use tunekit::{Experiment, Status, Study};

const DEADLINE: Duration = Duration::from_secs(120);

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    /// A study of a shell script; `more` are further lines before the space.
    fn new(script: &str, more: &str, stop: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.sh"), script).unwrap();
        let study = format!(
            "command = [\"sh\", \"p.sh\"]\nmetric = \"loss\"\nsearcher = \"random\"\ngrace_s = 0.3\n{more}\n\
             [space]\nx = {{ type = \"float\", lo = 0, hi = 1 }}\n[stop]\n{stop}\n"
        );
        std::fs::write(folder.path().join("s.toml"), study).unwrap();
        Self { folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunekit"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn say(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn run(&self) -> Output {
        self.say(&["run", "s.toml", "--out", "out"])
    }

    fn start(&self) -> Child {
        let mut command = self.command(&["run", "s.toml", "--out", "out"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn experiment(&self) -> Experiment {
        Experiment::load(self.out()).unwrap()
    }

    /// Waits until something is so.
    fn until(&self, what: &str, is_so: impl Fn(&Path) -> bool) {
        let began = Instant::now();
        while !is_so(&self.out()) {
            assert!(began.elapsed() < DEADLINE, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn last_line(output: &Output) -> String {
    text(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

#[test]
fn a_program_that_fails_is_a_failed_trial_with_its_last_words() {
    for (script, more, says) in [
        ("echo boom >&2; exit 3", "", "`sh` ended with exit code 3: boom"),
        ("kill -9 $$", "", "was ended by signal 9"),
        ("sleep 60", "timeout_s = 0.2", "timed out after 0.2 s"),
        ("trap '' TERM; sleep 60; sleep 60", "timeout_s = 0.2", "timed out"),
        ("echo hello", "", "ended without a report of `loss`"),
        ("echo '[tune-metric]: garbage'", "", "its last report cannot be used: it does not read as JSON"),
        ("echo '[tune-metric]: {\"loss\": NaN}'", "", "not a finite number"),
        ("head -c 300000 /dev/urandom; echo; echo '{\"los\": 1}'", "", "without a report"),
    ] {
        let case = Case::new(script, more, "max_trials = 1");
        let output = case.run();
        assert_eq!(output.status.code(), Some(1), "{script}: {}", text(&output.stderr));
        let experiment = case.experiment();
        let trial = &experiment.trials()[0];
        let failure = trial.failure.clone().unwrap_or_default();
        let status = if more.is_empty() { Status::Failed } else { Status::TimedOut };
        assert!(trial.status == status && failure.contains(says), "{script}: {failure}");
        assert!(!failure.contains('\n'));
    }
}

#[test]
fn replicates_with_constraints_all_count() {
    let script = r#"for i in 1 2 3; do echo "{\"loss\": $i, \"memory\": -$i}"; done"#;
    let case = Case::new(script, "value = \"mean\"\nconstraints = [\"memory\"]", "max_trials = 1");
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = case.experiment();
    let (trial, rule) = (&experiment.trials()[0], experiment.header().metric.value);
    assert_eq!((trial.samples(rule), trial.constraints(rule)), (vec![1.0, 2.0, 3.0], vec![-2.0]));
}

#[test]
fn the_cost_of_replicates_is_that_of_all_runs_also_where_later_ones_cost_less() {
    let script = r#"
        n=$(cat n 2>/dev/null || echo 4); echo $((n - 1)) > n
        echo "{\"loss\": 1, \"c\": $n}"
    "#;
    let more = "value = \"mean\"\ncost = \"c\"\nscheduler = \"asha\"\nmax_resource = 3";
    let case = Case::new(script, more, "max_trials = 1");
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = case.experiment();
    let trial = &experiment.trials()[0];
    let costs: Vec<Option<f64>> = trial.measurements.iter().map(|m| m.cost).collect();
    assert_eq!((costs, trial.failure.as_deref()), (vec![Some(4.0), Some(7.0), Some(9.0)], None));
}

#[test]
fn objects_and_the_number_of_a_program_come_in_any_order() {
    for script in [
        "echo 1.5; echo '{\"size\": 3}'",
        "echo '{\"size\": 3}'; echo 1.5",
        "echo 7; echo '{\"note\": 1}'; echo '{\"size\": 3}'; echo 1.5; echo '{\"note\": 2}'",
    ] {
        for (metric, low, high) in [("stdout", 1.5, 1.5), ("wall", 0.0, 60.0)] {
            let case = Case::new(script, "objectives = [{ name = \"size\" }]", "max_trials = 1");
            let path = case.folder.path().join("s.toml");
            let study = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, study.replace("\"loss\"", &format!("\"{metric}\""))).unwrap();
            let output = case.run();
            assert!(output.status.success(), "{script}: {}", text(&output.stderr));
            let experiment = case.experiment();
            let trial = &experiment.trials()[0];
            assert_eq!(trial.more(ValueRule::Last), [3.0], "{script}");
            assert!((low..=high).contains(&trial.told.unwrap()), "{script}: {:?}", trial.told);
        }
    }
}

#[test]
fn a_program_is_told_its_parameters_in_each_way() {
    let arguments = "echo \"{\\\"loss\\\": $2}\"; [ \"$1\" = --x ]";
    let environment = "echo \"{\\\"loss\\\": $x}\"";
    let json = "sed 's/\"x\"/\"loss\"/' \"$TUNEKIT_CONFIG\"";
    for (script, more) in [(arguments, ""), (environment, "pass = \"environment\""), (json, "pass = \"json\"")] {
        let case = Case::new(script, more, "max_trials = 4");
        let output = case.run();
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
        for trial in case.experiment().trials() {
            let reported = trial.measurements.last().map(|m| m.value);
            assert_eq!(reported, trial.config.float("x"), "{script}");
        }
    }
}

#[test]
fn the_time_or_a_plain_number_can_be_the_metric() {
    let case = Case::new("sleep 0.2; echo 1.5", "", "max_trials = 1");
    let study = std::fs::read_to_string(case.folder.path().join("s.toml")).unwrap();
    for (metric, low, high) in [("wall", 0.2, 60.0), ("stdout", 1.5, 1.5)] {
        let _ = std::fs::remove_dir_all(case.out());
        std::fs::write(case.folder.path().join("s.toml"), study.replace("\"loss\"", &format!("\"{metric}\""))).unwrap();
        assert!(case.run().status.success());
        let told = case.experiment().trials()[0].told.unwrap();
        assert!((low..=high).contains(&told), "{metric}: {told}");
    }
}

#[test]
fn each_worker_has_a_device_of_its_own() {
    let script = "mkdir $HOME_OF_LOCKS/$CUDA_VISIBLE_DEVICES || exit 1; sleep 0.05; \
                  rmdir $HOME_OF_LOCKS/$CUDA_VISIBLE_DEVICES; echo '{\"loss\": 1}'";
    let case = Case::new(script, "workers = 3\ndevices = [\"4\", \"5\", \"6\"]", "max_trials = 12");
    let locks = case.folder.path().join("locks");
    std::fs::create_dir(&locks).unwrap();
    let output = case.command(&["run", "s.toml", "--out", "out"]).env("HOME_OF_LOCKS", &locks).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(case.experiment().measurements(), 12);
    let few = case.say(&["run", "s.toml", "--out", "other", "--workers", "4"]);
    assert!(few.status.code() == Some(2) && last_line(&few).contains("name one for each worker"), "{few:?}");
}

#[test]
fn a_run_that_failed_is_tried_again_as_often_as_its_kind_may_be() {
    // Fails the first time, and reports its first step again the second time.
    let script =
        "echo '{\"loss\": 3, \"n\": 1}'; if [ ! -e was ]; then touch was; exit 1; fi; echo '{\"loss\": 2, \"n\": 2}'";
    let case = Case::new(script, "resource = \"n\"\nretry = { failed = 1 }", "max_trials = 1");
    assert!(case.run().status.success());
    let experiment = case.experiment();
    let values: Vec<f64> = experiment.trials()[0].measurements.iter().map(|m| m.value).collect();
    assert_eq!(values, [3.0, 2.0]);
}

#[test]
fn failures_in_a_row_end_a_study_with_the_reason() {
    let case = Case::new("echo no disk >&2; exit 7", "max_failures = 3", "max_trials = 50");
    let output = case.run();
    assert_eq!(output.status.code(), Some(1));
    let line = last_line(&output);
    assert!(line.contains("3 trials failed in a row") && line.contains("no disk"), "{line}");
    assert_eq!(case.experiment().trials().len(), 3);
    let page = std::fs::read_to_string(case.out().join("report.html")).unwrap();
    assert!(page.contains("<h1>Nothing was measured yet</h1>"));
}

#[test]
fn a_study_without_an_allowed_trial_says_so() {
    let case = Case::new("echo '{\"loss\": 1, \"memory\": 2}'", "constraints = [\"memory\"]", "max_trials = 3");
    let says = "nothing that meets the constraints was measured yet";
    for output in [case.run(), case.say(&["best", "out"])] {
        assert_eq!(output.status.code(), Some(1));
        assert!(last_line(&output).contains(says), "{}", last_line(&output));
    }
    assert!(text(&case.say(&["status", "out"]).stdout).contains(says));
    let page = std::fs::read_to_string(case.out().join("report.html")).unwrap();
    assert!(page.contains("<h1>Nothing that meets the constraints was measured yet</h1>"));
}

#[test]
fn a_comparison_shows_small_values_and_names_studies_without_one() {
    let case = Case::new("echo '{\"loss\": 0.0000012345678}'", "", "max_trials = 1");
    assert!(case.run().status.success());
    std::fs::write(case.folder.path().join("p.sh"), "exit 1").unwrap();
    assert_eq!(case.say(&["run", "s.toml", "--out", "none"]).status.code(), Some(1));
    let said = text(&case.say(&["compare", "out", "none"]).stdout);
    assert_eq!(said.matches("1.23457e-6").count(), 2, "{said}");
    assert!(said.contains("left out of the means below: none, where nothing was measured yet"), "{said}");
}

#[test]
fn a_study_ends_at_exactly_its_limit() {
    let script = "for n in 1 2 3 4 5; do echo \"{\\\"loss\\\": $n}\"; sleep 0.02; done";
    for (stop, measurements, why) in [
        ("max_measurements = 7", Some(7), "max_measurements"),
        ("max_trials = 90\ntarget = 0.5\nplateau = 3", None, "plateau"),
        ("max_trials = 90\ntarget = 3.0", None, "target"),
        ("max_wall_time_s = 0.5", None, "max_tuning_time"),
        ("max_cost = 0.2", None, "max_cost"),
    ] {
        let case = Case::new(script, "workers = 2", stop);
        let output = case.run();
        // Without a trial that ended there is no best, which is the last line's business.
        let said = text(&output.stderr);
        assert!(said.contains(&format!("ended by {why}:")), "{stop}: {said}");
        let experiment = case.experiment();
        let all: usize = experiment.trials().iter().map(|trial| trial.measurements.len()).sum();
        if let Some(measurements) = measurements {
            assert!(all <= measurements, "{all}");
        }
    }
}

#[test]
fn a_study_that_has_nothing_to_gain_ends_at_the_noise_floor() {
    let script = "echo \"{\\\"loss\\\": 1.$((TUNEKIT_TRIAL * 7919 % 97 + 100))}\"";
    let case = Case::new(script, "workers = 2", "max_trials = 70\nnoise_floor = 1.0");
    let output = case.run();
    assert!(text(&output.stderr).contains("ended by noise_floor:"), "{}", text(&output.stderr));
    let journal = std::fs::read_to_string(case.out().join("journal.jsonl")).unwrap();
    let floor = journal.lines().rfind(|line| line.contains("\"floor\"")).unwrap();
    assert!(floor.contains("\"factor\":1.0"), "{floor}");
    let verified = case.say(&["replay", "out", "--verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));

    let case = Case::new(script, "noise = \"deterministic\"", "max_trials = 70\nnoise_floor = 1.0");
    let output = case.run();
    assert_eq!(output.status.code(), Some(2));
    assert!(last_line(&output).contains("`loss` is deterministic and has no noise"), "{}", last_line(&output));
    assert!(!case.out().exists());
}

#[test]
fn ctrl_c_ends_the_programs_keeps_what_was_measured_and_the_same_command_goes_on() {
    let script = "echo $$ > pid; echo '{\"loss\": 1}'; [ -e enough ] || sleep 60";
    let case = Case::new(script, "", "max_trials = 3");
    let mut run = case.start();
    case.until("a report", |out| Experiment::load(out).is_ok_and(|e| e.measurements() > 0));
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let pid = std::fs::read_to_string(case.folder.path().join("pid")).unwrap();
    assert!(!is_alive(&pid), "{pid}");
    assert!(std::fs::read_to_string(case.out().join("report.html")).unwrap().contains("<svg"));
    assert_eq!(case.experiment().trials()[0].status, Status::Interrupted);
    std::fs::write(case.folder.path().join("enough"), "").unwrap();
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!((case.experiment().trials().len(), case.experiment().measurements()), (3, 3));
}

#[test]
fn a_second_tuner_is_refused_and_a_reader_is_not() {
    let case = Case::new("echo '{\"loss\": 1}'; sleep 60", "", "max_trials = 3");
    let mut run = case.start();
    case.until("a report", |out| Experiment::load(out).is_ok_and(|e| e.measurements() > 0));
    let second = case.run();
    assert_eq!(second.status.code(), Some(2));
    assert!(last_line(&second).contains("in use by another tunekit"), "{}", last_line(&second));
    let status = case.say(&["status", "out"]);
    assert!(text(&status.stdout).contains("out: running"), "{}", text(&status.stdout));
    Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(1));
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    let case = Case::new("echo '{\"loss\": 1}'", "", "max_trials = 1");
    assert!(case.run().status.success());
    std::fs::write(case.folder.path().join("other.toml"), {
        let study = std::fs::read_to_string(case.folder.path().join("s.toml")).unwrap();
        study.replace("hi = 1", "hi = 2")
    })
    .unwrap();
    std::fs::create_dir(case.folder.path().join("empty")).unwrap();
    for (words, says) in [
        (["run", "none.toml", "--out", "a"].as_slice(), "none.toml"),
        (&["run", "other.toml", "--out", "out"], "another study"),
        (&["run", "p.sh", "--out", "a"], "p.sh"),
        (&["run", "s.toml", "--out", "a", "--workers", "0"], "at least 1"),
        (&["resume", "out", "--workers", "10001"], "at most 10000"),
        (
            &["worker", "s.toml", "--connect", "127.0.0.1:1", "--token-file", "t", "--out", "a", "--workers", "0"],
            "at least 1",
        ),
        (&["run", "s.toml"], "--out <OUT>"),
        (&["run", "s.toml", "--oot", "a"], "--oot"),
        (&["runn"], "did you mean run?"),
        (&["serve", "--listen", "nowhere"], "nowhere"),
        (&["resume", "empty"], "holds no study"),
        (&["best", "empty"], "holds no study"),
        (&["export", "empty", "--format", "csv"], "holds no study"),
        (&["replay", "empty", "--verify"], "holds no study"),
    ] {
        let output = case.say(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
        let error = text(&output.stderr);
        assert!(error.lines().count() == 1 && error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn a_journal_that_cannot_be_opened_is_work_that_failed() {
    let case = Case::new("", "", "max_trials = 1");
    std::fs::write(case.folder.path().join("text"), "no journal\n").unwrap();
    for (journal, code) in [("none/journal.jsonl", 1), (".", 1), ("text", 2)] {
        let output = case.say(&["serve", "--journal", journal]);
        assert_eq!(output.status.code(), Some(code), "{journal}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1);
    }
}

#[test]
fn a_trial_without_a_value_has_failed_in_syne_tunes_words() {
    let script = r#"
        echo '{"loss": 1}'
        [ "$TUNEKIT_TRIAL" = 0 ] && sleep 60
        [ "$TUNEKIT_TRIAL" = 1 ] && echo '[tune-metric]: {"infeasible": "does not fit"}'
        [ "$TUNEKIT_TRIAL" = 2 ] && exit 1
        exit 0
    "#;
    let case = Case::new(script, "timeout_s = 0.5", "max_trials = 4");
    assert!(case.run().status.success());
    let table = case.experiment().syne_tune_table();
    let Some(tunekit::results::Cells::Text(words)) = table.column("st_status") else { panic!("{table:?}") };
    let words: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    assert_eq!(words, ["Failed", "Failed", "Failed", "Completed"]);
}

#[test]
fn best_tables_page_and_exports_are_of_one_study() {
    let script = "echo \"{\\\"loss\\\": $2}\"";
    let case = Case::new(script, "", "max_trials = 12");
    assert!(case.run().status.success());
    let best: Json = serde_json::from_slice(&case.say(&["best", "out"]).stdout).unwrap();
    let served = format!("{}\n", r#"{"op":"best"}"#);
    let mut serve = case.command(&["serve", "--journal", "out/journal.jsonl"]);
    let mut serve = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut serve.stdin.take().unwrap(), served.as_bytes()).unwrap();
    let answer: Json = serde_json::from_slice(&serve.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(best, answer);
    for name in ["results.csv", "measurements.csv"] {
        assert_eq!(std::fs::read_to_string(case.out().join(name)).unwrap().lines().count(), 13, "{name}");
    }
    assert!(std::fs::read_to_string(case.out().join("report.html")).unwrap().contains("<svg"));
    let csv = case.say(&["export", "out", "--format", "csv"]);
    assert_eq!(csv.stdout, std::fs::read(case.out().join("results.csv")).unwrap());
    let syne = case.say(&["export", "out", "--format", "csv", "--table", "syne-tune"]);
    assert!(text(&syne.stdout).starts_with("trial_id,st_worker_iter,loss,st_tuner_time,st_status,config_x\n"));
    assert_eq!(&case.say(&["export", "out", "--format", "parquet"]).stdout[..4], b"PAR1");
    let json: Json = serde_json::from_slice(&case.say(&["export", "out", "--format", "json"]).stdout).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(12));
    let optuna = text(&case.say(&["export", "out", "--format", "optuna-journal"]).stdout);
    assert_eq!(optuna.lines().filter(|line| serde_json::from_str::<Json>(line).is_ok()).count(), 13);
}

#[test]
fn no_kill_of_the_tuner_loses_a_study_or_counts_a_trial_twice() {
    let script = "echo $$ >> pids; echo \"{\\\"loss\\\": $2, \\\"n\\\": 1}\"; sleep 0.02; \
                  echo \"{\\\"loss\\\": $2, \\\"n\\\": 2}\"; sleep 0.02; echo \"{\\\"loss\\\": $2, \\\"n\\\": 3}\"";
    let more = "resource = \"n\"\nmax_resource = 3\nscheduler = \"asha\"\nworkers = 2";
    let case = Case::new(script, more, "max_trials = 40");
    let mut told: Vec<(u64, Vec<f64>)> = Vec::new();
    for kill in 0..12_u64 {
        let mut run = case.start();
        std::thread::sleep(Duration::from_millis(60 + 37 * (kill * 7 % 11)));
        let _ = run.kill();
        run.wait().unwrap();
        let Ok(contents) = JournalFile::read(case.out().join("journal.jsonl")) else { continue };
        let Ok(experiment) = Experiment::from_events(contents.events) else { continue };
        // Acknowledged trials stay.
        for (trial, values) in &told {
            let now: Vec<f64> = experiment.trials()[*trial as usize].measurements.iter().map(|m| m.value).collect();
            assert_eq!(now, *values, "trial {trial}");
        }
        let ended = experiment.trials().iter().filter(|trial| trial.is_finished());
        told = ended.map(|t| (t.id.0, t.measurements.iter().map(|m| m.value).collect())).collect();
    }
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = case.experiment();
    assert_eq!(experiment.trials().len(), 40);
    for trial in experiment.trials() {
        let steps: Vec<u64> = trial.measurements.iter().map(|m| m.step).collect();
        assert!(trial.is_finished() && (1..=3).contains(&steps.len()), "{trial:?}");
        assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    }
    let events = JournalFile::read(case.out().join("journal.jsonl")).unwrap().events;
    assert!(Study::verify(events, Some(40)).unwrap() > 40);
    let verified = case.say(&["replay", "out", "--verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    // Nothing runs on that a killed tuner had started.
    let pids = std::fs::read_to_string(case.folder.path().join("pids")).unwrap();
    for pid in pids.lines() {
        let began = Instant::now();
        while std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains("p.sh")) && is_alive(pid)
        {
            assert!(began.elapsed() < DEADLINE);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_measured_is_a_result_and_not_a_failure() {
    let script = r#"
        case "$TUNEKIT_TRIAL" in
            1|2) echo '[tune-metric]: {"infeasible": "does not fit"}'; sleep 60;;
            *) echo '{"loss": 1}';;
        esac
    "#;
    // Two failures in a row would end it, and would be tried again.
    let case =
        Case::new(script, "max_failures = 2\nretry = { failed = 3, timed_out = 3, killed = 3 }", "max_trials = 5");
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = case.experiment();
    let statuses: Vec<Status> = experiment.trials().iter().map(|trial| trial.status).collect();
    let good = Status::Completed;
    assert_eq!(statuses, [good, Status::Infeasible, Status::Infeasible, good, good]);
    assert_eq!(experiment.trials()[1].failure.as_deref(), Some("does not fit"));
    let events = JournalFile::read(case.out().join("journal.jsonl")).unwrap().events;
    assert!(Study::verify(events, Some(5)).is_ok());
}

#[test]
fn a_study_of_several_objectives_promotes_by_all_that_its_programs_report() {
    let script = r#"
        for n in 1 2 3; do echo "{\"loss\": $n, \"n\": $n, \"size\": $TUNEKIT_TRIAL}"; done
    "#;
    let more = "resource = \"n\"\nmax_resource = 3\nscheduler = \"mo_asha\"\n\
                scheduler_options = { order = \"crowding\" }\nobjectives = [{ name = \"size\", mode = \"max\" }]";
    let case = Case::new(script, more, "max_trials = 6");
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let events = JournalFile::read(case.out().join("journal.jsonl")).unwrap().events;
    assert!(Study::verify(events, Some(6)).is_ok());
    // All are equal in the loss; the last of three is the largest, and the last of six.
    let experiment = case.experiment();
    let promoted = experiment.trials().iter().filter(|trial| trial.status == Status::Stopped);
    assert_eq!(promoted.map(|trial| trial.id.0).collect::<Vec<_>>(), [2, 5]);
    let sizes = std::fs::read_to_string(case.out().join("results.csv")).unwrap();
    assert!(sizes.lines().next().is_some_and(|line| line.contains("objective_size")));

    // A program that does not report it is told so.
    let case = Case::new("echo '{\"loss\": 1, \"n\": 1}'", more, "max_trials = 1");
    let _ = case.run();
    let reason = case.experiment().trials()[0].failure.clone().unwrap();
    assert!(reason.contains("has no further objectives"), "{reason}");
}

#[test]
fn a_race_keeps_every_replicate_of_a_program_with_a_constraint() {
    // Every second measurement of a trial is larger.
    let script = r#"echo "{\"loss\": $TUNEKIT_RESOURCE, \"memory\": -$TUNEKIT_RESOURCE}""#;
    let more = "scheduler = \"racing\"\nscheduler_options = { replicates = 2 }\nmax_resource = 2\n\
                constraints = [\"memory\"]";
    let case = Case::new(script, more, "max_trials = 4");
    let output = case.run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = case.experiment();
    let twice: Vec<_> = experiment.trials().iter().filter(|trial| trial.measurements.len() == 2).collect();
    assert!(!twice.is_empty());
    for trial in twice {
        assert_eq!((trial.value(ValueRule::Mean), trial.constraints(ValueRule::Mean)), (Some(1.5), vec![-1.5]));
    }
    let events = JournalFile::read(case.out().join("journal.jsonl")).unwrap().events;
    assert!(Study::verify(events, Some(4)).is_ok());
}

#[test]
fn limits_that_belong_together_end_a_study_together() {
    let case = Case::new("echo '{\"loss\": 1}'", "", "max_trials = 50\nall = [{ plateau = 2, max_trials = 9 }]");
    let output = case.run();
    assert!(last_line(&output).contains("all_of_several"), "{}", text(&output.stderr));
    assert_eq!(case.experiment().trials().len(), 9);
    // Nothing else happens when the time has come.
    let case = Case::new("sleep 60", "", "max_trials = 50\nall = [{ max_wall_time_s = 0.5, max_measurements = 0 }]");
    let began = Instant::now();
    let output = case.run();
    assert!(text(&output.stderr).contains("all_of_several"), "{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn optunas_file_grows_with_the_study_and_goes_on_after_a_kill() {
    let script = r#"echo '{"loss": 1}'; sleep 0.05; echo '{"loss": 2}'"#;
    let case = Case::new(script, "optuna = true", "max_trials = 12");
    let mut run = case.start();
    case.until("trials end", |out| {
        std::fs::read_to_string(out.join("optuna.log")).is_ok_and(|log| log.matches("\"op_code\":6").count() >= 3)
    });
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(case.run().status.success());
    let log = std::fs::read_to_string(case.out().join("optuna.log")).unwrap();
    let lines: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |op: u64| lines.iter().filter(|line| line["op_code"] == op).count();
    assert_eq!((count(0), count(4), count(6)), (1, 12, 12), "{log}");
    assert!(count(7) >= 24);
}

#[test]
fn a_program_may_do_with_its_checkpoint_as_it_likes() {
    let report = r#"echo "{\"loss\": $2, \"n\": $TUNEKIT_RESOURCE}""#;
    for script in [
        // It saves when it is asked to end, after the pause has taken its folder away.
        r#"trap 'mkdir -p "$TUNEKIT_CHECKPOINT"; echo > "$TUNEKIT_CHECKPOINT/s"; exit' TERM; REPORT; sleep 60 & wait"#,
        r#"rm -rf "$TUNEKIT_CHECKPOINT"; REPORT"#,
        r#"mkfifo "$TUNEKIT_CHECKPOINT/fifo$TUNEKIT_RESOURCE"; REPORT"#,
    ] {
        let more = "resource = \"n\"\nscheduler = \"asha_promotion\"\n\
                    scheduler_options = { eta = 2 }\nmax_resource = 3";
        let script = script.replace("REPORT", report);
        let case = Case::new(&script, more, "max_trials = 8");
        let output = case.run();
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
        let experiment = case.experiment();
        assert!(experiment.trials().iter().all(|trial| trial.failure.is_none()), "{script}");
        assert!(experiment.trials().iter().any(|trial| trial.resumed), "{script}");
    }
}

#[test]
fn a_program_that_counts_from_zero_is_told_how_to_count() {
    let case = Case::new("echo '{\"loss\": 1, \"epoch\": 0}'", "resource = \"epoch\"", "max_trials = 1");
    let output = case.run();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let failure = case.experiment().trials()[0].failure.clone().unwrap();
    assert!(failure.contains("`epoch` is 0, and steps count from 1"), "{failure}");
}
