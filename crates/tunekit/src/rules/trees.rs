//! Regression trees over the unit cube: their form, and their growth from rows by any rule for the best split.
//!
//! The rules for the best split, and the ways to combine trees, are in `trees/boosted` (one after the other, for
//! densities and quantiles) and in `trees/forest` (side by side, for a surface).

pub(crate) mod boosted;
pub(crate) mod forest;

/// A fitted tree; the first node is its root.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Leaf {
        value: f64,
    },
    /// To `yes` where the test holds, else to `no`.
    Split {
        column: usize,
        test: Test,
        yes: usize,
        no: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Test {
    Below(f64),
    Is(f64),
    /// From the first, and below the second.
    Within(f64, f64),
}

impl Test {
    fn holds(self, u: f64) -> bool {
        match self {
            Self::Below(threshold) => u < threshold,
            // Coordinates of one category are the same number, bit for bit.
            Self::Is(category) => u == category,
            Self::Within(from, to) => (from..to).contains(&u),
        }
    }
}

impl Tree {
    /// The value of the leaf that `point` falls into.
    pub(crate) fn value(&self, point: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf { value } => return value,
                Node::Split { column, test, yes, no } => at = if test.holds(point[column]) { yes } else { no },
            }
        }
    }
}

/// The rule for splits, and the value of a leaf.
struct Growing<'a, P, S, L> {
    points: &'a [P],
    /// The best split of these rows; `None` makes a leaf of them.
    split: S,
    leaf: L,
    depth: usize,
}

impl<P, S, L> Growing<'_, P, S, L>
where
    P: AsRef<[f64]>,
    S: FnMut(&[usize]) -> Option<(usize, Test)>,
    L: Fn(&[usize]) -> f64,
{
    fn tree(mut self, mut rows: Vec<usize>) -> Tree {
        let mut nodes = Vec::new();
        self.node(&mut nodes, &mut rows, 0);
        Tree { nodes }
    }

    fn node(&mut self, nodes: &mut Vec<Node>, rows: &mut [usize], depth: usize) -> usize {
        let at = nodes.len();
        nodes.push(Node::Leaf { value: (self.leaf)(rows) });
        let split = if depth < self.depth { (self.split)(rows) } else { None };
        if let Some((column, test)) = split {
            let middle = partition(rows, |row| test.holds(self.points[row].as_ref()[column]));
            let (yes, no) = rows.split_at_mut(middle);
            if !yes.is_empty() && !no.is_empty() {
                let yes = self.node(nodes, yes, depth + 1);
                let no = self.node(nodes, no, depth + 1);
                nodes[at] = Node::Split { column, test, yes, no };
            }
        }
        at
    }
}

/// Puts the rows that pass in front, keeping the order of both, and says how many they are.
fn partition(rows: &mut [usize], passes: impl Fn(usize) -> bool) -> usize {
    let (mut yes, no): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| passes(**row));
    let middle = yes.len();
    yes.extend(no);
    rows.copy_from_slice(&yes);
    middle
}

/// The part of the targets' variation that a split of rows explains, from counts and sums: larger is better.
fn score(n: [f64; 2], sum: [f64; 2]) -> f64 {
    sum[0] * sum[0] / n[0] + sum[1] * sum[1] / n[1]
}
