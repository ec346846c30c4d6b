use clap::Args;

/// A job that was submitted before.
#[derive(Debug, Args)]
pub(crate) struct OneJob {
    /// The job: its id, the start of one of the id's halves, or `last`
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
