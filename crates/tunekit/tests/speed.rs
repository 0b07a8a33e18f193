//! What asking and telling cost where the searcher costs next to nothing. A measurement, not a test: it prints and asserts
//! no time. In release, alone on the machine: `cargo test --release -p tunekit --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

use std::time::Instant;

use tunekit::{Domain, Metric, SearcherKind, Setup, Space, Study};

#[test]
#[ignore = "measures for seconds; asks for an idle machine"]
fn a_million_suggestions() {
    let cube = (0..6).fold(Space::new(), |s, i| s.with(format!("x{i}"), Domain::float(0.0, 1.0).unwrap()).unwrap());
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        let mut study = Study::new(Setup::new(cube.clone(), Metric::minimize("loss")).searcher(kind)).unwrap();
        let (mut events, started) = (0, Instant::now());
        for i in 0..1_000_000_u32 {
            let job = study.ask().unwrap().assignment().unwrap();
            let value = job.config.float("x0").unwrap();
            study.tell(job.trial, value).unwrap();
            if i % 256 == 255 {
                events += study.take_events().len();
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{kind}: a million asks and tells in {seconds:.2} s, {events} events, {} kB resident", resident_kb());
        assert_eq!(study.trials().len(), 1_000_000);
    }
}

/// Memory of this process, where /proc tells it; 0 elsewhere.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
