//! The report, for people and for programs.

use kinglet::{Code, Error, Report, Result};

pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    println!("{}", text.map_err(|e| Error::new(Code::Report, format!("writing JSON: {e}")))?);
    Ok(())
}

pub(crate) fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        return self::json(report);
    } else {
        println!("{report}");
    }
    Ok(())
}
