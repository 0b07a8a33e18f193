//! The cost of a scheduler's decisions: how long do 2000 asks and reports take once so many trials have begun? One
//! worker, random search. `cargo bench -p tunekit --bench decisions -- 10000`

use std::error::Error;
use std::time::Instant;

use tunekit::scheduler::{PbtOptions, SchedulerSpec};
use tunekit::{Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study};

fn main() -> Result<(), Box<dyn Error>> {
    // The last word is cargo's.
    let given = std::env::args().skip(1).find(|word| word != "--bench").unwrap_or_else(|| "10000".to_owned());
    let count: u64 = given.parse().map_err(|e| format!("how many trials? `{given}` is no number: {e}"))?;
    for (kind, members, cost_aware) in [
        (SchedulerKind::Asha, None, false),
        (SchedulerKind::AshaPromotion, None, false),
        (SchedulerKind::AshaPromotion, None, true),
        (SchedulerKind::Hyperband, None, false),
        (SchedulerKind::Pbt, Some(8), false),
        (SchedulerKind::Pbt, Some(1000), false),
    ] {
        let population = |members| SchedulerSpec::Pbt(PbtOptions { members, ..PbtOptions::default() });
        let scheduler = members.map_or_else(|| kind.into(), population);
        let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
        let setup = Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random).scheduler(scheduler);
        let setup = Setup { cost_aware, ..setup.max_resource(81) };
        let mut study = Study::new(setup)?;
        let (mut asks, mut reports) = (Vec::new(), Vec::new());
        while reports.len() < 2000 {
            let measured = study.started() >= count;
            let started = Instant::now();
            let job = study.ask()?.assignment().ok_or("no trial was given")?;
            let asked = started.elapsed();
            let step = job.resource.unwrap_or(81);
            let x = job.config.float("x").ok_or("no x")?;
            let loss = x + 1.0 / step as f64;
            let cost = cost_aware.then_some(step as f64 * (1.0 + x));
            let started = Instant::now();
            let decision = study.report(job.trial, step, Measured { cost, ..Measured::new(loss) })?;
            let reported = started.elapsed();
            if decision != Decision::Pause {
                study.tell(job.trial, Outcome::Done)?;
            }
            let _stored = study.take_events();
            if measured {
                asks.push(asked);
                reports.push(reported);
            }
        }
        // Not the mean, which depends on other programs of the machine.
        let [asks, reports] = [asks, reports].map(|mut times| {
            times.sort_unstable();
            [times[times.len() / 2], times[times.len() * 99 / 100]].map(|time| time.as_secs_f64() * 1e6)
        });
        let by = if cost_aware { ", by cost" } else { "" };
        let of = members.map_or_else(String::new, |members| format!(" of {members}"));
        println!(
            "{kind}{of}{by}: median {:.1} us an ask, {:.1} us a report; 99 of 100 below {:.1} and {:.1} us",
            asks[0], reports[0], asks[1], reports[1]
        );
    }
    Ok(())
}
