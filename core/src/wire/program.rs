//! A shipped program: its executable in compressed blocks, so that a function with little memory can unpack it as it arrives.
//! One S3 object, `programs/<sha256>`. All integers are little-endian.
//!
//! ```text
//! 0   "KPGM"
//! 4   version:u16=1
//! 6   machine:u16        of the executable's ELF header: 62 is x86_64, 183 is arm64
//! 8   bytes:u64          of the executable
//! 16  sha256:[u8; 32]    of the executable
//! 48  crc32:u32          of bytes 0..48
//! 52  0:u32
//! 56  block × ⌈bytes / 4 MiB⌉
//!
//! block:
//! 0   packed:u32
//! 4   packed bytes: an lz4 block of the next min(4 MiB, what is left) bytes of the executable; or those bytes themselves if
//!     `packed` is their number, as lz4 would not make them fewer
//! ```
//!
//! The object's metadata `kinglet-program` is `<sha256> <bytes of the object>`. An object without it, or that does not fit it,
//! was written by something else, and the next driver uploads the program again.
//!
//! zstd would pack the 31 MB of a stripped release build into 12 MB instead of 17, which saves a function a twentieth of a
//! second, once for each program and environment. That is not worth a C library in every function.

use crate::ids::ProgramId;
use crate::limits::PROGRAM_BYTES_MAX;
use crate::{Code, Error, Result};
use sha2::{Digest, Sha256};

/// The prefix of the keys of all programs.
pub const PREFIX: &str = "programs/";

const MAGIC: [u8; 4] = *b"KPGM";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 56;
const BLOCK_BYTES: usize = 4 << 20;

/// Returns the key of a program in the work bucket.
pub fn key(program: &ProgramId) -> String {
    format!("{PREFIX}{program}")
}

/// The name of the object's metadata.
pub const METADATA: &str = "kinglet-program";

/// Returns the metadata of a program's object with this many bytes.
pub fn metadata(program: &ProgramId, bytes: u64) -> String {
    format!("{program} {bytes}")
}

/// What stands before the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The executable's `e_machine`.
    pub machine: u16,
    /// The executable's size in bytes.
    pub bytes: u64,
    /// The executable's id.
    pub program: ProgramId,
}

impl Header {
    fn write(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.machine.to_le_bytes());
        out[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        out[16..48].copy_from_slice(self.program.as_bytes());
        let crc = crc32fast::hash(&out[..48]);
        out[48..52].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn read(header: &[u8; HEADER_BYTES]) -> Result<Self> {
        let (mut machine, mut version, mut bytes, mut sha256) = ([0; 2], [0; 2], [0; 8], [0; 32]);
        version.copy_from_slice(&header[4..6]);
        machine.copy_from_slice(&header[6..8]);
        bytes.copy_from_slice(&header[8..16]);
        sha256.copy_from_slice(&header[16..48]);
        if header[..4] != MAGIC {
            return Err(corrupt("not a shipped program"));
        }
        let version = u16::from_le_bytes(version);
        if version != VERSION {
            let message = format!("version {version}, these functions read version {VERSION}");
            return Err(Error::new(Code::ProgramVersion, message)
                .with_hint("driver and functions are of different versions: deploy again"));
        }
        let bytes = u64::from_le_bytes(bytes);
        if header[48..52] != crc32fast::hash(&header[..48]).to_le_bytes() || bytes > PROGRAM_BYTES_MAX {
            return Err(corrupt("the header is damaged"));
        }
        Ok(Header { machine: u16::from_le_bytes(machine), bytes, program: ProgramId::from_bytes(sha256) })
    }
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Code::ProgramCorrupt, what)
}

/// Packs an executable and returns the object.
pub fn pack(machine: u16, executable: &[u8], program: ProgramId) -> Vec<u8> {
    let header = Header { machine, bytes: executable.len() as u64, program };
    let mut out = Vec::with_capacity(HEADER_BYTES + executable.len() * 2 / 3);
    out.extend_from_slice(&header.write());
    let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(BLOCK_BYTES)];
    for block in executable.chunks(BLOCK_BYTES) {
        let length = lz4_flex::block::compress_into(block, &mut packed).unwrap_or(usize::MAX);
        let stored = if length < block.len() { &packed[..length] } else { block };
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(stored);
    }
    out
}

/// Unpacks an object as its bytes arrive, in memory for one block, and checks all of it.
pub struct Unpacker {
    wanted: ProgramId,
    header: Option<Header>,
    /// The bytes that have arrived and are not a whole block yet.
    pending: Vec<u8>,
    block: Vec<u8>,
    hash: Sha256,
    unpacked: u64,
}

impl Unpacker {
    /// Makes an unpacker for the object of this program.
    pub fn new(wanted: ProgramId) -> Self {
        let (header, hash) = (None, Sha256::new());
        Unpacker { wanted, header, pending: Vec::new(), block: Vec::new(), hash, unpacked: 0 }
    }

    /// Returns the header, once it has arrived.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Takes the object's next bytes and gives the bytes of the executable that they complete to `write`.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] (`program-corrupt`) when the bytes are not what was packed, [`Error::StaleDeployment`]
    /// (`program-version`) when another version packed them, or the error of `write`.
    pub fn push(&mut self, bytes: &[u8], write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        if self.header.is_none() {
            let Some(header) = self.pending.first_chunk::<HEADER_BYTES>() else { return Ok(()) };
            let header = Header::read(header)?;
            if header.program != self.wanted {
                return Err(corrupt(format!("it holds program {}", header.program)));
            }
            self.header = Some(header);
            at = HEADER_BYTES;
        }
        let bytes_all = self.header.map_or(0, |header| header.bytes);
        while let Some((length, rest)) = self.pending[at..].split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let raw = (bytes_all - self.unpacked).min(BLOCK_BYTES as u64) as usize;
            if raw == 0 || length > raw {
                return Err(corrupt(format!("a block of {length} bytes where {raw} are missing")));
            }
            let Some(packed) = rest.get(..length) else { break };
            let block = if length == raw {
                packed
            } else {
                self.block.resize(raw, 0);
                match lz4_flex::block::decompress_into(packed, &mut self.block) {
                    Ok(got) if got == raw => &self.block[..],
                    _ => return Err(corrupt(format!("the block at byte {} is damaged", self.unpacked))),
                }
            };
            self.hash.update(block);
            write(block)?;
            self.unpacked += raw as u64;
            at += 4 + length;
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// Checks that the whole executable has arrived, and returns its header.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] (`program-corrupt`) when something is missing, or the executable's SHA-256 is not its id.
    pub fn finish(self) -> Result<Header> {
        let header = self.header.ok_or_else(|| corrupt("it is too short"))?;
        if self.unpacked != header.bytes || !self.pending.is_empty() {
            return Err(corrupt(format!("{} of {} bytes", self.unpacked, header.bytes)));
        }
        let has = ProgramId::finish(self.hash);
        if has != self.wanted {
            return Err(corrupt(format!("its SHA-256 is {has}")));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(wanted: ProgramId, packed: &[u8], step: usize) -> Result<Vec<u8>> {
        let (mut unpacker, mut out) = (Unpacker::new(wanted), Vec::new());
        for bytes in packed.chunks(step.max(1)) {
            unpacker.push(bytes, &mut |block| {
                out.extend_from_slice(block);
                Ok(())
            })?;
        }
        unpacker.finish()?;
        Ok(out)
    }

    #[test]
    fn golden() {
        let executable = b"an executable, an executable, an executable".repeat(2);
        let id = ProgramId::of(&executable);
        let packed = pack(62, &executable, id);
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/program-v1.bin"), &packed);
        assert_eq!(unpack(id, &packed, 7).unwrap(), executable);
        assert_eq!(key(&id), format!("programs/{id}"));
        assert_eq!(metadata(&id, 97), format!("{id} 97"));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let executable: Vec<u8> = (0..300u32).map(|n| (n * n / 7) as u8).collect();
        let id = ProgramId::of(&executable);
        let packed = pack(183, &executable, id);
        for at in (0..packed.len()).filter(|at| !(52..56).contains(at)) {
            let mut bad = packed.clone();
            bad[at] ^= 0x10;
            assert!(unpack(id, &bad, 64).is_err(), "byte {at}");
            assert!(unpack(id, &packed[..at], 64).is_err(), "cut at {at}");
        }
        assert!(unpack(id, &[&packed[..], b"more"].concat(), 64).is_err());
        assert!(unpack(ProgramId::of(b"another"), &packed, 64).is_err());
        let mut newer = packed;
        newer[4] = 2;
        assert_eq!(unpack(id, &newer, 64).unwrap_err().code(), "program-version");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn what_is_packed_comes_out(seed in any::<u64>(), bytes in 0usize..9_000_000, noise in any::<bool>(), step in 1usize..3_000_000) {
            let mut state = seed;
            let executable: Vec<u8> = (0..bytes).map(|n| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if noise || n % 8_192 < 100 { (state >> 33) as u8 } else { 0 }
            }).collect();
            let id = ProgramId::of(&executable);
            prop_assert_eq!(unpack(id, &pack(62, &executable, id), step).unwrap(), executable);
        }
    }

    #[test]
    fn a_program_larger_than_any_may_be_is_refused_by_its_header() {
        let header = |bytes| Header { machine: 62, bytes, program: ProgramId::of(b"abc") };
        let largest = header(PROGRAM_BYTES_MAX);
        assert_eq!(Header::read(&largest.write()).unwrap(), largest);
        assert_eq!(Header::read(&header(PROGRAM_BYTES_MAX + 1).write()).unwrap_err().code(), "program-corrupt");
    }

    #[test]
    fn the_header_is_known_once_its_last_byte_has_come() {
        let id = ProgramId::of(b"an executable");
        let packed = pack(183, b"an executable", id);
        let mut unpacker = Unpacker::new(id);
        unpacker.push(&packed[..HEADER_BYTES - 1], &mut |_| Ok(())).unwrap();
        assert_eq!(unpacker.header(), None);
        unpacker.push(&packed[HEADER_BYTES - 1..HEADER_BYTES], &mut |_| Ok(())).unwrap();
        assert_eq!(unpacker.header(), Some(&Header { machine: 183, bytes: 13, program: id }));
    }

    /// A block that lz4 makes neither shorter nor longer: its length alone says whether it is packed.
    #[test]
    fn a_block_that_lz4_leaves_as_long_as_it_is_comes_out() {
        let mut lengths = vec![];
        for repeated in 4..9 {
            let executable = [b"abcdefgh", &b"abcdefgh"[..repeated], b"0123456789ABCD"].concat();
            let by_lz4 = lz4_flex::block::compress(&executable).len();
            lengths.push(by_lz4.cmp(&executable.len()));
            let id = ProgramId::of(&executable);
            assert_eq!(unpack(id, &pack(62, &executable, id), 64).unwrap(), executable, "{repeated} bytes twice");
        }
        assert!(lengths.contains(&std::cmp::Ordering::Equal), "{lengths:?}");
    }

    #[test]
    fn bytes_behind_the_last_block_are_refused_however_few_and_whatever_they_are() {
        let executable = b"an executable".repeat(9);
        let id = ProgramId::of(&executable);
        let packed = pack(62, &executable, id);
        for more in [&b"m"[..], b"mor", b"more", &[0; 1], &[0; 3], &[0; 4], &[0; 8]] {
            let error = unpack(id, &[&packed[..], more].concat(), 64).unwrap_err();
            assert_eq!(error.code(), "program-corrupt", "{more:?}");
        }
    }

    #[test]
    fn a_block_of_another_length_is_refused_before_its_bytes_are_handed_on() {
        let executable = b"an executable".repeat(9);
        let id = ProgramId::of(&executable);
        let header = Header { machine: 62, bytes: executable.len() as u64, program: id };
        let refused = |block: &[u8]| {
            let packed = [&header.write()[..], &(block.len() as u32).to_le_bytes(), block].concat();
            let written = &mut |bytes: &[u8]| -> Result<()> { panic!("{} bytes were handed on", bytes.len()) };
            Unpacker::new(id).push(&packed, written).unwrap_err().to_string()
        };
        let shorter = lz4_flex::block::compress(&executable[..100]);
        assert_eq!(refused(&shorter), "the block at byte 0 is damaged");
        let longer = executable.repeat(2);
        assert_eq!(refused(&longer), "a block of 234 bytes where 117 are missing");
    }

    #[test]
    fn a_program_that_ends_between_two_blocks_is_refused_with_how_much_of_it_came() {
        let executable = vec![7; BLOCK_BYTES + 1];
        let id = ProgramId::of(&executable);
        let packed = pack(62, &executable, id);
        // The second block is one byte, stored as it is.
        let error = unpack(id, &packed[..packed.len() - 5], 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), format!("{BLOCK_BYTES} of {} bytes", BLOCK_BYTES + 1));
    }
}
