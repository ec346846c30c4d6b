//! The report, for people and for programs.

use kinglet::{Error, Report, Result};

pub(crate) fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(report);
        println!("{}", text.map_err(|e| Error::input("report", format!("writing the report: {e}")))?);
    } else {
        println!("{report}");
    }
    Ok(())
}
