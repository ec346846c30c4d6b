use super::codec::CodecArg;
use clap::{Args, ValueEnum};
use kinglet::OutputFormat;

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
}

impl WrittenArgs {
    /// Returns the format of a result that has these columns.
    pub(crate) fn format(&self, columns: &[&str]) -> OutputFormat {
        let format = match self.output_format {
            WrittenArg::Text => OutputFormat::text(),
            WrittenArg::Csv => OutputFormat::csv().with_columns(columns.iter().copied()),
            WrittenArg::Tsv => OutputFormat::tsv().with_columns(columns.iter().copied()),
            WrittenArg::JsonLines => OutputFormat::json_lines().with_columns(columns.iter().copied()),
        };
        format.with_compression(self.output_compression.into())
    }
}
