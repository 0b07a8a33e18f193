//! `Table`: named columns of one type each, for CSV, Parquet and plots. The caller makes the rows.

/// A column's cells; `None` is an empty cell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cells {
    /// Real numbers.
    Float(Vec<Option<f64>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// Texts.
    Text(Vec<Option<String>>),
}

impl Cells {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(v) => v.len(),
            Self::Int(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell of `row` as text; empty where there is no value. Floats in the shortest form that reads back the same.
    pub fn text(&self, row: usize) -> String {
        fn show<T: ToString>(cell: Option<&Option<T>>) -> String {
            cell.and_then(Option::as_ref).map_or_else(String::new, ToString::to_string)
        }
        match self {
            Self::Float(v) => v.get(row).copied().flatten().map_or_else(String::new, |x| format!("{x:?}")),
            Self::Int(v) => show(v.get(row)),
            Self::Bool(v) => show(v.get(row)),
            Self::Text(v) => show(v.get(row)),
        }
    }
}

/// Columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    columns: Vec<(String, Cells)>,
}

impl Table {
    /// Makes a table; the caller inside this crate sees to it that columns are equally long.
    pub(crate) fn new(columns: Vec<(String, Cells)>) -> Self {
        debug_assert!(columns.windows(2).all(|w| w[0].1.len() == w[1].1.len()));
        Self { columns }
    }

    /// Names and cells, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Cells)> {
        self.columns.iter().map(|(n, c)| (n.as_str(), c))
    }

    /// The cells of a column.
    pub fn column(&self, name: &str) -> Option<&Cells> {
        self.columns().find(|(n, _)| *n == name).map(|(_, c)| c)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, c)| c.len())
    }
}

/// Columns of a table differ in length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` has {found} rows, the columns before it {expected}; give each as many")]
#[non_exhaustive]
pub struct UnevenTable {
    /// The first column that differs.
    pub column: String,
    /// Its rows.
    pub found: usize,
    /// The rows of the columns before.
    pub expected: usize,
}

/// Makes a caller's own table, for [`write_csv`](crate::results::write_csv) and the like.
///
/// ```
/// use tunekit::results::{Cells, Table};
///
/// let name = |name: &str| name.to_owned();
/// let table = Table::try_from(vec![(name("x"), Cells::Int(vec![Some(1), None]))])?;
/// assert_eq!(table.rows(), 2);
/// let uneven = vec![(name("x"), Cells::Int(vec![None])), (name("y"), Cells::Bool(vec![]))];
/// assert_eq!(Table::try_from(uneven).unwrap_err().column, "y");
/// # Ok::<(), tunekit::results::UnevenTable>(())
/// ```
impl TryFrom<Vec<(String, Cells)>> for Table {
    type Error = UnevenTable;

    fn try_from(columns: Vec<(String, Cells)>) -> Result<Self, UnevenTable> {
        let expected = columns.first().map_or(0, |(_, cells)| cells.len());
        match columns.iter().find(|(_, cells)| cells.len() != expected) {
            Some((name, cells)) => Err(UnevenTable { column: name.clone(), found: cells.len(), expected }),
            None => Ok(Self { columns }),
        }
    }
}
