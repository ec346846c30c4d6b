//! `kinglet man`.

use crate::command::Command;
use crate::options::Cloud;
use crate::pages::Place;
use clap::Args;
use kinglet::{Code, Error, Result};
use std::path::PathBuf;

/// Print this command's manual page, or write the pages of all commands
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kinglet man | man -l -\n  kinglet man --install\n  kinglet man --dir /usr/local/share/man/man1"
)]
pub(crate) struct Man {
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "install")]
    dir: Option<PathBuf>,

    /// Write the pages of all commands where `man` looks for a user's
    #[arg(long)]
    install: bool,
}

impl Command for Man {
    async fn run(self, _: &Cloud) -> Result<()> {
        // Built, each command has its whole name, and the options of all commands.
        let mut whole = crate::whole().disable_help_subcommand(true);
        whole.build();
        let dir = match (self.dir, self.install) {
            (Some(dir), _) => dir,
            (None, true) => Place::data("man/man1/x")?.dir().to_owned(),
            (None, false) => {
                println!("{}", String::from_utf8_lossy(&page(whole)?).trim_end());
                return Ok(());
            }
        };
        let pages = pages(whole);
        let count = pages.len();
        for (name, command) in pages {
            Place::at(dir.join(format!("{name}.1"))).write(&page(command)?)?;
        }
        println!("{count} pages in {}", dir.display());
        Ok(())
    }
}

/// Returns a command and all below it, each with the name of its page, as `kinglet-run-sort`.
fn pages(command: clap::Command) -> Vec<(String, clap::Command)> {
    let (mut found, mut left) = (Vec::new(), vec![(command.get_name().to_owned(), command)]);
    while let Some((name, command)) = left.pop() {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
        left.extend(below.map(|below| (format!("{name}-{}", below.get_name()), below.clone())));
        found.push((name, command));
    }
    found
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command.disable_help_subcommand(true)).render(&mut page);
    written.map_err(|e| Error::new(Code::Page, format!("writing a manual page: {e}")))?;
    Ok(page)
}
