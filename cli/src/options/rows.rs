use clap::Args;
use kinglet::{Code, CsvDialect, Error, Only, Result, RowFormat, Selection};
use std::num::NonZeroU32;

/// Reads the format of rows.
fn row_format(text: &str) -> Result<RowFormat, String> {
    if let Some(bytes) = text.strip_prefix("fixed:") {
        let length = bytes.parse().ok().filter(|bytes: &NonZeroU32| bytes.get() <= RECORD_BYTES_MAX);
        return length.map(RowFormat::Fixed).ok_or_else(|| format!("a record has 1 to {RECORD_BYTES_MAX} bytes"));
    }
    Ok(match text {
        "lines" => RowFormat::Lines,
        "json-lines" => RowFormat::JsonLines,
        "csv" => RowFormat::Csv(CsvDialect::new()),
        "tsv" => RowFormat::Csv(CsvDialect::tsv()),
        "parquet" => RowFormat::Parquet(Selection::default()),
        "avro" => RowFormat::Avro(Selection::default()),
        "whole" => RowFormat::Whole,
        _ => return Err("it is one of lines, json-lines, csv, tsv, parquet, avro, fixed:BYTES, whole".to_owned()),
    })
}

/// The most bytes of a record of a fixed length (16 MiB).
const RECORD_BYTES_MAX: u32 = 16 << 20;

/// How the rows of a file are written.
#[derive(Debug, Args)]
pub(crate) struct RowsArgs {
    /// The format: lines, json-lines, csv, tsv, parquet, avro, fixed:BYTES for records of so many bytes, or whole, where each file is
    /// one row [default: csv, tsv, json-lines, parquet or avro as names end, also those of the files in a folder; otherwise parquet or avro
    /// if files begin so, or else lines]
    #[arg(long, help_heading = "Rows", value_parser = row_format, value_name = "FORMAT")]
    format: Option<RowFormat>,

    /// CSV: the byte between two fields
    #[arg(long, help_heading = "Rows", value_name = "BYTE", value_parser = byte)]
    delimiter: Option<u8>,

    /// CSV: the byte that opens and closes a quoted field; `none` where nothing is quoted [default: "]
    #[arg(long, help_heading = "Rows", value_name = "BYTE")]
    quote: Option<String>,

    /// CSV: a byte that makes an ordinary one of the next, as \ in some dialects
    #[arg(long, help_heading = "Rows", value_name = "BYTE", value_parser = byte)]
    escape: Option<u8>,

    /// CSV: the first row is a row like the others
    #[arg(long, help_heading = "Rows")]
    no_header: bool,

    /// CSV: a line feed always ends a row, so splits are cut at any line
    #[arg(long, help_heading = "Rows")]
    no_quoted_newlines: bool,

    /// CSV: fields that are missing at a row's end are empty
    #[arg(long, help_heading = "Rows")]
    short_rows: bool,

    /// The columns, in this order: of Parquet and Avro these alone are read, and `convert`, `sort`, `top` and `join` write these
    #[arg(long, help_heading = "Rows", value_name = "NAME,...", value_delimiter = ',')]
    columns: Option<Vec<String>>,

    /// Parquet and Avro, and `aggregate`, `distinct`, `sort`, `top` and `join` of any format: only rows of which this holds, as 'price >= 10';
    /// may be repeated, and all must hold
    #[arg(long = "where", help_heading = "Rows", value_name = "CONDITION")]
    only: Vec<Only>,

    /// CSV: every field is text as it is written, whatever it looks like
    #[arg(long, help_heading = "Rows")]
    plain_text: bool,

    /// What was found to be the format, where nothing says it.
    #[arg(skip)]
    found: Option<RowFormat>,
}

/// The right side of a join.
#[derive(Debug, Args)]
pub(crate) struct RightArgs {
    /// The right side: files, directories, patterns in quotes, or s3:// URIs
    #[arg(long, required = true, num_args = 1.., value_name = "INPUT", help_heading = "Input")]
    pub(crate) right: Vec<String>,

    /// The format of the right side [default: as names end]
    #[arg(long, help_heading = "Rows", value_parser = row_format, value_name = "FORMAT")]
    right_format: Option<RowFormat>,

    /// CSV: the byte between two fields of the right side [default: a comma; a tab in .tsv]
    #[arg(long, help_heading = "Rows", value_name = "BYTE", value_parser = byte)]
    right_delimiter: Option<u8>,
}

/// Which rows are read, and what is written of them.
pub(crate) struct ChosenRows {
    pub(crate) format: RowFormat,
    /// What must hold of a row.
    pub(crate) only: Vec<Only>,
    /// The columns that are written; without any, all.
    pub(crate) columns: Vec<String>,
    /// The delimiter of CSV, if the user says one.
    pub(crate) delimiter: Option<u8>,
    /// Whether CSV has no header.
    pub(crate) no_header: bool,
}

/// Reads an option that is a byte.
pub(super) fn byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("it is one byte, or \\t".to_owned()),
    }
}

impl RowsArgs {
    /// Returns the format of these files, as the options or their names say.
    ///
    /// # Errors
    /// Returns `input-kind` when the names say several, or when an option of CSV or Parquet is given for what is none.
    pub(crate) fn format(&self, names: &[String]) -> Result<RowFormat> {
        let (format, columns) = self.format_and_columns(names)?;
        match columns.is_empty() || format.in_columns().is_some() {
            true => Ok(format),
            false => Err(not_in_columns(&format, "--columns is")),
        }
    }

    /// Returns the format of these files, and what must hold of their rows. For jobs that choose columns and rows themselves.
    ///
    /// # Errors
    /// Returns the errors of [`Self::format`].
    pub(crate) fn format_and_only(&self, names: &[String]) -> Result<(RowFormat, Vec<Only>)> {
        let format = self.format_of_files(names)?;
        if self.columns.is_some() {
            return Err(Error::new(Code::Aggregate, "the columns of the result are those that are computed")
                .with_hint("leave --columns out"));
        }
        Ok((format, self.only.clone()))
    }

    /// Returns the format of these files, what must hold of their rows, and the columns that are written. For jobs that choose rows
    /// themselves.
    ///
    /// # Errors
    /// Returns the errors of [`Self::format`].
    pub(crate) fn chosen(&self, names: &[String]) -> Result<ChosenRows> {
        let columns = self.columns.clone().unwrap_or_default();
        let mut format = self.format_of_files(names)?;
        if let Some(selection) = format.in_columns_mut().filter(|_| !columns.is_empty()) {
            *selection = std::mem::take(selection).with_columns(&columns);
        }
        Ok(ChosenRows {
            format,
            only: self.only.clone(),
            columns,
            delimiter: self.delimiter,
            no_header: self.no_header,
        })
    }

    /// Returns the formats of the two sides of a join. What is said of CSV, but for its delimiter, is said of each side that is CSV.
    ///
    /// # Errors
    /// As [`Self::format`].
    pub(crate) fn formats_of_sides(&self, left: &[String], right: &RightArgs) -> Result<[RowFormat; 2]> {
        let left = named_format(self.format.as_ref(), left)?;
        let right_format = named_format(right.right_format.as_ref(), &right.right)?;
        let says_right = right.right_delimiter.is_some();
        let is_csv = |format: &RowFormat| matches!(format, RowFormat::Csv(_));
        if let Some(wrong) = match (is_csv(&left), is_csv(&right_format)) {
            (false, false) if self.is_of_csv() || says_right => Some(&left),
            (false, true) if self.delimiter.is_some() => Some(&left),
            (true, false) if says_right => Some(&right_format),
            _ => None,
        } {
            return Err(no_csv(wrong));
        }
        let read = |format, delimiter| match format {
            RowFormat::Csv(dialect) => self.dialect(dialect, delimiter).map(RowFormat::Csv),
            other => Ok(other),
        };
        Ok([read(left, self.delimiter)?, read(right_format, right.right_delimiter)?])
    }

    /// Returns the columns that are written, the conditions on rows, the delimiter of CSV if one is said, and whether it has no header.
    pub(crate) fn chosen_of_sides(&self) -> (Vec<String>, Vec<Only>, Option<u8>, bool) {
        (self.columns.clone().unwrap_or_default(), self.only.clone(), self.delimiter, self.no_header)
    }

    /// Returns the format of these files, as [`Self::format`] does, and the columns that are written.
    ///
    /// # Errors
    /// Returns the errors of [`Self::format`], except that formats of text may have columns.
    pub(crate) fn format_and_columns(&self, names: &[String]) -> Result<(RowFormat, Vec<String>)> {
        let mut format = self.format_of_files(names)?;
        match format.in_columns_mut() {
            Some(selection) => {
                if let Some(columns) = &self.columns {
                    *selection = std::mem::take(selection).with_columns(columns);
                }
                *selection = self.only.iter().cloned().fold(std::mem::take(selection), Selection::with_only);
            }
            None if !self.only.is_empty() => return Err(not_in_columns(&format, "--where is")),
            None => {}
        }
        Ok((format, self.columns.clone().unwrap_or_default()))
    }

    /// Returns whether the options or these names say the format: names of folders and patterns may not, nor does a list of files.
    pub(crate) fn is_said(&self, names: &[String]) -> bool {
        let says = |name: &String| {
            // Of a bucket, all after the last point is no ending.
            let key =
                name.strip_prefix("s3://").map_or(Some(name.as_str()), |uri| uri.split_once('/').map(|(_, key)| key));
            key.and_then(RowFormat::said_by).is_some() && !std::path::Path::new(name).is_dir()
        };
        self.format.is_some() || !names.is_empty() && names.iter().all(says)
    }

    /// Says what was found to be the format.
    pub(crate) fn with_found(self, format: RowFormat) -> Self {
        RowsArgs { found: Some(format), ..self }
    }

    fn format_of_files(&self, names: &[String]) -> Result<RowFormat> {
        let named = match (&self.format, &self.found) {
            (None, Some(found)) => found.clone(),
            (said, _) => named_format(said.as_ref(), names)?,
        };
        match named {
            RowFormat::Csv(dialect) => Ok(RowFormat::Csv(self.dialect(dialect, self.delimiter)?)),
            other if self.is_of_csv() => Err(no_csv(&other)),
            other => Ok(other),
        }
    }

    fn is_of_csv(&self) -> bool {
        let bytes = self.delimiter.is_some() || self.quote.is_some() || self.escape.is_some();
        bytes || self.no_header || self.no_quoted_newlines || self.short_rows || self.plain_text
    }

    fn dialect(&self, mut dialect: CsvDialect, delimiter: Option<u8>) -> Result<CsvDialect> {
        if let Some(delimiter) = delimiter {
            dialect = dialect.with_delimiter(delimiter);
        }
        dialect = match self.quote.as_deref() {
            None => dialect,
            Some("none") => dialect.without_quotes(),
            Some(quote) => {
                let quote = byte(quote).map_err(|e| {
                    Error::new(Code::InputKind, format!("--quote {quote}: {e}")).with_hint("or none, for no quotes")
                })?;
                dialect.with_quote(quote)
            }
        };
        if let Some(escape) = self.escape {
            dialect = dialect.with_escape(escape);
        }
        if self.no_header {
            dialect = dialect.without_head();
        }
        if self.no_quoted_newlines {
            dialect = dialect.without_quoted_newlines();
        }
        if self.plain_text {
            dialect = dialect.with_plain_text();
        }
        Ok(if self.short_rows { dialect.with_short_rows() } else { dialect })
    }
}

/// Returns the format that is said, or that all of these names say.
fn named_format(said: Option<&RowFormat>, names: &[String]) -> Result<RowFormat> {
    if let Some(said) = said {
        return Ok(said.clone());
    }
    let named: Vec<_> = names.iter().map(|name| RowFormat::named(name)).collect();
    if let Some(other) = named.iter().find(|format| **format != named[0]) {
        let message = format!("the names of the inputs say {} and {}", named[0].name(), other.name());
        return Err(Error::new(Code::InputKind, message).with_hint("say which it is with --format"));
    }
    Ok(named.into_iter().next().unwrap_or_default())
}

fn no_csv(format: &RowFormat) -> Error {
    let message = format!("the input is {}, of which an option for CSV says nothing", format.name());
    Error::new(Code::InputKind, message).with_hint("add --format csv or --format tsv")
}

fn not_in_columns(format: &RowFormat, what: &str) -> Error {
    Error::new(Code::InputKind, format!("the input is {}, and {what} for Parquet and Avro", format.name()))
        .with_hint("add --format parquet if it is; --where-path chooses objects by the values in their paths")
}
