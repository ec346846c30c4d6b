//! What a command is: one file with its arguments, their help and what it does, and one line in a list.
//!
//! To add `kinglet NAME`, write `commands/NAME.rs` in the manner of `commands/doctor.rs`, and name it in `commands/mod.rs`:
//! as a module, and in the list, in the order of the help. A job of `kinglet run` is added likewise in `commands/run/`, and
//! one of `kinglet tune` in `commands/tune/`.

use crate::options::{Cloud, EmbeddedOnly};
use clap::Args;
use kinglet::Result;

/// The arguments of a command, and what it does with them.
pub(crate) trait Command: Args {
    /// Returns the first of the given options that means nothing to a stack.
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        None
    }

    /// Runs the command: on the stack that is named, or on this machine.
    async fn run(self, cloud: &Cloud) -> Result<()>;
}

/// Makes the commands of the command line from a list: `MODULE::TYPE`, in the order of the help.
macro_rules! commands {
    ($(#[$attribute:meta])* $List:ident { $($module:ident::$Command:ident,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum $List {
            $($Command(Box<$module::$Command>),)*
        }

        impl $List {
            pub(crate) fn embedded_only(&self) -> Option<$crate::options::EmbeddedOnly> {
                match self {
                    $($List::$Command(command) => $crate::command::Command::embedded_only(&**command),)*
                }
            }

            pub(crate) async fn run(self, cloud: &$crate::options::Cloud) -> kinglet::Result<()> {
                match self {
                    $($List::$Command(command) => $crate::command::Command::run(*command, cloud).await,)*
                }
            }
        }
    };
}

pub(crate) use commands;
