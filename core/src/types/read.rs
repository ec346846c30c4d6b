//! Reads types as they are written.

use super::{DECIMAL_DIGITS_MAX, TimeUnit, TypedColumn, Types, ValueType, Width};
use crate::error::{Code, Error, Result};
use std::str::FromStr;

/// How deep types may lie in each other.
const DEPTH_MAX: usize = 32;

/// Returns whether a name stands without quotes.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_first = |c: char| c.is_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn refused(says: impl Into<String>) -> Error {
    Error::new(Code::Types, says)
        .with_hint("write columns as in 'id bigint, price decimal(12,2), \"sold at\" timestamp, tags text[]'")
}

/// Refuses columns that cannot be stored, or cannot be told apart.
pub(super) fn check(columns: &[TypedColumn]) -> Result<()> {
    check_columns(columns, 0)
}

fn check_columns(columns: &[TypedColumn], depth: usize) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    for column in columns {
        if !names.insert(&column.name) {
            return Err(refused(format!("two columns are called {:?}", column.name)));
        }
        check_type(&column.of, depth)?;
    }
    Ok(())
}

fn check_type(of: &ValueType, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(refused(format!("types lie in each other more than {DEPTH_MAX} deep")));
    }
    match of {
        ValueType::Decimal { precision, scale } => {
            match (1..=DECIMAL_DIGITS_MAX).contains(precision) && scale <= precision {
                true => Ok(()),
                false => Err(refused(format!(
                    "{of} is no type: a decimal has 1 to {DECIMAL_DIGITS_MAX} digits, of which no more than all stand behind the point"
                ))),
            }
        }
        ValueType::List(of) => check_type(of, depth + 1),
        ValueType::Map(of) => of.iter().try_for_each(|of| check_type(of, depth + 1)),
        ValueType::Struct(columns) if columns.is_empty() => Err(refused("a struct has no fields")),
        ValueType::Struct(columns) => check_columns(columns, depth + 1),
        _ => Ok(()),
    }
}

impl FromStr for Types {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut left = Left { text, rest: text };
        if left.rest.trim().is_empty() {
            return Ok(Types::default());
        }
        let columns = left.columns(None, 0)?;
        Types::new(columns)
    }
}

/// What is left to be read.
struct Left<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Left<'a> {
    fn wrong(&self, what: &str) -> Error {
        match self.rest.trim_start() {
            "" => refused(format!("reading types {:?}: {what} at its end", self.text)),
            rest => refused(format!("reading types {:?}: {what} at {rest:?}", self.text)),
        }
    }

    /// Takes this character, if it is the next that is no blank.
    fn takes(&mut self, c: char) -> bool {
        match self.rest.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        (!word.is_empty()).then(|| {
            self.rest = behind;
            word
        })
    }

    fn name(&mut self) -> Result<String> {
        if !self.takes('"') {
            return self.word().map(str::to_owned).ok_or_else(|| self.wrong("the name of a column is missing"));
        }
        let mut name = String::new();
        loop {
            let Some((part, behind)) = self.rest.split_once('"') else {
                return Err(self.wrong("a quote is missing"));
            };
            name.push_str(part);
            self.rest = behind;
            match self.rest.strip_prefix('"') {
                Some(behind) => {
                    name.push('"');
                    self.rest = behind;
                }
                None => return Ok(name),
            }
        }
    }

    /// Reads columns up to a closing bracket, or to the end.
    fn columns(&mut self, until: Option<char>, depth: usize) -> Result<Vec<TypedColumn>> {
        let mut columns = Vec::new();
        loop {
            let name = self.name()?;
            self.takes(':');
            columns.push(TypedColumn { name, of: self.value_type(depth)? });
            let is_over = match until {
                Some(bracket) => self.takes(bracket),
                None => self.rest.trim_start().is_empty(),
            };
            if is_over {
                return Ok(columns);
            }
            if !self.takes(',') {
                return Err(self.wrong("a comma is missing"));
            }
        }
    }

    fn value_type(&mut self, depth: usize) -> Result<ValueType> {
        if depth > DEPTH_MAX {
            return Err(refused(format!("types lie in each other more than {DEPTH_MAX} deep")));
        }
        let before = self.rest;
        let word = self.word().ok_or_else(|| self.wrong("a type is missing"))?.to_ascii_lowercase();
        let mut of = match &word[..] {
            "boolean" | "bool" => ValueType::Boolean,
            "integer" => ValueType::Whole(Width::I32),
            "uinteger" => ValueType::Whole(Width::U32),
            "float" | "real" => ValueType::Float,
            "double" => ValueType::Double,
            "decimal" | "numeric" => self.decimal()?,
            "text" | "varchar" | "string" => ValueType::Text,
            "bytes" | "blob" | "binary" | "varbinary" => ValueType::Bytes,
            "date" => ValueType::Date,
            "time" => ValueType::Time(self.unit()?),
            "timestamp" => ValueType::Timestamp { unit: self.unit()?, utc: false },
            "timestamptz" => ValueType::Timestamp { unit: self.unit()?, utc: true },
            "array" | "list" => {
                let close = self.open()?;
                let of = self.value_type(depth + 1)?;
                self.close(close)?;
                ValueType::List(Box::new(of))
            }
            "map" => {
                let close = self.open()?;
                let key = self.value_type(depth + 1)?;
                self.close(',')?;
                let value = self.value_type(depth + 1)?;
                self.close(close)?;
                ValueType::Map(Box::new([key, value]))
            }
            "struct" | "row" => {
                let close = self.open()?;
                ValueType::Struct(self.columns(Some(close), depth + 1)?)
            }
            word => match Width::ALL.iter().find(|width| width.name() == word) {
                Some(width) => ValueType::Whole(*width),
                None => {
                    self.rest = before;
                    return Err(self.wrong("there is no such type"));
                }
            },
        };
        let mut lists = 0;
        while self.takes('[') {
            self.close(']')?;
            of = ValueType::List(Box::new(of));
            lists += 1;
            if depth + lists > DEPTH_MAX {
                return Err(refused(format!("types lie in each other more than {DEPTH_MAX} deep")));
            }
        }
        Ok(of)
    }

    /// Opens a bracket, and returns what closes it.
    fn open(&mut self) -> Result<char> {
        if self.takes('<') {
            Ok('>')
        } else if self.takes('(') {
            Ok(')')
        } else {
            Err(self.wrong("a bracket is missing"))
        }
    }

    fn close(&mut self, with: char) -> Result<()> {
        if self.takes(with) { Ok(()) } else { Err(self.wrong(&format!("a {with:?} is missing"))) }
    }

    fn number(&mut self) -> Result<u8> {
        let number = self.word().and_then(|word| word.parse().ok());
        number.ok_or_else(|| self.wrong("a number is missing"))
    }

    fn decimal(&mut self) -> Result<ValueType> {
        if !self.takes('(') {
            return Err(self.wrong("a decimal says its digits, as decimal(12,2) does, which are missing"));
        }
        let precision = self.number()?;
        let scale = if self.takes(',') { self.number()? } else { 0 };
        self.close(')')?;
        Ok(ValueType::Decimal { precision, scale })
    }

    fn unit(&mut self) -> Result<TimeUnit> {
        if !self.takes('(') {
            return Ok(TimeUnit::Micros);
        }
        let before = self.rest;
        let unit = match self.number()? {
            3 => TimeUnit::Millis,
            6 => TimeUnit::Micros,
            9 => TimeUnit::Nanos,
            _ => {
                self.rest = before;
                return Err(self.wrong("a fraction of a second has 3, 6 or 9 digits, not what stands"));
            }
        };
        self.close(')')?;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        text.parse::<Types>().unwrap().to_string()
    }

    #[test]
    fn types_are_read_as_sql_writes_them() {
        assert_eq!(
            read("a INTEGER,b  Decimal( 12 , 2 ),c Date , d timestamp(3), e varchar[][], \"f \"\"g\"\"\" blob"),
            "a int, b decimal(12,2), c date, d timestamp(3), e array<array<text>>, \"f \"\"g\"\"\" bytes"
        );
        assert_eq!(
            read("s struct(a int, b row<c:time(9)>), m map<string,double[]>, l list(numeric(5))"),
            "s struct<a int, b struct<c time(9)>>, m map<text, array<double>>, l array<decimal(5,0)>"
        );
        assert_eq!((read(" "), read("\"\" int")), (String::new(), "\"\" int".to_owned()));
        assert_eq!(read("é timestamptz(6), _1 ubigint"), "é timestamptz, _1 ubigint");
    }

    #[test]
    fn what_is_no_type_is_refused_where_it_stands() {
        for (text, says) in [
            ("a", "a type is missing at its end"),
            ("a int b", "a comma is missing at \"b\""),
            ("a int,", "the name of a column is missing at its end"),
            ("a whole", "there is no such type at \"whole\""),
            ("a decimal", "decimal(12,2)"),
            ("a decimal(39,2)", "1 to 38 digits"),
            ("a decimal(5,6)", "1 to 38 digits"),
            ("a decimal(0)", "1 to 38 digits"),
            ("a time(2)", "3, 6 or 9"),
            ("a int, a text", "two columns are called \"a\""),
            ("a struct<b int, b int>", "two columns are called \"b\""),
            ("a struct<>", "the name of a column is missing"),
            ("a map<int>", "',' is missing"),
            ("a array<int", "'>' is missing"),
            ("\"a int", "a quote is missing"),
        ] {
            let error = text.parse::<Types>().unwrap_err();
            assert!(error.is(Code::Types) && error.to_string().contains(says), "{text}: {error}");
        }
        let deep = format!("a {}int{}", "list<".repeat(10_000), ">".repeat(10_000));
        assert!(deep.parse::<Types>().unwrap_err().to_string().contains("32 deep"));
        assert!(format!("a int{}", "[]".repeat(10_000)).parse::<Types>().is_err());
    }

    #[test]
    fn types_travel_as_text() {
        let types: Types = "a decimal(12,2), \"b c\" struct<d int>".parse().unwrap();
        let sent = crate::codec::encode(&types).unwrap();
        assert_eq!(crate::codec::decode::<Types>(&sent).unwrap(), types);
        let wrong = crate::codec::encode(&"a decimal(99,2)".to_owned()).unwrap();
        assert!(crate::codec::decode::<Types>(&wrong).is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_it_is_written(names in proptest::collection::hash_set("\\PC{0,8}", 1..4)) {
            let columns = names.into_iter().map(|name| TypedColumn { name, of: ValueType::Date }).collect();
            let types = Types::new(columns).unwrap();
            prop_assert_eq!(types.to_string().parse::<Types>().unwrap(), types);
        }

        #[test]
        fn any_text_is_types_or_refused(text in "[a-c \"<>(),:\\[\\]0-9]{0,20}|(a (int|map<|struct<|list<|[]<>,])*)") {
            if let Ok(types) = text.parse::<Types>() {
                prop_assert_eq!(types.to_string().parse::<Types>().unwrap(), types);
            }
        }
    }
}
