//! Times for people: how long, when, and how long ago.

use kinglet::Timestamp;
use std::time::Duration;
use time::OffsetDateTime;

/// Days, hours, minutes or seconds: `7d`, `12h`, `30m`, `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err("a duration is a whole number with d, h, m or s behind it, as in 12h".to_owned()),
    };
    let number: u64 = text[..text.len() - unit.len()].parse().map_err(|_| "a duration begins with a whole number")?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "this duration is too long".to_owned())
}

/// How long something took, or takes.
pub(crate) fn took(from: Timestamp, to: Option<Timestamp>) -> String {
    let ms = to.unwrap_or_else(Timestamp::now).since_ms(from);
    match ms / 1_000 {
        0..60 => format!("{:.2} s", ms as f64 / 1e3),
        seconds @ 60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time as `2026-11-21 07:14:52`, UTC.
pub(crate) fn date(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1_000).ok();
    let Some(at) = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()) else {
        return format!("{} ms after 1970", at.0);
    };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(date(Timestamp(951_827_696_999)), "2000-02-29 12:34:56");
        assert_eq!(date(Timestamp(1_795_245_292_208)), "2026-11-21 07:14:52");
        assert_eq!(date(Timestamp(0)), "1970-01-01 00:00:00");
        assert_eq!(date(Timestamp(u64::MAX)), "18446744073709551615 ms after 1970");
        let took_ms = |ms: u64| took(Timestamp(5), Some(Timestamp(5 + ms)));
        assert_eq!([50, 61_000, 7_260_000, 90_000_000].map(took_ms), ["0.05 s", "1m 01s", "2h 01m", "1d 01h"]);
    }

    #[test]
    fn durations() {
        assert_eq!(["7d", "2h", "3m", "0s"].map(|text| duration(text).unwrap().as_secs()), [604_800, 7_200, 180, 0]);
        for bad in ["", "7", "d", "7w", "-1s", "1.5h", "99999999999999999999d", "9999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
