//! The rules of CloudWatch's embedded metric format, from its specification and the page on `MetricDatum`, 2026-11:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>. CloudWatch silently drops the
//! metrics of a line that breaks a rule, so the tests check every line of [`super::log`] against them.

use serde_json::Value;

/// The longest name of a metric or a namespace, and the longest value of a dimension, in characters.
pub const NAME_CHARS_MAX: usize = 1_024;

/// The most metrics of one line.
const METRICS_MAX: usize = 100;

/// Checks a line against the specification of the embedded metric format.
///
/// # Errors
/// Returns the first rule that the line breaks.
pub fn check(line: &str) -> Result<(), String> {
    let root: Value = serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))?;
    let short = |text: &str, max: usize| (1..=max).contains(&text.chars().count());
    let at = |value: &Value, name: &str| value.get(name).cloned().ok_or(format!("{name} is missing"));
    let array = |value: Value, name: &str| match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("{name} is {other}, not an array")),
    };
    if line.len() > 256 << 10 {
        return Err(format!("{} bytes are more than 256 KB", line.len()));
    }
    let metadata = at(&root, "_aws")?;
    // Milliseconds since 1970. Seconds would be taken for a day in 1970, and the metrics would be dropped.
    at(&metadata, "Timestamp")?
        .as_u64()
        .filter(|ms| *ms > 1_000_000_000_000)
        .ok_or("Timestamp is not in milliseconds")?;
    for directive in array(at(&metadata, "CloudWatchMetrics")?, "CloudWatchMetrics")? {
        let namespace = at(&directive, "Namespace")?;
        namespace.as_str().filter(|text| short(text, NAME_CHARS_MAX)).ok_or("Namespace is no text of 1 to 1024")?;
        let sets = array(at(&directive, "Dimensions")?, "Dimensions")?;
        if sets.is_empty() {
            return Err("Dimensions has no set".into());
        }
        for set in sets {
            let set = array(set, "a dimension set")?;
            if set.len() > 30 {
                return Err("more than 30 dimensions".into());
            }
            for name in set {
                let name = name.as_str().filter(|text| short(text, 250)).ok_or("a dimension is no text of 1 to 250")?;
                let value = at(&root, name)?;
                value.as_str().filter(|text| short(text, 1_024)).ok_or(format!("{name} is no text of 1 to 1024"))?;
            }
        }
        let metrics = array(at(&directive, "Metrics")?, "Metrics")?;
        if metrics.len() > METRICS_MAX {
            return Err(format!("{} metrics are more than {METRICS_MAX}", metrics.len()));
        }
        for metric in metrics {
            let name = at(&metric, "Name")?;
            let name = name.as_str().filter(|text| short(text, NAME_CHARS_MAX)).ok_or("a metric has no name")?;
            if let Some(unit) = metric.get("Unit") {
                unit.as_str().filter(|unit| UNITS.contains(unit)).ok_or(format!("{unit} is no unit"))?;
            }
            let resolution = metric.get("StorageResolution").map_or(Some(60), Value::as_u64);
            resolution.filter(|s| [1, 60].contains(s)).ok_or("StorageResolution is neither 1 nor 60")?;
            let numbers = match at(&root, name)? {
                Value::Array(values) if (1..=100).contains(&values.len()) => values,
                value => vec![value],
            };
            if !numbers.iter().all(Value::is_number) {
                return Err(format!("{name} is no number"));
            }
        }
    }
    Ok(())
}

/// CloudWatch's units. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>, 2026-11.
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A line with these dimensions and metrics, and members of their names.
    fn line(dimensions: usize, metrics: usize) -> Value {
        let names = |what: &str, count: usize| (0..count).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
        let (dimensions, metrics) = (names("Dimension", dimensions), names("Metric", metrics));
        let definitions: Vec<_> = metrics.iter().map(|name| json!({ "Name": name, "Unit": "Count" })).collect();
        let directive = json!({ "Namespace": "Kinglet", "Dimensions": [dimensions], "Metrics": definitions });
        let mut line = json!({ "_aws": { "Timestamp": 1_763_709_292_208u64, "CloudWatchMetrics": [directive] } });
        for name in &dimensions {
            line[name] = "value".into();
        }
        for name in &metrics {
            line[name] = 1.into();
        }
        line
    }

    fn said(line: &Value) -> String {
        check(&line.to_string()).err().unwrap_or_default()
    }

    #[test]
    fn a_line_may_be_as_large_as_cloudwatch_takes_and_no_larger() {
        let mut good = line(1, 1);
        let room = (256 << 10) - good.to_string().len() - r#","more":"""#.len();
        good["more"] = "x".repeat(room).into();
        assert_eq!((good.to_string().len(), said(&good)), (256 << 10, String::new()));
        good["more"] = "x".repeat(room + 1).into();
        assert_eq!(said(&good), "262145 bytes are more than 256 KB");
    }

    #[test]
    fn a_line_may_have_30_dimensions_and_100_metrics_and_no_more() {
        assert_eq!(said(&line(30, 100)), "");
        assert_eq!(said(&line(31, 100)), "more than 30 dimensions");
        assert_eq!(said(&line(30, 101)), "101 metrics are more than 100");
        assert_eq!(said(&line(0, 0)), "");
    }

    #[test]
    fn seconds_are_not_taken_for_milliseconds() {
        let at = |timestamp: Value| {
            let mut line = line(1, 1);
            line["_aws"]["Timestamp"] = timestamp;
            said(&line)
        };
        assert_eq!(at(json!(1_000_000_000_001u64)), "");
        for wrong in [json!(1_000_000_000_000u64), json!(1_763_709_292), json!("2026-11-21T07:14:52Z")] {
            assert_eq!(at(wrong), "Timestamp is not in milliseconds");
        }
    }

    #[test]
    fn a_metric_is_a_number_or_1_to_100_of_them() {
        let with = |value: Value| {
            let mut line = line(1, 1);
            line["Metric0"] = value;
            said(&line)
        };
        for good in [json!(0.5), json!([1]), json!(vec![1; 100])] {
            assert_eq!(with(good), "");
        }
        for bad in [json!("1"), json!([]), json!(vec![1; 101]), json!([1, "2"])] {
            assert_eq!(with(bad), "Metric0 is no number");
        }
    }
}
