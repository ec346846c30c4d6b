//! `kinglet look`.

use crate::command::Command;
use crate::options::{Cloud, RowsArgs};
use crate::report;
use clap::Args;
use kinglet::{Code, Error, Result};

/// Look at one file: its compression, format and columns, how it would be split, and its first rows
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet look sales.csv.gz\n  kinglet look data.txt --format csv --delimiter ';' --rows 3\n  \
    kinglet --stack kinglet look s3://BUCKET/events.jsonl --json\n\n\
    Only the first megabyte is read, whatever the size. Types are those of the rows that are shown.\n\
    Of Parquet, the footer says them, and the statistics of all row groups; then the first rows are read."
)]
pub(crate) struct Look {
    /// A file, or with --stack an object s3://BUCKET/KEY
    #[arg(value_name = "FILE")]
    file: String,

    /// How many rows are shown
    #[arg(long, value_name = "N", default_value_t = 10)]
    rows: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    written: RowsArgs,
}

impl Command for Look {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let format = Some(self.written.format(std::slice::from_ref(&self.file))?);
        let is_object = self.file.starts_with("s3://");
        let seen = match cloud.aws() {
            Some(aws) if is_object => {
                let driver = aws.connect().await?;
                let seen = driver.look(&self.file, format, self.rows).await;
                driver.close().await;
                seen?
            }
            None if is_object => {
                let message = format!("{} is in S3, and no stack is named", self.file);
                return Err(Error::new(Code::InputMissing, message).with_hint("add --stack NAME before `look`"));
            }
            _ => kinglet::look_at_file(&self.file, format, self.rows)?,
        };
        if self.json {
            return report::json(&seen);
        }
        print!("{}", text(&seen));
        Ok(())
    }
}

/// Returns the names of the columns that the rows have. Of Parquet and Avro, some may have been chosen.
fn names(seen: &kinglet::Look) -> Vec<&str> {
    let is_chosen = matches!(seen.format, "parquet" | "avro");
    let is_shown = |name: &str| !is_chosen || seen.rows.first().is_none_or(|row| row.get(name).is_some());
    seen.schema.columns.iter().map(|column| &column.name[..]).filter(|name| is_shown(name)).collect()
}

/// The most characters of a value that are shown.
const VALUE_CHARS: usize = 40;

fn text(seen: &kinglet::Look) -> String {
    let mut lines = vec![
        format!("{:<11}{} bytes", "file", seen.bytes),
        format!("{:<11}{}", "packed by", seen.compression),
        format!("{:<11}{}", "format", seen.format),
        format!("{:<11}{}", "split", seen.splits),
    ];
    if let Some(footer) = &seen.footer {
        lines.push(format!("{:<11}{} in {} row groups", "rows", footer.rows, footer.row_groups.len()));
    }
    for (n, column) in seen.schema.columns.iter().enumerate() {
        let column = column.to_string().escape_debug().to_string();
        lines.push(format!("{:<11}{column}", if n == 0 { "columns" } else { "" }));
    }
    for (n, column) in seen.footer.iter().flat_map(|footer| &footer.columns).enumerate() {
        let bound = |bound: &Option<serde_json::Value>| bound.as_ref().map_or("?".to_owned(), shown);
        let nulls = column.nulls.map_or(String::new(), |nulls| format!(", {nulls} nulls"));
        lines.push(format!(
            "{:<11}{}: {} to {}{nulls}, {} bytes by {}",
            if n == 0 { "statistics" } else { "" },
            column.name.escape_debug(),
            bound(&column.least),
            bound(&column.most),
            column.bytes,
            column.compression
        ));
    }
    let names = names(seen);
    if !seen.rows.is_empty() {
        lines.push(String::new());
        lines.push(names.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join("\t"));
    }
    for row in &seen.rows {
        lines.push(names.iter().map(|name| shown(&row[*name])).collect::<Vec<_>>().join("\t"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A value on one line, cut off where it is long.
fn shown(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
