//! Two formats in one: that of each side of a join.

use super::{BlockExtent, Extent, Format, Framing, Selection, Separators};
use crate::error::UserResult;
use crate::side::Side;

/// The formats of the two sides of a [join](crate::Join): `L` reads the left one and `R` the right one. They need not have anything
/// in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sides<L, R>(
    /// The format of the left side.
    pub L,
    /// That of the right side.
    pub R,
);

/// A record of one of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfSide<L, R> {
    /// Of the left one.
    Left(L),
    /// Of the right one.
    Right(R),
}

impl<L: Format, R: Format> Format for Sides<L, R> {
    type Record<'a> = OfSide<L::Record<'a>, R::Record<'a>>;
    const NAME: &'static str = "sides";
    const TWO_SIDES: bool = true;

    fn describe() -> String {
        format!("{} and {}", L::describe(), R::describe())
    }

    fn of_side(&self, side: Side) -> &dyn Separators {
        match side {
            Side::Left => &self.0,
            Side::Right => &self.1,
        }
    }

    /// That of the left side; [`Self::of_side`] tells them apart.
    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn has_head(&self) -> bool {
        self.0.has_head()
    }

    fn needs_offsets(&self) -> bool {
        self.0.needs_offsets()
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_cut(bytes)
    }

    fn selection(&self) -> Selection {
        self.0.selection()
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        match extent.side {
            Side::Left => self.0.for_each(extent, |at, record| each(at, OfSide::Left(record))),
            Side::Right => self.1.for_each(extent, |at, record| each(at, OfSide::Right(record))),
        }
    }

    fn check(&self, extent: Extent<'_>) -> UserResult {
        match extent.side {
            Side::Left => self.0.check(extent),
            Side::Right => self.1.check(extent),
        }
    }

    fn check_rows(&self, rows: BlockExtent<'_>) -> UserResult {
        match rows.side {
            Side::Left => self.0.check_rows(rows),
            Side::Right => self.1.check_rows(rows),
        }
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, Self::Record<'a>) -> UserResult,
    ) -> UserResult<u64> {
        match rows.side {
            Side::Left => self.0.for_each_row(rows, |at, record| each(at, OfSide::Left(record))),
            Side::Right => self.1.for_each_row(rows, |at, record| each(at, OfSide::Right(record))),
        }
    }

    fn place(&self, extent: Extent<'_>, at: usize) -> String {
        match extent.side {
            Side::Left => self.0.place(extent, at),
            Side::Right => self.1.place(extent, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cut::Cuts;
    use crate::format::{ByteLines, Fixed, extent};
    use std::sync::Arc;

    #[test]
    fn each_side_is_cut_and_read_by_its_own_format() {
        let sides = Arc::new(Sides(ByteLines, Fixed::<3>));
        let cuts = Side::BOTH.map(|side| Cuts::of_side(sides.clone(), side));
        assert_eq!(cuts.each_ref().map(|cuts| cuts.first(b"abcd\nefg", 0)), [Some(5), Some(3)]);
        let read = |side| {
            let mut records = Vec::new();
            let count = sides.for_each(Extent { side, ..extent(b"ab\ncde") }, |at, record| {
                records.push(match record {
                    OfSide::Left(line) => (side, at, line.to_vec()),
                    OfSide::Right(three) => (side, at, three.to_vec()),
                });
                Ok(())
            });
            assert_eq!(count.unwrap(), 2);
            records
        };
        let records = |side, second: &[u8], first: &[u8]| vec![(side, 0, first.to_vec()), (side, 3, second.to_vec())];
        assert_eq!(read(Side::Left), records(Side::Left, b"cde", b"ab"));
        assert_eq!(read(Side::Right), records(Side::Right, b"cde", b"ab\n"));
    }
}
