//! `kinglet completions`.

use crate::command::Command;
use crate::options::Cloud;
use crate::pages::{Place, install};
use clap::Args;
use clap_complete::Shell;
use kinglet::{Code, Error, Result};

/// Print what completes this command's words in a shell, or put it where the shell looks
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet completions --install\n  kinglet completions zsh > ~/.zfunc/_kinglet")]
pub(crate) struct Completions {
    /// The shell [default: the one of $SHELL]
    #[arg(value_enum, value_name = "SHELL")]
    shell: Option<Shell>,

    /// Put it where the shell looks for what completes a user's commands, and say where that is
    #[arg(long)]
    install: bool,
}

impl Command for Completions {
    async fn run(self, _: &Cloud) -> Result<()> {
        let shell = self.shell.or_else(Shell::from_env).ok_or_else(|| {
            Error::new(Code::Shell, "which shell this is cannot be told: $SHELL does not say it")
                .with_hint("name it: `kinglet completions bash|elvish|fish|powershell|zsh`")
        })?;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut crate::whole(), "kinglet", &mut script);
        if !self.install {
            println!("{}", String::from_utf8_lossy(&script).trim_end());
            return Ok(());
        }
        let place = match shell {
            Shell::Bash => Place::data("bash-completion/completions/kinglet"),
            Shell::Zsh => Place::data("zsh/site-functions/_kinglet"),
            Shell::Fish => Place::config("fish/completions/kinglet.fish"),
            other => {
                return Err(Error::new(Code::Shell, format!("{other} has no directory in which it looks for this"))
                    .with_hint(format!("let your profile read what `kinglet completions {other}` prints")));
            }
        }?;
        install(&place, &script)?;
        if shell == Shell::Zsh {
            println!("zsh looks there when ~/.zshrc has, before compinit: fpath+=({})", place.dir().display());
        }
        Ok(())
    }
}
