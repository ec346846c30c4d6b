//! Points as rows of CSV, as JSON lines, or as binary numbers.

use kinglet_core::{Batch, ByteLines, Code, Error, Extent, Fixed, Format, Framing, HeadedLines, UserError, UserResult};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How points are written: an input format whose records are the rows as they are. A point has two coordinates, or three in
/// space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PointFormat {
    /// Rows of fields. A field may be quoted, with quotes in it doubled, but must end on its line. Empty lines, and lines of
    /// white space that is not the delimiter, are skipped.
    Csv {
        /// The byte between fields.
        delimiter: u8,
        /// The columns of the coordinates. If any is given by name, the first line of each object has the names.
        columns: Vec<Column>,
    },
    /// One JSON object per line, with a number for each of these fields. Empty lines are skipped.
    JsonLines {
        /// The fields of the coordinates.
        fields: Vec<String>,
    },
    /// The coordinates of each point as 64-bit floating-point numbers, little-endian, end to end.
    Binary {
        /// How many coordinates a point has: 2 or 3.
        dimensions: u8,
    },
}

/// A column of a CSV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Column {
    /// The column with this name in the first line.
    Name(String),
    /// The column at this position, from 1.
    Number(u32),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Name(name) => write!(f, "{name:?}"),
            Column::Number(number) => write!(f, "{number}"),
        }
    }
}

const AXES: [&str; 3] = ["x", "y", "z"];

impl PointFormat {
    /// Returns how many coordinates a point has.
    pub fn dimensions(&self) -> u8 {
        match self {
            PointFormat::Csv { columns, .. } => columns.len() as u8,
            PointFormat::JsonLines { fields } => fields.len() as u8,
            PointFormat::Binary { dimensions } => *dimensions,
        }
    }

    /// Checks that each record is a point.
    fn check_points<const D: usize>(&self, extent: Extent<'_>) -> UserResult {
        let places = match self {
            PointFormat::Csv { delimiter, columns } => places::<D>(columns, extent.head, *delimiter)?,
            _ => [0; D],
        };
        let checked = self.for_each(extent, |at, record| {
            let is_point = match self {
                PointFormat::Csv { delimiter, columns } => row(record, *delimiter, &places, columns).map(drop),
                PointFormat::JsonLines { .. } if record.trim_ascii().is_empty() => Ok(()),
                PointFormat::JsonLines { fields } => object::<D>(record, fields).map(drop),
                PointFormat::Binary { .. } => binary::<D>(record).map(drop),
            };
            is_point.map_err(|error| {
                let rest = &extent.bytes[at..];
                let next = match self {
                    PointFormat::Binary { .. } => record.len(),
                    _ => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
                };
                let end = match self {
                    PointFormat::Binary { .. } => next,
                    _ => without_end(&rest[..next]).len(),
                };
                UserError::from(error).of_record(at..at + end, at + next)
            })
        });
        checked.map(drop)
    }

    /// Returns the points of a batch.
    pub(super) fn points<const D: usize>(&self, batch: &Batch<'_, PointFormat>) -> UserResult<Vec<[f64; D]>> {
        let mut points = Vec::new();
        match self {
            PointFormat::Csv { delimiter, columns } => {
                let places = places::<D>(columns, batch.extent().head, *delimiter)?;
                batch.for_each(|line| {
                    points.extend(row(line, *delimiter, &places, columns)?);
                    Ok(())
                })?;
            }
            PointFormat::JsonLines { fields } => batch.for_each(|line| {
                if !line.trim_ascii().is_empty() {
                    points.push(object(line, fields)?);
                }
                Ok(())
            })?,
            PointFormat::Binary { .. } => {
                points.reserve_exact(batch.extent().bytes.len() / (8 * D));
                batch.for_each(|record| {
                    points.push(binary(record)?);
                    Ok(())
                })?;
            }
        }
        Ok(points)
    }
}

/// The default is points in the plane, in CSV with the columns `x` and `y`.
impl Default for PointFormat {
    fn default() -> Self {
        PointFormat::Csv { delimiter: b',', columns: ["x", "y"].map(|name| Column::Name(name.to_owned())).to_vec() }
    }
}

impl Format for PointFormat {
    type Record<'a> = &'a [u8];
    /// To driver and functions, rows are lines of bytes; the job's parameters say what they contain.
    const NAME: &'static str = ByteLines::NAME;

    fn framing(&self) -> Framing {
        match self {
            PointFormat::Binary { dimensions: 3 } => Framing::Fixed { bytes: 24 },
            PointFormat::Binary { .. } => Framing::Fixed { bytes: 16 },
            PointFormat::Csv { .. } | PointFormat::JsonLines { .. } => Framing::Separated,
        }
    }

    /// Returns whether objects start with the names of their columns.
    fn has_head(&self) -> bool {
        match self {
            PointFormat::Csv { columns, .. } => columns.iter().any(|column| matches!(column, Column::Name(_))),
            PointFormat::JsonLines { .. } | PointFormat::Binary { .. } => false,
        }
    }

    fn check(&self, extent: Extent<'_>) -> UserResult {
        match self.dimensions() {
            3 => self.check_points::<3>(extent),
            _ => self.check_points::<2>(extent),
        }
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, &'a [u8]) -> UserResult,
    ) -> UserResult<u64> {
        match self {
            PointFormat::Binary { dimensions: 3 } => Fixed::<24>.for_each(extent, |at, record| each(at, record)),
            PointFormat::Binary { .. } => Fixed::<16>.for_each(extent, |at, record| each(at, record)),
            _ if self.has_head() => HeadedLines.for_each(extent, each),
            PointFormat::Csv { .. } | PointFormat::JsonLines { .. } => ByteLines.for_each(extent, |at, line| {
                let at_start = extent.offset == 0 && at == 0;
                each(at, if at_start { unmarked(line) } else { line })
            }),
        }
    }
}

fn bad(message: String) -> Error {
    Error::new(Code::Point, message).with_hint("every row must have a finite number for each coordinate")
}

fn finite(axis: usize, number: f64) -> Result<f64, Error> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(bad(format!("{} is {number}, and a hull needs finite numbers", AXES[axis])))
    }
}

fn binary<const D: usize>(record: &[u8]) -> Result<[f64; D], Error> {
    let mut point = [0.0; D];
    for (axis, (x, bytes)) in point.iter_mut().zip(record.as_chunks().0).enumerate() {
        *x = finite(axis, f64::from_le_bytes(*bytes))?;
    }
    Ok(point)
}

/// The fields of a line, still with their quotes.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let mut end = 0;
        if rest.trim_ascii_start().first() == Some(&b'"') {
            // A doubled quote ends the quoted part and starts it again.
            let mut quoted = false;
            end = rest.len();
            for (at, byte) in rest.iter().enumerate() {
                if *byte == b'"' {
                    quoted = !quoted;
                } else if *byte == self.delimiter && !quoted {
                    end = at;
                    break;
                }
            }
            if quoted {
                self.rest = None;
                let error = Error::new(Code::CsvQuotes, "a quoted field does not end on its line").with_hint(
                    "fields with line feeds in them are not read: leave such columns out, or write JSON lines",
                );
                return Some(Err(error));
            }
        } else {
            end += memchr::memchr(self.delimiter, rest).unwrap_or(rest.len());
        }
        self.rest = rest.get(end + 1..);
        Some(Ok(&rest[..end]))
    }
}

fn fields(line: &[u8], delimiter: u8) -> Fields<'_> {
    Fields { rest: Some(line), delimiter }
}

/// Returns the text of a field, without its quotes and the white space around it.
fn text(field: &[u8]) -> std::borrow::Cow<'_, str> {
    let field = field.trim_ascii();
    match field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")) {
        Some(quoted) => String::from_utf8_lossy(quoted).replace("\"\"", "\"").into(),
        None => String::from_utf8_lossy(field),
    }
}

/// Returns as much of a text as an error quotes: in a file of another format, one line may have megabytes.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns a first line without the UTF-8 byte order mark that some programs put at the start of a file.
fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// Returns the positions of the coordinates' columns, from 0.
fn places<const D: usize>(columns: &[Column], head: &[u8], delimiter: u8) -> Result<[usize; D], Error> {
    let head = without_end(unmarked(head));
    let names = fields(head, delimiter).map(|field| field.map(text)).collect::<Result<Vec<_>, _>>()?;
    let mut places = [0; D];
    for (place, column) in places.iter_mut().zip(columns) {
        *place = match column {
            Column::Number(number) => (*number as usize).saturating_sub(1),
            Column::Name(name) => {
                let mut found = names.iter().enumerate().filter(|(_, there)| *there == name);
                match (found.next(), found.next()) {
                    (Some((place, _)), None) => place,
                    (None, _) => {
                        let names: Vec<_> = names.iter().take(20).map(|name| format!("{:?}", short(name))).collect();
                        let message = format!("there is no column {name:?} among {}", names.join(", "));
                        return Err(Error::new(Code::ColumnMissing, message).with_hint(
                            "name the columns with --x and --y (and --z), their delimiter with --delimiter; without names in the \
                             first line, pass --no-header",
                        ));
                    }
                    (Some(_), Some(_)) => {
                        let message = format!("there are two columns {name:?}");
                        return Err(Error::new(Code::ColumnMissing, message)
                            .with_hint("give columns by number: --no-header, after taking the names away"));
                    }
                }
            }
        };
    }
    Ok(places)
}

/// Returns the point of a row, or none if the row is empty.
fn row<const D: usize>(
    line: &[u8],
    delimiter: u8,
    places: &[usize; D],
    columns: &[Column],
) -> Result<Option<[f64; D]>, Error> {
    let line = without_end(line);
    // A delimiter may be white space, so a row of delimiters is not empty: it has empty fields.
    if line.iter().all(|byte| byte.is_ascii_whitespace() && *byte != delimiter) {
        return Ok(None);
    }
    let (mut point, mut found, mut count) = ([f64::NAN; D], [false; D], 0);
    for (at, field) in fields(line, delimiter).enumerate() {
        let field = field?;
        count = at + 1;
        for axis in 0..D {
            if places[axis] == at {
                point[axis] = number(axis, field)?;
                found[axis] = true;
            }
        }
    }
    match found.iter().position(|found| !found) {
        None => Ok(Some(point)),
        Some(axis) => {
            let (x, column, place) = (AXES[axis], &columns[axis], places[axis] + 1);
            let fields = if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
            Err(bad(format!("the row has no {x}: it has {fields}, and column {column} is number {place}")))
        }
    }
}

fn number(axis: usize, field: &[u8]) -> Result<f64, Error> {
    let plain = std::str::from_utf8(field).ok().and_then(|field| field.parse().ok());
    let number = plain.or_else(|| text(field).trim().parse().ok());
    match number {
        Some(number) => finite(axis, number),
        None => Err(bad(format!("{} is {:?}, which is no number", AXES[axis], short(&text(field))))),
    }
}

/// Returns the point of a JSON object.
fn object<const D: usize>(line: &[u8], fields: &[String]) -> Result<[f64; D], Error> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = Picked::<D>(fields).deserialize(&mut json).and_then(|point| json.end().map(|()| point));
    let point = read.map_err(|e| bad(format!("the line is not as it should be: {e}")))?;
    for (axis, x) in point.iter().enumerate() {
        finite(axis, *x)?;
    }
    Ok(point)
}

/// Reads some fields of an object and no others.
struct Picked<'a, const D: usize>(&'a [String]);

impl<'de, const D: usize> DeserializeSeed<'de> for Picked<'_, D> {
    type Value = [f64; D];

    fn deserialize<T: serde::Deserializer<'de>>(self, from: T) -> Result<[f64; D], T::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, const D: usize> Visitor<'de> for Picked<'_, D> {
    type Value = [f64; D];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the numbers {}", self.0.join(", "))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<[f64; D], M::Error> {
        let mut found: [Option<f64>; D] = [None; D];
        while let Some(place) = map.next_key_seed(Place(self.0))? {
            match place.and_then(|place| found.get_mut(place)) {
                Some(Some(_)) => return Err(M::Error::custom("a coordinate is there twice")),
                Some(none) => *none = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut point = [0.0; D];
        for (axis, name) in self.0.iter().enumerate().take(D) {
            // A field that two axes name was found for the first of them.
            let there = found[axis].or_else(|| found[self.0.iter().position(|field| field == name)?]);
            point[axis] = there.ok_or_else(|| M::Error::custom(format!("there is no field {name:?}")))?;
        }
        Ok(point)
    }
}

/// Finds which of some fields a key is.
struct Place<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<T: serde::Deserializer<'de>>(self, from: T) -> Result<Option<usize>, T::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a field's name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|field| field == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::check_format;

    #[test]
    fn rows_are_read_once_wherever_the_input_is_cut() {
        let rows = b"\xef\xbb\xbfx,y\n1,2\r\n\n3,4\n-5,0.5";
        let by_number = vec![Column::Number(1), Column::Number(2)];
        let formats = [
            PointFormat::default(),
            PointFormat::Csv { delimiter: b',', columns: by_number },
            PointFormat::JsonLines { fields: vec!["x".to_owned(), "y".to_owned()] },
        ];
        for (cut, block_bytes) in (0..rows.len()).flat_map(|cut| (1..8).map(move |block| (cut, block))) {
            for format in formats.clone() {
                check_format(format, rows, &[cut, 11], block_bytes, <[u8]>::to_vec);
            }
            for dimensions in [2, 3] {
                check_format(PointFormat::Binary { dimensions }, &[7; 96], &[cut, 50], block_bytes, <[u8]>::to_vec);
            }
        }
    }

    fn names(names: &[&str]) -> Vec<Column> {
        names.iter().map(|name| Column::Name((*name).to_owned())).collect()
    }

    fn of(line: &str, columns: &[Column], head: &str) -> Result<Option<[f64; 2]>, String> {
        let places = places::<2>(columns, head.as_bytes(), b',').map_err(|e| e.to_string())?;
        row(line.as_bytes(), b',', &places, columns).map_err(|e| e.to_string())
    }

    #[test]
    fn rows_with_quotes_spaces_and_columns_in_any_order() {
        let columns = names(&["lon", "lat"]);
        let head = "\u{feff}name,lat,\"lon\"\r\n";
        assert_eq!(of("a,1.5,-2\r", &columns, head), Ok(Some([-2.0, 1.5])));
        assert_eq!(of("\"a, \"\"b\"\"\",\"1e3\", 7 \n", &columns, head), Ok(Some([7.0, 1000.0])));
        assert_eq!(of("", &columns, head), Ok(None));
        assert_eq!(of("3,4", &[Column::Number(2), Column::Number(1)], ""), Ok(Some([4.0, 3.0])));
        assert_eq!(of("3,4", &[Column::Number(2), Column::Number(2)], ""), Ok(Some([4.0, 4.0])));
    }

    #[test]
    fn a_row_of_empty_fields_is_no_empty_line() {
        for delimiter in *b"\t ,;" {
            let of = |line: &[u8]| row(line, delimiter, &[0, 1], &names(&["x", "y"])).map_err(|e| e.to_string());
            for line in ["", "\r", "\n", "\t\x0c\t\r\n", "   "] {
                let is_row = line.bytes().any(|byte| byte == delimiter);
                let error = "x is \"\", which is no number".to_owned();
                assert_eq!(of(line.as_bytes()), if is_row { Err(error) } else { Ok(None) }, "{line:?} {delimiter}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let columns = names(&["lon", "lat"]);
        let says = |line: &str, head: &str, what: &str| {
            let error = of(line, &columns, head).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        says("1,2", "lon,height\n", "no column \"lat\" among \"lon\", \"height\"");
        says("1,2", "lon,lat,lat", "two columns \"lat\"");
        says("1", "lon,lat", "has no y: it has 1 field, and column \"lat\" is number 2");
        says("1,", "lon,lat", "y is \"\", which is no number");
        says("1,north", "lon,lat", "y is \"north\", which is no number");
        says("NaN,1", "lon,lat", "x is NaN");
        says("1,-inf", "lon,lat", "y is -inf");
        says("1,1e999", "lon,lat", "y is inf");
        says("1,2,\"open", "lon,lat,name", "does not end on its line");
    }

    #[test]
    fn json_objects() {
        let fields = ["x".to_owned(), "y".to_owned()];
        let of = |line: &str| object::<2>(line.as_bytes(), &fields).map_err(|e| e.to_string());
        assert_eq!(of(r#"{"y": 2, "z": {"x": [1]}, "x": 0.1}"#), Ok([0.1, 2.0]));
        assert_eq!(of(r#"{"\u0078":1e-324,"y":-0}"#), Ok([0.0, 0.0]));
        let same = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(object::<3>(br#"{"b": 2, "a": 1}"#, &same).unwrap(), [1.0, 2.0, 1.0]);
        let error = object::<3>(br#"{"b": 2}"#, &same).unwrap_err().to_string();
        assert!(error.contains("no field \"a\""), "{error}");
        let says = |line: &str, what: &str| {
            let error = of(line).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        says(r#"{"x": 1}"#, "no field \"y\"");
        says(r#"{"x": 1, "y": "2"}"#, "invalid type: string");
        says(r#"{"x": 1, "y": null}"#, "invalid type: null");
        says(r#"{"x": 1, "y": 2, "x": 3}"#, "twice");
        says(r#"{"x": 1, "y": 1e999}"#, "out of range");
        says(r#"{"x": NaN, "y": 1}"#, "expected value");
        says(r#"{"x": 1, "y": 2} 3"#, "trailing");
        says("[1, 2]", "an object with the numbers x, y");
        says("1,2", "an object with the numbers x, y");
    }

    #[test]
    fn binary_numbers() {
        let bytes: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(binary::<2>(&bytes).unwrap(), [1.5, -2.0]);
        let bytes: Vec<u8> = [1.5, f64::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(binary::<2>(&bytes).unwrap_err().to_string(), "y is NaN, and a hull needs finite numbers");
    }
}
