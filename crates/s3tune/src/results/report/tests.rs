//! The page as a whole, from invented but plausible data.

use super::*;

/// A run as it looks in life: some trials stopped early, one failed, parameters of every kind.
fn run() -> ReportInput {
    let mib = 1024.0 * 1024.0;
    let mut state = 7_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut clock = 0.0;
    let trials: Vec<TrialRow> = (0..34)
        .map(|number| {
            let late = f64::from(number) / 34.0;
            let concurrency = (2.0 * (2.0 + 6.0 * uniform() * (1.0 - 0.4 * late) + 2.0 * late).exp2() / 4.0).round();
            let chunk = ((2.0 + 3.5 * uniform()).exp2().round()) * mib;
            let threads = uniform() > 0.15;
            let parallel = if threads { concurrency } else { 1.0 };
            let value = 4.4 + 30.0 / parallel.min(70.0) + 0.02 * (chunk / mib - 12.0).abs() + 0.4 * uniform();
            let outcome = match number {
                9 => Outcome::Failed("download failed: 503 SlowDown <after 5 attempts>".to_owned()),
                _ if value > 9.0 && number % 2 == 0 => Outcome::Stopped(value),
                _ => Outcome::Measured(value),
            };
            clock += 2.0 + 0.4 * value;
            TrialRow {
                number: u64::from(number as u32),
                finished_at_seconds: clock,
                measurements: if matches!(outcome, Outcome::Stopped(_)) { 1 } else { 3 },
                outcome,
                config: vec![
                    Some(ParameterValue::Number(concurrency)),
                    Some(ParameterValue::Number(chunk)),
                    Some(ParameterValue::Number((100.0 * uniform()).round())),
                    Some(ParameterValue::Choice(threads.to_string())),
                    Some(ParameterValue::Number(5.0)),
                ],
            }
        })
        .collect();
    let best = trials.iter().filter(|trial| matches!(trial.outcome, Outcome::Measured(_)));
    let best = best.min_by(|a, b| a.outcome.value().unwrap().total_cmp(&b.outcome.value().unwrap())).unwrap().number;
    let parameter = |name: &str, unit, log, before: ParameterValue| Parameter {
        name: name.to_owned(),
        unit,
        log,
        before: Some(before),
    };
    let row =
        |name: &str, before: &str, found: &str| (name.to_owned(), [before, before, found].map(str::to_owned).to_vec());
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let share = |parameters: &[&str], share: f64, sd: f64| Share {
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        share,
        sd,
    };
    let curve = |name: &str, points: Vec<(ParameterValue, f64)>| Curve {
        parameter: name.to_owned(),
        points: points
            .into_iter()
            .enumerate()
            .map(|(i, (value, mean))| {
                let half = 0.6 + 0.1 * i as f64;
                CurvePoint { value, mean, ci95: [mean - half, mean + half] }
            })
            .collect(),
    };
    let on = |low: f64, high: f64, of: fn(f64) -> f64| {
        let values = (0..12).map(|i| low * (high / low).powf(f64::from(i) / 11.0));
        values.map(|value| (ParameterValue::Number(value), of(value))).collect()
    };
    let choices = [("false", 14.0), ("true", 6.1)];
    let influence = Influence {
        configurations: 33,
        surface: "the search's own model".to_owned(),
        known: 0.87,
        shares: vec![
            share(&["max_concurrency"], 0.61, 0.02),
            share(&["use_threads"], 0.22, 0.01),
            share(&["multipart_chunksize"], 0.04, 0.005),
            share(&["max_io_queue"], 0.0, 0.0),
            share(&["num_download_attempts"], 0.0, 0.0),
            share(&["max_concurrency", "use_threads"], 0.09, 0.01),
            share(&["max_concurrency", "multipart_chunksize"], 0.001, 0.001),
        ],
        curves: vec![
            curve("max_concurrency", on(4.0, 256.0, |n| 5.0 + 30.0 / n + n / 60.0)),
            curve("use_threads", choices.map(|(name, mean)| (ParameterValue::Choice(name.into()), mean)).into()),
            curve("multipart_chunksize", on(mib, 64.0 * mib, |bytes| 7.0 + 1e-8 * bytes)),
            curve("max_io_queue", on(10.0, 100.0, |_| 7.3)),
            curve("num_download_attempts", vec![(ParameterValue::Number(5.0), 7.3)]),
        ],
    };
    ReportInput {
        influence: Ok(influence),
        without_effect: vec!["max_io_queue".to_owned()],
        object: "s3://climate-archive/era5/2024/reanalysis-level-12.nc".to_owned(),
        object_bytes: 3_221_225_472,
        metric: "download time".to_owned(),
        unit: "s".to_owned(),
        reference: Some(("s3xfer's default".to_owned(), 8.31)),
        comparison: Ok(Comparison {
            arms: vec![
                Arm {
                    name: "boto3's defaults".to_owned(),
                    kind: ArmKind::Baseline,
                    measurements: vec![9.02, 9.41, 9.22, 9.63, 9.35, 9.23],
                    mean: 9.31,
                    ci95: Some([9.09, 9.53]),
                },
                Arm {
                    name: "s3xfer's default".to_owned(),
                    kind: ArmKind::Default,
                    measurements: vec![8.02, 8.41, 8.22, 8.63, 8.35, 8.23],
                    mean: 8.31,
                    ci95: Some([8.09, 8.53]),
                },
                Arm {
                    name: "found".to_owned(),
                    kind: ArmKind::Found,
                    measurements: vec![4.81, 5.08, 4.88, 4.95, 5.01, 4.79],
                    mean: 4.92,
                    ci95: Some([4.80, 5.04]),
                },
            ],
            against: vec![
                Against { name: "s3xfer's default".to_owned(), improvement: 0.408, ci95: [0.37, 0.44] },
                Against { name: "boto3's defaults".to_owned(), improvement: 0.47, ci95: [0.45, 0.49] },
            ],
            conclusion: "Use best.toml.".to_owned(),
        }),
        trials,
        best_trial: Some(best),
        parameters: vec![
            parameter("max_concurrency", ParameterUnit::Number, true, ParameterValue::Number(10.0)),
            parameter("multipart_chunksize", ParameterUnit::Bytes, true, ParameterValue::Number(8.0 * mib)),
            parameter("max_io_queue", ParameterUnit::Number, false, ParameterValue::Number(100.0)),
            parameter("use_threads", ParameterUnit::Number, false, ParameterValue::Choice("true".to_owned())),
            parameter("num_download_attempts", ParameterUnit::Number, false, ParameterValue::Number(5.0)),
        ],
        configuration: Configurations {
            names: ["boto3's defaults", "s3xfer's default", "found"].map(str::to_owned).into(),
            rows: vec![
                row("multipart_threshold", "8 MiB", "8 MiB"),
                row("max_concurrency", "10", "61"),
                row("multipart_chunksize", "8 MiB", "13 MiB"),
                row("num_download_attempts", "5", "5"),
                row("max_io_queue", "100", "42"),
                row("io_chunksize", "256 KiB", "1 MiB"),
                row("use_threads", "true", "true"),
                row("max_bandwidth", "none", "none"),
            ],
        },
        conditions: texts(&[
            ("object", "s3://climate-archive/era5/2024/reanalysis-level-12.nc, 3 GiB"),
            ("trials", "34, 94 measurements; 12 in the final comparison"),
            ("network", "profile same-region: first byte 28 ms, 90 MB/s a connection, link 1.5 GB/s"),
            ("engine", "s3xfer"),
            ("search", "bayes_hyperband, seed 42, stopped by max_tuning_time"),
            ("machine", "16 cores"),
        ]),
        caveats: vec![
            "The network was emulated on this machine: the shape of the result carries over, the seconds do not."
                .to_owned(),
            "Good values depend on the object's size; measure again for objects much smaller than this one.".to_owned(),
        ],
    }
}

/// Kept beside the tests so that a look at the page is one command away:
/// `REPORT_SAMPLE=report.html cargo test -p s3tune results::report`.
#[test]
fn the_page_is_whole() {
    let page = report_html(&run()).unwrap();
    if let Some(path) = std::env::var_os("REPORT_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    for part in [
        "41 % less",
        "[37 %, 44 %]",
        "346 MB/s → 388 MB/s → 655 MB/s",
        "max_concurrency (log)",
        "search time (s)",
        "13 MiB",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Two comparisons, two courses of the search, the bars twice, and a curve and a slice for each parameter that
    // varied.
    assert_eq!(page.matches("<svg ").count(), 2 + 2 + 2 + 4 + 4);
    assert!(page.contains("Not varied: <code>num_download_attempts</code>"));
    assert!(page.contains("No measurable effect here: <code>max_io_queue</code>"));
    assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = report_html(&run()).unwrap();
    for part in ["<script", "<link", "<img", "<iframe", "url(", "@import", "src=", "href="] {
        assert!(!page.contains(part), "{part}");
    }
    let addresses = page.matches("http").count();
    let harmless = page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count();
    assert_eq!(addresses, harmless);
}

#[test]
fn every_text_from_outside_is_escaped() {
    let evil = "</style><script>alert('x')</script>\"&\u{0}";
    let mut input = run();
    input.object = evil.to_owned();
    input.metric = evil.to_owned();
    input.unit = evil.to_owned();
    input.conditions.push((evil.to_owned(), evil.to_owned()));
    input.caveats.push(evil.to_owned());
    input.configuration.names.push(evil.to_owned());
    input.configuration.rows.push((evil.to_owned(), vec![evil.to_owned()]));
    input.reference = Some((evil.to_owned(), 1.0));
    input.without_effect.push(evil.to_owned());
    for parameter in &mut input.parameters {
        parameter.name = evil.to_owned();
    }
    input.trials[0].outcome = Outcome::Failed(evil.to_owned());
    input.trials[1].config[3] = Some(ParameterValue::Choice(evil.to_owned()));
    let comparison = input.comparison.as_mut().unwrap();
    comparison.arms[0].name = evil.to_owned();
    comparison.against[0].name = evil.to_owned();
    comparison.against[1].name = evil.to_owned();
    comparison.conclusion = evil.to_owned();
    let influence = input.influence.as_mut().unwrap();
    influence.surface = evil.to_owned();
    influence.shares[0].parameters[0] = evil.to_owned();
    influence.curves[0].parameter = evil.to_owned();
    influence.curves[0].points[0].value = ParameterValue::Choice(evil.to_owned());
    input.parameters[0].name = evil.to_owned();
    let page = report_html(&input).unwrap();
    assert!(!page.contains("<script") && !page.contains("alert('x')"));
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(!page.contains('\u{0}'));
    let page = report_html(&ReportInput { influence: Err(evil.to_owned()), ..run() }).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{0}'));
}

#[test]
fn the_headline_says_what_the_interval_allows() {
    let with = |improvement: f64, ci95: [f64; 2]| {
        let mut input = run();
        let comparison = input.comparison.as_mut().unwrap();
        let against = &mut comparison.against[0];
        (against.improvement, against.ci95) = (improvement, ci95);
        report_html(&input).unwrap()
    };
    assert!(with(0.03, [-0.02, 0.08]).contains("No proven difference in download time"));
    let slower = with(-0.12, [-0.2, -0.04]);
    assert!(slower.contains("12 % more") && slower.contains("keep that"));
    assert!(with(0.05, [0.01, 0.09]).contains("5.0 % less"));
}

#[test]
fn parameters_and_the_pairs_that_matter_have_a_bar_each() {
    let page = report_html(&run()).unwrap();
    for part in [
        "Computed from the search&#39;s own model, fitted to 33 configurations. The model explains 87 % of how",
        "max_concurrency: 61 %",
        "num_download_attempts: 0.0 %",
        "max_concurrency × use_threads: 9.0 %",
        "mean download time over use_threads",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("max_concurrency × multipart_chunksize"), "a pair of 0.1 % has no bar");
    assert!(!page.contains("mean download time over num_download_attempts"), "one value is no curve");
}

#[test]
fn what_is_hardly_known_is_called_a_hint_and_what_is_not_known_has_its_reason() {
    let with = |change: fn(&mut Influence)| {
        let mut input = run();
        change(input.influence.as_mut().unwrap());
        report_html(&input).unwrap()
    };
    assert!(!report_html(&run()).unwrap().contains("only"));
    assert!(with(|influence| influence.known = 0.31).contains("only 31 % of how download time varies"));
    let flat = with(|influence| influence.shares.iter_mut().for_each(|share| share.share = 0.0));
    assert!(flat.contains("In 33 configurations no parameter changed the download time"));
    let why = "4 configurations were measured, at least 5 are needed";
    let few = report_html(&ReportInput { influence: Err(why.to_owned()), ..run() }).unwrap();
    assert!(few.contains(&format!("No shares are shown: {why}.")));
    assert!(!few.contains("importances.csv"));
}

#[test]
fn a_run_that_ended_early_has_a_page_too() {
    let empty = ReportInput {
        comparison: Err("no comparison yet: go on <here>".to_owned()),
        trials: vec![],
        best_trial: None,
        parameters: vec![],
        configuration: Configurations::default(),
        conditions: vec![],
        caveats: vec![],
        ..run()
    };
    let page = report_html(&empty).unwrap();
    assert!(page.contains("The comparison is not finished") && page.contains("No trial finished"));
    assert!(page.contains("No comparison yet: go on &lt;here&gt;.") && !page.contains("best.toml"), "{page}");
    assert!(report_html(&run()).unwrap().contains("<code>best.toml</code>, the configuration to use"));

    let mut one = run();
    one.trials.truncate(1);
    report_html(&one).unwrap();
    let mut failed = run();
    for trial in &mut failed.trials {
        trial.outcome = Outcome::Failed("no".to_owned());
    }
    report_html(&failed).unwrap();
}

#[test]
fn numbers_that_cannot_be_drawn_do_no_harm() {
    let mut input = run();
    for (trial, value) in input.trials.iter_mut().zip([f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX, f64::MIN_POSITIVE])
    {
        trial.outcome = Outcome::Measured(value);
        trial.finished_at_seconds = value;
        trial.config[0] = Some(ParameterValue::Number(value));
        trial.config.truncate(2);
    }
    let comparison = input.comparison.as_mut().unwrap();
    comparison.arms[0].measurements = vec![f64::NAN, f64::INFINITY];
    comparison.arms[0].mean = f64::NAN;
    comparison.arms[1].ci95 = Some([f64::NEG_INFINITY, f64::INFINITY]);
    let influence = input.influence.as_mut().unwrap();
    for (share, value) in influence.shares.iter_mut().zip([f64::NAN, f64::INFINITY, -1.0, 1e308]) {
        (share.share, share.sd) = (value, value);
    }
    for (point, value) in
        influence.curves[0].points.iter_mut().zip([f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 1e-320, -0.0])
    {
        (point.mean, point.ci95) = (value, [value, -value]);
    }
    influence.curves[1].points[0].mean = f64::NAN;
    influence.curves[2].points.truncate(1);
    report_html(&input).unwrap();
}

#[test]
fn the_file_is_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    write_report(&path, &run()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report_html(&run()).unwrap());
}
