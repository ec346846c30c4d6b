//! `kinglet run sample`.

use super::over_rows::OverRows;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;
use kinglet_jobs::Sample as Job;

/// Write a share of the rows as they are, drawn at random and the same each time
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run sample 1% 'logs/*.gz' --output some\n  \
    kinglet run sample 1/1000 sales.csv --seed 7 --output some\n\n\
    Which rows are drawn depends on their files' names, their offsets and the seed, and not on how files are split.\n\
    The output is one part, or as many as --partitions says; rows are sorted by file and offset within each.")]
pub(crate) struct Sample {
    /// Which share of the rows: 5%, or one of so many, 1/1000
    #[arg(value_parser = share)]
    share: f64,

    /// Another seed draws other rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    rows: OverRows,
}

fn share(text: &str) -> Result<f64, String> {
    let share = match (text.strip_suffix('%'), text.strip_prefix("1/")) {
        (Some(percent), _) => percent.parse().ok().map(|percent: f64| percent / 100.0),
        (_, Some(of)) => of.parse().ok().map(|of: f64| 1.0 / of),
        _ => None,
    };
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "it is written as 5% or 1/1000".to_owned())
}

impl Command for Sample {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let rows = self.rows.found(cloud).await?;
        let job = Job { format: rows.format()?, share: self.share, seed: self.seed };
        rows.with_parts(1).run(&job, "row text", cloud).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_one_of_so_many() {
        assert_eq!((share("5%"), share("1/8"), share("0%"), share("100%")), (Ok(0.05), Ok(0.125), Ok(0.0), Ok(1.0)));
        for wrong in ["5", "101%", "-1%", "2/3", "1/0", "1/-2", "NaN%", "%", ""] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
