//! The format of an output, as a submission states it and a job's spec carries it. What writes records in it is
//! `core/src/format/output/`.

use crate::budget::{FILES_PER_TASK_MAX, ROW_GROUP_BYTES};
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
    /// The columns whose values are folders.
    partition_by: Vec<String>,
    /// How many files a reduce task may begin in such folders.
    files_max: u32,
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
        OutputFormat {
            written,
            codec: Codec::None,
            columns: Vec::new(),
            partition_by: Vec::new(),
            files_max: FILES_PER_TASK_MAX,
        }
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

    /// Puts the records into folders by the values of these columns, one below the other, as Hive does: `year=2026/month=11/`. Files
    /// do not have these columns; readers take them from the path. Nothing is `__HIVE_DEFAULT_PARTITION__`, and what could not stand
    /// in a path is written as `%` and two hexadecimal digits.
    ///
    /// A reduce task writes one file at a time, and begins another whenever a record's folder is not that of the record before. So
    /// records that come in the order of these columns make few files: let the job's keys begin with them, and
    /// [`Job::placed_by`](crate::Job::placed_by) keep each folder in one task.
    ///
    /// ```
    /// use kinglet_core::OutputFormat;
    ///
    /// let format = OutputFormat::json_lines().with_partition_by(["year", "month"]);
    /// assert_eq!(format.partition_by(), ["year", "month"]);
    /// ```
    pub fn with_partition_by<I: IntoIterator<Item: Into<String>>>(self, columns: I) -> Self {
        OutputFormat { partition_by: columns.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets how many files a reduce task may begin in folders; 20,000 by default. One more fails the job with `output-files`: each
    /// costs three requests of S3.
    pub fn with_files_max(self, files: u32) -> Self {
        OutputFormat { files_max: files, ..self }
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

    /// Returns the columns whose values are folders.
    pub fn partition_by(&self) -> &[String] {
        &self.partition_by
    }

    /// Returns how many files a reduce task may begin in folders.
    pub(crate) fn files_max(&self) -> u32 {
        self.files_max
    }

    /// Returns the format of the files in folders, which lack the columns that the folders say.
    pub(crate) fn of_files(&self) -> Self {
        let is_kept = |name: &str| !self.partition_by.iter().any(|by| by == name);
        let written = match &self.written {
            Written::Parquet { types, row_group_bytes } => {
                let kept = types.columns().iter().filter(|column| is_kept(&column.name)).cloned().collect();
                // A part of columns that can be stored can be stored.
                let types = Types::new(kept).unwrap_or_default();
                Written::Parquet { types, row_group_bytes: *row_group_bytes }
            }
            other => other.clone(),
        };
        let columns = self.columns.iter().filter(|name| is_kept(name)).cloned().collect();
        OutputFormat { written, columns, partition_by: Vec::new(), ..self.clone() }
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
    /// of text are named, when Parquet has no columns or is compressed as it cannot be, or when the columns whose values are folders
    /// are none of the output's, are named twice, or are all there are.
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
        match twice(&self.columns) {
            Some(name) => {
                refused(format!("two columns of the output are called {name:?}"), "give one of them another name")
            }
            None => self.check_folders(),
        }
    }

    /// Checks the columns whose values are folders.
    fn check_folders(&self) -> Result<()> {
        let by = &self.partition_by;
        let refused = |says: String, hint: &str| Err(Error::new(Code::OutputFormat, says).with_hint(hint));
        if by.is_empty() {
            return Ok(());
        }
        if let Written::Text = self.written {
            let says = format!("text has no columns that could be folders ({})", by.join(", "));
            return refused(says, "write CSV, JSON lines or Parquet (--output-format)");
        }
        if by.iter().any(String::is_empty) {
            return refused("a column without a name cannot be a folder".to_owned(), "name the column");
        }
        if let Some(name) = twice(by) {
            return refused(format!("the output is partitioned by {name:?} twice"), "name each column once");
        }
        let columns: Vec<&str> = match &self.written {
            Written::Parquet { types, .. } => types.names().collect(),
            _ => self.columns.iter().map(String::as_str).collect(),
        };
        // Without them, the records say what their columns are.
        if columns.is_empty() {
            return Ok(());
        }
        if let Some(missing) = by.iter().find(|name| !columns.contains(&name.as_str())) {
            let says =
                format!("the output has no column {missing}, by which it is partitioned: it has {}", shown(&columns));
            return refused(says, &nearest(missing, &columns));
        }
        if by.len() == columns.len() {
            let says = format!(
                "the output is partitioned by all of its columns ({}): nothing is left for its files",
                shown(by)
            );
            return refused(says, "partition it by fewer columns");
        }
        Ok(())
    }
}

/// Returns a name that stands twice in a list.
fn twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
}

/// Returns names as an error shows them.
pub(crate) fn shown(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    const SHOWN_MAX: usize = 20;
    let mut names = names.into_iter();
    let mut all: Vec<_> = names.by_ref().take(SHOWN_MAX).map(|name| name.to_string()).collect();
    if names.next().is_some() {
        all.push("…".to_owned());
    }
    if all.is_empty() { "(none)".to_owned() } else { all.join(", ") }
}

/// Returns the hint for a column that is not there: one that is called almost so, apart from case or a letter or two.
pub(crate) fn nearest<'a>(
    missing: &str,
    names: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
) -> String {
    let near = names.into_iter().map(AsRef::as_ref).map(|name| (edits(missing, name), name));
    match near.min().filter(|(edits, _)| *edits <= 2) {
        Some((_, name)) => format!("did you mean {name}?"),
        None => "name one of these columns".to_owned(),
    }
}

/// Returns how many letters are added, left out or replaced between two names, whatever their case (Levenshtein's distance). Long
/// names are not compared.
fn edits(one: &str, other: &str) -> usize {
    const BYTES_MAX: usize = 64;
    if one.len().max(other.len()) > BYTES_MAX {
        return usize::MAX;
    }
    let [one, other] = [one, other].map(|name| name.to_lowercase().chars().collect::<Vec<_>>());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, char) in one.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (n, of_other) in other.iter().enumerate() {
            let replaced = before + usize::from(char != of_other);
            before = row[n + 1];
            row[n + 1] = replaced.min(before + 1).min(row[n] + 1);
        }
    }
    row[other.len()]
}
