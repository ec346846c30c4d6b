//! The programs under test: built once, in this profile, by whichever test needs them first.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The directory that holds `kinglet`, `kinglet-splitter`, `kinglet-mapper` and `kinglet-reducer`.
pub(crate) fn directory() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // The test binary lies in `target/PROFILE/deps`.
        let own = std::env::current_exe().unwrap();
        let directory = own.ancestors().nth(2).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // With the example, as `cargo test --workspace` does: then the dependencies' features, and so what is built, are the same.
        build.args(["build", "--workspace", "--bins", "--examples", "--locked"]);
        if directory.ends_with("release") {
            build.arg("--release");
        }
        build.env("CARGO_TARGET_DIR", directory.parent().unwrap());
        // What cargo tells a test of its package: a build script that looks at it, as `ring`'s does, would run again, and all
        // that depends on it be built anew, here and in the next `cargo test`.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_BIN_") {
                build.env_remove(&*name);
            }
        }
        assert!(build.status().unwrap().success(), "the programs do not build");
        directory
    })
}

/// The `kinglet` command. It records its jobs beside the programs, not in the home of whoever runs the tests.
pub(crate) fn kinglet() -> Command {
    let mut command = Command::new(directory().join("kinglet"));
    command.env(kinglet_core::env::STATE_DIR, state_dir());
    command
}

/// Where tests record their jobs that do not care where.
pub(crate) fn state_dir() -> PathBuf {
    directory().join("test-state")
}

/// The program of the example project.
pub(crate) fn example() -> Command {
    of_example("word-count")
}

/// A program that `Cargo.toml` lists as an example: one that starts itself as its functions, as a test binary cannot.
pub(crate) fn of_example(name: &str) -> Command {
    Command::new(directory().join("examples").join(name))
}
