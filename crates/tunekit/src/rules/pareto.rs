//! Several objectives: the results that no other result beats, and the volume that they cover. Smaller is better
//! throughout.
//!
//! A point dominates another if it is nowhere worse and somewhere better. The hypervolume of points is the volume that
//! they dominate within a reference point (Zitzler and Thiele 1998); it is computed by slices along the last objective,
//! each the hypervolume of one dimension less (While et al. 2006, "A faster algorithm for calculating hypervolume"),
//! exact in any dimension and quick in two and three.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// The places of the points that no other point dominates, in order. Of equal points all are listed. Points with a NaN
/// are not.
///
/// ```
/// let points = [vec![1.0, 4.0], vec![2.0, 2.0], vec![3.0, 3.0], vec![4.0, 1.0]];
/// assert_eq!(tunekit::results::pareto::non_dominated(&points), [0, 1, 3]);
/// ```
#[must_use]
pub fn non_dominated(points: &[Vec<f64>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).filter(|i| points[*i].iter().all(|v| !v.is_nan())).collect();
    // In this order only earlier points can dominate a point, and then one of them that is not dominated itself does.
    order.sort_by(|a, b| lexicographic(&points[*a], &points[*b]).then(a.cmp(b)));
    let mut front: Vec<usize> = Vec::new();
    for i in order {
        if !front.iter().any(|f| dominates(&points[*f], &points[i])) {
            front.push(i);
        }
    }
    front.sort_unstable();
    front
}

/// Whether `a` is nowhere worse than `b` and somewhere better.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// The volume that `points` dominate within `reference`. A point that is not better than the reference in every
/// objective adds nothing; neither does a point with a NaN.
///
/// ```
/// let points = [vec![1.0, 2.0], vec![2.0, 1.0]];
/// assert_eq!(tunekit::results::pareto::hypervolume(&points, &[3.0, 3.0]), 3.0);
/// ```
#[must_use]
pub fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let inside = |p: &&Vec<f64>| p.len() == reference.len() && p.iter().zip(reference).all(|(v, r)| v < r);
    let inside: Vec<&[f64]> = points.iter().filter(inside).map(Vec::as_slice).collect();
    slices(inside, reference)
}

fn slices(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let Some((last, rest)) = reference.split_last() else { return 0.0 };
    let height = |p: &[f64]| p[rest.len()];
    if rest.is_empty() {
        return points.iter().map(|p| last - p[0]).fold(0.0, f64::max);
    }
    points.sort_by(|a, b| height(a).total_cmp(&height(b)));
    if rest.len() == 1 {
        // From the best of the last objective up, each point adds its gain in the first.
        let (mut volume, mut best) = (0.0, rest[0]);
        for p in points {
            if p[0] < best {
                volume += (best - p[0]) * (last - p[1]);
                best = p[0];
            }
        }
        return volume;
    }
    let mut volume = 0.0;
    for i in 0..points.len() {
        let top = points.get(i + 1).map_or(*last, |p| height(p));
        let thickness = top - height(points[i]);
        if thickness > 0.0 {
            volume += thickness * slices(points[..=i].to_vec(), rest);
        }
    }
    volume
}

/// Orders two points by the first objective in which they differ.
pub(super) fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    // Zero and minus zero are one number here, as they are to `dominates`.
    let order = |(a, b): (&f64, &f64)| a.partial_cmp(b).filter(|o| o.is_ne());
    a.iter().zip(b).find_map(order).unwrap_or(Ordering::Equal)
}

/// A box of the space of objectives: from and to, for each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) sides: Vec<(f64, f64)>,
}

/// Disjoint boxes that together are the region which `front`, of points that do not dominate each other, leaves
/// undominated within `reference`. A front of k points leaves at most k + 1 boxes in two objectives and 2 k + 1 in
/// three (the number of Yang et al. 2019, "Efficient computation of expected hypervolume improvement using box
/// decomposition algorithms"); in more objectives, where slices are taken in the same way, ever more.
pub(crate) fn free_cells(front: &[Vec<f64>], reference: &[f64]) -> Vec<Cell> {
    let inside: Vec<&[f64]> =
        front.iter().filter(|p| p.iter().zip(reference).all(|(v, r)| v < r)).map(Vec::as_slice).collect();
    free(inside, reference)
}

fn free(mut points: Vec<&[f64]>, reference: &[f64]) -> Vec<Cell> {
    let Some((last, rest)) = reference.split_last() else { return vec![Cell { sides: Vec::new() }] };
    let height = |p: &[f64]| p[rest.len()];
    if rest.is_empty() {
        let best = points.iter().map(|p| p[0]).fold(*last, f64::min);
        return vec![Cell { sides: vec![(f64::NEG_INFINITY, best)] }];
    }
    points.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let mut cells = Vec::new();
    let end = |(mut cell, from): (Cell, f64), to: f64| {
        cell.sides.push((from, to));
        cell
    };
    // Those of the slice so far, and from where each has been the same.
    let mut open: VecDeque<(Cell, f64)> = VecDeque::new();
    let mut from = f64::NEG_INFINITY;
    // Between two heights only the points below count, with one objective less.
    for (below, to) in points.iter().map(|p| height(p)).chain([*last]).enumerate() {
        if to > from {
            let front: Vec<&[f64]> = points[..below].iter().map(|p| &p[..rest.len()]).collect();
            let mut next = VecDeque::with_capacity(open.len() + 1);
            for cell in free(front, rest) {
                // One point more changes few of them, and leaves the others in their order: they are found in front.
                let same = open.iter().position(|(other, _)| *other == cell).and_then(|at| open.remove(at));
                next.push_back(same.unwrap_or((cell, from)));
            }
            cells.extend(open.into_iter().map(|gone| end(gone, from)));
            open = next;
            from = to;
        }
    }
    cells.extend(open.into_iter().map(|whole| end(whole, from)));
    cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::stream::Stream;

    #[test]
    fn ties_and_duplicates_stay_and_what_is_no_number_goes() {
        let points = [
            vec![1.0, 2.0],
            vec![1.0, 2.0],
            vec![1.0, 3.0],
            vec![0.0, f64::NAN],
            vec![-0.0, 5.0],
            vec![0.0, 4.0],
            vec![2.0, 1.0],
            vec![2.0, f64::INFINITY],
        ];
        assert_eq!(non_dominated(&points), [0, 1, 5, 6]);
        assert_eq!(non_dominated(&[]), [0_usize; 0]);
        assert_eq!(non_dominated(&[vec![3.0], vec![2.0], vec![2.0]]), [1, 2]);
    }

    #[test]
    fn a_volume_is_what_random_points_fall_into() {
        let mut stream = Stream::of_study(5, "volume");
        for dimension in 1..=4 {
            let mut point = || (0..dimension).map(|_| stream.uniform()).collect::<Vec<f64>>();
            let mut points: Vec<Vec<f64>> = (0..12).map(|_| point().iter().map(|v| 1.1 * v).collect()).collect();
            points.push(points[0].clone());
            points.push(vec![f64::NAN; dimension]);
            let reference = vec![1.0; dimension];
            let draws = 200_000;
            let below = |x: &[f64]| points.iter().any(|p| p.iter().zip(x).all(|(p, x)| p <= x));
            let hit = (0..draws).filter(|_| below(&point())).count() as f64 / f64::from(draws);
            let volume = hypervolume(&points, &reference);
            // Four standard errors.
            assert!((volume - hit).abs() < 4.0 * (0.25 / f64::from(draws)).sqrt(), "{dimension}: {volume} {hit}");
        }
    }

    #[test]
    fn three_boxes_by_hand() {
        let points = [vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
        // Each covers 2 x 1 x 1; any two share the unit cube, and so do all three.
        assert_eq!(hypervolume(&points, &[2.0, 2.0, 2.0]), 2.0 * 3.0 - 3.0 + 1.0);
        assert_eq!(hypervolume(&points, &[1.0, 2.0, 2.0]), 1.0);
        assert_eq!(hypervolume(&[], &[1.0]), 0.0);
        assert_eq!(hypervolume(&points, &[]), 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_front_is_what_the_definition_says(points in prop::collection::vec(prop::collection::vec(0..5_i32, 3), 0..40)) {
            let points: Vec<Vec<f64>> = points.iter().map(|p| p.iter().copied().map(f64::from).collect()).collect();
            let slow = (0..points.len()).filter(|i| !points.iter().any(|p| dominates(p, &points[*i])));
            prop_assert_eq!(non_dominated(&points), slow.collect::<Vec<_>>());
            // Dominated points add no volume.
            let front: Vec<Vec<f64>> = non_dominated(&points).into_iter().map(|i| points[i].clone()).collect();
            let reference = [5.0, 5.0, 5.0];
            prop_assert_eq!(hypervolume(&points, &reference), hypervolume(&front, &reference));
        }
    }

    /// Points of the sphere's part towards 0, as far as it lies in the unit cube: none dominates another.
    fn shell(points: usize, objectives: usize) -> Vec<Vec<f64>> {
        let mut stream = Stream::of_study(6, "shell");
        let mut point = || {
            let direction: Vec<f64> = (0..objectives).map(|_| stream.normal().abs()).collect();
            let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
            direction.iter().map(|v| 1.0 - v / length).collect()
        };
        (0..points).map(|_| point()).collect()
    }

    #[test]
    fn a_long_front_leaves_boxes_in_proportion_to_its_length() {
        for points in [1, 20, 200] {
            let two = free_cells(&shell(points, 2), &[1.5; 2]).len();
            let three = free_cells(&shell(points, 3), &[1.5; 3]).len();
            assert_eq!((two, three), (points + 1, 2 * points + 1));
        }
        // Without slices put together again there would be 5,456 of thirty points.
        assert!(free_cells(&shell(30, 4), &[1.5; 4]).len() < 300);
    }

    #[test]
    fn the_free_cells_are_what_the_front_leaves() {
        // In a box from 0 to the reference, dominated and free volume add up to the whole.
        for (front, reference) in [
            (shell(200, 3), vec![1.5; 3]),
            (shell(20, 4), vec![1.5; 4]),
            (vec![vec![0.1, 0.9], vec![0.4, 0.5], vec![0.8, 0.2]], vec![1.0, 1.0]),
            (vec![vec![0.5, 0.9, 0.4], vec![0.2, 0.3, 0.8], vec![0.2, 0.9, 0.3], vec![0.7, 0.1, 0.5]], vec![1.0; 3]),
            (vec![], vec![1.0, 2.0, 3.0]),
            (vec![vec![1.5, 0.1]], vec![1.0, 1.0]),
        ] {
            let whole: f64 = reference.iter().product();
            let size = |c: &Cell| c.sides.iter().map(|(low, high)| high - low.max(0.0)).product::<f64>();
            let free: f64 = free_cells(&front, &reference).iter().map(size).sum();
            assert!((free + hypervolume(&front, &reference) - whole).abs() < 1e-12);
        }
    }
}
