//! Searches by asking and telling: the loop is yours, and the study chooses the next trial.
//!
//! `cargo run -p tunekit --example ask_and_tell`

use tunekit::{Ask, Domain, Metric, Setup, Space, Study};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = Space::new().with("threads", Domain::int(1, 64)?.log()?)?;
    let mut study = Study::new(Setup::new(space, Metric::time("seconds")).seed(1))?;
    for _ in 0..20 {
        let Ask::Trial(job) = study.ask()? else { break };
        let threads = job.config.float("threads").ok_or("no threads")?;
        // A measurement of yours belongs here.
        study.tell(job.trial, 10.0 / threads + threads / 10.0)?;
    }
    let best = study.best().ok_or("nothing was measured")?;
    println!("{} takes {:.2} s", best.config, best.mean);
    Ok(())
}
