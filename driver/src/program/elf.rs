//! What an ELF file says it needs of the system, as the loader reads it: from the program headers and the dynamic section,
//! which a stripped file has too. <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html>

use object::LittleEndian;
use object::elf::{
    DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_STRSZ, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM, Dyn64, ET_DYN, ET_EXEC,
    FileHeader64, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader64, Vernaux, Verneed,
};
use object::pod::from_bytes;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

/// A 64-bit executable for Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Executable {
    /// `e_machine`.
    pub(super) machine: u16,
    /// The loader that it names; a static executable has none.
    pub(super) interpreter: Option<String>,
    /// The shared libraries that it names.
    pub(super) libraries: Vec<String>,
    /// The versions of symbols that it needs, by library.
    pub(super) versions: Vec<(String, String)>,
    /// The position after the last byte that is loaded, or that says how to load.
    pub(super) end: u64,
    /// Whether it says that it is a program that can be loaded anywhere.
    pub(super) pie: bool,
}

/// Why a file is not such an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// It is a program for this other system.
    System(&'static str),
    /// It is ELF, but not for this kind of machine, or not a program.
    Elf(&'static str),
    /// It is a shared library, or the loader.
    Library,
    /// It starts like an ELF file, but does not go on like one.
    Damaged(&'static str),
    /// It is something else.
    Unknown,
}

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

impl Executable {
    pub(super) fn parse(file: &[u8]) -> Result<Self, Other> {
        match file {
            [0x7f, b'E', b'L', b'F', class, data, ..] => match (class, data) {
                (2, 1) => {}
                (2, _) => return Err(Other::Elf("for a machine of the other byte order")),
                _ => return Err(Other::Elf("for a 32-bit machine")),
            },
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [0xca, 0xfe, 0xba, 0xbe, ..] => {
                return Err(Other::System("macOS"));
            }
            [b'M', b'Z', ..] => return Err(Other::System("Windows")),
            _ => return Err(Other::Unknown),
        }
        let header = Header::parse(file).map_err(|_| Other::Damaged("its header"))?;
        let kind = header.e_type(LittleEndian);
        if ![ET_EXEC, ET_DYN].contains(&kind) {
            return Err(Other::Elf("but no program: an object file or a core dump"));
        }
        let segments: &[Segment] =
            header.program_headers(LittleEndian, file).map_err(|_| Other::Damaged("its program headers"))?;
        if !segments.iter().any(|s| s.p_type(LittleEndian) == PT_LOAD && s.p_flags(LittleEndian).0 & PF_X.0 != 0) {
            return Err(Other::Damaged("it has no code"));
        }
        let mut executable = Executable {
            machine: header.e_machine(LittleEndian).0,
            end: (size_of::<Header>() as u64).max(header.e_phoff(LittleEndian) + size_of_val(segments) as u64),
            ..Executable::default()
        };
        for segment in segments {
            let (offset, bytes) = segment.file_range(LittleEndian);
            let Some(data) = slice(file, offset, bytes) else {
                return Err(Other::Damaged("it is cut off"));
            };
            executable.end = executable.end.max(offset + bytes);
            match segment.p_type(LittleEndian) {
                PT_INTERP => executable.interpreter = Some(text(data)),
                PT_DYNAMIC => executable.dynamic(file, segments, data).ok_or(Other::Damaged("its dynamic section"))?,
                _ => {}
            }
        }
        // A program that names no loader must bring all that it needs, and must say that it is not a library.
        let is_dynamic = segments.iter().any(|segment| segment.p_type(LittleEndian) == PT_DYNAMIC);
        let is_program = executable.libraries.is_empty() && (kind == ET_EXEC || executable.pie || !is_dynamic);
        if executable.interpreter.is_none() && !is_program {
            return Err(Other::Library);
        }
        Ok(executable)
    }

    /// Reads the dynamic section.
    fn dynamic(&mut self, file: &[u8], segments: &[Segment], section: &[u8]) -> Option<()> {
        let entries: Vec<_> = section
            .chunks_exact(size_of::<Dyn64<LittleEndian>>())
            .filter_map(|bytes| Some(from_bytes::<Dyn64<LittleEndian>>(bytes).ok()?.0))
            .map(|entry| (entry.d_tag.get(LittleEndian), entry.d_val.get(LittleEndian)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        if entries.len() > NAMES_MAX {
            return None;
        }
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        self.pie = value(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_PIE.0 != 0);
        let Some(strings_at) = value(DT_STRTAB) else { return Some(()) };
        let strings = slice(file, offset_of(segments, strings_at)?, value(DT_STRSZ)?)?;
        let string = |at: u64| Some(text(strings.get(usize::try_from(at).ok()?..)?));
        for (_, name) in entries.iter().filter(|(tag, _)| *tag == DT_NEEDED) {
            self.libraries.push(string(*name)?);
        }
        let (Some(at), Some(count)) = (value(DT_VERNEED), value(DT_VERNEEDNUM)) else { return Some(()) };
        let mut need_at = offset_of(segments, at)?;
        for _ in 0..count.min(NAMES_MAX as u64) {
            let need: &Verneed<LittleEndian> = read(file, need_at)?;
            let library = string(need.vn_file.get(LittleEndian).into())?;
            let mut version_at = need_at.checked_add(need.vn_aux.get(LittleEndian).into())?;
            for _ in 0..need.vn_cnt.get(LittleEndian) {
                // A damaged list may lead back into itself.
                if self.versions.len() == NAMES_MAX {
                    return None;
                }
                let version: &Vernaux<LittleEndian> = read(file, version_at)?;
                self.versions.push((library.clone(), string(version.vna_name.get(LittleEndian).into())?));
                version_at = version_at.checked_add(version.vna_next.get(LittleEndian).into())?;
            }
            need_at = need_at.checked_add(need.vn_next.get(LittleEndian).into())?;
        }
        Some(())
    }
}

/// More libraries, and more versions of symbols, than a program needs.
const NAMES_MAX: usize = 10_000;

/// Linux's `PATH_MAX`.
const NAME_BYTES_MAX: usize = 4_096;

/// Returns the position in the file of an address in memory.
fn offset_of(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(LittleEndian) == PT_LOAD).find_map(|segment| {
        let behind = address.checked_sub(segment.p_vaddr(LittleEndian))?;
        let (offset, bytes) = segment.file_range(LittleEndian);
        if behind < bytes { offset.checked_add(behind) } else { None }
    })
}

fn slice(file: &[u8], offset: u64, bytes: u64) -> Option<&[u8]> {
    let from = usize::try_from(offset).ok()?;
    file.get(from..from.checked_add(usize::try_from(bytes).ok()?)?)
}

fn read<T: object::Pod>(file: &[u8], offset: u64) -> Option<&T> {
    Some(from_bytes(file.get(usize::try_from(offset).ok()?..)?).ok()?.0)
}

/// Returns the text before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Returns the file without what lies behind all that is loaded: symbols, debug information and section headers, which are
/// most of what `cargo build` writes. A file that has data of its own behind these stays as it is.
pub(super) fn strip(file: &[u8], executable: &Executable) -> Vec<u8> {
    let end = usize::try_from(executable.end).unwrap_or(usize::MAX);
    match sections_end(file) {
        Some(sections_end) if end < file.len() && sections_end >= file.len() as u64 => {
            let mut stripped = file[..end].to_vec();
            // No sections: e_shoff, e_shnum, e_shstrndx.
            for range in [0x28..0x30, 0x3c..0x3e, 0x3e..0x40] {
                stripped[range].fill(0);
            }
            stripped
        }
        _ => file.to_vec(),
    }
}

/// Returns where the last section, or the section headers, end.
fn sections_end(file: &[u8]) -> Option<u64> {
    let header = Header::parse(file).ok()?;
    let sections = header.section_headers(LittleEndian, file).ok()?;
    let headers_end = header.e_shoff(LittleEndian).saturating_add(size_of_val(sections) as u64);
    let ranges = sections.iter().filter_map(|section| section.file_range(LittleEndian));
    let ends = ranges.map(|(at, bytes)| at.saturating_add(bytes));
    ends.chain([headers_end]).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf::{EM_X86_64, PF_R};

    /// Makes the smallest file that has all that is read: header, code, a dynamic section, the names in it, and a section
    /// header.
    fn smallest(kind: u16, interpreter: bool, flags_1: u64, library: bool) -> Vec<u8> {
        const DYNAMIC_AT: u64 = 64 + 3 * 56;
        const NAMES_AT: u64 = DYNAMIC_AT + 7 * 16;
        const NEED_AT: u64 = NAMES_AT + 32;
        const SECTION_AT: u64 = NEED_AT + 32;
        let mut file = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9]].concat();
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<u8>>();
        file.extend([halves(&[kind, EM_X86_64.0, 1, 0]), words(&[0, 64, SECTION_AT])].concat());
        file.extend(halves(&[0, 0, 64, 56, 3, 64, 2, 0]));
        let mut segment = |kind: u32, flags: u32, at: u64, bytes: u64| {
            file.extend([kind.to_le_bytes(), flags.to_le_bytes()].concat());
            file.extend(words(&[at, at, at, bytes, bytes, 8]));
        };
        segment(PT_LOAD.0, PF_X.0 | PF_R.0, 0, SECTION_AT);
        segment(PT_DYNAMIC.0, PF_R.0, DYNAMIC_AT, 7 * 16);
        segment(if interpreter { PT_INTERP.0 } else { 0 }, PF_R.0, NAMES_AT + 21, 10);
        let entry = |tag: object::elf::DynamicTag, value| words(&[tag.0 as u64, value]);
        let needed = if library { DT_NEEDED } else { DT_STRSZ };
        file.extend([entry(DT_STRSZ, 32), entry(needed, 1), entry(DT_STRTAB, NAMES_AT)].concat());
        file.extend([entry(DT_VERNEED, NEED_AT), entry(DT_VERNEEDNUM, library.into())].concat());
        file.extend([entry(DT_FLAGS_1, flags_1), entry(DT_NULL, 0)].concat());
        file.extend(b"\0libc.so.6\0GLIBC_2.2\0the.loader\0"[..32].iter());
        file.extend([halves(&[1, 1]), words(&[1 | 16 << 32]), vec![0; 4]].concat());
        file.extend([vec![0; 8], words(&[11])].concat());
        file.extend([vec![0; 64], vec![1; 8], vec![0; 16], words(&[SECTION_AT, 64]), vec![0; 24]].concat());
        file
    }

    #[test]
    fn a_library_is_no_program() {
        let parsed = |file: &[u8]| Executable::parse(file);
        let dynamic = parsed(&smallest(ET_DYN.0, true, 0, true)).unwrap();
        assert_eq!(
            (&dynamic.libraries[..], dynamic.interpreter),
            (&["libc.so.6".to_owned()][..], Some("the.loader".into()))
        );
        assert_eq!(dynamic.versions, [("libc.so.6".to_owned(), "GLIBC_2.2".to_owned())]);
        // Static programs.
        assert!(parsed(&smallest(ET_EXEC.0, false, 0, false)).is_ok());
        assert!(parsed(&smallest(ET_DYN.0, false, DF_1_PIE.0, false)).is_ok());
        // An executable that needs a library and names no loader; one that nowhere says that it is a program.
        assert_eq!(parsed(&smallest(ET_EXEC.0, false, 0, true)), Err(Other::Library));
        assert_eq!(parsed(&smallest(ET_DYN.0, false, DF_1_PIE.0, true)), Err(Other::Library));
        assert_eq!(parsed(&smallest(ET_DYN.0, false, 0, false)), Err(Other::Library));
        // The loader of this system, and a library.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        if let Some(loader) = parsed(&own).unwrap().interpreter {
            assert_eq!(parsed(&std::fs::read(loader).unwrap()), Err(Other::Library));
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_panic() {
        let whole = smallest(ET_DYN.0, true, DF_1_PIE.0, true);
        let whole_parsed = Executable::parse(&whole).unwrap();
        assert!(strip(&whole, &whole_parsed).len() + 128 == whole.len());
        // A list of versions that leads into itself.
        let mut circle = whole.clone();
        circle[whole.len() - 128 - 30..][..2].fill(0xff);
        assert!(matches!(Executable::parse(&circle), Err(Other::Damaged(_))));
        let mut refused = 0;
        for at in 0..whole.len() {
            for bytes in [1, 2, 4, 8] {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut file = whole.clone();
                    file[at..whole.len().min(at + bytes)].fill(value);
                    match Executable::parse(&file) {
                        Ok(executable) => assert!(strip(&file, &executable).len() <= file.len()),
                        Err(_) => refused += 1,
                    }
                }
            }
            refused += usize::from(Executable::parse(&whole[..at]).is_err());
        }
        assert!(refused > 1_000, "{refused}");
    }
}
