//! Results as sections of Markdown. Pure: values in, text out.

use super::super::stats::median;
use super::board::{Function, Group};
use super::figures::{Middle, measurements_ratio, middle, ranks};
use super::play::{BUDGET, Curve, MARKS};

/// All runs of a searcher on a function, at one batch size.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) searcher: String,
    pub(super) function: &'static str,
    pub(super) batch: usize,
    pub(super) curves: Vec<Curve>,
    /// The failures, a sentence a run.
    pub(super) failures: Vec<String>,
}

/// The CPU time of an ask and a tell at numbers of results.
#[derive(Debug, Clone)]
pub(super) struct Cost {
    pub(super) searcher: String,
    pub(super) at: Vec<(usize, Result<f64, String>)>,
}

/// The contents of the tables, and the conditions.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) functions: Vec<Function>,
    /// Those that ran, in order.
    pub(super) searchers: Vec<String>,
    pub(super) cells: Vec<Cell>,
    /// Why one did not run.
    pub(super) without: Vec<(String, String)>,
    /// A sentence: date, versions, machine.
    pub(super) foot: String,
}

/// The choice of a regret on a curve.
#[derive(Debug, Clone, Copy)]
enum Score {
    /// The regret of the lowest observation, at a mark.
    Lowest(usize),
    /// The regret of the recommendation, at a mark.
    Recommended(usize),
}

impl Score {
    fn of(self, curve: &Curve) -> f64 {
        match self {
            Self::Lowest(mark) => curve.lowest[MARKS[mark] - 1],
            Self::Recommended(mark) => curve.recommended[mark],
        }
    }
}

const LAST: usize = MARKS.len() - 1;

impl Report {
    fn cell(&self, searcher: &str, function: &str, batch: usize) -> Option<&Cell> {
        self.cells.iter().find(|c| c.searcher == searcher && c.function == function && c.batch == batch)
    }

    fn scores(&self, searcher: &str, function: &str, score: Score) -> Vec<f64> {
        let cell = self.cell(searcher, function, 1);
        cell.map_or_else(Vec::new, |cell| cell.curves.iter().map(|c| score.of(c)).collect())
    }

    fn functions_of(&self, group: Group) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(move |f| f.group == group)
    }

    /// One group's regrets, function by function.
    pub(super) fn regret(&self, group: Group) -> Option<String> {
        self.functions_of(group).next()?;
        let mut text = format!("## Regret, {} functions\n", group.name());
        for (title, score, with_interval) in [
            ("The recommendation of `best` after 50 results", Score::Recommended(LAST), true),
            ("The lowest observation after 50 results", Score::Lowest(LAST), true),
            ("The lowest observation after 25", Score::Lowest(1), false),
            ("The lowest observation after 15", Score::Lowest(0), false),
        ] {
            text += &format!("\n{title}:\n\n");
            text += &head("function", &self.searchers);
            for function in self.functions_of(group) {
                let cell =
                    |searcher: &String| shown(middle(&self.scores(searcher, function.name, score)), with_interval);
                text += &row(function.name, self.searchers.iter().map(cell));
            }
        }
        Some(format!("{text}\n{}\n{}", self.foot, self.remarks(group)))
    }

    /// Average ranks of the medians, by group.
    pub(super) fn rank(&self) -> String {
        let mut text = String::from("## Average rank by group\n\n");
        let columns: Vec<(Group, Score, String)> = Group::ALL
            .into_iter()
            .filter(|group| self.functions_of(*group).next().is_some())
            .flat_map(|group| {
                let lowest =
                    (0..MARKS.len()).map(move |m| (group, Score::Lowest(m), format!("{} {}", group.name(), MARKS[m])));
                lowest.chain([(group, Score::Recommended(LAST), format!("{} {}, best", group.name(), MARKS[LAST]))])
            })
            .collect();
        text += &head("searcher", &columns.iter().map(|(.., title)| title.clone()).collect::<Vec<_>>());
        let table: Vec<Vec<Option<f64>>> =
            columns.iter().map(|(group, score, _)| self.average_ranks(*group, *score)).collect();
        let mut order: Vec<usize> = (0..self.searchers.len()).collect();
        let mean = |i: &usize| {
            let ranks: Vec<f64> = table.iter().filter_map(|column| column[*i]).collect();
            if ranks.is_empty() { f64::INFINITY } else { ranks.iter().sum::<f64>() / ranks.len() as f64 }
        };
        order.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
        for i in order {
            let cells =
                table.iter().map(|column| column[i].map_or_else(|| "-".to_owned(), |rank| format!("{rank:.2}")));
            text += &row(&self.searchers[i], cells);
        }
        format!("{text}\n{}", self.foot)
    }

    /// By searcher; none for one that lacks a function.
    fn average_ranks(&self, group: Group, score: Score) -> Vec<Option<f64>> {
        let of = |searcher: &String| -> Option<Vec<f64>> {
            self.functions_of(group).map(|f| median(&self.scores(searcher, f.name, score))).collect()
        };
        let medians: Vec<Option<Vec<f64>>> = self.searchers.iter().map(of).collect();
        let whole: Vec<&Vec<f64>> = medians.iter().flatten().collect();
        let functions = self.functions_of(group).count();
        let by_function: Vec<Vec<f64>> =
            (0..functions).map(|f| ranks(&whole.iter().map(|of| of[f]).collect::<Vec<_>>())).collect();
        let mut place = 0;
        medians
            .iter()
            .map(|of| {
                of.as_ref()?;
                let sum: f64 = by_function.iter().map(|ranks| ranks[place]).sum();
                place += 1;
                Some(sum / functions as f64)
            })
            .collect()
    }

    /// Number of measurements that four at a time take for the regret of one by one.
    pub(super) fn batch(&self, batch: usize) -> String {
        let mut text = format!("## Measurements for the same regret, {batch} at a time over one by one\n\n");
        text += &head("function", &self.searchers);
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); self.searchers.len()];
        for function in &self.functions {
            let cells = self.searchers.iter().enumerate().map(|(i, searcher)| {
                let curve = |batch| median_curve(self.cell(searcher, function.name, batch)?);
                let ratio = measurements_ratio(&curve(1)?, &curve(batch)?)?;
                all[i].push(ratio);
                Some(ratio)
            });
            let cells: Vec<Option<f64>> = cells.collect();
            text += &row(function.name, cells.into_iter().map(ratio));
        }
        text += &row("**median**", all.iter().map(|ratios| ratio(median(ratios))));
        format!("{text}\n{}", self.foot)
    }

    /// Mean CPU time of an ask and a tell, in milliseconds.
    pub(super) fn cost(&self, function: &str, costs: &[Cost]) -> String {
        let mut text = format!("## CPU milliseconds of a suggestion, ask and tell, on {function}\n\n");
        let marks: Vec<String> =
            costs.first().map_or_else(Vec::new, |c| c.at.iter().map(|(n, _)| format!("n = {n}")).collect());
        text += &head("searcher", &marks);
        let mut notes = String::new();
        for cost in costs {
            text += &row(
                &cost.searcher,
                cost.at.iter().map(|(_, cost)| cost.as_ref().map_or_else(|_| "-".to_owned(), |s| milliseconds(*s))),
            );
            for (n, cost_at) in &cost.at {
                if let Err(why) = cost_at {
                    notes += &format!("**{} at n = {n} failed**: {}.\n", cost.searcher, one_line(why));
                }
            }
        }
        format!("{text}\n{}\n{notes}", self.foot)
    }

    /// The absent engines and the failures, in this group.
    fn remarks(&self, group: Group) -> String {
        let mut text = String::new();
        for (searcher, why) in &self.without {
            text += &format!("Without {searcher}: {}.\n", one_line(why));
        }
        for cell in self.cells.iter().filter(|cell| !cell.failures.is_empty()) {
            if self.functions_of(group).any(|f| f.name == cell.function) {
                let (bad, all) = (cell.failures.len(), cell.failures.len() + cell.curves.len());
                text += &format!(
                    "**{} on {}, {} at a time: {bad} of {all} runs not counted**: {}.\n",
                    cell.searcher,
                    cell.function,
                    cell.batch,
                    one_line(&cell.failures[0])
                );
            }
        }
        text
    }
}

/// Median regret after each number of results.
fn median_curve(cell: &Cell) -> Option<Vec<f64>> {
    (0..BUDGET).map(|n| median(&cell.curves.iter().map(|c| c.lowest[n]).collect::<Vec<_>>())).collect()
}

fn shown(middle: Option<Middle>, with_interval: bool) -> String {
    match middle {
        None => "-".to_owned(),
        Some(Middle { median, interval: (lo, hi) }) if with_interval => format!("{median:.2} [{lo:.2}, {hi:.2}]"),
        Some(Middle { median, .. }) => format!("{median:.2}"),
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Three digits, whether it is micro or many.
fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = if ms >= 100.0 {
        0
    } else if ms >= 10.0 {
        1
    } else if ms >= 1.0 {
        2
    } else {
        3
    };
    format!("{ms:.digits$}")
}

fn head(first: &str, columns: &[String]) -> String {
    format!("{}{}", row(first, columns.iter().cloned()), row("---", columns.iter().map(|_| "---:".to_owned())))
}

fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = std::iter::once(first.to_owned()).chain(cells).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A message fit for a paragraph.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
    line.chars().take(300).collect::<String>().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::board;
    use super::*;

    /// Curves whose regret is constant.
    fn cell(searcher: &str, function: &'static str, batch: usize, regrets: &[f64]) -> Cell {
        let curve = |r: &f64| Curve { lowest: vec![*r; BUDGET], recommended: [*r / 10.0; MARKS.len()], cpu_s: 1e-3 };
        let curves = regrets.iter().map(curve).collect();
        Cell { searcher: searcher.to_owned(), function, batch, curves, failures: Vec::new() }
    }

    fn report(cells: Vec<Cell>) -> Report {
        let functions = board::all().into_iter().filter(|f| ["branin2", "levy4"].contains(&f.name)).collect();
        let searchers = vec!["random".to_owned(), "gp".to_owned()];
        Report { functions, searchers, cells, without: Vec::new(), foot: "On a day.".to_owned() }
    }

    #[test]
    fn medians_stand_with_their_intervals_and_failures_below() {
        let mut gp = cell("gp", "levy4", 1, &[0.1, 0.1, 0.1]);
        gp.failures.push("it |\nbroke.".to_owned());
        let mut report = report(vec![cell("random", "levy4", 1, &[1.0, 10.0, 100.0]), gp]);
        report.without.push(("tpe".to_owned(), "there is none".to_owned()));
        let text = report.regret(Group::Continuous).unwrap();
        assert!(text.contains("| function | random | gp |\n| --- | ---: | ---: |\n"), "{text}");
        assert!(text.contains("| levy4 | 1.00 [0.00, 2.00] | -1.00 [-1.00, -1.00] |"), "{text}");
        assert!(text.contains("| levy4 | 0.00 [-1.00, 1.00] | -2.00 [-2.00, -2.00] |"), "{text}");
        assert!(text.contains("| branin2 | - | - |") && text.contains("Without tpe: there is none.\n"), "{text}");
        assert!(text.contains("**gp on levy4, 1 at a time: 1 of 4 runs not counted**: it / broke.\n"), "{text}");
        assert_eq!(report.regret(Group::Mixed), None);
    }

    #[test]
    fn the_best_rank_stands_first_and_a_searcher_that_lacks_a_function_has_none() {
        let cells = vec![
            cell("random", "levy4", 1, &[1.0]),
            cell("gp", "levy4", 1, &[0.1]),
            cell("random", "branin2", 1, &[1.0]),
        ];
        let mut report = report(cells);
        let text = report.rank();
        assert!(text.contains("| random | 1.00 | 1.00 | 1.00 | 1.00 |\n| gp | - | - | - | - |"), "{text}");
        report.cells.push(cell("gp", "branin2", 1, &[1.0]));
        let text = report.rank();
        assert!(text.contains("| gp | 1.25 | 1.25 | 1.25 | 1.25 |\n| random | 1.75 |"), "{text}");
    }

    #[test]
    fn costs_have_three_digits_and_failures_a_sentence() {
        let at = vec![(20, Ok(1.234_56e-5)), (100, Ok(0.123_456)), (300, Err("no answer".to_owned()))];
        let text = report(Vec::new()).cost("hartmann6", &[Cost { searcher: "gp".to_owned(), at }]);
        assert!(
            text.contains("| gp | 0.012 | 123 | - |") && text.contains("**gp at n = 300 failed**: no answer."),
            "{text}"
        );
    }

    #[test]
    fn the_same_curves_need_the_same_measurements() {
        let cells = [1, 4].map(|batch| cell("gp", "levy4", batch, &[1.0, 2.0]));
        let text = report(cells.to_vec()).batch(4);
        assert!(text.contains("| levy4 | - | 1.00 |") && text.contains("| **median** | - | 1.00 |"), "{text}");
    }
}
