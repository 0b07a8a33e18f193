//! Tables as CSV files; the only file that names csv.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::words::table::Table;

/// A table could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Writes `table` as CSV with one line of names: to a temporary file beside `path` first, which then takes its name, so
/// that a reader never sees half a table.
///
/// # Errors
/// The file system refuses; `path` is as it was.
pub fn write_csv(table: &Table, path: impl AsRef<Path>) -> Result<(), WriteError> {
    let path = path.as_ref();
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write(table, &temporary).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&temporary);
        WriteError { path: path.to_path_buf(), source }
    })
}

fn write(table: &Table, path: &Path) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(File::create(path)?);
    out.write_record(table.columns().map(|(name, _)| name))?;
    for row in 0..table.rows() {
        out.write_record(table.columns().map(|(_, cells)| cells.text(row)))?;
    }
    let file = out.into_inner().map_err(csv::IntoInnerError::into_error)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::table::Cells;

    #[test]
    fn a_table_is_quoted_where_it_must_be_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        let table = Table::new(vec![
            ("id".to_owned(), Cells::Int(vec![Some(0), Some(1)])),
            ("value".to_owned(), Cells::Float(vec![Some(0.1), None])),
            ("failure".to_owned(), Cells::Text(vec![None, Some("a, \"b\"".to_owned())])),
        ]);
        write_csv(&table, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "id,value,failure\n0,0.1,\n1,,\"a, \"\"b\"\"\"\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_csv(&table, folder.path().join("none/results.csv")).is_err());
    }
}
