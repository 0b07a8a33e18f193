//! Tables as CSV files; the only file that names csv.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::words::table::{Cells, Table};

/// A table could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
#[non_exhaustive]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Writes `table` as CSV with one line of names. The text goes to a temporary file beside `path`, which is then
/// renamed, so a reader never sees half a table.
///
/// # Errors
/// The file system refuses; `path` is as it was.
pub fn write_csv(table: &Table, path: impl AsRef<Path>) -> Result<(), WriteError> {
    let path = path.as_ref();
    let text = csv_text(table).map_err(|source| WriteError { path: path.to_path_buf(), source })?;
    write_whole(path, &text)
}

/// The table as CSV with one line of names.
///
/// # Errors
/// None that depend on the table.
pub fn csv_text(table: &Table) -> io::Result<Vec<u8>> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(table.columns().map(|(name, _)| name))?;
    for row in 0..table.rows() {
        out.write_record(table.columns().map(|(_, cells)| cells.text(row)))?;
    }
    out.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// The table as JSON: an array with an object for each row. An empty cell is `null`, and so is a number that is not
/// finite.
pub fn json_text(table: &Table) -> String {
    let row = |row: usize| {
        let cell = |(name, cells): (&str, &Cells)| {
            let value = match cells {
                Cells::Float(v) => v[row].into(),
                Cells::Int(v) => v[row].into(),
                Cells::Bool(v) => v[row].into(),
                Cells::Text(v) => v[row].clone().into(),
            };
            (name.to_owned(), value)
        };
        serde_json::Value::Object(table.columns().map(cell).collect()).to_string()
    };
    let rows: Vec<String> = (0..table.rows()).map(row).collect();
    if rows.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}

/// Writes a text file whole or not at all.
///
/// # Errors
/// The file system refuses; `path` is as it was.
pub fn write_text(path: impl AsRef<Path>, text: &str) -> Result<(), WriteError> {
    write_whole(path.as_ref(), text.as_bytes())
}

/// The end of a temporary file's name, after the number of the process that writes it.
const TEMPORARY: &str = ".tmp";

/// Removes the temporary files that killed processes have left of these files in a folder. Those of a process that
/// lives are its own.
#[cfg(feature = "process")]
pub(crate) fn remove_temporaries(folder: &Path, names: &[&str]) {
    let own = std::process::id().to_string();
    let is_left = |file: &str| {
        let writer = names.iter().find_map(|name| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(TEMPORARY));
        writer.is_some_and(|pid| {
            let is_number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
            is_number && (pid == own || !Path::new("/proc").join(pid).exists())
        })
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_left(&entry.file_name().to_string_lossy()) {
            // Best effort: such a file is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Writes a file whole or not at all: beside `path` first, from where it takes the name.
///
/// # Errors
/// The file system refuses; `path` is as it was.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}{TEMPORARY}", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&temporary);
        WriteError { path: path.to_path_buf(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    #[cfg(feature = "process")]
    fn temporary_files_of_dead_processes_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        // No process has the second number.
        let (alive, dead) = (std::os::unix::process::parent_id(), "4194999");
        let kept =
            [format!("a.csv.{alive}.tmp"), format!("b.csv.{dead}.tmp"), "a.csv..tmp".into(), "a.csv.x.tmp".into()];
        for name in kept.iter().chain(&[format!("a.csv.{dead}.tmp"), format!("a.csv.{}.tmp", std::process::id())]) {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        remove_temporaries(folder.path(), &["a.csv"]);
        let left =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: std::collections::BTreeSet<String> = left.collect();
        assert_eq!(left, kept.into_iter().collect());
    }
}
