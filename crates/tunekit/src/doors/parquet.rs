//! Tables as Parquet, for pandas, DuckDB and the like.
//!
//! Only this file names the `parquet` crate. Columns are INT64, DOUBLE, BYTE_ARRAY (UTF8) and BOOLEAN, all optional, in
//! one uncompressed row group: a run has hundreds of rows, not millions. Format: Apache Parquet 2.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError as Refused;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::results::{WriteError, write_whole};
use crate::words::table::Cells;

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetError {
    /// The encoder refused.
    #[error("write a table: {source}")]
    Encoding {
        /// The library's error.
        #[from]
        source: Refused,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes named columns of equal length to a Parquet file at `path`, whole or not at all.
///
/// # Errors
/// The columns have different lengths, or the file cannot be written.
pub fn write_parquet<'a>(
    path: &Path,
    columns: impl IntoIterator<Item = (&'a str, &'a Cells)>,
) -> Result<(), ParquetError> {
    Ok(write_whole(path, &parquet_bytes(columns)?)?)
}

/// The Parquet file that holds named columns. A table without columns or without rows is a valid file, too.
///
/// ```
/// use tunekit::results::{Cells, parquet_bytes};
///
/// let file = parquet_bytes([("download_time", &Cells::Float(vec![Some(4.9), None]))])?;
/// assert_eq!(&file[..4], b"PAR1");
/// # Ok::<(), tunekit::results::ParquetError>(())
/// ```
///
/// # Errors
/// When columns differ in length.
pub fn parquet_bytes<'a>(columns: impl IntoIterator<Item = (&'a str, &'a Cells)>) -> Result<Vec<u8>, ParquetError> {
    let columns: Vec<(&str, &Cells)> = columns.into_iter().collect();
    let fields = columns.iter().map(|(name, cells)| field(name, cells)).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("trials").with_fields(fields).build()?;
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(WriterProperties::new()))?;
    let mut group = writer.next_row_group()?;
    for (_, cells) in columns {
        let mut out = group.next_column()?.expect("the schema has one leaf for each column");
        match cells {
            Cells::Int(cells) => write::<Int64Type>(&mut out, cells.iter().copied())?,
            Cells::Float(cells) => write::<DoubleType>(&mut out, cells.iter().copied())?,
            Cells::Bool(cells) => write::<BoolType>(&mut out, cells.iter().copied())?,
            Cells::Text(cells) => {
                let bytes = cells.iter().map(|cell| cell.as_deref().map(ByteArray::from));
                write::<ByteArrayType>(&mut out, bytes)?;
            }
        }
        out.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

fn field(name: &str, cells: &Cells) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match cells {
        Cells::Int(_) => (Physical::INT64, None),
        Cells::Float(_) => (Physical::DOUBLE, None),
        Cells::Bool(_) => (Physical::BOOLEAN, None),
        Cells::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical);
    Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?))
}

/// Writes one column: a level for each row that says whether there is a value, and the values that there are.
fn write<T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), Refused> {
    let mut levels = Vec::new();
    let mut values = Vec::new();
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    out.typed::<T>().write_batch(&values, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    fn table() -> Vec<(&'static str, Cells)> {
        vec![
            ("trial", Cells::Int(vec![Some(0), Some(i64::MAX), Some(-2)])),
            ("download_time", Cells::Float(vec![Some(8.25), None, Some(1e-300)])),
            ("status", Cells::Text(vec![Some("done".into()), Some("failed: \"é\", 1".into()), None])),
            ("use_threads", Cells::Bool(vec![None, Some(true), Some(false)])),
            ("empty", Cells::Float(vec![None, None, None])),
        ]
    }

    fn bytes(table: &[(&str, Cells)]) -> Result<Vec<u8>, ParquetError> {
        parquet_bytes(table.iter().map(|(name, cells)| (*name, cells)))
    }

    fn read(bytes: Vec<u8>) -> Vec<Vec<(String, Field)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.parquet");
        std::fs::write(&path, bytes).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().into_columns()).collect()
    }

    #[test]
    fn what_is_written_is_read_back_with_types_and_nulls() {
        let text = |text: &str| Field::Str(text.to_owned());
        let expected = [
            [Field::Long(0), Field::Double(8.25), text("done"), Field::Null, Field::Null],
            [Field::Long(i64::MAX), Field::Null, text("failed: \"é\", 1"), Field::Bool(true), Field::Null],
            [Field::Long(-2), Field::Double(1e-300), Field::Null, Field::Bool(false), Field::Null],
        ];
        let names = ["trial", "download_time", "status", "use_threads", "empty"];
        let rows = read(bytes(&table()).unwrap());
        assert_eq!(rows.len(), expected.len());
        for (row, cells) in rows.into_iter().zip(expected) {
            let named: Vec<(String, Field)> = names.map(str::to_owned).into_iter().zip(cells).collect();
            assert_eq!(row, named);
        }
    }

    #[test]
    fn a_table_without_rows_is_a_file() {
        assert!(read(bytes(&[("trial", Cells::Int(vec![]))]).unwrap()).is_empty());
    }

    #[test]
    fn columns_that_make_no_table_are_refused() {
        let mut columns = table();
        columns.push(("short", Cells::Bool(vec![None])));
        assert!(matches!(bytes(&columns), Err(ParquetError::Encoding { .. })));
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.parquet");
        write_parquet(&path, table().iter().map(|(name, cells)| (*name, cells))).unwrap();
        write_parquet(&path, table().iter().map(|(name, cells)| (*name, cells))).unwrap();
        assert_eq!(read(std::fs::read(&path).unwrap()).len(), 3);
    }
}
