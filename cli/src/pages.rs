//! Files of this command's that other programs look for: completions, manual pages.

use kinglet::{Code, Error, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Where such a file lies.
pub(crate) struct Place(PathBuf);

impl Place {
    /// Returns the place of a file of the user's data, below `$XDG_DATA_HOME` or `~/.local/share`.
    /// <https://specifications.freedesktop.org/basedir-spec/latest/>
    pub(crate) fn data(name: &str) -> Result<Self> {
        below("XDG_DATA_HOME", ".local/share", name)
    }

    /// Returns the place of a file of the user's settings, below `$XDG_CONFIG_HOME` or `~/.config`.
    pub(crate) fn config(name: &str) -> Result<Self> {
        below("XDG_CONFIG_HOME", ".config", name)
    }

    /// Returns the place with this path.
    pub(crate) fn at(path: PathBuf) -> Self {
        Place(path)
    }

    /// Returns its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new("/"))
    }

    /// Writes the file, and its directories where they are not there.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::new(Code::Page, format!("writing {}: {e}", self.0.display()));
        fs::create_dir_all(self.dir()).and_then(|()| fs::write(&self.0, bytes)).map_err(failed)
    }
}

fn below(variable: &str, default: &str, name: &str) -> Result<Place> {
    let set = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set(variable).or_else(|| set("HOME").map(|home| home.join(default)));
    let base = base.ok_or_else(|| {
        Error::new(Code::Shell, format!("neither ${variable} nor $HOME names a directory"))
            .with_hint("write it yourself: without --install it is printed")
    })?;
    Ok(Place(base.join(name)))
}

/// Writes a file and says where it is.
pub(crate) fn install(place: &Place, bytes: &[u8]) -> Result<()> {
    place.write(bytes)?;
    println!("{}", place.0.display());
    Ok(())
}
