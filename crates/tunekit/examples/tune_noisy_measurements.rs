//! Finds the best of noisy measurements: a configuration is measured again only while it may still be the best.
//!
//! `cargo run -p tunekit --example tune_noisy_measurements`

use tunekit::searcher::Stream;
use tunekit::{Decision, Domain, Metric, SchedulerKind, Setup, Space, Tuner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = Space::new().with("threads", Domain::int(1, 64)?.log()?)?;
    let metric = Metric::time("seconds").replicated();
    let tuning = Tuner::new(Setup::new(space, metric).scheduler(SchedulerKind::Racing).max_resource(9).seed(1))
        .max_trials(25)
        .run(async |mut trial| {
            let threads = trial.config().float("threads").ok_or("no threads")?;
            let mut noise = Stream::keyed(trial.seed(), trial.id(), "noise");
            loop {
                // A measurement of yours belongs here.
                let seconds = (10.0 / threads + threads / 10.0) * (0.1 * noise.normal()).exp();
                if trial.report(seconds).await != Decision::Continue {
                    return Ok::<(), &str>(());
                }
            }
        })
        .await?;
    let best = tuning.best.ok_or("nothing was measured")?;
    println!("{}: {:.2} s, 95 % interval {:.2?}, of {} measurements", best.config, best.mean, best.ci95, best.n);
    Ok(())
}
