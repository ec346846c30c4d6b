//! `kinglet run join`.

use super::over_rows::{Broadcast, JoinWith, OverRows};
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly, RightArgs};
use clap::{Args, ValueEnum};
use kinglet::{How, Result, Types};
use kinglet_jobs::On;

/// Join rows with those of other files that have the same values in some columns
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run join orders.csv --right customers.jsonl --on 'customer = id' --output joined\n  \
    kinglet run join 'sales/*.parquet' --right items.csv --on item --how left --columns day,item,price,right.name --output priced\n  \
    kinglet run join visits.csv --right 'blocked/*.csv' --on 'ip as text' --how anti --output allowed\n\n\
    --on names a column of each side, with = between, or one that both have; several with commas between, and behind one may stand\n\
    `as text` or `as number`. Values are equal as sorted ones are: 1 and 1.0, whatever they are written as. Rows that have nothing\n\
    there match none. Columns whose values are of different types are refused.\n\n\
    The result has the columns of the left side and then those of the right one; of a name that both have, the right one's is called\n\
    right.NAME, unless rows are joined by both. --columns and --where name a column as left.NAME or right.NAME where both have it.\n\
    --where chooses rows before they are joined. Options for CSV but --delimiter hold for both sides.")]
pub(crate) struct Join {
    /// The columns that must be equal, as in 'customer = id, day'
    #[arg(long, value_name = "COLUMN[ = COLUMN],...")]
    on: String,

    /// Which rows are written
    #[arg(long, value_enum, default_value_t)]
    how: HowArg,

    /// Which side goes to every function, which then need not hand rows on by their keys [default: the smaller one, if it has at most
    /// 1 MiB]
    #[arg(long, value_enum, value_name = "SIDE", help_heading = "Job")]
    broadcast: Option<Broadcast>,

    /// Parquet: the types of these columns, as in 'price decimal(12,2), day date'; of others, what a look at the input shows
    #[arg(long, help_heading = "Output", value_name = "TYPES")]
    types: Option<Types>,

    #[command(flatten)]
    right: RightArgs,

    #[command(flatten)]
    rows: OverRows,
}

/// Which rows a join writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum HowArg {
    /// Each row of the left side with each of the right one that matches
    #[default]
    Inner,
    /// The same, and rows of the left side that match none
    Left,
    /// The same as inner, and rows of the right side that match none
    Right,
    /// The same as inner, and rows of both sides that match none
    Full,
    /// Rows of the left side that match some, each once, without the right side
    Semi,
    /// Rows of the left side that match none, without the right side
    Anti,
}

impl From<HowArg> for How {
    fn from(how: HowArg) -> How {
        match how {
            HowArg::Inner => How::Inner,
            HowArg::Left => How::Left,
            HowArg::Right => How::Right,
            HowArg::Full => How::Full,
            HowArg::Semi => How::Semi,
            HowArg::Anti => How::Anti,
        }
    }
}

impl Command for Join {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.rows.embedded_only()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let with = JoinWith {
            right: self.right,
            on: On::parse_all(&self.on)?,
            how: self.how.into(),
            broadcast: self.broadcast,
            types: self.types,
        };
        self.rows.join(with, cloud).await
    }
}
