//! Values as bytes that sort as the values do, for keys of jobs over rows whose types are found in the input.
//!
//! The bytes of several columns stand end to end: none is the beginning of another of the same kind, so they sort column by column.
//!
//! ```text
//! 0  class:u8          what it is: 1 a boolean  2 a number  3 a time of day  4 a date or point in time  5 text or bytes  6 a list
//!                      7 a struct; or nothing: 0 if that comes first, 255 if it comes last
//! 1  a boolean         0 or 1
//!    a number          1 -∞  2 negative  3 zero  4 positive  5 +∞  6 not a number; behind 2 and 4 the power of ten, as u32 with
//!                      2^31 added, and the digits behind `0.` in pairs, each with 1 added, and a 0; behind 2 all bits are flipped
//!    a time of day     nanoseconds since midnight, as u64
//!    a date, a point   nanoseconds since 1970-01-01, as i128 with the sign flipped
//!    text, bytes       themselves, 0 written as 0 1, and 0 0
//!    a list            1 before each value, its bytes and its kind as u16; then 0
//!    a struct          1 before each name, as text, its value and kind; then 0
//! ```
//!
//! Integers are big-endian. In descending order all bits are flipped, apart from the one byte of nothing.
//!
//! Numbers are compared by what they are, whole numbers, decimals and floats together: 1, 1.0 and 1e0 are one key. A float is the
//! shortest decimal that is read as it. How a value was written is its [`Kind`], which is no part of the bytes; of several kinds
//! under one key, [`Kind::max`] is the one that shows all.

use super::compare::Digits;
use crate::error::{Code, Error, Result};
use crate::format::{Datum, Named, Temporal, TimeUnit};
use serde::{Deserialize, Serialize};

/// In which order a column is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrder {
    /// Whether the largest comes first.
    pub descending: bool,
    /// Whether rows without a value come first.
    pub nulls_first: bool,
}

/// How a value is written that a key holds: `1`, `1.00` and a float that is 1 are one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind(u16);

impl Kind {
    const FLOAT: Kind = Kind(u16::MAX);
    const BYTES: Kind = Kind(1);

    /// A decimal with so many digits behind its point.
    fn decimal(scale: usize) -> Kind {
        Kind(u16::try_from(scale + 1).unwrap_or(u16::MAX - 1).min(u16::MAX - 1))
    }

    fn of_time(unit: TimeUnit, utc: bool) -> Kind {
        Kind(1 + unit as u16 + if utc { 3 } else { 0 })
    }
}

/// The most digits of a number that is read back.
const DIGITS_MAX: i64 = 1 << 20;

const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const TIME: u8 = 3;
const INSTANT: u8 = 4;
const TEXT: u8 = 5;
const LIST: u8 = 6;
const STRUCT: u8 = 7;

/// Appends a value as bytes that sort as values do in this order. Returns its kind, which is needed to read it back.
pub fn encode_key(value: &Datum<'_>, order: KeyOrder, out: &mut Vec<u8>) -> Kind {
    let start = out.len();
    if *value == Datum::Null {
        out.push(if order.nulls_first { 0 } else { 255 });
        return Kind::default();
    }
    let kind = encode(value, out);
    if order.descending {
        flip(&mut out[start..]);
    }
    kind
}

/// Takes a value off bytes that [`encode_key`] has written in this order.
///
/// # Errors
/// Returns `key-decode` when it has not.
pub fn decode_key(bytes: &mut &[u8], order: KeyOrder, kind: Kind) -> Result<Datum<'static>> {
    let mut left = Left { bytes, flipped: order.descending };
    let value = match bytes.first() {
        Some(0 | 255) => left.take(1).map(|_| Datum::Null),
        _ => left.value(kind),
    };
    *bytes = left.bytes;
    value.ok_or_else(|| Error::new(Code::KeyDecode, "decoding the key of a row: the bytes are none"))
}

/// Returns how many bytes the first `count` values take that [`encode_key`] has written in this order; all, if there are fewer.
pub fn key_bytes(bytes: &[u8], order: KeyOrder, count: usize) -> usize {
    let mut left = Left { bytes, flipped: order.descending };
    for _ in 0..count {
        let skipped = match left.bytes.first() {
            Some(0 | 255) => left.take(1).map(|_| ()),
            _ => left.skip(),
        };
        if skipped.is_none() {
            return bytes.len();
        }
    }
    bytes.len() - left.bytes.len()
}

fn flip(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

fn encode(value: &Datum<'_>, out: &mut Vec<u8>) -> Kind {
    match value {
        Datum::Null => out.push(0),
        Datum::Bool(value) => out.extend_from_slice(&[BOOL, u8::from(*value)]),
        Datum::Int(number) => {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(number.unsigned_abs());
            number_of(Number { negative: *number < 0, digits: (digits, ""), power: digits.len() as i64 }, out);
        }
        Datum::Decimal(text) => {
            let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            match Digits::of(text) {
                Some(digits) => {
                    let power = digits.whole.len() as i64;
                    number_of(
                        Number { negative: digits.negative, digits: (digits.whole, digits.fraction), power },
                        out,
                    );
                }
                // It is a decimal by its type alone.
                None => out.extend_from_slice(&[NUMBER, 6]),
            }
            return Kind::decimal(scale);
        }
        Datum::Float(number) => {
            match number.classify() {
                std::num::FpCategory::Nan => out.extend_from_slice(&[NUMBER, 6]),
                std::num::FpCategory::Infinite => out.extend_from_slice(&[NUMBER, if *number < 0.0 { 1 } else { 5 }]),
                _ => float(*number, out),
            }
            return Kind::FLOAT;
        }
        Datum::Temporal(Temporal::Time { unit, .. }) => {
            out.push(TIME);
            out.extend_from_slice(&(time_of(value) as u64).to_be_bytes());
            return Kind::of_time(*unit, false);
        }
        Datum::Temporal(time) => {
            out.push(INSTANT);
            out.extend_from_slice(&(time_of(value) ^ i128::MIN).to_be_bytes());
            if let Temporal::Timestamp { unit, utc, .. } = time {
                return Kind::of_time(*unit, *utc);
            }
        }
        Datum::Text(value) => {
            out.push(TEXT);
            text(value.as_bytes(), out);
        }
        Datum::Bytes(bytes) => {
            out.push(TEXT);
            text(bytes, out);
            return Kind::BYTES;
        }
        Datum::List(values) => {
            out.push(LIST);
            for value in values {
                out.push(1);
                within(value, out);
            }
            out.push(0);
        }
        Datum::Struct(fields) => {
            out.push(STRUCT);
            for Named { name, value } in fields {
                out.push(1);
                text(name.as_bytes(), out);
                within(value, out);
            }
            out.push(0);
        }
    }
    Kind::default()
}

/// Appends a value of a list or a struct, whose kind is part of it.
fn within(value: &Datum<'_>, out: &mut Vec<u8>) {
    let kind = encode(value, out);
    out.extend_from_slice(&kind.0.to_be_bytes());
}

/// Returns the nanoseconds of a time.
fn time_of(value: &Datum<'_>) -> i128 {
    match value {
        Datum::Temporal(time) => time.nanos(),
        _ => 0,
    }
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let mut pieces = bytes.split(|byte| *byte == 0);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&[0, 0]);
}

/// `0.` and these digits, of two texts end to end, times ten to the power.
struct Number<'a> {
    negative: bool,
    digits: (&'a str, &'a str),
    power: i64,
}

fn number_of(Number { negative, digits: (first, second), mut power }: Number<'_>, out: &mut Vec<u8>) {
    let digits = first.bytes().chain(second.bytes());
    let zeros = digits.clone().take_while(|digit| *digit == b'0').count();
    let count = first.len() + second.len();
    let last_zeros = digits.clone().rev().take_while(|digit| *digit == b'0').count();
    if zeros == count {
        out.extend_from_slice(&[NUMBER, 3]);
        return;
    }
    power -= zeros as i64;
    out.extend_from_slice(&[NUMBER, if negative { 2 } else { 4 }]);
    let start = out.len();
    let power = (power.clamp(i32::MIN.into(), i32::MAX.into()) as i32 as u32) ^ (1 << 31);
    out.extend_from_slice(&power.to_be_bytes());
    let mut digits = digits.skip(zeros).take(count - zeros - last_zeros).map(|digit| digit - b'0');
    while let Some(tens) = digits.next() {
        out.push(tens * 10 + digits.next().unwrap_or(0) + 1);
    }
    out.push(0);
    if negative {
        flip(&mut out[start..]);
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    // The shortest digits that are read as this float: as much as 1.7976931348623157e308.
    let written = format!("{:e}", number.abs());
    let (digits, power) = written.split_once('e').unwrap_or((&written, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let power = power.parse::<i64>().unwrap_or(0) + whole.len() as i64;
    number_of(Number { negative: number < 0.0, digits: (whole, fraction), power }, out);
}

/// What is left to be read.
struct Left<'a> {
    bytes: &'a [u8],
    /// Whether all bits are flipped.
    flipped: bool,
}

impl<'a> Left<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.bytes.split_at_checked(count)?;
        self.bytes = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut array: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.flipped {
            flip(&mut array);
        }
        Some(array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn value(&mut self, kind: Kind) -> Option<Datum<'static>> {
        Some(match self.byte()? {
            0 => Datum::Null,
            BOOL => Datum::Bool(self.byte()? == 1),
            NUMBER => self.number(kind)?,
            TIME => {
                let (unit, _) = unit_of(kind)?;
                let value = i128::from(u64::from_be_bytes(self.array()?));
                Datum::Temporal(Temporal::Time { value: i64::try_from(value / unit.nanos()).ok()?, unit })
            }
            INSTANT => {
                let nanos = i128::from_be_bytes(self.array()?) ^ i128::MIN;
                Datum::Temporal(match unit_of(kind) {
                    None => Temporal::Date(i32::try_from(nanos.div_euclid(86_400_000_000_000)).ok()?),
                    Some((unit, utc)) => {
                        let value = i64::try_from(nanos.div_euclid(unit.nanos())).ok()?;
                        Temporal::Timestamp { value, unit, utc }
                    }
                })
            }
            TEXT => {
                let bytes = self.text()?;
                match String::from_utf8(bytes) {
                    Ok(text) if kind != Kind::BYTES => Datum::Text(text.into()),
                    Ok(text) => Datum::Bytes(text.into_bytes().into()),
                    Err(bytes) => Datum::Bytes(bytes.into_bytes().into()),
                }
            }
            LIST => {
                let mut values = Vec::new();
                while self.byte()? == 1 {
                    values.push(self.within()?);
                }
                Datum::List(values)
            }
            STRUCT => {
                let mut fields = Vec::new();
                while self.byte()? == 1 {
                    let name = String::from_utf8(self.text()?).ok()?;
                    fields.push(Named { name: name.into(), value: self.within()? });
                }
                Datum::Struct(fields)
            }
            _ => return None,
        })
    }

    /// Reads a value of a list or a struct, whose kind stands behind it.
    fn within(&mut self) -> Option<Datum<'static>> {
        // How long a value is does not depend on its kind.
        let before = self.bytes;
        self.skip()?;
        let kind = Kind(u16::from_be_bytes(self.array()?));
        let behind = std::mem::replace(&mut self.bytes, before);
        let value = self.value(kind);
        self.bytes = behind;
        value
    }

    fn skip(&mut self) -> Option<()> {
        match self.byte()? {
            0 => {}
            BOOL => drop(self.byte()?),
            NUMBER => {
                if let sign @ (2 | 4) = self.byte()? {
                    self.digits(sign == 2)?;
                }
            }
            TIME => drop(self.take(8)?),
            INSTANT => drop(self.take(16)?),
            TEXT => drop(self.text()?),
            of @ (LIST | STRUCT) => {
                while self.byte()? == 1 {
                    if of == STRUCT {
                        self.text()?;
                    }
                    self.skip()?;
                    self.take(2)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                0 if self.byte()? == 0 => return Some(bytes),
                byte => bytes.push(byte),
            }
        }
    }

    /// Reads the power and the digits of a number.
    fn digits(&mut self, negative: bool) -> Option<(i64, String)> {
        let flipped = self.flipped;
        self.flipped = flipped != negative;
        let power = (u32::from_be_bytes(self.array()?) ^ (1 << 31)) as i32;
        let mut digits = String::new();
        loop {
            match self.byte()? {
                0 => break,
                pair => {
                    let pair = pair - 1;
                    digits.push(char::from(b'0' + pair / 10));
                    digits.push(char::from(b'0' + pair % 10));
                }
            }
        }
        self.flipped = flipped;
        digits.truncate(digits.trim_end_matches('0').len());
        Some((power.into(), digits))
    }

    fn number(&mut self, kind: Kind) -> Option<Datum<'static>> {
        let sign = self.byte()?;
        let (power, digits) = match sign {
            1 => return Some(Datum::Float(f64::NEG_INFINITY)),
            2 | 4 => self.digits(sign == 2)?,
            3 => (0, String::new()),
            5 => return Some(Datum::Float(f64::INFINITY)),
            6 => return Some(Datum::Float(f64::NAN)),
            _ => return None,
        };
        let minus = if sign == 2 { "-" } else { "" };
        if power.abs() > DIGITS_MAX {
            return None;
        }
        if kind == Kind::FLOAT {
            return format!("{minus}0.{digits}0e{power}").parse().ok().map(Datum::Float);
        }
        let (whole, fraction) = match usize::try_from(power) {
            Ok(power) if power <= digits.len() => (digits[..power].to_owned(), digits[power..].to_owned()),
            Ok(power) => (format!("{digits:0<power$}"), String::new()),
            Err(_) => (String::new(), "0".repeat(power.unsigned_abs() as usize) + &digits),
        };
        let whole = if whole.is_empty() { "0" } else { &whole };
        let text = match kind.0 {
            0 | 1 => format!("{minus}{whole}"),
            more => format!("{minus}{whole}.{fraction:0<scale$}", scale = usize::from(more) - 1),
        };
        Some(match text.parse() {
            Ok(whole) if kind.0 == 0 => Datum::Int(whole),
            _ => Datum::Decimal(text.into()),
        })
    }
}

/// Returns the unit of a time, and whether it is in UTC; `None` of a date.
fn unit_of(kind: Kind) -> Option<(TimeUnit, bool)> {
    let at = kind.0.checked_sub(1)?;
    let unit = [TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos].get(usize::from(at % 3))?;
    Some((*unit, at >= 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn scalar() -> impl Strategy<Value = Datum<'static>> {
        prop_oneof![
            Just(Datum::Null),
            any::<bool>().prop_map(Datum::Bool),
            any::<i64>().prop_map(Datum::Int),
            (-20i64..20).prop_map(Datum::Int),
            "-?[0-9]{1,22}(\\.[0-9]{1,4})?".prop_map(|digits| Datum::Decimal(digits.into())),
            any::<f64>().prop_map(Datum::Float),
            (-20i32..20).prop_map(|n| Datum::Float(f64::from(n) / 4.0)),
            Just(Datum::Float(f64::NAN)),
            Just(Datum::Float(f64::NEG_INFINITY)),
            "[\\x00\\x01a\u{ff}]{0,4}".prop_map(|text| Datum::Text(text.into())),
            proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4)
                .prop_map(|bytes| Datum::Bytes(bytes.into())),
            any::<i32>().prop_map(|days| Datum::Temporal(Temporal::Date(days))),
            (0..86_400_000i64).prop_map(|value| Datum::Temporal(Temporal::Time { value, unit: TimeUnit::Millis })),
            (any::<i64>(), any::<bool>()).prop_map(|(value, utc)| {
                Datum::Temporal(Temporal::Timestamp { value, unit: TimeUnit::Micros, utc })
            }),
        ]
    }

    fn datum() -> impl Strategy<Value = Datum<'static>> {
        scalar().prop_recursive(2, 8, 3, |inner| {
            let named = ("[ab\\x00]{0,2}", inner.clone()).prop_map(|(name, value)| Named { name: name.into(), value });
            prop_oneof![
                proptest::collection::vec(inner, 0..3).prop_map(Datum::List),
                proptest::collection::vec(named, 0..3).prop_map(Datum::Struct),
            ]
        })
    }

    fn order() -> impl Strategy<Value = KeyOrder> {
        any::<(bool, bool)>().prop_map(|(descending, nulls_first)| KeyOrder { descending, nulls_first })
    }

    fn encoded(value: &Datum<'_>, order: KeyOrder) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(value, order, &mut bytes);
        bytes
    }

    /// As values are equal whose text is: NaN is, and the digits of decimals may have lost what says nothing.
    fn shown(value: &Datum<'_>) -> String {
        match value {
            Datum::Float(number) => format!("Float({})", number + 0.0),
            Datum::Decimal(text) => {
                let digits = Digits::of(text).unwrap();
                format!("{}{}.{}", digits.negative, digits.whole, digits.fraction)
            }
            Datum::List(values) => format!("{:?}", values.iter().map(shown).collect::<Vec<_>>()),
            Datum::Struct(all) => format!("{:?}", all.iter().map(|f| (&f.name, shown(&f.value))).collect::<Vec<_>>()),
            other => format!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn values_come_back_and_nothing_is_left(values in proptest::collection::vec((datum(), order()), 1..4)) {
            let mut bytes = Vec::new();
            let kinds: Vec<_> = values.iter().map(|(value, order)| encode_key(value, *order, &mut bytes)).collect();
            let mut left = &bytes[..];
            for ((value, order), kind) in values.iter().zip(kinds) {
                let read = decode_key(&mut left, *order, kind).unwrap();
                prop_assert_eq!(shown(&read), shown(value));
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn the_first_values_of_a_key_are_told_from_the_rest(values in proptest::collection::vec(datum(), 1..5), descending: bool) {
            let (order, mut bytes) = (KeyOrder { descending, nulls_first: descending }, Vec::new());
            for (count, value) in values.iter().enumerate() {
                prop_assert_eq!(key_bytes(&bytes, order, count), bytes.len());
                encode_key(value, order, &mut bytes);
            }
            let (mut ends, mut one) = (vec![0], Vec::new());
            for value in &values {
                encode_key(value, order, &mut one);
                ends.push(one.len());
            }
            for (count, end) in ends.iter().enumerate() {
                prop_assert_eq!(key_bytes(&bytes, order, count), *end);
            }
            prop_assert_eq!(key_bytes(&bytes, order, 9), bytes.len());
        }

        #[test]
        fn bytes_compare_as_values_do(a in scalar(), b in scalar(), descending: bool) {
            let order = KeyOrder { descending, nulls_first: false };
            let by_bytes = encoded(&a, order).cmp(&encoded(&b, order));
            let by_bytes = if descending { by_bytes.reverse() } else { by_bytes };
            if let Some(by_value) = a.compare(&b) {
                prop_assert_eq!(by_bytes, by_value, "{:?} {:?}", a, b);
            }
        }

        #[test]
        fn no_value_is_the_beginning_of_another(a in datum(), b in datum(), order in order()) {
            let (a, b) = (encoded(&a, order), encoded(&b, order));
            prop_assert!(a == b || !b.starts_with(&a));
        }

        #[test]
        fn bytes_that_nobody_wrote_are_refused_or_are_a_value(bytes: Vec<u8>, kind: u16, order in order()) {
            let _ = decode_key(&mut &bytes[..], order, Kind(kind));
        }
    }

    #[test]
    fn numbers_are_one_key_however_they_are_written() {
        let one = |value: Datum<'_>| encoded(&value, KeyOrder::default());
        let decimal = |text: &'static str| Datum::Decimal(text.into());
        assert_eq!(one(Datum::Int(100)), one(Datum::Float(1e2)));
        assert_eq!(one(Datum::Int(-7)), one(decimal("-7.000")));
        assert_eq!(one(Datum::Float(0.1)), one(decimal("0.10")));
        assert_eq!(one(Datum::Float(-0.0)), one(Datum::Int(0)));
        // They are written as the one of them that shows most.
        let kinds = [Datum::Int(1), decimal("1.0"), decimal("1.00"), Datum::Float(1.0)]
            .map(|value| encode_key(&value, KeyOrder::default(), &mut Vec::new()));
        assert!(kinds.is_sorted());
        let written = kinds.map(|kind| decode_key(&mut &one(Datum::Int(1))[..], KeyOrder::default(), kind).unwrap());
        assert_eq!(written, [Datum::Int(1), decimal("1.0"), decimal("1.00"), Datum::Float(1.0)]);
    }

    #[test]
    fn nothing_comes_first_or_last_in_either_direction() {
        for descending in [false, true] {
            let compared = |nulls_first| {
                let order = KeyOrder { descending, nulls_first };
                encoded(&Datum::Null, order).cmp(&encoded(&Datum::Int(1), order))
            };
            assert_eq!((compared(true), compared(false)), (Ordering::Less, Ordering::Greater));
        }
    }
}
