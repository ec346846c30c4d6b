use super::codec::CodecArg;
use super::rows::byte;
use clap::{Args, ValueEnum};
use kinglet::{Code, Codec, Error, OutputFormat, Result, RowFormat, Types};

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
    /// Parquet
    Parquet,
}

/// How the rows of a result are written.
#[derive(Debug, Args)]
pub(crate) struct WrittenArgs {
    /// How the rows of the result are written [default: text; of `sort`, `top` and `join`, as the input is, and of Avro Parquet]
    #[arg(long, help_heading = "Output", value_enum, value_name = "FORMAT")]
    output_format: Option<WrittenArg>,

    /// How each part is compressed, and of Parquet its pages; xz is not written [default: none; of Parquet, zstd]
    #[arg(long, help_heading = "Output", value_enum, value_name = "CODEC")]
    output_compression: Option<CodecArg>,

    /// CSV: the byte between two fields of the result
    #[arg(long, help_heading = "Output", value_name = "BYTE", value_parser = byte)]
    output_delimiter: Option<u8>,

    /// CSV: no row with the names of the columns
    #[arg(long, help_heading = "Output")]
    no_output_header: bool,

    /// Put rows into folders by the values of these columns, as year=2026/month=11/; files do not have these columns
    #[arg(long, help_heading = "Output", value_name = "COLUMN,...", value_delimiter = ',')]
    partition_by: Vec<String>,

    /// How many files each reduce task may begin in folders [default: 20000]
    #[arg(long, help_heading = "Output", value_name = "N", requires = "partition_by", value_parser = clap::value_parser!(u32).range(1..))]
    max_files: Option<u32>,

    /// Parquet: about how many bytes a row group has at most, as they are stored [default: 67108864]
    #[arg(long, help_heading = "Output", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    row_group_bytes: Option<u64>,
}

impl WrittenArgs {
    /// Writes rows as those of the input are, unless the user says otherwise. Of CSV that is its delimiter, if one was given, and
    /// whether it has a header.
    pub(crate) fn or_as_input(self, input: &RowFormat, delimiter: Option<u8>, no_header: bool) -> Self {
        if self.output_format.is_some() {
            return self;
        }
        let format = match input {
            RowFormat::JsonLines => WrittenArg::JsonLines,
            RowFormat::Csv(_) if input.name() == "tsv" => WrittenArg::Tsv,
            RowFormat::Csv(_) => WrittenArg::Csv,
            // Avro is not written; Parquet stores the same types.
            RowFormat::Parquet(_) | RowFormat::Avro(_) => WrittenArg::Parquet,
            _ => WrittenArg::Text,
        };
        WrittenArgs {
            output_format: Some(format),
            output_delimiter: self.output_delimiter.or(delimiter),
            no_output_header: self.no_output_header || no_header,
            ..self
        }
    }

    fn format_arg(&self) -> WrittenArg {
        self.output_format.unwrap_or_default()
    }

    /// Returns whether it stores the types of its columns.
    pub(crate) fn is_typed(&self) -> bool {
        self.format_arg() == WrittenArg::Parquet
    }

    /// Returns whether it tells numbers from text.
    pub(crate) fn has_values(&self) -> bool {
        self.format_arg() == WrittenArg::JsonLines
    }

    /// Returns the columns whose values are folders.
    pub(crate) fn partition_by(&self) -> &[String] {
        &self.partition_by
    }

    /// Returns the format of a result that has these columns, written as [`Types`] are.
    ///
    /// # Errors
    /// Returns `output-format` when an option is given that says nothing of it.
    pub(crate) fn format(&self, columns: &str) -> Result<OutputFormat> {
        let types: Types = columns.parse()?;
        match self.is_typed() {
            true => self.typed(types),
            false => self.named(&types.names().collect::<Vec<_>>()),
        }
    }

    /// Returns the format of a result that stores these types.
    ///
    /// # Errors
    /// As [`Self::format`].
    pub(crate) fn typed(&self, types: Types) -> Result<OutputFormat> {
        self.with_options(OutputFormat::parquet(types))
    }

    /// Returns the format of a result that has columns of these names, and stores no types.
    ///
    /// # Errors
    /// As [`Self::format`]; and for one that stores types.
    pub(crate) fn named(&self, columns: &[&str]) -> Result<OutputFormat> {
        self.with_options(match self.format_arg() {
            WrittenArg::Text => OutputFormat::text(),
            WrittenArg::Parquet => {
                let message = "the result of this job is not written as parquet: its columns have no types beforehand";
                return Err(Error::new(Code::OutputFormat, message)
                    .with_hint("write JSON lines, and convert these with `kinglet run convert`"));
            }
            WrittenArg::Csv => OutputFormat::csv().with_columns(columns.iter().copied()),
            WrittenArg::Tsv => OutputFormat::tsv().with_columns(columns.iter().copied()),
            WrittenArg::JsonLines => OutputFormat::json_lines().with_columns(columns.iter().copied()),
        })
    }

    fn with_options(&self, mut format: OutputFormat) -> Result<OutputFormat> {
        let is_csv = matches!(self.format_arg(), WrittenArg::Csv | WrittenArg::Tsv);
        let other = match (self.output_delimiter.is_some() || self.no_output_header, self.row_group_bytes) {
            (true, _) if !is_csv => Some(["an option for CSV", "add --output-format csv"]),
            (_, Some(_)) if !self.is_typed() => Some(["--row-group-bytes", "add --output-format parquet"]),
            _ => None,
        };
        if let Some([option, hint]) = other {
            let message = format!("the result is {}, of which {option} says nothing", format.name());
            return Err(Error::new(Code::OutputFormat, message).with_hint(hint));
        }
        if let Some(delimiter) = self.output_delimiter {
            format = format.with_delimiter(delimiter);
        }
        if self.no_output_header {
            format = format.without_head();
        }
        if let Some(bytes) = self.row_group_bytes {
            format = format.with_row_group_bytes(bytes);
        }
        if let Some(codec) = self.output_compression {
            format = format.with_compression(Codec::from(codec));
        }
        format = format.with_partition_by(&self.partition_by);
        if let Some(files) = self.max_files {
            format = format.with_files_max(files);
        }
        format.check().map(|()| format)
    }
}
