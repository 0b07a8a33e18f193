//! Default settings on many networks, on paper: against the best fixed pair of an exhaustive search, and against the
//! rules of others on the same model. Virtual time, full-size numbers; no byte is moved.
//!
//! `cargo xtask bench auto` calls it. Alone:
//!
//! ```text
//! cargo bench -p s3xfer --bench auto -- --profiles 100 --seed 1 --only "slow"
//! ```

#[path = "../../src/rules/at_once.rs"]
#[allow(dead_code, unused_imports, reason = "its unit tests run with the library")]
mod at_once;
#[path = "../../src/words/connections.rs"]
mod connections;
#[path = "../../src/rules/control.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod control;
#[path = "../../src/rules/crest.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod crest;
#[path = "../../src/words/found.rs"]
#[allow(dead_code, unused_imports, reason = "its unit tests run with the library")]
mod found;
#[path = "../../src/rules/lateness.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod lateness;
#[path = "../../src/rules/merge.rs"]
#[allow(dead_code, unused_imports, reason = "its unit tests run with the library")]
mod merge;
#[path = "../../src/rules/meter.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod meter;
mod network;
mod ours;
#[path = "../../src/rules/pacing.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod pacing;
#[path = "../../src/rules/part_size.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod part_size;
mod peers;
mod picture;
mod play;
mod profiles;
#[path = "../../src/rules/refusals.rs"]
mod refusals;
#[path = "../../src/rules/retire.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod retire;
#[path = "../../src/rules/split.rs"]
#[allow(dead_code, reason = "its unit tests run with the library")]
mod split;
mod table;
#[path = "../../src/words/timeline.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "its unit tests run with the library")]
mod timeline;
#[path = "../../src/words/verdict.rs"]
#[allow(dead_code, unreachable_pub, reason = "its unit tests run with the library")]
mod verdict;
/// The names that the rules know them by.
mod words {
    pub(crate) use crate::{connections, found, timeline, verdict};
}

use std::process::ExitCode;
use std::thread;

use found::Found;
use network::Profile;
use ours::Ours;
use peers::{FIXED, Fixed, Kind, Windows};
use play::{Played, Rule, play};
use table::Row;

const MIB: u64 = 1 << 20;
/// Requests and mebibytes of the exhaustive search.
const REQUESTS: [u32; 8] = [4, 8, 16, 32, 64, 128, 256, 512];
const PART_MIB: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
/// A fixed pair whose time is within that share of the best one's is as good.
const AS_GOOD: f64 = 1.02;

/// The options of a call.
struct Options {
    profiles: u64,
    seed: u64,
    /// Times that each transfer is played; the median counts.
    plays: u64,
    only: Option<String>,
    picture: Option<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    // `cargo test --benches` runs it with no argument of ours.
    if words.first().is_some_and(|word| word == "--test" || word == "--list") {
        return ExitCode::SUCCESS;
    }
    match options(&words) {
        Ok(options) => {
            run(&options);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}\nusage: auto [--profiles N] [--seed N] [--plays N] [--only WORDS] [--picture FILE.svg]");
            ExitCode::from(2)
        }
    }
}

fn options(words: &[String]) -> Result<Options, String> {
    let mut options = Options { profiles: 100, seed: 1, plays: 3, only: None, picture: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} takes a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} takes a number, not {value}"));
        match word.as_str() {
            "--profiles" => options.profiles = number()?,
            "--seed" => options.seed = number()?,
            "--plays" => options.plays = number()?.max(1),
            "--only" => options.only = Some(value.clone()),
            "--picture" => options.picture = Some(value.clone()),
            other => return Err(format!("{other} is no flag of this bench")),
        }
    }
    Ok(options)
}

fn run(options: &Options) {
    let mut all = profiles::known();
    all.extend(profiles::drawn(options.profiles, options.seed));
    all.retain(|profile| options.only.as_ref().is_none_or(|only| profile.name.contains(only.as_str())));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<Vec<(usize, Row)>> = thread::scope(|scope| {
        let work = |share: usize| {
            let mine = all.iter().enumerate().skip(share).step_by(threads);
            mine.map(|(number, profile)| (number, row(profile, &all[(number + 1) % all.len()], options.plays)))
                .collect()
        };
        let running: Vec<_> = (0..threads).map(|share| scope.spawn(move || work(share))).collect();
        running.into_iter().map(|share| share.join().expect("a play does not panic")).collect()
    });
    let mut rows: Vec<(usize, Row)> = shares.into_iter().flatten().collect();
    rows.sort_by_key(|(number, _)| *number);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    print!("{}", table::markdown(&rows));
    if let Some(file) = &options.picture
        && let Err(error) = std::fs::write(file, picture::svg(&rows))
    {
        eprintln!("failed to write {file}: {error}");
    }
}

/// The median play.
fn median<R: Rule>(profile: &Profile, plays: u64, rule: impl Fn() -> R) -> Played {
    const NEVER: Played = Played { seconds: f64::INFINITY, requests: 0, peak: 0, refused: 0 };
    let mut played: Vec<Played> = (0..plays).map(|seed| play(profile, &mut rule(), seed).unwrap_or(NEVER)).collect();
    played.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    played[played.len() / 2]
}

/// The findings of a first transfer, of another seed than those that count.
fn found(profile: &Profile) -> Option<Found> {
    let mut first = Ours::new();
    play(profile, &mut first, 1_000_000)?;
    first.found()
}

/// The network `before` is one that another place's transfers have found.
fn row(profile: &Profile, before: &Profile, plays: u64) -> Row {
    let pairs = REQUESTS.iter().flat_map(|requests| PART_MIB.iter().map(|mib| (*requests, *mib)));
    let grid: Vec<((u32, u64), f64)> = pairs
        .map(|(requests, mib)| {
            let fixed = Fixed { requests, part_bytes: mib * MIB };
            ((requests, mib), median(profile, plays, || fixed).seconds)
        })
        .collect();
    let ((_, _), best) = *grid.iter().min_by(|one, other| one.1.total_cmp(&other.1)).expect("the grid is not empty");
    let as_good = grid.iter().filter(|(_, seconds)| *seconds <= AS_GOOD * best);
    let (requests, mib) = as_good.clone().map(|(pair, _)| *pair).min().expect("the best is as good as itself");
    let most_requests = as_good.map(|((requests, _), _)| *requests).max().unwrap_or(requests);
    let ours = median(profile, plays, Ours::new);
    let fixed = FIXED.iter().map(|(name, fixed)| (*name, median(profile, plays, || *fixed).seconds));
    let adaptive = Kind::ALL.iter().map(|(name, kind)| (*name, median(profile, plays, || Windows::new(*kind)).seconds));
    let others = fixed.chain(adaptive).collect();
    let again = {
        let found = found(profile);
        median(profile, plays, || Ours::told(found))
    };
    let misled = {
        let found = found(before);
        median(profile, plays, || Ours::told(found))
    };
    Row { profile: profile.clone(), best, requests, mib, most_requests, ours, again, misled, others }
}
