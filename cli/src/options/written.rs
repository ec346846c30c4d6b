use super::codec::CodecArg;
use super::rows::byte;
use clap::{Args, ValueEnum};
use kinglet::{Code, Error, OutputFormat, Result};

/// A format that rows are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WrittenArg {
    /// Lines, with tabs between fields
    #[default]
    Text,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
    /// A JSON value a line
    JsonLines,
}

/// How the rows of a result are written.
#[derive(Debug, Args)]
pub(crate) struct WrittenArgs {
    /// How the rows of the result are written
    #[arg(long, help_heading = "Output", value_enum, value_name = "FORMAT", default_value_t)]
    output_format: WrittenArg,

    /// How each part is compressed; xz is not written
    #[arg(long, help_heading = "Output", value_enum, value_name = "CODEC", default_value_t = CodecArg::None)]
    output_compression: CodecArg,

    /// CSV: the byte between two fields of the result
    #[arg(long, help_heading = "Output", value_name = "BYTE", value_parser = byte)]
    output_delimiter: Option<u8>,

    /// CSV: no row with the names of the columns
    #[arg(long, help_heading = "Output")]
    no_output_header: bool,
}

impl WrittenArgs {
    /// Returns the format of a result that has these columns.
    ///
    /// # Errors
    /// Returns `output-format` when an option of CSV is given for what is none.
    pub(crate) fn format(&self, columns: &[&str]) -> Result<OutputFormat> {
        let mut format = match self.output_format {
            WrittenArg::Text => OutputFormat::text(),
            WrittenArg::Csv => OutputFormat::csv().with_columns(columns.iter().copied()),
            WrittenArg::Tsv => OutputFormat::tsv().with_columns(columns.iter().copied()),
            WrittenArg::JsonLines => OutputFormat::json_lines().with_columns(columns.iter().copied()),
        };
        let is_csv = matches!(self.output_format, WrittenArg::Csv | WrittenArg::Tsv);
        if !is_csv && (self.output_delimiter.is_some() || self.no_output_header) {
            let message = format!("the result is {}, of which an option for CSV says nothing", format.name());
            return Err(Error::new(Code::OutputFormat, message).with_hint("add --output-format csv"));
        }
        if let Some(delimiter) = self.output_delimiter {
            format = format.with_delimiter(delimiter);
        }
        if self.no_output_header {
            format = format.without_head();
        }
        Ok(format.with_compression(self.output_compression.into()))
    }
}
