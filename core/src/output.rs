//! The format of an output, as a submission states it and a job's spec carries it. What writes records in it is
//! `core/src/format/output/`.

use crate::budget::ROW_GROUP_BYTES;
use crate::codecs::Codec;
use crate::error::{Code, Error, Result};
use crate::types::Types;
use serde::{Deserialize, Serialize};

/// How the records of a result are written: as text by default, and not compressed.
///
/// ```
/// use kinglet_core::{Codec, OutputFormat};
///
/// let format = OutputFormat::csv().with_columns(["word", "count"]).with_compression(Codec::Zstd);
/// assert_eq!(format.ending(), ".csv.zst");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "hand it to a submission"]
pub struct OutputFormat {
    written: Written,
    codec: Codec,
    /// Empty: as the records have them.
    columns: Vec<String>,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Written {
    Text,
    Csv { delimiter: u8, head: bool },
    JsonLines,
    Parquet { types: Types, row_group_bytes: u64 },
}

/// What a format is that stores types, for whoever writes it.
#[derive(Clone, Copy, Debug)]
pub struct TypedFormat<'a> {
    /// The columns, in order.
    pub types: &'a Types,
    /// How its pages are compressed.
    pub codec: Codec,
    /// About how many bytes a row group has.
    pub row_group_bytes: u64,
}

impl Default for OutputFormat {
    fn default() -> Self {
        OutputFormat::of(Written::Text)
    }
}

impl OutputFormat {
    fn of(written: Written) -> Self {
        OutputFormat { written, codec: Codec::None, columns: Vec::new() }
    }

    /// Returns the format of lines with tabs between the fields.
    pub fn text() -> Self {
        Self::default()
    }

    /// Returns CSV by RFC 4180, with a head in each part.
    pub fn csv() -> Self {
        OutputFormat::of(Written::Csv { delimiter: b',', head: true })
    }

    /// Returns the same with tabs in place of commas.
    pub fn tsv() -> Self {
        Self::csv().with_delimiter(b'\t')
    }

    /// Returns JSON lines: a value a line.
    pub fn json_lines() -> Self {
        OutputFormat::of(Written::JsonLines)
    }

    /// Returns Parquet with these columns, compressed by zstd within the file. A record has these columns and no others; one that
    /// it lacks is null. It needs the feature `parquet` of the crate `kinglet`.
    ///
    /// ```
    /// use kinglet_core::OutputFormat;
    ///
    /// let format = OutputFormat::parquet("word text, count bigint".parse()?);
    /// assert_eq!(format.ending(), ".parquet");
    /// # Ok::<(), kinglet_core::Error>(())
    /// ```
    pub fn parquet(types: Types) -> Self {
        OutputFormat::of(Written::Parquet { types, row_group_bytes: ROW_GROUP_BYTES }).with_compression(Codec::Zstd)
    }

    /// Sets about how many bytes a row group of Parquet has at most, as they are stored; 64 MiB by default. It has fewer where the reducer's
    /// memory holds no more ([`crate::budget`]).
    pub fn with_row_group_bytes(self, row_group_bytes: u64) -> Self {
        match self.written {
            Written::Parquet { types, .. } => {
                OutputFormat { written: Written::Parquet { types, row_group_bytes }, ..self }
            }
            _ => self,
        }
    }

    /// Sets the byte between two fields of CSV.
    pub fn with_delimiter(self, delimiter: u8) -> Self {
        match self.written {
            Written::Csv { head, .. } => OutputFormat { written: Written::Csv { delimiter, head }, ..self },
            _ => self,
        }
    }

    /// Writes CSV without a head.
    pub fn without_head(self) -> Self {
        match self.written {
            Written::Csv { delimiter, .. } => OutputFormat { written: Written::Csv { delimiter, head: false }, ..self },
            _ => self,
        }
    }

    /// Names the columns, in order. The values of a tuple get these names; of a record whose values have names, they are written in
    /// this order, and one that it lacks is null. A record of other columns fails the job. Without this, the first record of each
    /// part says what the columns are, and all others must have the same.
    pub fn with_columns<I: IntoIterator<Item: Into<String>>>(self, columns: I) -> Self {
        OutputFormat { columns: columns.into_iter().map(Into::into).collect(), ..self }
    }

    /// Compresses each part; of Parquet, the pages in it.
    pub fn with_compression(self, codec: Codec) -> Self {
        OutputFormat { codec, ..self }
    }

    /// Returns what a part is.
    pub(crate) fn written(&self) -> &Written {
        &self.written
    }

    /// Returns what is written, if it stores the types of its columns.
    pub fn typed(&self) -> Option<TypedFormat<'_>> {
        match &self.written {
            Written::Parquet { types, row_group_bytes } => {
                Some(TypedFormat { types, codec: self.codec, row_group_bytes: *row_group_bytes })
            }
            _ => None,
        }
    }

    /// Returns the names of the columns, if they are given.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns by which codec parts are compressed.
    pub fn compression(&self) -> Codec {
        self.codec
    }

    /// Returns by which codec the bytes of a part are compressed as a whole: not those of Parquet, which compresses within.
    pub fn packing(&self) -> Codec {
        match self.written {
            Written::Parquet { .. } => Codec::None,
            _ => self.codec,
        }
    }

    /// Returns its name: `text`, `csv`, `tsv`, `json-lines`, `parquet`.
    pub fn name(&self) -> &'static str {
        match self.written {
            Written::Text => "text",
            Written::Csv { delimiter: b'\t', .. } => "tsv",
            Written::Csv { .. } => "csv",
            Written::JsonLines => "json-lines",
            Written::Parquet { .. } => "parquet",
        }
    }

    /// Returns how the names of parts end, as `.csv.gz`; text that is not compressed has no ending.
    pub fn ending(&self) -> String {
        let of_format = match self.name() {
            "text" => "",
            "json-lines" => ".jsonl",
            "tsv" => ".tsv",
            "parquet" => ".parquet",
            _ => ".csv",
        };
        format!("{of_format}{}", self.packing().ending())
    }

    /// Returns whether a part's name may end so. A name that ends otherwise is no part's.
    pub(crate) fn is_ending(ending: &str) -> bool {
        let plain = Codec::ALL.iter().find_map(|codec| match codec.ending() {
            "" => None,
            of_codec => ending.strip_suffix(of_codec),
        });
        ending == ".parquet" || matches!(plain.unwrap_or(ending), "" | ".csv" | ".tsv" | ".jsonl")
    }

    /// Checks that what is written can be read again.
    ///
    /// # Errors
    /// Returns `output-format` when the bytes of CSV could not be told apart, when two columns have one name, when the columns
    /// of text are named, or when Parquet has no columns or is compressed as it cannot be.
    pub fn check(&self) -> Result<()> {
        let refused = |says: String, hint: &str| Err(Error::new(Code::OutputFormat, says).with_hint(hint));
        match &self.written {
            Written::Csv { delimiter: delimiter @ (b'"' | b'\n' | b'\r'), .. } => {
                let says = format!("fields of CSV cannot be told apart by {:?}", char::from(*delimiter));
                return refused(says, "take another byte as the delimiter");
            }
            Written::Text if !self.columns.is_empty() => {
                return refused("the columns of text have no names".to_owned(), "write CSV or JSON lines");
            }
            Written::Parquet { .. } if !self.columns.is_empty() => {
                return refused("the columns of Parquet are those of its types".to_owned(), "name them there");
            }
            Written::Parquet { types, .. } if types.columns().is_empty() => {
                return refused("Parquet has no columns".to_owned(), "say them and their types, as in 'a int, b text'");
            }
            Written::Parquet { .. } if matches!(self.codec, Codec::Bzip2 | Codec::Xz) => {
                let says = format!("Parquet is not compressed by {}", self.codec);
                return refused(says, "take zstd, snappy, gzip, lz4 or none");
            }
            _ => {}
        }
        match (0..self.columns.len()).find(|at| self.columns[..*at].contains(&self.columns[*at])) {
            Some(twice) => refused(
                format!("two columns of the output are called {:?}", self.columns[twice]),
                "give one of them another name",
            ),
            None => Ok(()),
        }
    }
}
