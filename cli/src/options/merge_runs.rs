//! Whether runs are merged before they are reduced.

use kinglet::RunsMerged;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MergeRunsArg {
    /// Where the plan finds that better: in large shuffles on AWS
    #[default]
    WhereBetter,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<MergeRunsArg> for RunsMerged {
    fn from(merged: MergeRunsArg) -> Self {
        match merged {
            MergeRunsArg::WhereBetter => RunsMerged::WhereBetter,
            MergeRunsArg::Always => RunsMerged::Always,
            MergeRunsArg::Never => RunsMerged::Never,
        }
    }
}
