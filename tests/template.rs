//! What `template.yaml` says about the code that it deploys is so. The rest of the template is `tests/cloud`'s.

use kinglet_core::{env, limits, wire};
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
        env::LOG,
        env::METRICS,
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
