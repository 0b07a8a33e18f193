//! The cost of asking and telling where the searcher costs next to nothing: how long do so many suggestions take, how
//! large is a study of them? Six parameters, one core. `cargo bench -p tunekit --bench suggestions -- 1000000`

use std::error::Error;
use std::time::Instant;

use tunekit::{Domain, Metric, SearcherKind, Setup, Space, Study};

fn main() -> Result<(), Box<dyn Error>> {
    // The last word is cargo's.
    let given = std::env::args().skip(1).find(|word| word != "--bench").unwrap_or_else(|| "100000".to_owned());
    let count: u32 = given.parse().map_err(|e| format!("how many suggestions? `{given}` is no number: {e}"))?;
    let mut space = Space::new();
    for i in 0..6 {
        space = space.with(format!("x{i}"), Domain::float(0.0, 1.0)?)?;
    }
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        let mut study = Study::new(Setup::new(space.clone(), Metric::minimize("loss")).searcher(kind))?;
        let started = Instant::now();
        for i in 0..count {
            let job = study.ask()?.assignment().ok_or("no trial was given")?;
            study.tell(job.trial, job.config.float("x0").ok_or("no x0")?)?;
            // A caller stores these; every so often is enough for one that only measures.
            if i % 256 == 255 {
                let _stored = study.take_events();
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{kind}: {count} asks and tells in {seconds:.2} s, {} kB resident", resident_kb());
    }
    Ok(())
}

/// Memory of this process, where /proc tells it; 0 elsewhere.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
