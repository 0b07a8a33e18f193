//! `tunekit compare`: the results of several studies of one problem, by searcher and scheduler.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tunekit::Goal;
use tunekit::drawing::format::plain;
use tunekit::program::StudyFolder;
use tunekit::results::Aggregate;

use super::{Failure, print};

/// Compares the best means of studies with one space and metric.
pub(crate) fn compare(folders: Vec<PathBuf>) -> Result<(), Failure> {
    let mut text = format!("{:<32} {:>6}  {:>12}  {:<28} {}\n", "study", "trials", "best", "95 % interval", "method");
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut without = String::new();
    let mut first = None;
    for folder in folders {
        let folder = StudyFolder::new(folder);
        let study = folder.study()?;
        let header = study.header().clone();
        let (space, metric) = &*first.get_or_insert_with(|| (header.space.clone(), header.metric.clone()));
        if *space != header.space || metric.name != header.metric.name || metric.goal != header.metric.goal {
            let path = folder.path().display();
            return Err(Failure::Usage(format!(
                "{path} has another space or metric than the first study; compare studies of one problem"
            )));
        }
        let method = format!("{} + {}", header.searcher, header.scheduler.name());
        let best = study.best();
        let mean = best.as_ref().map_or_else(|| "none".to_owned(), |best| plain(best.mean));
        let interval = best.as_ref().and_then(|best| best.ci95);
        let interval = interval.map_or_else(String::new, brackets);
        let name = folder.path().display().to_string();
        text += &format!("{name:<32} {:>6}  {mean:>12}  {interval:<28} {method}\n", study.trials().len());
        if best.is_none() {
            let why = study.why_no_best().unwrap_or("nothing was measured yet");
            without += &format!("left out of the means below: {name}, where {why}\n");
        }
        groups.entry(method).or_default().extend(best.map(|best| best.mean));
    }
    let goal = first.map_or(Goal::Min, |(_, metric)| metric.goal);
    let groups = groups.into_iter().filter_map(|(method, values)| Some((method, Aggregate::of(&values)?)));
    let mut groups: Vec<(String, Aggregate)> = groups.collect();
    groups.sort_by(|a, b| goal.loss(a.1.interquartile_mean).total_cmp(&goal.loss(b.1.interquartile_mean)));
    if !without.is_empty() {
        text += &format!("\n{without}");
    }
    text += "\ninterquartile mean of the best, with a bootstrap 95 % interval:\n";
    for (method, found) in groups {
        let interval = found.ci95.map_or_else(|| "(an interval takes three studies)".to_owned(), brackets);
        let mean = plain(found.interquartile_mean);
        text += &format!("{method:<32} {:>6}  {mean:>12}  {interval}\n", found.n);
    }
    print(text.as_bytes())
}

fn brackets([low, high]: [f64; 2]) -> String {
    format!("[{}, {}]", plain(low), plain(high))
}
