//! Executables in `/tmp`: one at a time, fetched once, and checked before each start.

use kinglet_aws::{Conductor, program};
use kinglet_core::ids::ProgramId;
use kinglet_core::{Code, Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many bytes of a file are hashed at once.
const HASH_BYTES: usize = 1 << 20;

/// Returns the path of a program's executable, fetching it if it is not there. Others are removed: `/tmp` is for the job's
/// data.
///
/// # Errors
/// Returns `program-corrupt` when the object is not what its name says; `tmp` when `/tmp` cannot take the file; or another
/// error of fetching it.
pub(super) async fn get(dir: &Path, conductor: &Conductor, program: ProgramId) -> Result<PathBuf> {
    let path = dir.join(program.to_string());
    let failed = |doing: &str, e: io::Error| {
        Error::new(Code::Tmp, format!("{doing} shipped program {program} in {}: {e}", dir.display()))
            .with_hint("give the functions a larger /tmp (TmpSize; --data-dir on the embedded runtime)")
    };
    match hash(&path) {
        Ok(found) if found == program => return Ok(path),
        Ok(found) => tracing::warn!(%program, %found, "a kept program was changed"),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed("reading", e)),
    }
    make_room(dir).map_err(|e| failed("making room for", e))?;
    // A fetch that is cut off leaves nothing under the program's own name, and two processes do not write the same file.
    let part = dir.join(format!("{program}.{}", std::process::id()));
    let fetched = async {
        let mut file = create(&part).map_err(|e| failed("storing", e))?;
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(|e| failed("storing", e));
        program::fetch(conductor, program, &mut write).await?;
        // Closed before it is run: a file that somebody may write to is not executed.
        drop(file);
        fs::rename(&part, &path).map_err(|e| failed("storing", e))
    };
    if let Err(error) = fetched.await {
        // The rest would take up space in `/tmp` that later tasks need.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    Ok(path)
}

/// Empties the directory, except for what other processes are fetching at this moment: on Lambda there are none, on other
/// hosts workers may share a `/tmp`.
fn make_room(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(dir)?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let fetching = path.extension().and_then(|pid| pid.to_str()?.parse::<u32>().ok());
        if fetching.is_some_and(|pid| pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists()) {
            continue;
        }
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o700).open(path)
}

fn hash(path: &Path) -> io::Result<ProgramId> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; HASH_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(ProgramId::finish(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_of_all_but_what_others_fetch_now() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("programs");
        make_room(&dir).unwrap();
        // Above the largest process id of Linux.
        let nobody = (1 << 22) + 1;
        let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
        let names = ["a".to_owned(), format!("b.{own}"), format!("c.{nobody}"), format!("d.{parent}")];
        for name in &names {
            fs::write(dir.join(name), name).unwrap();
        }
        make_room(&dir).unwrap();
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [names[3].as_str()]);
    }
}
