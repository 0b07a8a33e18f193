//! Continues a study from its journal: the second run begins where the first ended.
//!
//! `cargo run -p tunekit --example continue_a_study`

use tunekit::{Domain, Metric, Setup, Space, Tuner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for most in [10, 20] {
        let space = Space::new().with("x", Domain::float(-5.0, 10.0)?)?;
        let tuning = Tuner::new(Setup::new(space, Metric::minimize("loss")).seed(1).budget(20))
            .journal(folder.path().join("journal.jsonl"))
            .max_trials(most)
            .run(async |trial| {
                let x = trial.config().float("x").ok_or("no x")?;
                Ok::<f64, &str>((x - 2.0).powi(2))
            })
            .await?;
        let best = tuning.best.ok_or("nothing was measured")?;
        println!("{} trials, the best is {} with {:.4}", tuning.experiment.trials().len(), best.config, best.value);
    }
    Ok(())
}
