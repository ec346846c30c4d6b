//! Thumbnails of a folder of pictures: a call for each. One that cannot be read is named, and the others come all the same.

mod picture;

use kinglet::{Code, Driver, Error, Registry, Result, UserResult};
use picture::Picture;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A picture as a PNG within a square of `side` pixels.
fn shrink((file, side): (Vec<u8>, usize)) -> UserResult<Vec<u8>> {
    Picture::read(&file)?.within(side).to_png()
}

async fn program() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err(usage("two folders are missing"));
    };
    let side = arguments.next().map_or(Ok(128), |side| side.parse());
    let side = side.ok().filter(|side| *side > 0).ok_or_else(|| usage("the size is not a number of pixels"))?;

    let (from, to) = (PathBuf::from(from), PathBuf::from(to));
    let names = files(&from).map_err(|e| failed(&from, &e))?;
    fs::create_dir_all(&to).map_err(|e| failed(&to, &e))?;
    // A function on AWS does not see this disk: the pictures travel.
    let read = |name: &PathBuf| fs::read(from.join(name)).map_err(|e| failed(name, &e)).map(|file| (file, side));
    let pictures = names.iter().map(read).collect::<Result<Vec<_>>>()?;

    let driver = driver().await?;
    let mut calls = driver.map(shrink, pictures).await?;
    let mut unreadable = 0;
    while let Some((n, thumbnail)) = calls.next().await {
        let name = &names[n];
        match thumbnail {
            Ok(thumbnail) => {
                let path = to.join(format!("{}.png", name.display()));
                fs::write(&path, thumbnail).map_err(|e| failed(&path, &e))?;
            }
            Err(error) => {
                eprintln!("{}: {error}", name.display());
                unreadable += 1;
            }
        }
    }
    println!("{} thumbnails in {}", names.len() - unreadable, to.display());
    match unreadable {
        0 => Ok(()),
        n => Err(Error::new(Code::ProgramFailed, format!("{n} of {} files gave no thumbnail", names.len()))
            .with_hint("see above for which and why")),
    }
}

/// The names of the files in a folder, sorted.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_file() {
            names.push(entry.file_name().into());
        }
    }
    names.sort();
    Ok(names)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::ProgramFailed, format!("{}: {error}", path.display()))
}

fn usage(wrong: &str) -> Error {
    Error::new(Code::ProgramFailed, wrong)
        .with_hint("give it PICTURES THUMBNAILS [SIZE], two folders and a number of pixels")
}

/// The embedded runtime, or the stack on AWS that `STACK` names.
async fn driver() -> Result<Driver> {
    match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await,
        Err(_) => Driver::local().await,
    }
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(shrink), program)
}
