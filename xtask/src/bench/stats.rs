//! Medians, and ratios within a round. No clock, no process.

/// The middle value, or the mean of the two middle values if their number is even; none without values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The median of `value / base` over the rounds that have both.
///
/// Ratios are taken within a round, because the machine's load changes between rounds.
pub(super) fn median_ratio(values: &[(u32, f64)], base: &[(u32, f64)]) -> Option<f64> {
    let ratios: Vec<f64> = values
        .iter()
        .filter_map(|(round, value)| {
            let (_, base) = base.iter().find(|(other, base)| other == round && *base > 0.0)?;
            Some(value / base)
        })
        .collect();
    median(&ratios)
}

/// The order of the entrants in each round: each comes once, and over the rounds each is first at some time.
pub(super) fn order(round: u32, entrants: usize) -> impl Iterator<Item = usize> {
    (0..entrants).map(move |i| (i + round as usize) % entrants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 9.0, 2.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // Everything took thrice as long in round 1: the ratio does not see it.
        let base = [(0, 1.0), (1, 3.0), (2, 1.0)];
        assert_eq!(median_ratio(&[(0, 2.0), (1, 6.0), (2, 2.0)], &base), Some(2.0));
        assert_eq!(median_ratio(&base, &base), Some(1.0));
    }

    #[test]
    fn a_round_without_its_base_gives_no_ratio() {
        assert_eq!(median_ratio(&[(0, 2.0), (1, 8.0)], &[(1, 2.0)]), Some(4.0));
        assert_eq!(median_ratio(&[(0, 2.0)], &[(1, 2.0)]), None);
        assert_eq!(median_ratio(&[(0, 2.0)], &[(0, 0.0)]), None);
    }

    #[test]
    fn every_round_has_everybody_once_and_starts_with_another() {
        for round in 0..7 {
            let mut seen: Vec<usize> = order(round, 3).collect();
            assert_eq!(seen[0], round as usize % 3);
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
        }
    }
}
