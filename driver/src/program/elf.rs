//! What an ELF file says of the system that it needs, as the loader reads it: from the program headers and the dynamic
//! section, which a stripped file has too. <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html>

use object::LittleEndian;
use object::elf::{
    DT_NEEDED, DT_NULL, DT_STRSZ, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM, Dyn64, ET_DYN, ET_EXEC, FileHeader64, PF_X,
    PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader64, Vernaux, Verneed,
};
use object::pod::from_bytes;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

/// An executable for Linux of 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Executable {
    /// `e_machine`.
    pub(super) machine: u16,
    /// The loader that it names; a static one has none.
    pub(super) interpreter: Option<String>,
    /// The shared libraries that it names.
    pub(super) libraries: Vec<String>,
    /// The versions of symbols that it needs, by library.
    pub(super) versions: Vec<(String, String)>,
    /// Where the last byte lies that is loaded or says how.
    pub(super) end: u64,
}

/// Why a file is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// A program for this system.
    System(&'static str),
    /// ELF, but not for this kind of machine, or no program.
    Elf(&'static str),
    /// It starts like an ELF file, but does not go on like one.
    Damaged(&'static str),
    /// Something else.
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
        if ![ET_EXEC, ET_DYN].contains(&header.e_type(LittleEndian)) {
            return Err(Other::Elf("but no program: an object file or a core dump"));
        }
        let segments: &[Segment] =
            header.program_headers(LittleEndian, file).map_err(|_| Other::Damaged("its program headers"))?;
        // A shared library is one of these too.
        if !segments.iter().any(|s| s.p_type(LittleEndian) == PT_LOAD && s.p_flags(LittleEndian).0 & PF_X.0 != 0) {
            return Err(Other::Damaged("it has no code"));
        }
        let mut executable = Executable {
            machine: header.e_machine(LittleEndian).0,
            end: header.e_phoff(LittleEndian) + u64::from(header.e_phentsize(LittleEndian)) * segments.len() as u64,
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
        Ok(executable)
    }
}

impl Executable {
    /// Reads the dynamic section.
    fn dynamic(&mut self, file: &[u8], segments: &[Segment], section: &[u8]) -> Option<()> {
        let entries: Vec<_> = section
            .chunks_exact(size_of::<Dyn64<LittleEndian>>())
            .filter_map(|bytes| Some(from_bytes::<Dyn64<LittleEndian>>(bytes).ok()?.0))
            .map(|entry| (entry.d_tag.get(LittleEndian), entry.d_val.get(LittleEndian)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let Some(strings_at) = value(DT_STRTAB) else { return Some(()) };
        let strings = slice(file, offset_of(segments, strings_at)?, value(DT_STRSZ)?)?;
        let string = |at: u64| Some(text(strings.get(usize::try_from(at).ok()?..)?));
        for (_, name) in entries.iter().filter(|(tag, _)| *tag == DT_NEEDED) {
            self.libraries.push(string(*name)?);
        }
        let (Some(at), Some(count)) = (value(DT_VERNEED), value(DT_VERNEEDNUM)) else { return Some(()) };
        let mut need_at = offset_of(segments, at)?;
        for _ in 0..count.min(LIBRARIES_MAX) {
            let need: &Verneed<LittleEndian> = read(file, need_at)?;
            let library = string(need.vn_file.get(LittleEndian).into())?;
            let mut version_at = need_at.checked_add(need.vn_aux.get(LittleEndian).into())?;
            for _ in 0..need.vn_cnt.get(LittleEndian) {
                let version: &Vernaux<LittleEndian> = read(file, version_at)?;
                self.versions.push((library.clone(), string(version.vna_name.get(LittleEndian).into())?));
                version_at = version_at.checked_add(version.vna_next.get(LittleEndian).into())?;
            }
            need_at = need_at.checked_add(need.vn_next.get(LittleEndian).into())?;
        }
        Some(())
    }
}

/// More than a program links with.
const LIBRARIES_MAX: u64 = 1_000;

/// Where in the file an address lies once it is loaded.
fn offset_of(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(LittleEndian) == PT_LOAD).find_map(|segment| {
        let behind = address.checked_sub(segment.p_vaddr(LittleEndian))?;
        let (offset, bytes) = segment.file_range(LittleEndian);
        (behind < bytes).then_some(offset + behind)
    })
}

fn slice(file: &[u8], offset: u64, bytes: u64) -> Option<&[u8]> {
    let from = usize::try_from(offset).ok()?;
    file.get(from..from.checked_add(usize::try_from(bytes).ok()?)?)
}

fn read<T: object::Pod>(file: &[u8], offset: u64) -> Option<&T> {
    Some(from_bytes(file.get(usize::try_from(offset).ok()?..)?).ok()?.0)
}

/// What stands before the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The file without what lies behind all that is loaded: symbols, debug information and the sections' headers, which is most
/// of what `cargo build` writes. A file that has data of its own behind these stays as it is.
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

/// Where the last of the sections and of their headers ends.
fn sections_end(file: &[u8]) -> Option<u64> {
    let header = Header::parse(file).ok()?;
    let sections = header.section_headers(LittleEndian, file).ok()?;
    let headers_end = header.e_shoff(LittleEndian) + size_of_val(sections) as u64;
    let ends = sections.iter().filter_map(|section| section.file_range(LittleEndian)).map(|(at, bytes)| at + bytes);
    ends.chain([headers_end]).max()
}
