//! `kinglet explain`.

use crate::command::Command;
use crate::options::Cloud;
use crate::report;
use clap::Args;
use kinglet::{Again, Code, Error, ErrorKind, Result};

/// Explain an error code: what it means, and the way out
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet explain output-taken\n  kinglet explain | grep memory")]
pub(crate) struct Explain {
    /// The code, as errors and reports have it; without one, all codes are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command for Explain {
    async fn run(self, _: &Cloud) -> Result<()> {
        match self.code {
            Some(text) => {
                let code = Code::of(&text).ok_or_else(|| unknown(&text))?;
                if self.json {
                    return report::json(&entry(code));
                }
                println!("{code}: {}", code.meaning());
                println!("way out    {}", code.way_out());
                println!("who acts   {}", who_acts(code.kind()));
                println!("tried      {}", tried(code.again()));
            }
            None if self.json => return report::json(&Code::ALL.iter().map(|code| entry(*code)).collect::<Vec<_>>()),
            None => Code::ALL.iter().for_each(|code| println!("{:<24}  {}", code.as_str(), code.meaning())),
        }
        Ok(())
    }
}

/// Returns a code's entry for programs.
fn entry(code: Code) -> serde_json::Value {
    serde_json::json!({
        "code": code.as_str(),
        "kind": format!("{:?}", code.kind()),
        "meaning": code.meaning(),
        "way_out": code.way_out(),
        "again": format!("{:?}", code.again()),
    })
}

fn who_acts(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Input => "you: something that you gave is wrong",
        ErrorKind::UserCode => "the job's author",
        ErrorKind::StaleDeployment => "whoever deploys: the program and the stack do not match",
        ErrorKind::Limit => "you: a limit was met",
        ErrorKind::Service => "nobody at first: a service has failed",
        ErrorKind::Corrupt => "nobody at first: stored bytes are damaged",
        _ => "nobody",
    }
}

fn tried(again: Again) -> &'static str {
    match again {
        Again::Never => "once: it would fail again",
        Again::AsItIs => "again, as it is",
        _ => "again, with less to do or with more memory",
    }
}

/// How alike a code must be to be proposed: 1 is the same.
const ALIKE: f64 = 0.75;

/// Returns the error of a code that is none, which proposes those that are like it.
fn unknown(text: &str) -> Error {
    let mut near: Vec<_> = Code::ALL.iter().map(|code| (strsim::jaro_winkler(text, code.as_str()), *code)).collect();
    near.retain(|(alike, _)| *alike >= ALIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let error = Error::new(Code::CodeMissing, format!("there is no error code {text:?}"));
    let near: Vec<_> = near.iter().take(3).map(|(_, code)| code.as_str()).collect();
    error.with_hint(match near.is_empty() {
        true => "`kinglet explain` lists all codes".to_owned(),
        false => format!("did you mean {}?", near.join(", or ")),
    })
}
