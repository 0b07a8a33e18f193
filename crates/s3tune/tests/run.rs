//! A run on the embedded S3, from the library's side: its folder, and how it goes on.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use s3lab::NetworkProfile;
use s3tune::cli::Init;
use s3tune::engines::{Engine, Gauge, as_config};
use s3tune::failure::Failure;
use s3tune::lab::{self, EmbeddedS3};
use s3tune::measure::Bench;
use s3tune::results::{Recommended, Summary, Verdict};
use s3tune::run::{Budget, Method, Names, Plan, run};
use s3tune::show::Show;
use serde_json::Value;
use tempfile::TempDir;
use tunekit::study::ValueRule;
use tunekit::tuner::StopHandle;
use tunekit::{Experiment, SearcherKind, Status};

const BYTES: u64 = 1 << 20;

struct Scene {
    embedded: EmbeddedS3,
    bench: Bench,
    folder: TempDir,
    scratch: TempDir,
}

impl Scene {
    async fn new(network: NetworkProfile, wrong_checksum: bool) -> Self {
        let (embedded, mut object) = lab::with_object(network, BYTES).await.unwrap();
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if wrong_checksum {
            object.crc64nvme = object.crc64nvme.map(|crc| crc ^ 1);
        }
        let connection = embedded.connection();
        let bench = Bench::new(connection, object, Engine::s3xfer(), scratch.path().to_owned());
        Self { embedded, bench, folder, scratch }
    }

    /// Behind 10 ms to the first byte: without any, a busy machine's hiccups are all there is to measure.
    async fn near() -> Self {
        Self::new(NetworkProfile::unlimited().with_first_byte(10.0, 0.1).unwrap(), false).await
    }

    fn plan(&self, max_trials: u64) -> Plan {
        Plan {
            out: self.out(),
            space: Engine::s3xfer().space(None, BYTES).unwrap(),
            init: Init::Boto3Defaults,
            method: Method::every(SearcherKind::Random),
            n_downloads: 2,
            max_tuning_time: Duration::from_secs(600),
            max_trials: Some(max_trials),
            cut_off: false,
            budget: Budget::default(),
            seed: 5,
            network: "none".to_owned(),
            names: Names::Ours,
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    async fn run(&self, plan: &Plan) -> Result<Summary, Failure> {
        run(plan, &self.bench, &StopHandle::new(), &Show::new()).await.map(|outcome| outcome.summary)
    }

    fn assert_no_download_left(&self) {
        assert_eq!(fs::read_dir(self.scratch.path()).unwrap().count(), 0);
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_a_folder_that_shows_it() {
    let scene = Scene::near().await;
    let summary = scene.run(&scene.plan(4)).await.unwrap();

    let expected = "best.toml comparison.jsonl journal.jsonl measurements.csv measurements.parquet report.html results.csv \
         results.parquet run.json summary.json";
    assert_eq!(files(&scene.out()).join(" "), expected);
    let report = fs::read_to_string(scene.out().join("report.html")).unwrap();
    assert!(report.contains("No shares are shown: 4 configurations were measured"));
    scene.assert_no_download_left();

    let written: Value = serde_json::from_slice(&fs::read(scene.out().join("summary.json")).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&summary).unwrap(), written);
    assert_eq!((written["schema"].as_u64(), written["metric"].as_str()), (Some(2), Some("download_time")));
    assert_eq!((summary.trials, summary.stopped_by.as_str()), (4, "max_trials"));
    // Four trials of two downloads, and the comparison's.
    assert_eq!(summary.measurements, 4 * 2 + compared(&summary));
    assert_eq!(summary.measurements, scene.bench.ledger().measurements);
    assert_eq!(summary.bytes_moved, summary.measurements * BYTES);
    let improvement = 1.0 - summary.best.mean / summary.baseline.mean;
    assert!((summary.improvement - improvement).abs() < 1e-12);
    let [low, high] = summary.improvement_ci95;
    assert!(low <= improvement && improvement <= high);
    assert_eq!(summary.baseline.config["max_concurrency"], 10);
    assert_eq!(summary.engine_default.config["max_concurrency"], 512);
    let versus = summary.versus_engine_default;
    assert!((versus.improvement - (1.0 - summary.best.mean / summary.engine_default.mean)).abs() < 1e-12);
    assert_eq!((summary.verdict, summary.recommended), (Verdict::of(versus.ci95), summary.verdict.recommended()));

    let csv = fs::read_to_string(scene.out().join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4, "{csv}");
    let csv = fs::read_to_string(scene.out().join("measurements.csv")).unwrap();
    assert!(csv.starts_with("trial,arm,order,at_s,seconds,cut_off,max_concurrency,multipart_chunksize,"), "{csv}");
    assert_eq!(csv.lines().count() as u64, 1 + summary.measurements, "{csv}");
    assert_eq!(csv.matches(",search,").count(), 4 * 2);
    let times: Vec<f64> = csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let recommended = match summary.recommended {
        Recommended::Best => &summary.best,
        Recommended::EngineDefault => &summary.engine_default,
    };
    let best: s3xfer::TransferConfig =
        toml::from_str(&fs::read_to_string(scene.out().join("best.toml")).unwrap()).unwrap();
    assert_eq!(serde_json::json!(best.max_concurrency()), recommended.config["max_concurrency"]);
}

/// Downloads of the comparison. Arms that are one configuration are measured once.
fn compared(summary: &Summary) -> u64 {
    let others = [&summary.baseline.config, &summary.engine_default.config];
    let found = if others.contains(&&summary.best.config) { 0 } else { summary.best.n };
    summary.baseline.n + summary.engine_default.n + found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_default_is_the_first_point_whatever_comes_then() {
    for (init, first) in [(Init::Random, [512, 0]), (Init::Boto3Defaults, [512, 10])] {
        let scene = Scene::near().await;
        scene.run(&Plan { init, ..scene.plan(2) }).await.unwrap();
        let experiment = Experiment::load(scene.out()).unwrap();
        let asked: Vec<i64> =
            experiment.trials().iter().map(|trial| trial.config.int("max_concurrency").unwrap()).collect();
        assert_eq!(asked[0], first[0]);
        assert_eq!(asked[1] == 10, first[1] == 10, "{asked:?}");
    }
    // A model begins with fixed numbers too, one part for each request.
    let scene = Scene::near().await;
    scene.run(&Plan { method: Method::AUTO, ..scene.plan(2) }).await.unwrap();
    let experiment = Experiment::load(scene.out()).unwrap();
    let points = &experiment.header().points_to_evaluate;
    let requests: Vec<i64> = points.iter().map(|point| point.int("max_concurrency").unwrap()).collect();
    assert_eq!(requests, [512, 10, 64, 16, 256]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_better_than_the_default_means_that_the_default_is_recommended() {
    let scene = Scene::near().await;
    // One part at a time is never faster than 32: every configuration of this space is slower.
    let folder = tempfile::tempdir().unwrap();
    let space = folder.path().join("space.toml");
    fs::write(&space, "max_concurrency = { type = 'int', lo = 1, hi = 2 }\nmultipart_threshold = { type = 'int', lo = 1, hi = 2 }\nmultipart_chunksize = { type = 'int', lo = 65536, hi = 65537 }").unwrap();
    let space = Engine::s3xfer().space(space.to_str(), BYTES).unwrap();
    let summary = scene.run(&Plan { space, init: Init::Random, ..scene.plan(2) }).await.unwrap();
    assert_eq!((summary.verdict, summary.recommended), (Verdict::Slower, Recommended::EngineDefault));
    let best: s3xfer::TransferConfig =
        toml::from_str(&fs::read_to_string(scene.out().join("best.toml")).unwrap()).unwrap();
    assert_eq!(best, s3xfer::TransferConfig::default());
    let page = fs::read_to_string(scene.out().join("report.html")).unwrap();
    assert!(page.contains("keep that") && page.contains("Use s3xfer as it is"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_again_measures_nothing_and_a_torn_comparison_goes_on() {
    let scene = Scene::near().await;
    let first = scene.run(&scene.plan(3)).await.unwrap();
    let measured = scene.bench.ledger().measurements;
    let second = scene.run(&scene.plan(3)).await.unwrap();
    assert_eq!(scene.bench.ledger().measurements, measured);
    assert_eq!(first, second);

    // The comparison was cut off in its second round.
    let path = scene.out().join("comparison.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.split_inclusive('\n').take(2 + 4).collect();
    fs::write(&path, kept.concat()).unwrap();
    let third = scene.run(&scene.plan(3)).await.unwrap();
    let again = scene.bench.ledger().measurements - measured;
    assert_eq!(third.measurements, first.measurements);
    assert_eq!(again, compared(&third) - 4);
}

/// The comparison's lines, up to so many whole rounds of it.
fn cut_to_rounds(out: &Path, rounds: usize) {
    let path = out.join("comparison.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let arms: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let lines = 2 + rounds * arms["arms"].as_array().unwrap().len();
    fs::write(&path, text.split_inclusive('\n').take(lines).collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_was_interrupted_recommends_nothing() {
    let scene = Scene::near().await;
    scene.run(&scene.plan(3)).await.unwrap();
    let report = || s3tune::run::report(&scene.out(), Names::Ours).unwrap();
    let page = || fs::read_to_string(scene.out().join("report.html")).unwrap();
    assert!(report().contains("\nconclusion: use ") && page().contains("best.toml"));

    // Two rounds leave intervals, and four at least are to be made. The files are of a comparison before.
    cut_to_rounds(&scene.out(), 2);
    let words = report();
    assert!(words.contains("the comparison is not finished, with ") && !words.contains("conclusion"), "{words}");
    assert!(words.contains("--out ") && words.ends_with("; best.toml is from the comparison before\n"), "{words}");
    let told = page();
    assert!(told.contains("The comparison is not finished") && !told.contains("less time ["), "{told}");
    for file in ["summary.json", "best.toml"] {
        fs::remove_file(scene.out().join(file)).unwrap();
    }
    let words = report();
    assert!(words.contains("is not finished") && !words.contains("best.toml") && !page().contains("best.toml"));
    // The same command goes on, and has a result.
    let outcome = run(&scene.plan(3), &scene.bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    assert!(outcome.words.contains("\nconclusion: use ") && report().contains("\nconclusion: use "));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comparison_stays_within_the_budget_where_the_found_configuration_is_dearer_than_the_defaults() {
    let scene = Scene::near().await;
    // 64 requests a download, where each default makes one.
    let file = scene.folder.path().join("space.toml");
    fs::write(
        &file,
        "max_concurrency = { type = 'int', lo = 16, hi = 64 }\n\
         multipart_threshold = { type = 'ordinal', values = [1] }\n\
         multipart_chunksize = { type = 'ordinal', values = [16384] }",
    )
    .unwrap();
    let space = Engine::s3xfer().space(file.to_str(), BYTES).unwrap();
    let budget = Budget { max_requests: Some(500), ..Budget::default() };
    let plan = Plan { space, init: Init::Random, budget, max_trials: None, ..scene.plan(0) };
    let summary = scene.run(&plan).await.unwrap();
    assert_eq!((summary.stopped_by.as_str(), summary.best.n), ("max_requests", 4));
    let csv = fs::read_to_string(scene.out().join("measurements.csv")).unwrap();
    let cost = |row: &str| if row.contains(",search,") || row.contains(",best,") { 64 } else { 1 };
    let spent: u64 = csv.lines().skip(1).map(cost).sum();
    assert!((4 * 66 + 64..=500).contains(&spent), "{spent} requests: {csv}");

    let budget = Budget { max_requests: Some(300), ..Budget::default() };
    let plan = Plan { out: scene.folder.path().join("other"), budget, ..plan };
    match scene.run(&plan).await {
        Err(Failure::Usage(line)) => assert!(line.contains("--max-requests: the first configuration"), "{line}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_ends_the_search_and_leaves_room_for_the_comparison() {
    let scene = Scene::near().await;
    // Twenty downloads: four rounds of three arms, or of two where one is found that is an arm already, and trials of
    // two.
    let budget = Budget { max_bytes: Some(20 * BYTES), ..Budget::default() };
    let summary = scene.run(&Plan { budget, max_trials: None, ..scene.plan(0) }).await.unwrap();
    assert_eq!((summary.stopped_by.as_str(), summary.trials), ("max_bytes", 5));
    assert!(summary.bytes_moved <= 20 * BYTES && summary.bytes_moved >= 16 * BYTES, "{}", summary.bytes_moved);
    // Never more than that; the search may use the part that two arms leave.
    scene.run(&Plan { budget, max_trials: None, ..scene.plan(0) }).await.unwrap();
    assert!(scene.bench.ledger().measurements <= 20, "{}", scene.bench.ledger().measurements);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hopeless_download_is_cut_off_and_known_by_a_bound() {
    // A part takes 20 ms, and one request at a time takes twenty times as long as all at once.
    let scene = Scene::new(NetworkProfile::unlimited().with_first_byte(20.0, 0.0).unwrap(), false).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("space.toml");
    fs::write(
        &file,
        "max_concurrency = { type = 'ordinal', values = [32, 1] }\n\
         multipart_threshold = { type = 'ordinal', values = [1] }\n\
         multipart_chunksize = { type = 'ordinal', values = [26215] }",
    )
    .unwrap();
    let space = Engine::s3xfer().space(file.to_str(), BYTES).unwrap();
    let summary = scene.run(&Plan { space, init: Init::Random, cut_off: true, ..scene.plan(2) }).await.unwrap();
    let experiment = Experiment::load(scene.out()).unwrap();
    let [fast, slow] = experiment.trials() else { panic!("{:?}", experiment.trials()) };
    assert_eq!((fast.status, slow.status), (Status::Completed, Status::CutOff));
    assert!(slow.measurements.is_empty() && slow.at_least.unwrap() > 1.4 * fast.value(ValueRule::Mean).unwrap());
    assert_eq!(summary.best.config["max_concurrency"], 32);
    // Two downloads of the one, none of the other to its end.
    assert_eq!(summary.measurements, 2 + summary.baseline.n + summary.engine_default.n + summary.best.n);
    let csv = fs::read_to_string(scene.out().join("measurements.csv")).unwrap();
    assert_eq!(csv.matches(",search,").count(), 3);
    assert_eq!(csv.matches(",true,").count(), 1, "{csv}");
    assert!(fs::read_to_string(scene.out().join("report.html")).unwrap().contains("cut off"));
    scene.assert_no_download_left();
}

/// A file with the object's bytes, for programs that only pretend to download.
async fn right(scene: &Scene) -> PathBuf {
    let right = scene.folder.path().join("right");
    let (connection, object) = (&scene.bench.connection, &scene.bench.object);
    Engine::s3xfer().download(connection, object, &tunekit::Config::new(), &right, &Gauge::new()).await.unwrap();
    right
}

/// A bench whose engine is a file with this text, after its parameter `threads`.
async fn of_file(scene: &Scene, text: &str) -> Bench {
    let file = scene.folder.path().join("engine.toml");
    fs::write(&file, format!("{text}\n[space.threads]\ntype = 'int'\nlo = 1\nhi = 64\ndefault = 8\n")).unwrap();
    let mut engine = Engine::parse(file.to_str().unwrap()).unwrap();
    engine.check().await.unwrap();
    let (connection, object) = (scene.bench.connection.clone(), scene.bench.object.clone());
    Bench::new(connection, object, engine, scene.scratch.path().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_a_program_that_tells_its_time_is_no_reason_to_cut_it_off() {
    let scene = Scene::near().await;
    // It takes far longer to start than the download takes by its own word.
    let script = format!("sleep 0.4; cp {} \"$0\"; echo 0.1", right(&scene).await.display());
    let text = format!("name = 'slow to start'\ncommand = ['sh', '-c', '{script}', '{{out}}', '{{threads}}']\n");
    let bench = of_file(&scene, &format!("{text}metric = 'stdout'")).await;
    let space = bench.engine.space(None, BYTES).unwrap();
    let plan = Plan { space, init: Init::Random, cut_off: true, ..scene.plan(3) };
    run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    let experiment = Experiment::load(scene.out()).unwrap();
    let ended: Vec<Status> = experiment.trials().iter().map(|trial| trial.status).collect();
    assert_eq!(ended, [Status::Completed; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_stood_still_in_the_comparison_does_not_fail_the_run() {
    let scene = Scene::near().await;
    scene.run(&scene.plan(3)).await.unwrap();
    // Four rounds were planned, and three times as many are made at most. In the second one a download stood still.
    let path = scene.out().join("comparison.jsonl");
    let lines: Vec<Value> =
        fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept = lines.iter().filter(|line| line["line"] != "download");
    let arms = lines[0]["arms"].as_array().unwrap();
    let has = |arm: usize, role: &str| arms[arm]["roles"].as_array().unwrap().contains(&role.into());
    // The default, unless it is the best one itself.
    let stood_still = (0..arms.len()).filter(|arm| !has(*arm, "best")).max_by_key(|arm| has(*arm, "engine_default"));
    let downloads = (0..12 * arms.len()).map(|at| {
        let (round, arm) = (at / arms.len(), at % arms.len());
        let seconds = if round == 1 && Some(arm) == stood_still { 60_000.0 } else { 60.0 + 0.1 * round as f64 };
        serde_json::json!({"line": "download", "arm": arm, "at_s": 1.0, "seconds": seconds})
    });
    let text: String = kept.cloned().chain(downloads).map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    let measured = scene.bench.ledger().measurements;
    let outcome = run(&scene.plan(3), &scene.bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    assert_eq!(scene.bench.ledger().measurements, measured);
    let summary = outcome.summary;
    assert_eq!((summary.verdict, summary.recommended), (Verdict::NoDifference, Recommended::EngineDefault));
    let [low, high] = summary.improvement_ci95;
    assert!(low.is_finite() && low <= summary.improvement && summary.improvement <= high && high.is_finite());
    let says = "the interval is that of the mean logarithm of the ratios";
    assert!(outcome.words.contains(says), "{}", outcome.words);
    assert!(fs::read_to_string(scene.out().join("report.html")).unwrap().contains(says));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_tells_the_machine_and_the_version_that_measured() {
    let scene = Scene::near().await;
    let version = scene.folder.path().join("version");
    fs::write(&version, "tool 1.2").unwrap();
    let text = format!(
        "name = 'mytool'\ncommand = ['cp', '{}', '{{out}}']\ncheck = ['cat', '{}']\n[env]\nTHREADS = '{{threads}}'",
        right(&scene).await.display(),
        version.display(),
    );
    let bench = of_file(&scene, &text).await;
    let space = bench.engine.space(None, BYTES).unwrap();
    let plan = Plan { space, init: Init::Random, ..scene.plan(1) };
    run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    let page = || {
        s3tune::run::report(&scene.out(), Names::Ours).unwrap();
        fs::read_to_string(scene.out().join("report.html")).unwrap()
    };
    let told = page();
    assert!(told.contains("mytool (tool 1.2)") && told.contains(scene.scratch.path().to_str().unwrap()));
    // Made on another machine than the one that measured.
    let path = scene.out().join("run.json");
    let mut facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    facts["machine"]["cores"] = 77.into();
    fs::write(&path, facts.to_string()).unwrap();
    assert!(page().contains("77 cores"));
    // By an earlier version of this program.
    let known = facts.clone();
    let facts = facts.as_object_mut().unwrap();
    facts.remove("machine");
    facts.remove("engine_version");
    fs::write(&path, serde_json::to_string(facts).unwrap()).unwrap();
    let told = page();
    assert!(told.contains("<th>Machine</th><td>unknown</td>") && !told.contains("tool 1.2"), "{told}");

    // Another version's measurements are another run's; an unknown one's may be the same.
    fs::write(&version, "tool 1.3").unwrap();
    let bench = of_file(&scene, &text).await;
    run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    fs::write(&path, known.to_string()).unwrap();
    match run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await {
        // No flag mends that.
        Err(Failure::Usage(line)) => assert!(
            line.ends_with("its engine's version was \"tool 1.2\" and is \"tool 1.3\" now; choose another folder"),
            "{line}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comparisons_rows_stay_while_a_search_goes_on() {
    let scene = Scene::new(NetworkProfile::unlimited().with_first_byte(20.0, 0.0).unwrap(), false).await;
    let first = scene.run(&scene.plan(3)).await.unwrap();
    let csv = scene.out().join("measurements.csv");
    let rows =
        move || fs::read_to_string(&csv).unwrap().lines().skip(1).filter(|row| !row.contains(",search,")).count();
    assert_eq!(rows() as u64, compared(&first));
    let least = tokio::spawn({
        let rows = rows.clone();
        let mut least = usize::MAX;
        async move {
            loop {
                least = least.min(rows());
                if least < 1 {
                    return least;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    scene.run(&scene.plan(6)).await.unwrap();
    assert!(!least.is_finished(), "the rows were gone");
    least.abort();
    assert!(rows() as u64 >= compared(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_current_during_a_run() {
    let scene = Scene::new(NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap(), false).await;
    let (stop, out) = (StopHandle::new(), scene.out());
    let watcher = tokio::spawn({
        let stop = stop.clone();
        async move {
            let rows = |name: &str| fs::read_to_string(out.join(name)).map_or(0, |text| text.lines().count());
            // Also after the first download of a configuration.
            while rows("results.csv") < 1 + 2 || rows("measurements.csv") < 1 + 4 || rows("measurements.csv") % 2 == 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let words = s3tune::run::report(&out, Names::SyneTune).unwrap();
            stop.stop();
            words
        }
    });
    let ended = run(&scene.plan(100), &scene.bench, &stop, &Show::new()).await;
    assert!(matches!(ended, Err(Failure::Work(line)) if line.contains("interrupted")));
    let words = watcher.await.unwrap();
    let on =
        format!("no comparison yet: the run's command with --out {} continues from there\n", scene.out().display());
    assert!(words.ends_with(&on), "{words}");
    let page = fs::read_to_string(scene.out().join("report.html")).unwrap();
    assert!(page.contains("The comparison is not finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_run_says_which_parameters_matter_by_the_searchs_own_model() {
    for (searcher, surface) in [(SearcherKind::Gp, "model"), (SearcherKind::Random, "forest")] {
        let scene = Scene::near().await;
        // One part at a time takes twenty times as long as all at once, which no noise can hide.
        let file = scene.folder.path().join("space.toml");
        fs::write(
            &file,
            "max_concurrency = { type = 'int', lo = 1, hi = 32, log = true }\n\
             multipart_chunksize = { type = 'int', lo = 26214, hi = 104857, log = true }\n\
             io_chunksize = { type = 'int', lo = 65536, hi = 1048576, log = true }\n\
             multipart_threshold = { type = 'int', lo = 1, hi = 2 }",
        )
        .unwrap();
        let space = Engine::s3xfer().space(file.to_str(), BYTES).unwrap();
        let plan = Plan { space, init: Init::Random, method: Method::every(searcher), ..scene.plan(16) };
        scene.run(&plan).await.unwrap();
        let read = |name: &str| fs::read_to_string(scene.out().join(name)).unwrap();
        let shares = read("importances.csv");
        assert!(shares.starts_with("parameter,with,share,sd,surface,known,configurations\n"), "{shares}");
        // Four parameters and their pairs.
        assert_eq!(shares.lines().count(), 1 + 4 + 6, "{shares}");
        assert!(shares.lines().skip(1).all(|line| line.contains(surface)), "{shares}");
        let curves = read("partial_dependence.csv");
        for name in ["max_concurrency", "multipart_chunksize", "io_chunksize"] {
            // Small whole numbers are fewer than the points of a curve.
            assert!((10..=20).contains(&curves.matches(name).count()), "{curves}");
        }
        assert!(read("report.html").contains("Which parameters matter"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_folder_goes_on_and_another_run_is_refused() {
    let scene = Scene::near().await;
    scene.run(&scene.plan(3)).await.unwrap();
    let first = Experiment::load(scene.out()).unwrap();
    let summary = scene.run(&scene.plan(6)).await.unwrap();
    let second = Experiment::load(scene.out()).unwrap();
    assert_eq!((first.trials().len(), second.trials().len(), summary.trials), (3, 6, 6));
    assert_eq!(first.trials(), &second.trials()[..3]);
    // And nothing new where nothing is left to do.
    scene.run(&scene.plan(6)).await.unwrap();
    assert_eq!(Experiment::load(scene.out()).unwrap().trials().len(), 6);

    type Change = fn(&mut Plan);
    let others: [(&str, Change); 4] = [
        ("seed", |plan| plan.seed = 6),
        ("searcher", |plan| plan.method = Method::every(SearcherKind::Sobol)),
        ("scheduler", |plan| plan.method = Method::named("asha").unwrap()),
        ("downloads", |plan| plan.n_downloads = 1),
    ];
    for (what, change) in others {
        let mut plan = scene.plan(9);
        change(&mut plan);
        match scene.run(&plan).await {
            Err(Failure::Usage(line)) => assert!(line.contains(what) && line.contains("--out"), "{line}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(Experiment::load(scene.out()).unwrap().trials().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_is_refused_before_anything_is_measured() {
    let scene = Scene::near().await;
    let plan = Plan { init: Init::Random, ..scene.plan(2) };
    scene.run(&plan).await.unwrap();
    let measured = scene.bench.ledger().measurements;
    let other = Plan { seed: 6, ..Plan { init: Init::Random, ..scene.plan(2) } };
    assert!(matches!(scene.run(&other).await, Err(Failure::Usage(line)) if line.contains("seed")));
    // Another process, as far as the lock can tell.
    let _held = tunekit::journal::JournalFile::open(scene.out().join("journal.jsonl")).unwrap();
    assert!(matches!(scene.run(&plan).await, Err(Failure::Work(line)) if line.contains("journal.jsonl")));
    assert_eq!(scene.bench.ledger().measurements, measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_process_also_during_the_comparison() {
    let scene = Scene::near().await;
    let plan = |max_trials| Plan { init: Init::Random, ..scene.plan(max_trials) };
    scene.run(&plan(2)).await.unwrap();
    let measured = scene.bench.ledger().measurements;
    // Another process that compares, as far as the lock can tell: it does not hold the journal.
    let other = fs::File::options().read(true).write(true).open(scene.out().join("run.json")).unwrap();
    other.try_lock().unwrap();
    match scene.run(&plan(4)).await {
        Err(Failure::Work(line)) => assert!(line.contains("another process runs in this folder"), "{line}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.bench.ledger().measurements, measured);
    // A report measures nothing.
    s3tune::run::report(&scene.out(), Names::Ours).unwrap();
    other.unlock().unwrap();
    scene.run(&plan(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_keeps_what_it_measured_and_goes_on_from_there() {
    // Slow enough to be stopped in the middle: 100 ms a request.
    let scene = Scene::new(NetworkProfile::unlimited().with_first_byte(100.0, 0.0).unwrap(), false).await;
    let stop = StopHandle::new();
    let stopper = stop.clone();
    let out = scene.out();
    // Stopped once the journal has a finished trial.
    tokio::spawn(async move {
        while Experiment::load(&out).map_or(0, |experiment| experiment.measurements()) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopper.stop();
    });
    match run(&scene.plan(6), &scene.bench, &stop, &Show::new()).await {
        Err(Failure::Work(line)) => assert!(line.contains("interrupted") && line.contains("--out"), "{line}"),
        other => panic!("{other:?}"),
    }
    scene.assert_no_download_left();
    assert!(scene.out().join("results.csv").exists() && !scene.out().join("summary.json").exists());
    let kept = Experiment::load(scene.out()).unwrap();
    let whole = kept.trials().iter().filter(|trial| trial.status == Status::Completed).count();
    assert!(whole >= 1);

    let summary = scene.run(&scene.plan(6)).await.unwrap();
    assert_eq!(summary.trials, 6);
    let after = Experiment::load(scene.out()).unwrap();
    assert_eq!(kept.trials()[..whole], after.trials()[..whole]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_download_opens_connections_of_its_own() {
    let scene = Scene::near().await;
    let config =
        s3xfer::TransferConfig::builder().multipart_threshold(1).multipart_chunksize(BYTES / 8).build().unwrap();
    let mut opened = 0;
    for _ in 0..3 {
        scene.bench.download(&as_config(&config)).await.unwrap();
        let now = scene.embedded.lab().stats().connections_opened;
        // A fast connection may serve several of the eight parts; none is left over from the download before.
        assert!(now > opened, "no new connection for 8 parts");
        opened = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_end_the_run() {
    let scene = Scene::new(NetworkProfile::unlimited(), true).await;
    match scene.run(&scene.plan(4)).await {
        Err(Failure::Work(line)) => assert!(line.contains("CRC64NVME"), "{line}"),
        other => panic!("{other:?}"),
    }
    assert!(!scene.out().join("summary.json").exists());
    scene.assert_no_download_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_search_method_and_both_beginnings_run() {
    for (name, init) in [("bayes-fifo", Init::Random), ("random", Init::Boto3Defaults), ("sobol", Init::Random)] {
        let scene = Scene::near().await;
        let plan = Plan { method: Method::named(name).unwrap(), init, ..scene.plan(3) };
        let summary = scene.run(&plan).await.unwrap();
        assert_eq!(summary.measurements, 3 * 2 + compared(&summary), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_download_the_good_ones_more_often_run() {
    for name in ["bayes_hyperband", "hyperband", "racing", "mobster"] {
        let scene = Scene::near().await;
        let plan = Plan { method: Method::named(name).unwrap(), n_downloads: 3, ..scene.plan(7) };
        let summary = scene.run(&plan).await.unwrap();
        assert_eq!(summary.trials, 7, "{name}");
        // Everything was downloaded once, something three times, and not everything; a race may need all, and its
        // leader more.
        let searched = summary.measurements - compared(&summary);
        assert!(searched >= 7 + 2 && (searched < 7 * 3 || name == "racing"), "{name}: {searched}");
        let journal = fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
        assert!(journal.contains(r#""resumed":true"#), "{name}");
        // A trial that is paused in the end has a row, too.
        let page = fs::read_to_string(scene.out().join("report.html")).unwrap();
        let row = |trial: u64| page.contains(&format!(r#"><td class="number">{trial}</td><td class="number">0."#));
        assert!((0..7).all(row), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_can_be_tuned() {
    let scene = Scene::near().await;
    // It makes the very bytes: its result is checked as ours is.
    let right = scene.folder.path().join("right");
    let connection = &scene.bench.connection;
    Engine::s3xfer()
        .download(connection, &scene.bench.object, &tunekit::Config::new(), &right, &Gauge::new())
        .await
        .unwrap();
    let template = format!("sh -c 'test {{max_concurrency}} -ge 4 && cp \"$0\" \"$1\"' '{}' {{out}}", right.display());
    let bench = Bench::new(
        connection.clone(),
        scene.bench.object.clone(),
        Engine::parse(&template).unwrap(),
        scene.scratch.path().to_owned(),
    );
    let summary = run(&scene.plan(3), &bench, &StopHandle::new(), &Show::new()).await.unwrap().summary;
    assert_eq!((summary.trials, summary.engine), (3, template));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_ends_at_the_default_says_so() {
    let scene = Scene::near().await;
    let plan = Plan { init: Init::Random, ..scene.plan(1) };
    let outcome = run(&plan, &scene.bench, &StopHandle::new(), &Show::nothing()).await.unwrap();
    assert!(outcome.words.contains("\ns3xfer's default is the best that the search found\n"), "{}", outcome.words);
    assert!(!outcome.words.contains("against s3xfer's default"), "{}", outcome.words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_started_in_another_way_is_another_run() {
    let scene = Scene::near().await;
    let right = scene.folder.path().join("right");
    let (connection, object) = (&scene.bench.connection, &scene.bench.object);
    Engine::s3xfer().download(connection, object, &tunekit::Config::new(), &right, &Gauge::new()).await.unwrap();
    let run_with = async |environment: &str, max_trials| {
        let file = scene.folder.path().join("engine.toml");
        let text = format!(
            "name = 'copy'\ncommand = ['cp', '{}', '{{out}}']\n[env]\nTHREADS = '{{threads}}'\n{environment}\n\
             [space.threads]\ntype = 'int'\nlo = 1\nhi = 64\ndefault = 8\n",
            right.display()
        );
        fs::write(&file, text).unwrap();
        let engine = Engine::parse(file.to_str().unwrap()).unwrap();
        let space = engine.space(None, BYTES).unwrap();
        let bench = Bench::new(connection.clone(), object.clone(), engine, scene.scratch.path().to_owned());
        let plan = Plan { space, init: Init::Random, ..scene.plan(max_trials) };
        run(&plan, &bench, &StopHandle::new(), &Show::nothing()).await
    };
    run_with("MODE = 'secret one'", 2).await.unwrap();
    run_with("MODE = 'secret one'", 3).await.unwrap();
    match run_with("MODE = 'secret two'", 4).await {
        Err(Failure::Usage(line)) => assert!(line.contains("environment") && !line.contains("secret"), "{line}"),
        other => panic!("{other:?}"),
    }
    assert!(!fs::read_to_string(scene.out().join("run.json")).unwrap().contains("secret"));
}

/// The cells of the AWS sample's Evaluation.ipynb that read the results, but for `load_experiment` itself: its
/// `results` are the table. Pictures are drawn where matplotlib is there.
const NOTEBOOK: &str = r#"
import sys, pandas as pd
results = pd.read_csv(sys.argv[1])
columns = [name for name in results.columns if name.startswith("config_")]
parameters = {"config_max_concurrency", "config_max_io_queue", "config_io_chunksize", "config_multipart_chunksize"}
assert parameters <= set(columns), columns
shown = results[["trial_id", "st_tuner_time", "avg_download_time"] + columns].sort_values("trial_id")
assert shown["trial_id"].tolist() == sorted(shown["trial_id"]) and len(shown) == int(sys.argv[2]), shown
best = results.sort_values("avg_download_time").head(10)
assert best["avg_download_time"].is_monotonic_increasing and (best["avg_download_time"] > 0).all()
assert shown["st_tuner_time"].is_monotonic_increasing
try:
    import matplotlib, scipy
    matplotlib.use("Agg")
    pd.plotting.scatter_matrix(results[["avg_download_time"] + columns], diagonal="kde")
except ImportError:
    pass
"#;

#[tokio::test(flavor = "multi_thread")]
async fn cells_of_the_samples_notebook_run_on_tables_in_syne_tunes_names() {
    let scene = Scene::near().await;
    scene.run(&Plan { names: Names::SyneTune, ..scene.plan(4) }).await.unwrap();
    let results = scene.out().join("results.csv");
    let header = fs::read_to_string(&results).unwrap();
    for column in ["trial_id", "st_tuner_time", "avg_download_time", "config_max_concurrency"] {
        assert!(header.lines().next().unwrap().split(',').any(|name| name == column), "{header}");
    }
    // A report leaves them as they are.
    s3tune::run::report(&scene.out(), Names::Ours).unwrap();
    assert_eq!(fs::read_to_string(&results).unwrap(), header);
    let python = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", program]).args(arguments).output().ok()
    };
    if !python("import pandas", &[]).is_some_and(|output| output.status.success()) {
        eprintln!("skipped: python3 with pandas is not on this machine");
        return;
    }
    let output = python(NOTEBOOK, &[results.to_str().unwrap(), "4"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
