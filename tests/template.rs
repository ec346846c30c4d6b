//! What `template.yaml` says about the code that it deploys is so. The rest of the template is `tests/cloud`'s.

use kinglet_core::{budget, env, limits, wire};
use std::collections::BTreeSet;

const TEMPLATE: &str = include_str!("../template.yaml");

/// The lines below `heading`, up to the next of its indentation.
fn section(text: &str, heading: &str) -> Vec<String> {
    let indent = heading.len() - heading.trim_start().len();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let inner = lines.take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() > indent);
    inner.map(str::to_owned).collect()
}

/// The value of an output, as it stands in the template.
fn output(name: &str) -> String {
    let outputs = section(TEMPLATE, "Outputs:").join("\n");
    let lines = section(&outputs, &format!("  {name}:"));
    let value = lines.iter().find_map(|line| line.trim().strip_prefix("Value: ")).unwrap_or_default();
    value.trim_matches('"').to_owned()
}

#[test]
fn the_template_is_of_this_version_and_wire_format() {
    assert_eq!(output("Version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(output("Wire"), wire::VERSION.to_string());
}

#[test]
fn the_template_sets_the_variables_that_the_functions_read() {
    let lines = section(TEMPLATE, "      Variables:");
    let set: BTreeSet<&str> =
        lines.iter().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name).collect();
    let read = [
        env::TABLE,
        env::WORK_BUCKET,
        env::SPLITTER,
        env::MAPPER,
        env::MAPPER_LARGE,
        env::REDUCER,
        env::TIMEOUT_S,
        env::TMP_MB,
        env::LOG,
        env::METRICS,
        env::EVENT_BUS,
        env::LARGE_PAGES,
        env::SHIPPED,
    ];
    assert_eq!(set, BTreeSet::from(read));
}

#[test]
fn the_template_keeps_what_the_ledger_keeps() {
    let lines = section(TEMPLATE, "          - Id: expire-intermediates");
    let days = lines.iter().find_map(|line| line.trim().strip_prefix("ExpirationInDays: "));
    assert_eq!(days, Some((limits::JOB_KEPT_S / 86_400).to_string().as_str()));
}

#[test]
fn the_template_has_the_defaults_and_limits_of_the_embedded_runtime() {
    let value = |parameter: &str, what: &str| {
        let lines = section(TEMPLATE, &format!("  {parameter}:"));
        let value = lines.iter().find_map(|line| line.trim().strip_prefix(what)?.strip_prefix(": "));
        value.unwrap_or_default().parse::<u64>().unwrap()
    };
    for parameter in ["MapperMemory", "ReducerMemory"] {
        assert_eq!(value(parameter, "Default"), u64::from(budget::MEMORY_MB));
    }
    for parameter in ["MapperMemory", "MapperLargeMemory", "ReducerMemory"] {
        assert_eq!(value(parameter, "MaxValue"), u64::from(limits::FUNCTION_MEMORY_MB_MAX));
    }
    for what in ["Default", "MaxValue"] {
        assert_eq!(value("Timeout", what) * 1_000, limits::FUNCTION_TIMEOUT_MS_MAX);
    }
}
