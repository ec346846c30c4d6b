//! Text output: the fields of a record are separated by tabs, and a line feed ends the record.

use std::io::Write;

/// A record of a result. The fields of a tuple are separated by tabs; strings and byte strings are written raw, numbers in
/// decimal.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a record of a job's output",
    note = "outputs are strings, byte strings, numbers, `bool`, tuples of these, or your own type with `impl Row`"
)]
pub trait Row: Send + 'static {
    /// Appends the fields, without the line feed.
    fn write_fields(&self, out: &mut Vec<u8>);

    /// Appends the record with its line feed.
    #[inline]
    fn write_text(&self, out: &mut Vec<u8>) {
        self.write_fields(out);
        out.push(b'\n');
    }
}

impl Row for String {
    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Row for Vec<u8> {
    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

macro_rules! displayed {
    ($($t:ty)*) => { $(
        impl Row for $t {
            fn write_fields(&self, out: &mut Vec<u8>) {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "{self}");
            }
        }
    )* };
}
displayed! { f32 f64 bool char }

macro_rules! integers {
    ($($t:ty)*) => { $(
        impl Row for $t {
            #[inline]
            fn write_fields(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )* };
}
integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl Row for () {
    fn write_fields(&self, _: &mut Vec<u8>) {}
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*;)*) => { $(
        impl<$first: Row, $($rest: Row),*> Row for ($first, $($rest,)*) {
            #[inline]
            #[allow(non_snake_case)]
            fn write_fields(&self, out: &mut Vec<u8>) {
                let ($first, $($rest,)*) = self;
                $first.write_fields(out);
                $(
                    out.push(b'\t');
                    $rest.write_fields(out);
                )*
            }
        }
    )* };
}
tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_separated_by_tabs_and_bytes_are_raw() {
        let mut out = vec![];
        (b"\xffword".to_vec(), 42u64, true).write_text(&mut out);
        assert_eq!(out, b"\xffword\t42\ttrue\n");
    }
}
