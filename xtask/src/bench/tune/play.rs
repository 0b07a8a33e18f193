//! One run: a searcher on a function with one seed, alone or four trials at a time; and the cost of a suggestion.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::board::Function;
use super::chance::Chance;
use super::session::Session;

/// Trials of a run.
pub(super) const BUDGET: usize = 50;
/// After how many results a recommendation is asked for, and tables are made.
pub(super) const MARKS: [usize; 3] = [15, 25, 50];

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// Regret, without noise, of the configuration with the lowest observation so far, after each result.
    pub(super) lowest: Vec<f64>,
    /// Regret of the configuration that `best` recommends, at each of [`MARKS`].
    pub(super) recommended: [f64; MARKS.len()],
    /// Mean of an ask and a tell, without `best`.
    pub(super) cpu_s: f64,
}

/// A trial that has not ended.
struct Flying {
    ends: f64,
    trial: u64,
    point: Vec<f64>,
}

/// Plays `function` with `batch` trials in flight, which end in an order that the seed decides.
///
/// # Errors
/// An answer that is no contract's, a configuration outside of the space, an engine that ends.
pub(super) fn regret(
    tunekit: &Path,
    searcher: &str,
    function: &Function,
    seed: u64,
    batch: usize,
) -> Result<Curve, String> {
    let mut chance = Chance::new(function.name, seed);
    let mut session = Session::start(tunekit, &create(searcher, function, seed, Some(BUDGET), batch))?;
    let mut curve = Curve { lowest: Vec::new(), recommended: [f64::NAN; MARKS.len()], cpu_s: 0.0 };
    let (mut flying, mut now, mut asked) = (Vec::<Flying>::new(), 0.0, 0);
    let mut incumbent = (f64::INFINITY, f64::NAN);
    let mut begun = session.cpu_s()?;
    while curve.lowest.len() < BUDGET {
        while asked < BUDGET && flying.len() < batch {
            let (trial, config) = ask(&mut session)?;
            flying.push(Flying { ends: now + 0.5 + chance.uniform(), trial, point: function.point(&config)? });
            asked += 1;
        }
        let next = (0..flying.len()).min_by(|a, b| flying[*a].ends.total_cmp(&flying[*b].ends));
        let Flying { ends, trial, point } = flying.swap_remove(next.expect("trials are in flight until the last ends"));
        now = ends;
        let value = function.observe(&point, &mut chance);
        session.say(&json!({"op": "tell", "trial": trial, "value": value}))?;
        if value < incumbent.0 {
            incumbent = (value, function.regret(&point)?);
        }
        curve.lowest.push(incumbent.1);
        if let Some(mark) = MARKS.iter().position(|mark| *mark == curve.lowest.len()) {
            curve.cpu_s += session.cpu_s()? - begun;
            let best = session.say(&json!({"op": "best"}))?;
            curve.recommended[mark] = function.regret(&function.point(&best["config"])?)?;
            begun = session.cpu_s()?;
        }
    }
    curve.cpu_s /= BUDGET as f64;
    Ok(curve)
}

/// The most rounds that are averaged, and how long they may take together.
const ROUNDS: usize = 24;
const PATIENCE: Duration = Duration::from_secs(20);

/// Mean CPU seconds of an ask and a tell after `n` results from elsewhere. The first round, which may have to fit
/// everything again, is not in it; enough follow for a model that is not fitted every time.
///
/// # Errors
/// As [`regret`].
pub(super) fn overhead(tunekit: &Path, searcher: &str, function: &Function, n: usize) -> Result<f64, String> {
    let mut chance = Chance::new(function.name, n as u64);
    let mut session = Session::start(tunekit, &create(searcher, function, 0, None, 1))?;
    for _ in 0..n {
        let config = function.draw(&mut chance);
        let value = function.observe(&function.point(&config)?, &mut chance);
        session.say(&json!({"op": "add", "config": config, "value": value}))?;
    }
    let started = Instant::now();
    let (mut begun, mut rounds) = (session.cpu_s()?, 0);
    loop {
        let (trial, config) = ask(&mut session)?;
        let value = function.observe(&function.point(&config)?, &mut chance);
        session.say(&json!({"op": "tell", "trial": trial, "value": value}))?;
        if rounds == 0 {
            begun = session.cpu_s()?;
        }
        if rounds > 0 && (rounds == ROUNDS || started.elapsed() > PATIENCE) {
            return Ok((session.cpu_s()? - begun) / rounds as f64);
        }
        rounds += 1;
    }
}

/// Whether this version of the engine has the searcher.
///
/// # Errors
/// Its refusal.
pub(super) fn knows(tunekit: &Path, searcher: &str, function: &Function) -> Result<(), String> {
    Session::start(tunekit, &create(searcher, function, 0, None, 1)).map(drop)
}

fn create(searcher: &str, function: &Function, seed: u64, budget: Option<usize>, workers: usize) -> Value {
    json!({
        "op": "create", "searcher": searcher, "scheduler": "fifo", "seed": seed, "mode": "min", "budget": budget,
        "workers": workers, "space": function.space(),
    })
}

fn ask(session: &mut Session) -> Result<(u64, Value), String> {
    let mut answer = session.say(&json!({"op": "ask"}))?;
    let trial = answer["trial"].as_u64().ok_or_else(|| format!("an ask within the budget was answered {answer}"))?;
    Ok((trial, answer["config"].take()))
}
