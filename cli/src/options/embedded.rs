use clap::Args;
use kinglet::{Local, LocalFunctions};
use std::path::PathBuf;
use std::time::Duration;

/// What only the embedded runtime can be told: on AWS, the parameters of `template.yaml` say it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Embedded runtime")]
pub(crate) struct Embedded {
    /// Memory of each function in MB, 128 to 10240; 1769 MB bring one thread [default: 1769]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) memory_mb: Option<u32>,

    /// Memory of the larger mapper in MB, for map tasks that died of memory [default: four times --memory-mb]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) mapper_large_memory_mb: Option<u32>,

    /// Kill functions that use more than their memory, as Lambda does
    #[arg(long)]
    pub(crate) enforce_memory: bool,

    /// Give each function the part of a CPU that Lambda gives for its memory
    #[arg(long)]
    pub(crate) cpu_share: bool,

    /// Timeout of a function in seconds, at most 900 [default: 900]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=900))]
    pub(crate) timeout: Option<u64>,

    /// Where intermediate data goes; it is removed at the end [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Run the built functions in this directory instead of this program itself
    #[arg(long, value_name = "DIR")]
    pub(crate) functions: Option<PathBuf>,
}

/// An option that says nothing to a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmbeddedOnly {
    pub(crate) option: &'static str,
    /// What to do there; "of stack NAME" follows.
    pub(crate) instead: &'static str,
}

/// Stands in other commands, too.
pub(crate) const DATA_DIR: EmbeddedOnly =
    EmbeddedOnly { option: "--data-dir", instead: "leave it out, as intermediate data goes to the work bucket" };

impl Embedded {
    /// The first of these options that is given.
    pub(crate) fn given(&self) -> Option<EmbeddedOnly> {
        let options = [
            (self.memory_mb.is_some(), "--memory-mb", "set MapperMemory and ReducerMemory"),
            (self.mapper_large_memory_mb.is_some(), "--mapper-large-memory-mb", "set MapperLargeMemory"),
            (
                self.enforce_memory,
                "--enforce-memory",
                "leave it out, as Lambda does so in any case, with the functions",
            ),
            (self.cpu_share, "--cpu-share", "leave it out, as Lambda does so in any case, with the functions"),
            (self.timeout.is_some(), "--timeout", "set Timeout"),
            (self.data_dir.is_some(), DATA_DIR.option, DATA_DIR.instead),
            (self.functions.is_some(), "--functions", "leave it out, as jobs run on the functions"),
        ];
        options.into_iter().find(|(given, ..)| *given).map(|(_, option, instead)| EmbeddedOnly { option, instead })
    }

    /// The embedded runtime as these options say.
    pub(crate) fn local(&self, concurrency: Option<u32>) -> Local {
        let mut local = Local::new();
        if let Some(concurrency) = concurrency {
            local = local.with_concurrency(concurrency);
        }
        if let Some(memory_mb) = self.memory_mb {
            local = local.with_memory_mb(memory_mb);
        }
        if let Some(memory_mb) = self.mapper_large_memory_mb {
            local = local.with_mapper_large_memory_mb(memory_mb);
        }
        if let Some(seconds) = self.timeout {
            local = local.with_timeout(Duration::from_secs(seconds));
        }
        if self.enforce_memory {
            local = local.with_memory_enforced();
        }
        if self.cpu_share {
            local = local.with_cpu_share();
        }
        if let Some(dir) = &self.data_dir {
            local = local.with_data_dir(dir);
        }
        if let Some(dir) = &self.functions {
            local = local.with_functions(LocalFunctions::Directory(dir.clone()));
        }
        local
    }
}
