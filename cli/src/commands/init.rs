//! `kinglet init`.

use crate::command::Command;
use crate::options::Cloud;
use clap::{Args, ValueEnum};
use kinglet::{Code, Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Make a project: a program with a job or a function, which builds, runs and tests itself
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet init longest\n  kinglet init collatz --template function")]
pub(crate) struct Init {
    /// The directory, which must be empty or not there; its name becomes the program's
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// What the program does
    #[arg(long, value_enum, default_value_t = Template::Job)]
    template: Template,

    /// Where the library lies: the folder `driver` of a clone of Kinglet [default: the clone that this command was built
    /// from, while it is there; else the registry's of this version]
    #[arg(long, value_name = "DIR")]
    library: Option<PathBuf>,
}

/// What a new program does.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Template {
    /// A job: map and reduce over files
    Job,
    /// A function, called for each of many inputs
    Function,
}

/// The library of the clone that this command was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../driver");

impl Command for Init {
    async fn run(self, _: &Cloud) -> Result<()> {
        let Init { dir, template, library } = self;
        let failed = |e: std::io::Error| Error::new(Code::Project, format!("making {}: {e}", dir.display()));
        let is_empty = match fs::read_dir(&dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(e) if e.kind() == ErrorKind::NotFound => true,
            Err(e) => return Err(failed(e)),
        };
        if !is_empty {
            let message = format!("{} is not empty", dir.display());
            return Err(Error::new(Code::Project, message).with_hint("name a directory that is not there yet"));
        }
        let name = name_of(&dir)?;
        let library = library_of(library)?;
        fs::create_dir_all(dir.join("src")).map_err(failed)?;
        fs::write(dir.join("src/main.rs"), template.program()).map_err(failed)?;
        for (file, text) in template.files() {
            let text = text.replace("{name}", &name).replace("{kinglet}", &library);
            let text = text.replace("{rust}", env!("CARGO_PKG_RUST_VERSION"));
            fs::write(dir.join(file), text).map_err(failed)?;
        }
        let run = match template {
            Template::Job => "cargo run -- README.md",
            Template::Function => "cargo run",
        };
        println!("made {}; next: cd {} && cargo test && {run}", dir.display(), dir.display());
        Ok(())
    }
}

impl Template {
    /// Returns the program, which is the same in every project.
    fn program(self) -> &'static str {
        match self {
            Template::Job => include_str!("../../templates/job/src/main.rs"),
            Template::Function => include_str!("../../templates/function/src/main.rs"),
        }
    }

    /// Returns the other files, each with its text, in which names stand in braces.
    fn files(self) -> [(&'static str, &'static str); 3] {
        let readme = match self {
            Template::Job => include_str!("../../templates/job/README.md.in"),
            Template::Function => include_str!("../../templates/function/README.md.in"),
        };
        [
            ("Cargo.toml", include_str!("../../templates/Cargo.toml.in")),
            (".gitignore", include_str!("../../templates/gitignore.in")),
            ("README.md", readme),
        ]
    }
}

/// Returns the name of the program in a directory: of the directory, as far as a package may have it.
/// <https://doc.rust-lang.org/cargo/reference/manifest.html#the-name-field>
fn name_of(dir: &Path) -> Result<String> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let of = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_plain = of.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    // Names of libraries, and those that cargo has for its own directories.
    let taken = ["kinglet", "serde", "test", "core", "std", "build", "deps", "examples", "incremental"];
    let is_taken = taken.iter().any(|name| name.eq_ignore_ascii_case(&of)) || of.starts_with("kinglet-");
    if of.starts_with(|c: char| c.is_ascii_alphabetic()) && is_plain && !is_taken {
        return Ok(of);
    }
    Err(Error::new(Code::Project, format!("a program cannot be called {of:?}")).with_hint(
        "name a directory of ASCII letters, digits, - and _ that begins with a letter, and not as a library is called",
    ))
}

/// Returns what a project's `Cargo.toml` says of the library.
fn library_of(given: Option<PathBuf>) -> Result<String> {
    let is_there = |path: &Path| path.join("Cargo.toml").is_file();
    let path = match given {
        Some(path) if is_there(&path) => path,
        Some(path) => {
            let message = format!("{} has no Cargo.toml", path.display());
            return Err(Error::new(Code::Project, message).with_hint("name the folder `driver` of a clone of Kinglet"));
        }
        None if is_there(Path::new(BUILT_FROM)) => PathBuf::from(BUILT_FROM),
        None => return Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION"))),
    };
    let failed = |e| Error::new(Code::Project, format!("looking for {}: {e}", path.display()));
    let path = fs::canonicalize(&path).map_err(failed)?;
    Ok(format!("{{ path = {:?} }}", path.to_string_lossy()))
}
