//! A table of plain columns: what `results.parquet` is made of. Which columns there are is the run's business.

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its heading; unique in a table.
    pub name: String,
    /// Its cells, one for each row.
    pub data: ColumnData,
}

/// The cells of a column; none where there is nothing to say, as for a value of a trial that failed.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Whole numbers.
    I64(Vec<Option<i64>>),
    /// Numbers.
    F64(Vec<Option<f64>>),
    /// Words.
    Text(Vec<Option<String>>),
    /// Yes or no.
    Bool(Vec<Option<bool>>),
}

impl ColumnData {
    /// The number of rows, empty cells included.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::I64(cells) => cells.len(),
            Self::F64(cells) => cells.len(),
            Self::Text(cells) => cells.len(),
            Self::Bool(cells) => cells.len(),
        }
    }
}
