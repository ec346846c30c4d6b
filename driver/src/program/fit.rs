//! Whether an executable fits the functions: Lambda's `provided.al2023` on one of its two architectures. One that does not
//! fit is refused before anything is uploaded, and the refusal says how to build one that does.

use super::elf::{Executable, Other};
use kinglet_core::limits::{GLIBC_MAX, Glibc};
use kinglet_core::{Code, Error, Result};

/// Lambda's processor architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// `x86_64`.
    X86_64,
    /// `arm64`.
    Arm64,
}

impl Architecture {
    /// Returns the driver's own architecture, if Lambda has it.
    pub(crate) fn here() -> Result<Self> {
        Self::of(std::env::consts::ARCH)
    }

    /// Finds an architecture by the name that Lambda or Rust gives it.
    pub(crate) fn of(name: &str) -> Result<Self> {
        match name {
            "x86_64" => Ok(Architecture::X86_64),
            "arm64" | "aarch64" => Ok(Architecture::Arm64),
            other => Err(Error::new(Code::Architecture, format!("there are no functions for {other}"))
                .with_hint("Lambda has x86_64 and arm64")),
        }
    }

    /// Returns its `e_machine` in ELF headers.
    pub(super) fn machine(self) -> u16 {
        match self {
            Architecture::X86_64 => 62,
            Architecture::Arm64 => 183,
        }
    }

    /// Returns its name in Rust's targets.
    fn rust(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "aarch64",
        }
    }

    /// Returns Lambda's name for it.
    fn lambda(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "arm64",
        }
    }

    fn loader(self) -> &'static str {
        match self {
            Architecture::X86_64 => "/lib64/ld-linux-x86-64.so.2",
            Architecture::Arm64 => "/lib/ld-linux-aarch64.so.1",
        }
    }
}

/// The shared libraries that every function finds: those of glibc and gcc in `provided.al2023`, by the start of their names.
/// <https://docs.aws.amazon.com/linux/al2023/ug/lambda.html>, 2026-11.
const LIBRARIES: [&str; 9] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

/// Checks that an executable fits functions of this architecture.
///
/// # Errors
/// `program-architecture`, `program-glibc`, `program-library` or `program-loader`.
pub(super) fn check(executable: &Executable, architecture: Architecture) -> Result<()> {
    let rebuild = || rebuild(architecture);
    if executable.machine != architecture.machine() {
        let has = match executable.machine {
            62 => "x86_64".to_owned(),
            183 => "arm64".to_owned(),
            243 => "riscv64".to_owned(),
            other => format!("machine {other}"),
        };
        let message = format!("it is built for {has}, the functions are {}", architecture.lambda());
        return Err(Error::new(Code::ProgramArchitecture, message).with_hint(rebuild()));
    }
    let Some(loader) = &executable.interpreter else {
        return Ok(()); // Static: it brings all that it needs.
    };
    if loader != architecture.loader() {
        let message = format!("it is loaded by {loader}, which the functions do not have");
        return Err(Error::new(Code::ProgramLoader, message).with_hint(rebuild()));
    }
    if let Some(library) = executable.libraries.iter().find(|name| !LIBRARIES.contains(&&name[..])) {
        let message = format!("it needs the shared library {library}, which the functions do not have");
        let hint = "link the library statically (most `-sys` crates have a feature `vendored` or `static` for it)";
        return Err(Error::new(Code::ProgramLibrary, message).with_hint(hint));
    }
    // These mark features of glibc 2.36 and later, the first versions that have such marks.
    if let Some((_, mark)) = executable.versions.iter().find(|(_, name)| name.starts_with("GLIBC_ABI_")) {
        let message = format!("it needs a glibc with {mark}, the functions have {GLIBC_MAX}");
        let hint = match &mark[..] {
            "GLIBC_ABI_DT_RELR" => {
                format!("link it with `-C link-arg=-Wl,-z,nopack-relative-relocs` (RUSTFLAGS), or {}", rebuild())
            }
            _ => rebuild(),
        };
        return Err(Error::new(Code::ProgramGlibc, message).with_hint(hint));
    }
    let newest = executable.versions.iter().filter_map(|(_, name)| glibc(name)).max();
    if let Some(newest) = newest.filter(|newest| *newest > GLIBC_MAX) {
        let message = format!("it needs glibc {newest}, the functions have {GLIBC_MAX}");
        return Err(Error::new(Code::ProgramGlibc, message).with_hint(rebuild()));
    }
    Ok(())
}

/// Parses `GLIBC_2.34` into numbers. `GLIBC_PRIVATE` and other libraries' versions give none.
fn glibc(version: &str) -> Option<Glibc> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    Some(Glibc { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
}

/// Says why a file is no executable that could fit.
pub(super) fn refusal(other: &Other, architecture: Architecture) -> Error {
    let (code, message) = match other {
        Other::System(system) => (Code::ProgramSystem, format!("it is built for {system}, the functions run Linux")),
        Other::Elf(what) => (Code::ProgramArchitecture, format!("it is an ELF file {what}")),
        Other::Library => (Code::ProgramKind, "it is a shared library, no program".to_owned()),
        Other::Damaged(what) => (Code::ProgramDamaged, format!("it is a damaged ELF file: {what}")),
        Other::Unknown => (Code::ProgramKind, "it is no executable for Linux (ELF)".to_owned()),
    };
    Error::new(code, message).with_hint(rebuild(architecture))
}

fn rebuild(architecture: Architecture) -> String {
    let arch = architecture.rust();
    let target = format!("{arch}-unknown-linux-gnu");
    format!(
        "build it for the functions: `rustup target add {target}`, then `cargo zigbuild --release --target \
         {target}.{GLIBC_MAX}` (or `cargo build --release --target {arch}-unknown-linux-musl`), and start that, or name \
         it with `Program::File`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Executable {
        let pair = |library: &str, version: &str| (library.to_owned(), version.to_owned());
        Executable {
            machine: 62,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            libraries: ["libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"].map(Into::into).into(),
            versions: vec![
                pair("libc.so.6", "GLIBC_2.2.5"),
                pair("libc.so.6", "GLIBC_2.34"),
                pair("libc.so.6", "GLIBC_PRIVATE"),
                pair("libgcc_s.so.1", "GCC_4.2.0"),
            ],
            ..Executable::default()
        }
    }

    fn refused(architecture: Architecture, change: impl FnOnce(&mut Executable)) -> (String, String, String) {
        let mut changed = program();
        change(&mut changed);
        let error = check(&changed, architecture).unwrap_err();
        (error.code().to_owned(), error.to_string(), error.hint().unwrap().to_owned())
    }

    #[test]
    fn what_does_not_fit_is_named_with_the_way_out() {
        check(&program(), Architecture::X86_64).unwrap();
        let (code, said, hint) = refused(Architecture::Arm64, |_| ());
        assert_eq!((&code[..], &said[..]), ("program-architecture", "it is built for x86_64, the functions are arm64"));
        assert!(hint.contains("cargo zigbuild --release --target aarch64-unknown-linux-gnu.2.34"), "{hint}");

        let newer = |version: &str| {
            let version = ("libc.so.6".to_owned(), version.to_owned());
            refused(Architecture::X86_64, |program| program.versions.insert(1, version))
        };
        assert_eq!(newer("GLIBC_2.38").1, "it needs glibc 2.38, the functions have 2.34");
        assert_eq!(newer("GLIBC_2.100").0, "program-glibc");
        assert_eq!(newer("GLIBC_3.0.1").0, "program-glibc");
        let (code, said, hint) = newer("GLIBC_ABI_DT_RELR");
        assert_eq!(
            (&code[..], &said[..]),
            ("program-glibc", "it needs a glibc with GLIBC_ABI_DT_RELR, the functions have 2.34")
        );
        assert!(hint.contains("nopack-relative-relocs") && hint.contains("zigbuild"), "{hint}");
        assert_eq!(newer("GLIBC_ABI_GNU2_TLS").0, "program-glibc");

        let (code, said, hint) = refused(Architecture::X86_64, |program| program.libraries.push("libssl.so.3".into()));
        assert_eq!(
            (&code[..], said.contains("libssl.so.3"), hint.contains("vendored")),
            ("program-library", true, true)
        );
        let nix = "/nix/store/glibc/ld-linux-x86-64.so.2";
        let (code, said, _) = refused(Architecture::X86_64, |program| program.interpreter = Some(nix.into()));
        assert_eq!((&code[..], said.contains(nix)), ("program-loader", true));
    }

    #[test]
    fn a_static_program_fits_whatever_it_was_built_with() {
        check(&Executable { machine: 62, ..Executable::default() }, Architecture::X86_64).unwrap();
        let wrong = check(&Executable { machine: 243, ..Executable::default() }, Architecture::X86_64).unwrap_err();
        assert!(wrong.to_string().contains("riscv64"));
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        let parsed = |bytes: &[u8]| refusal(&Executable::parse(bytes).unwrap_err(), Architecture::X86_64);
        let of = |bytes: &[u8]| (parsed(bytes).code().to_owned(), parsed(bytes).to_string());
        for (start, code, said) in [
            (&b"\xcf\xfa\xed\xfe\x07\0\0\x01"[..], "program-system", "macOS"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "program-system", "macOS"),
            (b"MZ\x90\0", "program-system", "Windows"),
            (b"#!/bin/sh\n", "program-kind", "no executable for Linux"),
            (b"", "program-kind", "no executable for Linux"),
            (b"\x7fELF\x01\x01\x01\0", "program-architecture", "32-bit"),
            (b"\x7fELF\x02\x02\x01\0", "program-architecture", "other byte order"),
            (b"\x7fELF\x02\x01\x01\0", "program-damaged", "its header"),
        ] {
            let (has, message) = of(start);
            assert_eq!((&has[..], message.contains(said)), (code, true), "{message}");
        }
    }
}
