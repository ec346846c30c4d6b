//! `kinglet head`.

use crate::command::Command;
use crate::options::{Cloud, CodecArg, RowsArgs};
use clap::Args;
use kinglet::{Local, PathCondition, Result, Submit};

/// Print the first rows of files as they are, and read no more than they need
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet head 10 'logs/*.gz'\n  kinglet head 3 sales.parquet --columns day,price --where 'price >= 10'\n  \
    kinglet --stack kinglet head 100 s3://BUCKET/events/ --format json-lines\n\n\
    Files are read in the order of their names, each from its start on: 64 KiB, and then twice as much each time as rows are missing.\n\
    Rows are unpacked and checked; those of Parquet and Avro are printed as JSON. The header of CSV comes first, once, and does not count;\n\
    files with other headers are refused. No function runs."
)]
pub(crate) struct Head {
    /// How many rows
    #[arg(value_name = "N")]
    rows: u64,

    /// Files, directories, patterns in quotes, or with --stack s3:// URIs (an object, a prefix, a pattern)
    #[arg(required_unless_present_any = ["input_list", "inventory"], value_name = "INPUT")]
    inputs: Vec<String>,

    /// A file that lists more inputs: a path or an s3:// URI of one object a line
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    input_list: Option<String>,

    /// An S3 Inventory report, whose objects are read too: s3://BUCKET/…/manifest.json
    #[arg(long, value_name = "URI", help_heading = "Input")]
    inventory: Option<String>,

    /// Read only objects whose path says so, as in year=2026/month=07/: 'month>=7', day=1,2,3; several times for several
    #[arg(long = "where-path", value_name = "CONDITION", help_heading = "Input")]
    conditions: Vec<PathCondition>,

    /// How all of the input is compressed [default: as the name and the first bytes of each object say]
    #[arg(long, value_enum, value_name = "CODEC", help_heading = "Input")]
    input_compression: Option<CodecArg>,

    #[command(flatten)]
    written: RowsArgs,
}

impl Command for Head {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let is_said = self.written.is_said(&self.inputs);
        if is_said {
            // What is wrong with it is said before anything starts.
            self.written.format(&self.inputs)?;
        }
        // Nothing is written.
        let mut submit = Submit::new(self.inputs.iter().cloned(), "").with_conditions(self.conditions);
        if let Some(list) = self.input_list {
            submit = submit.with_input_list(list);
        }
        if let Some(manifest) = self.inventory {
            submit = submit.with_inventory(manifest);
        }
        if let Some(codec) = self.input_compression {
            submit = submit.with_input_compression(codec.into());
        }
        let driver = match cloud.aws() {
            Some(aws) => aws.connect().await?,
            None => Local::new().start().await?,
        };
        let printed = async {
            let written = match is_said {
                true => self.written,
                false => self.written.with_found(driver.find_format(&submit).await?),
            };
            let format = written.format(&self.inputs)?;
            let mut head = driver.head(&submit, format, self.rows).await?;
            while let Some(row) = head.next().await? {
                crate::stdout::bytes(&row);
                if crate::stdout::is_closed() {
                    break;
                }
            }
            eprintln!("{} bytes read", head.bytes_read());
            Ok(())
        };
        let printed = printed.await;
        driver.close().await;
        printed
    }
}
