//! Goes through a footer far enough to see whether its columns are encrypted, which the decoder does not say: without its support
//! for encryption it takes them for damaged.
//!
//! A footer is a struct in Thrift's compact protocol:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>. Its field 8, if it is there, names the
//! algorithm by which the columns are encrypted.

/// The field of the footer that names the algorithm.
const ENCRYPTION_ALGORITHM: i64 = 8;

/// The most structs and lists within each other.
const DEPTH_MAX: u32 = 32;

/// Returns whether a footer says that columns are encrypted. Of one that cannot be read, it says nothing.
pub(super) fn says_encrypted(footer: &[u8]) -> bool {
    let mut left = Left(footer);
    let mut field = 0;
    while let Some(of) = left.field(&mut field) {
        if field == ENCRYPTION_ALGORITHM {
            return true;
        }
        if left.skip(of, 0).is_none() {
            return false;
        }
    }
    false
}

/// The bytes that are left.
struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Goes behind the head of a struct's next field: returns its type, and sets its number. `None` behind the last.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let head = self.byte()?;
        let of = head & 0x0f;
        if of == 0 {
            return None;
        }
        *number = match head >> 4 {
            0 => {
                let zigzag = self.number()?;
                (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
            }
            more => number.checked_add(more.into())?,
        };
        Some(of)
    }

    /// Goes behind a value of a type.
    fn skip(&mut self, of: u8, depth: u32) -> Option<()> {
        match of {
            1 | 2 => Some(()),
            3 => self.bytes(1),
            4..=6 => self.number().map(drop),
            7 => self.bytes(8),
            8 => {
                let length = self.number()?;
                self.bytes(length)
            }
            _ if depth == DEPTH_MAX => None,
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.element(head & 0x0f, depth))
            }
            11 => {
                let count = self.number()?;
                let of = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.element(of >> 4, depth)?;
                    self.element(of & 0x0f, depth)
                })
            }
            12 => {
                let mut field = 0;
                while *self.0.first()? != 0 {
                    let of = self.field(&mut field)?;
                    self.skip(of, depth + 1)?;
                }
                self.bytes(1)
            }
            _ => None,
        }
    }

    /// Goes behind an element of a list. A boolean is a byte there, where a field has it in its head.
    fn element(&mut self, of: u8, depth: u32) -> Option<()> {
        if matches!(of, 1 | 2) { self.bytes(1) } else { self.skip(of, depth + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_behind_all_others() {
        // 1: i32, 2: list of two structs of a binary, 4: map of i32 to bool, 5: true, 6: a long binary, 7: list of 16 bytes.
        let mut footer =
            vec![0x15, 0x02, 0x19, 0x2c, 0x18, 0x01, b'x', 0, 0x18, 0, 0, 0x2b, 0x01, 0x51, 0x02, 0x01, 0x11];
        footer.extend([0x18, 0x81, 0x01].iter().chain(&[7; 129]));
        footer.extend([0x19, 0xf3, 0x10].iter().chain(&[0; 16]));
        let plain = [&footer[..], &[0x35, 0, 0]].concat();
        let encrypted = [&footer[..], &[0x1c, 0, 0]].concat();
        assert!(!says_encrypted(&plain) && says_encrypted(&encrypted));
        let by_number = [&footer[..], &[0x0c, 16, 0, 0]].concat();
        assert!(says_encrypted(&by_number));
        for end in 0..footer.len() {
            assert!(!says_encrypted(&footer[..end]), "cut at {end}");
        }
        // Lists of lists without end, and of more elements than there are bytes.
        assert!(!says_encrypted(&[0x19; 1_000]));
        assert!(!says_encrypted(&[0x19, 0xf3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]));
    }
}
