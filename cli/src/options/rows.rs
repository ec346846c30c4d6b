use clap::{Args, ValueEnum};
use kinglet::{Code, CsvDialect, Error, Result, RowFormat};

/// The format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RowsArg {
    /// Lines of text
    Lines,
    /// A JSON value a line
    JsonLines,
    /// Comma-separated values
    Csv,
    /// Tab-separated values
    Tsv,
}

/// How the rows of a file are written.
#[derive(Debug, Args)]
pub(crate) struct RowsArgs {
    /// The format [default: csv, tsv or json-lines as names end, and otherwise lines]
    #[arg(long, help_heading = "Rows", value_enum, value_name = "FORMAT")]
    format: Option<RowsArg>,

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

    /// CSV: every field is text as it is written, whatever it looks like
    #[arg(long, help_heading = "Rows")]
    plain_text: bool,
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
    /// Returns `input-kind` when the names say several, or when an option of CSV is given for what is none.
    pub(crate) fn format(&self, names: &[String]) -> Result<RowFormat> {
        let format = match self.format {
            Some(RowsArg::Lines) => RowFormat::Lines,
            Some(RowsArg::JsonLines) => RowFormat::JsonLines,
            Some(RowsArg::Csv) => RowFormat::Csv(CsvDialect::new()),
            Some(RowsArg::Tsv) => RowFormat::Csv(CsvDialect::tsv()),
            None => {
                let named: Vec<_> = names.iter().map(|name| RowFormat::named(name)).collect();
                if let Some(other) = named.iter().find(|format| **format != named[0]) {
                    let message = format!("the names of the inputs say {} and {}", named[0].name(), other.name());
                    return Err(Error::new(Code::InputKind, message).with_hint("say which it is with --format"));
                }
                named.first().copied().unwrap_or_default()
            }
        };
        match format {
            RowFormat::Csv(dialect) => self.dialect(dialect).map(RowFormat::Csv),
            other if self.is_of_csv() => {
                let message = format!("the input is {}, of which an option for CSV says nothing", other.name());
                Err(Error::new(Code::InputKind, message).with_hint("add --format csv or --format tsv"))
            }
            other => Ok(other),
        }
    }

    fn is_of_csv(&self) -> bool {
        let bytes = self.delimiter.is_some() || self.quote.is_some() || self.escape.is_some();
        bytes || self.no_header || self.no_quoted_newlines || self.short_rows || self.plain_text
    }

    fn dialect(&self, mut dialect: CsvDialect) -> Result<CsvDialect> {
        if let Some(delimiter) = self.delimiter {
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
