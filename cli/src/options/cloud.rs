use clap::Args;
use kinglet::{Aws, Program};

/// Which stack a command is about.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct Cloud {
    /// The stack that `sam deploy` made; without it, the embedded runtime
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) stack: Option<String>,

    /// The stack's region [default: as every AWS tool finds it]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// The profile of ~/.aws/config to sign in by [default: as every AWS tool finds it]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

impl Cloud {
    /// The stack to connect to, where one is named.
    pub(crate) fn aws(&self) -> Option<Aws> {
        // The functions of the template hold the jobs that this command runs.
        let mut aws = Aws::new(self.stack.as_ref()?).with_program(Program::Linked);
        if let Some(region) = &self.region {
            aws = aws.with_region(region);
        }
        if let Some(profile) = &self.profile {
            aws = aws.with_profile(profile);
        }
        Some(aws)
    }
}
