//! The board as Markdown.

use std::fmt::Write as _;

use crate::network::Profile;
use crate::play::Played;

/// One network.
pub(crate) struct Row {
    pub(crate) profile: Profile,
    /// Seconds of the best fixed pair.
    pub(crate) best: f64,
    /// The smallest pair that is as good: requests, and mebibytes of a part; and the most requests of such a pair.
    pub(crate) requests: u32,
    pub(crate) mib: u64,
    pub(crate) most_requests: u32,
    pub(crate) ours: Played,
    /// A second transfer, which is told the findings of the first one; and one that is told those of another network.
    pub(crate) again: Played,
    pub(crate) misled: Played,
    /// Seconds of others, by name.
    pub(crate) others: Vec<(&'static str, f64)>,
}

impl Row {
    /// The best fixed pair's time over ours: 1 is as good.
    pub(crate) fn ratio(&self) -> f64 {
        self.best / self.ours.seconds
    }

    fn of(&self, name: &str) -> f64 {
        self.others.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, seconds)| self.best / seconds)
    }

    fn is_short(&self) -> bool {
        (1.0..4.0).contains(&self.best)
    }
}

/// A share of the sorted values; 0 of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(0.0)
}

/// The summary of all rules, and the networks on which ours is furthest behind the best fixed pair.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let names: Vec<&str> = rows.first().map_or_else(Vec::new, |row| row.others.iter().map(|(name, _)| *name).collect());
    let _ = writeln!(
        text,
        "| rule | median | tenth | twentieth | worst | median, 1 to 4 s | worst, 1 to 4 s | s3xfer ahead on |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|---|");
    let ours = rows.iter().map(|row| (row.ratio(), row.is_short())).collect();
    let _ = writeln!(text, "| **s3xfer** | {} | |", summary(ours));
    let again = rows.iter().map(|row| (row.best / row.again.seconds, row.is_short())).collect();
    let _ = writeln!(text, "| s3xfer, second transfer | {} | |", summary(again));
    let misled = rows.iter().map(|row| (row.best / row.misled.seconds, row.is_short())).collect();
    let _ = writeln!(text, "| s3xfer, told of another network | {} | |", summary(misled));
    for name in names {
        let others = rows.iter().map(|row| (row.of(name), row.is_short())).collect();
        let ahead = rows.iter().filter(|row| row.ratio() >= 0.99 * row.of(name)).count();
        let share = 100.0 * ahead as f64 / rows.len() as f64;
        let _ = writeln!(text, "| {name} | {} | {share:.0} % |", summary(others));
    }
    let over = rows.iter().filter(|row| f64::from(row.ours.peak) > 1.5 * f64::from(row.most_requests)).count();
    let _ = writeln!(
        text,
        "\n{} networks. On {over} of them s3xfer had more than 1.5 times as many requests in flight at some moment as any fixed \
         pair that is as good as the best.\n",
        rows.len()
    );
    let mut worst: Vec<&Row> = rows.iter().collect();
    worst.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let _ = writeln!(
        text,
        "| furthest behind | object | first byte | connection | link | best fixed pair | s3xfer | ratio |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|---|");
    for row in worst.iter().take(12) {
        let Row { profile, best, requests, mib, ours, .. } = row;
        let _ = writeln!(
            text,
            "| {} | {:.0} MiB | {:.0} ms | {:.0} MB/s | {:.0} MB/s | {best:.2} s ({requests} x {mib} MiB) | {:.2} s (up to {}) | \
             {:.2} |",
            profile.name,
            profile.object as f64 / (1 << 20) as f64,
            1e3 * profile.first_byte,
            profile.connection / 1e6,
            profile.link / 1e6,
            ours.seconds,
            ours.peak,
            row.ratio(),
        );
    }
    text
}

/// Median, tenth, twentieth and worst of all ratios, median and worst of those of short transfers.
fn summary(ratios: Vec<(f64, bool)>) -> String {
    let sorted = |keep: &dyn Fn(bool) -> bool| {
        let mut kept: Vec<f64> = ratios.iter().filter(|(_, short)| keep(*short)).map(|(ratio, _)| *ratio).collect();
        kept.sort_by(f64::total_cmp);
        kept
    };
    let (all, short) = (sorted(&|_| true), sorted(&|short| short));
    let figures = [(&all, 0.5), (&all, 0.1), (&all, 0.05), (&all, 0.0), (&short, 0.5), (&short, 0.0)];
    figures.map(|(sorted, share)| format!("{:.2}", quantile(sorted, share))).join(" | ")
}
