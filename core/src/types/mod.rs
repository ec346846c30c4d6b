//! The types of columns where a format stores them, as Parquet does: by the names that SQL has for them, so that what a user writes is
//! what DuckDB and Athena show.
//!
//! | type | values | also read as |
//! |---|---|---|
//! | `boolean` | true and false | `bool` |
//! | `tinyint`, `smallint`, `int`, `bigint` | whole numbers of 8, 16, 32 and 64 bits | `integer` |
//! | `utinyint`, `usmallint`, `uint`, `ubigint` | the same without a sign | `uinteger` |
//! | `float`, `double` | binary floating point of 32 and 64 bits | `real` |
//! | `decimal(P,S)` | exact, of up to P ≤ 38 digits, S of them behind the point | `numeric(P,S)`, `decimal(P)` |
//! | `text` | UTF-8 | `varchar`, `string` |
//! | `bytes` | any bytes | `blob`, `binary`, `varbinary` |
//! | `date` | days | |
//! | `time(3)`, `time`, `time(9)` | times of day in milliseconds, microseconds, nanoseconds | `time(6)` |
//! | `timestamp(3)`, `timestamp`, `timestamp(9)` | points in time without a zone, likewise | `timestamp(6)` |
//! | `timestamptz(3)`, `timestamptz`, `timestamptz(9)` | points in time in UTC | |
//! | `array<T>` | lists | `T[]`, `list<T>` |
//! | `struct<name T, …>` | values by name | with `:` behind names, and in round brackets |
//! | `map<K, V>` | pairs of key and value | in round brackets |
//!
//! Columns are written as a list: `a int, b decimal(12,2), "the c" date`. A name that is not of letters, digits and `_` stands in
//! double quotes. This text is also how types travel, so nothing else has to be believed of what was stored.

mod read;

use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most digits of a decimal.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

/// The type of a column's values; see [`Types`] for how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueType {
    /// Booleans.
    Boolean,
    /// Whole numbers.
    Whole(Width),
    /// Numbers of 32 bits.
    Float,
    /// Numbers of 64 bits.
    Double,
    /// Exact numbers.
    Decimal {
        /// The most digits, up to [`DECIMAL_DIGITS_MAX`].
        precision: u8,
        /// How many of them stand behind the point.
        scale: u8,
    },
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Dates.
    Date,
    /// Times of day.
    Time(TimeUnit),
    /// Points in time.
    Timestamp {
        /// In which unit they are counted.
        unit: TimeUnit,
        /// Whether they are of UTC. Otherwise nobody says where.
        utc: bool,
    },
    /// Lists of one type.
    List(Box<ValueType>),
    /// Values by name.
    Struct(Vec<TypedColumn>),
    /// Pairs of key and value.
    Map(Box<[ValueType; 2]>),
}

/// How many bits a whole number has, and whether one of them is its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Width {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

/// The unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimeUnit {
    /// Returns how many of it a second has.
    pub fn per_second(self) -> i64 {
        match self {
            TimeUnit::Millis => 1_000,
            TimeUnit::Micros => 1_000_000,
            TimeUnit::Nanos => 1_000_000_000,
        }
    }

    /// Returns how many nanoseconds it has.
    pub(crate) fn nanos(self) -> i128 {
        i128::from(1_000_000_000 / self.per_second())
    }

    /// Returns how many digits a fraction of a second has.
    pub fn digits(self) -> usize {
        match self {
            TimeUnit::Millis => 3,
            TimeUnit::Micros => 6,
            TimeUnit::Nanos => 9,
        }
    }
}

/// A column and the type of its values. Each may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedColumn {
    /// Its name.
    pub name: String,
    /// The type.
    pub of: ValueType,
}

/// Columns by name and type, in order.
///
/// ```
/// use kinglet_core::Types;
///
/// let types: Types = "id bigint, price decimal(12,2), \"sold at\" timestamptz, tags text[]".parse()?;
/// assert_eq!(types.to_string(), "id bigint, price decimal(12,2), \"sold at\" timestamptz, tags array<text>");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Types(Vec<TypedColumn>);

impl Types {
    /// Makes a list of columns.
    ///
    /// # Errors
    /// Returns `types` when two columns, or two fields of a struct, have one name, or when a type is none that can be stored.
    pub fn new(columns: Vec<TypedColumn>) -> Result<Self> {
        read::check(&columns)?;
        Ok(Types(columns))
    }

    /// Returns the columns.
    pub fn columns(&self) -> &[TypedColumn] {
        &self.0
    }

    /// Returns the type of a column.
    pub fn of(&self, name: &str) -> Option<&ValueType> {
        self.0.iter().find(|column| column.name == name).map(|column| &column.of)
    }

    /// Returns the names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|column| &column.name[..])
    }
}

impl From<Types> for String {
    fn from(types: Types) -> String {
        types.to_string()
    }
}

impl TryFrom<String> for Types {
    type Error = crate::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_columns(&self.0, f)
    }
}

impl fmt::Display for TypedColumn {
    /// Writes the column as `--types` takes it: its name, in quotes where it needs them, and its type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_columns(std::slice::from_ref(self), f)
    }
}

fn write_columns(columns: &[TypedColumn], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, column) in columns.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        match read::is_plain_name(&column.name) {
            true => write!(f, "{comma}{} {}", column.name, column.of)?,
            false => write!(f, "{comma}\"{}\" {}", column.name.replace('"', "\"\""), column.of)?,
        }
    }
    Ok(())
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_unit = |f: &mut fmt::Formatter<'_>, name: &str, unit: TimeUnit| match unit {
            TimeUnit::Micros => f.write_str(name),
            unit => write!(f, "{name}({})", unit.digits()),
        };
        match self {
            ValueType::Boolean => f.write_str("boolean"),
            ValueType::Whole(width) => f.write_str(width.name()),
            ValueType::Float => f.write_str("float"),
            ValueType::Double => f.write_str("double"),
            ValueType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ValueType::Text => f.write_str("text"),
            ValueType::Bytes => f.write_str("bytes"),
            ValueType::Date => f.write_str("date"),
            ValueType::Time(unit) => in_unit(f, "time", *unit),
            ValueType::Timestamp { unit, utc } => in_unit(f, if *utc { "timestamptz" } else { "timestamp" }, *unit),
            ValueType::List(of) => write!(f, "array<{of}>"),
            ValueType::Struct(columns) => {
                f.write_str("struct<")?;
                write_columns(columns, f)?;
                f.write_str(">")
            }
            ValueType::Map(of) => write!(f, "map<{}, {}>", of[0], of[1]),
        }
    }
}

impl Width {
    const ALL: [Width; 8] =
        [Width::I8, Width::I16, Width::I32, Width::I64, Width::U8, Width::U16, Width::U32, Width::U64];

    fn name(self) -> &'static str {
        match self {
            Width::I8 => "tinyint",
            Width::I16 => "smallint",
            Width::I32 => "int",
            Width::I64 => "bigint",
            Width::U8 => "utinyint",
            Width::U16 => "usmallint",
            Width::U32 => "uint",
            Width::U64 => "ubigint",
        }
    }

    /// Returns whether it can hold a number.
    pub fn holds(self, number: i128) -> bool {
        let (least, most): (i128, i128) = match self {
            Width::I8 => (i8::MIN.into(), i8::MAX.into()),
            Width::I16 => (i16::MIN.into(), i16::MAX.into()),
            Width::I32 => (i32::MIN.into(), i32::MAX.into()),
            Width::I64 => (i64::MIN.into(), i64::MAX.into()),
            Width::U8 => (0, u8::MAX.into()),
            Width::U16 => (0, u16::MAX.into()),
            Width::U32 => (0, u32::MAX.into()),
            Width::U64 => (0, u64::MAX.into()),
        };
        (least..=most).contains(&number)
    }
}
