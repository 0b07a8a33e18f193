//! Tunes a closure over two parameters.
//!
//! `cargo run -p tunekit --example tune_closure`

use std::convert::Infallible;

use tunekit::{Domain, Metric, Setup, Space, Tuner};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = Space::new().with("x", Domain::float(-5.0, 10.0)?)?.with("y", Domain::float(0.0, 15.0)?)?;
    let tuning = Tuner::new(Setup::new(space, Metric::minimize("loss")))
        .max_trials(40)
        .run(|trial| async move {
            let (x, y) = (trial.config().float("x").unwrap_or(0.0), trial.config().float("y").unwrap_or(0.0));
            Ok::<_, Infallible>((x - 3.0).powi(2) + (y - 2.0).powi(2))
        })
        .await?;
    if let Some(best) = tuning.best {
        println!("{} gives {:.3}", best.config, best.mean);
    }
    Ok(())
}
