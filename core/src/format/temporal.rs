//! Dates, times of day and points in time, as they are stored: a number of units since 1970-01-01, or since midnight.
//!
//! They are written as ISO 8601 has them: `2026-11-22`, `06:30:00.250`, `2026-11-22T06:30:00.250`, with a `Z` behind it where
//! the time is of UTC, and without one where it is the clock on some wall. A fraction has as many digits as the unit, or none if
//! it is zero.

use crate::types::TimeUnit;
use std::cmp::Ordering;
use std::fmt;

/// A date, a time of day or a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporal {
    /// Days since 1970-01-01.
    Date(i32),
    /// Units since midnight.
    Time {
        /// How many.
        value: i64,
        /// Of which unit.
        unit: TimeUnit,
    },
    /// Units since 1970-01-01T00:00:00.
    Timestamp {
        /// How many.
        value: i64,
        /// Of which unit.
        unit: TimeUnit,
        /// Whether that was in UTC. Otherwise nobody says where.
        utc: bool,
    },
}

const DAY_SECONDS: i64 = 86_400;

impl Temporal {
    /// Returns the number that it is stored as: days, or units.
    pub fn stored(self) -> i64 {
        match self {
            Temporal::Date(days) => days.into(),
            Temporal::Time { value, .. } | Temporal::Timestamp { value, .. } => value,
        }
    }

    /// Reads a date, a time of day or a point in time; `None` where it is none of them. Between date and time stands a `T` or a
    /// blank.
    pub fn parse(text: &str) -> Option<Self> {
        let (unzoned, utc) = match text.strip_suffix('Z') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        match unzoned.split_once(['T', ' ']) {
            Some((date, time)) => {
                let days = i128::from(parse_date(date)?) * i128::from(DAY_SECONDS) * 1_000_000_000;
                // Of a year in which nanoseconds cannot be counted, microseconds.
                let nanos = days + i128::from(parse_time(time)?);
                Some(match i64::try_from(nanos) {
                    Ok(value) => Temporal::Timestamp { value, unit: TimeUnit::Nanos, utc },
                    Err(_) => {
                        Temporal::Timestamp { value: i64::try_from(nanos / 1_000).ok()?, unit: TimeUnit::Micros, utc }
                    }
                })
            }
            None if utc => None,
            None => match parse_date(unzoned) {
                Some(days) => Some(Temporal::Date(days)),
                None => Some(Temporal::Time { value: parse_time(unzoned)?, unit: TimeUnit::Nanos }),
            },
        }
    }

    /// Compares it with another. A date is its first moment; a time of day is compared with a time of day only.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Temporal::Time { .. }, Temporal::Time { .. }) => {}
            (Temporal::Time { .. }, _) | (_, Temporal::Time { .. }) => return None,
            _ => {}
        }
        Some(self.nanos().cmp(&other.nanos()))
    }

    /// Returns the nanoseconds since 1970-01-01, or since midnight.
    pub(super) fn nanos(self) -> i128 {
        match self {
            Temporal::Date(days) => i128::from(days) * i128::from(DAY_SECONDS) * 1_000_000_000,
            Temporal::Time { value, unit } | Temporal::Timestamp { value, unit, .. } => {
                i128::from(value) * unit.nanos()
            }
        }
    }
}

impl fmt::Display for Temporal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Temporal::Date(days) => write_date(f, days.into()),
            Temporal::Time { value, unit } => write_time(f, value, unit),
            Temporal::Timestamp { value, unit, utc } => {
                let day = DAY_SECONDS * unit.per_second();
                write_date(f, value.div_euclid(day))?;
                f.write_str("T")?;
                write_time(f, value.rem_euclid(day), unit)?;
                f.write_str(if utc { "Z" } else { "" })
            }
        }
    }
}

fn write_time(f: &mut fmt::Formatter<'_>, value: i64, unit: TimeUnit) -> fmt::Result {
    let (seconds, rest) = (value.div_euclid(unit.per_second()), value.rem_euclid(unit.per_second()));
    write!(f, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
    if rest == 0 { Ok(()) } else { write!(f, ".{rest:0digits$}", digits = unit.digits()) }
}

/// Howard Hinnant's `civil_from_days`: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>. Years are counted
/// from March, in eras of 400.
fn write_date(f: &mut fmt::Formatter<'_>, days: i64) -> fmt::Result {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9_999 => write!(f, "{year:04}-{month:02}-{day:02}"),
        _ => write!(f, "{year:+05}-{month:02}-{day:02}"),
    }
}

/// `days_from_civil`, of the same page.
fn parse_date(text: &str) -> Option<i32> {
    let (sign, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    let mut parts = unsigned.split('-');
    let (year, month, day) = (parts.next()?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || year.len() < 4 {
        return None;
    }
    let year = sign * number(year, year.len())?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the nanoseconds since midnight.
fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, "0"),
    };
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let seconds = parts.next().map_or(Some(0), |seconds| number(seconds, 2))?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 9 {
        return None;
    }
    let fraction = number(fraction, fraction.len())? * 10i64.pow(9 - fraction.len() as u32);
    Some((hours * 3_600 + minutes * 60 + seconds) * 1_000_000_000 + fraction)
}

/// Reads a number of so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = (1..10).contains(&digits) && text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timestamp(value: i64, unit: TimeUnit, utc: bool) -> String {
        Temporal::Timestamp { value, unit, utc }.to_string()
    }

    #[test]
    fn times_are_written_as_iso_has_them() {
        assert_eq!(Temporal::Date(0).to_string(), "1970-01-01");
        assert_eq!(Temporal::Date(-1).to_string(), "1969-12-31");
        assert_eq!(Temporal::Date(19_782).to_string(), "2024-02-29");
        assert_eq!(Temporal::Date(2_932_896).to_string(), "9999-12-31");
        assert_eq!(Temporal::Date(2_932_897).to_string(), "+10000-01-01");
        assert_eq!(Temporal::Date(-719_529).to_string(), "-0001-12-31");
        assert_eq!(Temporal::Time { value: 23_400_250, unit: TimeUnit::Millis }.to_string(), "06:30:00.250");
        assert_eq!(timestamp(-1, TimeUnit::Micros, true), "1969-12-31T23:59:59.999999Z");
        assert_eq!(timestamp(1_700_000_000, TimeUnit::Millis, false), "1970-01-20T16:13:20");
        assert_eq!(timestamp(i64::MIN, TimeUnit::Nanos, false), "1677-09-21T00:12:43.145224192");
        assert!(timestamp(i64::MIN, TimeUnit::Millis, false).starts_with('-'));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "2026", "2026-13-01", "2026-02-29", "2026-1-1", "12", "24:00", "1:00", "2026-01-01T", "12:00Z", "x"]
        {
            assert_eq!(Temporal::parse(text), None, "{text}");
        }
        let noon = Temporal::parse("2026-11-22 12:00").unwrap();
        assert_eq!(noon.compare(Temporal::parse("2026-11-22").unwrap()), Some(Ordering::Greater));
        assert_eq!(noon.compare(Temporal::parse("2026-11-22T12:00:00.000Z").unwrap()), Some(Ordering::Equal));
        assert_eq!(noon.compare(Temporal::parse("12:00").unwrap()), None);
        assert!(Temporal::parse("9999-12-31T00:00:00").unwrap().compare(noon).unwrap().is_gt());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(days in -5_000_000i32..5_000_000, value: i64) {
            for time in [
                Temporal::Date(days),
                Temporal::Time { value: value.rem_euclid(86_400_000_000), unit: TimeUnit::Micros },
                Temporal::Timestamp { value, unit: TimeUnit::Nanos, utc: true },
                Temporal::Timestamp { value: value / 100, unit: TimeUnit::Micros, utc: false },
            ] {
                let read = Temporal::parse(&time.to_string()).unwrap();
                prop_assert_eq!(read.compare(time), Some(Ordering::Equal), "{}", time);
            }
        }
    }
}
