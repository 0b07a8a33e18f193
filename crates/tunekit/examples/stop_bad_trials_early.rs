//! Stops trials that are not worth their time: each reports after every epoch, and most end after a few.
//!
//! `cargo run -p tunekit --example stop_bad_trials_early`

use tunekit::{Decision, Domain, Metric, SchedulerKind, Setup, Space, Tuner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = Space::new().with("rate", Domain::float(1e-4, 1.0)?.log()?)?;
    let setup = Setup::new(space, Metric::minimize("loss")).scheduler(SchedulerKind::Asha).max_resource(27).seed(1);
    let tuning = Tuner::new(setup)
        .max_trials(30)
        .run(async |mut trial| {
            let rate = trial.config().float("rate").ok_or("no rate")?;
            for epoch in trial.next_step()..=27 {
                // An epoch of training belongs here.
                let loss = (rate.log10() + 2.0).abs() + 1.0 / epoch as f64;
                if trial.report(loss).await != Decision::Continue {
                    break;
                }
            }
            Ok::<(), &str>(())
        })
        .await?;
    let epochs: usize = tuning.experiment.trials().iter().map(|trial| trial.measurements.len()).sum();
    println!("{epochs} epochs instead of {}", 27 * tuning.experiment.trials().len());
    println!("{}", tuning.best.ok_or("nothing was measured")?.config);
    Ok(())
}
