//! `results.parquet`: the table of trials for pandas, DuckDB and the like.
//!
//! The one file that names the `parquet` crate. Columns are INT64, DOUBLE, BYTE_ARRAY (UTF8) and BOOLEAN, all optional,
//! in one uncompressed row group: a run has hundreds of rows, not millions. Format: Apache Parquet 2.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::file::{WriteError, write_whole};
use super::table::{Column, ColumnData};

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Columns differ in length.
    #[error("write a table: column {name} has {rows} rows, but the first column has {expected}")]
    UnequalColumns {
        /// The column that differs.
        name: String,
        /// Its rows.
        rows: usize,
        /// The rows of the first column.
        expected: usize,
    },
    /// Two columns of one name.
    #[error("write a table: column {name} exists twice; names have to be unique")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// The encoder refused.
    #[error("write a table: {source}")]
    Encoding {
        /// What it said.
        #[from]
        source: ParquetError,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes `columns` to a Parquet file at `path`, whole or not at all.
///
/// # Errors
/// When columns differ in length or share a name, and when the file cannot be written.
pub fn write_parquet(path: &Path, columns: &[Column]) -> Result<(), TableError> {
    Ok(write_whole(path, &parquet_bytes(columns)?)?)
}

/// The Parquet file that holds `columns`. A table without columns or without rows is a valid file, too.
///
/// ```
/// use s3tune::results::{Column, ColumnData, parquet_bytes};
///
/// let times = Column { name: "download_time".to_owned(), data: ColumnData::F64(vec![Some(4.9), None]) };
/// let file = parquet_bytes(&[times])?;
/// assert_eq!(&file[..4], b"PAR1");
/// # Ok::<(), s3tune::results::TableError>(())
/// ```
///
/// # Errors
/// When columns differ in length or share a name.
pub fn parquet_bytes(columns: &[Column]) -> Result<Vec<u8>, TableError> {
    check(columns)?;
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("trials").with_fields(fields).build()?;
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(WriterProperties::new()))?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        let mut out = group.next_column()?.expect("the schema has one leaf for each column");
        match &column.data {
            ColumnData::I64(cells) => write::<Int64Type>(&mut out, cells.iter().copied())?,
            ColumnData::F64(cells) => write::<DoubleType>(&mut out, cells.iter().copied())?,
            ColumnData::Bool(cells) => write::<BoolType>(&mut out, cells.iter().copied())?,
            ColumnData::Text(cells) => {
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

fn check(columns: &[Column]) -> Result<(), TableError> {
    let expected = columns.first().map_or(0, |first| first.data.rows());
    let mut names = BTreeSet::new();
    for Column { name, data } in columns {
        if data.rows() != expected {
            return Err(TableError::UnequalColumns { name: name.clone(), rows: data.rows(), expected });
        }
        if !names.insert(name) {
            return Err(TableError::DuplicateColumn { name: name.clone() });
        }
    }
    Ok(())
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.data {
        ColumnData::I64(_) => (Physical::INT64, None),
        ColumnData::F64(_) => (Physical::DOUBLE, None),
        ColumnData::Bool(_) => (Physical::BOOLEAN, None),
        ColumnData::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build().map(Arc::new)
}

/// Writes one column: a level for each row that says whether there is a value, and the values that there are.
fn write<T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
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

    fn column(name: &str, data: ColumnData) -> Column {
        Column { name: name.to_owned(), data }
    }

    fn table() -> Vec<Column> {
        vec![
            column("trial", ColumnData::I64(vec![Some(0), Some(i64::MAX), Some(-2)])),
            column("download_time", ColumnData::F64(vec![Some(8.25), None, Some(1e-300)])),
            column("status", ColumnData::Text(vec![Some("done".into()), Some("failed: \"é\", 1".into()), None])),
            column("use_threads", ColumnData::Bool(vec![None, Some(true), Some(false)])),
            column("empty", ColumnData::F64(vec![None, None, None])),
        ]
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
        let rows = read(parquet_bytes(&table()).unwrap());
        assert_eq!(rows.len(), expected.len());
        for (row, cells) in rows.into_iter().zip(expected) {
            let named: Vec<(String, Field)> = names.map(str::to_owned).into_iter().zip(cells).collect();
            assert_eq!(row, named);
        }
    }

    #[test]
    fn a_table_without_rows_is_a_file() {
        let columns = [column("trial", ColumnData::I64(vec![]))];
        assert!(read(parquet_bytes(&columns).unwrap()).is_empty());
    }

    #[test]
    fn columns_that_make_no_table_are_refused() {
        let mut columns = table();
        columns.push(column("short", ColumnData::Bool(vec![None])));
        let error = parquet_bytes(&columns).unwrap_err();
        assert_eq!(error.to_string(), "write a table: column short has 1 rows, but the first column has 3");
        let mut columns = table();
        columns.push(columns[0].clone());
        assert!(matches!(parquet_bytes(&columns), Err(TableError::DuplicateColumn { name }) if name == "trial"));
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.parquet");
        write_parquet(&path, &table()).unwrap();
        write_parquet(&path, &table()).unwrap();
        assert_eq!(read(std::fs::read(&path).unwrap()).len(), 3);
    }
}
