//! Joins: jobs that bring together the records of two inputs that have the same key.
//!
//! A join is one job whose input has [two sides](crate::Sides). Both are mapped to pairs, and a reduce task gets all rows of a key, one
//! side behind the other, whatever task has mapped them. The key of a pair is
//!
//! ```text
//! 0  kind:u8       1 a key of the join  2 none: the row matches no other  3 a key whose rows are spread
//! 1  key           of kinds 1 and 3: as `Key::encode_before` has it, so that none is the beginning of another
//! .  place:u16     of kind 2: any number, so that not all such rows go to one reduce task; of kind 3: which of the key's places;
//!                  big-endian
//! .  turn:u8       0: the rows of one side, which come first  1: those of the other
//! ```
//!
//! and a group is all but the turn ([`Job::grouped_by`]). The rows that come first are *kept*, in memory as long as they fit and then in
//! `/tmp`; those of the other side go by, each past all that are kept. Where they are kept in `/tmp`, many go by at once, as many as fit
//! into memory, so that the file is read once for them all: a key may have any number of rows on both sides.
//!
//! A key that has much of the side that goes by is *spread* ([`Join::share`]): each of these rows goes to one of several places, each of
//! another reduce task, and the rows that are kept go to all of them. So every two rows that match meet once. Where rows that are kept
//! are written for want of a match nothing is spread, as none of the places would know.
//!
//! The result is a set of rows. In which order the rows of a key come is not defined, nor which comes with which first.

use crate::error::{Code, Error, Result, UserResult};
use crate::format::{Format, OfSide, Row, Sides};
use crate::job::{Emitter, Job, Sink, Values};
use crate::key::{GroupedBy, Key, PlacedBy, Placing};
use crate::pairs::Kept;
use crate::side::Side;
use crate::value::Value;
use crate::wire::cost::{Growth, Workload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Which rows a join writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Each row of the left side with each of the right one that has the same key.
    #[default]
    Inner,
    /// The same, and rows of the left side without a match.
    Left,
    /// The same as [`How::Inner`], and rows of the right side without a match.
    Right,
    /// The same as [`How::Inner`], and rows of both sides without a match.
    Full,
    /// Rows of the left side with a match, each once.
    Semi,
    /// Rows of the left side without a match.
    Anti,
}

impl How {
    /// All of them.
    pub const ALL: [How; 6] = [How::Inner, How::Left, How::Right, How::Full, How::Semi, How::Anti];

    /// Returns its name: `inner`, `left`, `right`, `full`, `semi` or `anti`.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Inner => "inner",
            How::Left => "left",
            How::Right => "right",
            How::Full => "full",
            How::Semi => "semi",
            How::Anti => "anti",
        }
    }

    /// Returns whether rows of a side are written that have no match.
    pub fn writes_alone(self, side: Side) -> bool {
        match side {
            Side::Left => matches!(self, How::Left | How::Full | How::Anti),
            Side::Right => matches!(self, How::Right | How::Full),
        }
    }

    /// Returns whether a row is written by whether there are rows of the other side, and never with one of them.
    pub fn is_of_left_alone(self) -> bool {
        matches!(self, How::Semi | How::Anti)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Rows that a join has brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched<'a, L, R> {
    /// A row of each side, of the same key.
    Both(&'a L, &'a R),
    /// A row of the left side that has no match; of a [semi](How::Semi) join, one that has.
    Left(&'a L),
    /// A row of the right side that has no match.
    Right(&'a R),
}

impl<'a, L, R> Matched<'a, L, R> {
    /// Returns the row of the left side, if there is one.
    pub fn left(&self) -> Option<&'a L> {
        match self {
            Matched::Both(left, _) | Matched::Left(left) => Some(left),
            Matched::Right(_) => None,
        }
    }

    /// Returns the row of the right side, if there is one.
    pub fn right(&self) -> Option<&'a R> {
        match self {
            Matched::Both(_, right) | Matched::Right(right) => Some(right),
            Matched::Left(_) => None,
        }
    }
}

/// A join of two inputs. [`Joined`] makes a [`Job`] of it, which is registered and submitted; the submission names the right side with
/// `Submit::with_right`.
///
/// Each side has a format and a `map` of its own, which emits a key and whatever [`Join::join`] needs of the row. Rows match that have
/// equal keys. A row that is emitted [without a key](LeftRows::emit_alone) matches none, as one whose key is `NULL` does in SQL.
///
/// ```
/// use kinglet_core::{How, Join, Joined, LeftRows, Lines, Matched, RightRows, Sink, UserError, UserResult, check_join};
/// use serde::{Deserialize, Serialize};
///
/// /// Writes what each order is of, and who ordered it, if that is known.
/// #[derive(Serialize, Deserialize)]
/// struct Ordered;
///
/// impl Join for Ordered {
///     const NAME: &'static str = "ordered";
///     type LeftInput = Lines;
///     type RightInput = Lines;
///     type Key = u64;
///     type Left = String;
///     type Right = String;
///     type Output = (String, String);
///
///     fn how(&self) -> How {
///         How::Left
///     }
///
///     /// An order: `CUSTOMER ITEM`, or `- ITEM`.
///     fn map_left(&self, order: &str, out: &mut LeftRows<'_, '_, Self>) -> UserResult {
///         let (customer, item) = order.split_once(' ').ok_or_else(|| UserError::new("no item"))?;
///         match customer {
///             "-" => out.emit_alone(item.to_owned()),
///             number => out.emit(number.parse::<u64>()?, item.to_owned()),
///         }
///     }
///
///     /// A customer: `NUMBER NAME`.
///     fn map_right(&self, customer: &str, out: &mut RightRows<'_, '_, Self>) -> UserResult {
///         let (number, name) = customer.split_once(' ').ok_or_else(|| UserError::new("no name"))?;
///         out.emit(number.parse::<u64>()?, name.to_owned())
///     }
///
///     fn join(
///         &self,
///         _: Option<&u64>,
///         rows: Matched<'_, String, String>,
///         out: &mut Sink<'_, (String, String)>,
///     ) -> UserResult {
///         let name = rows.right().map_or("somebody", String::as_str);
///         rows.left().map_or(Ok(()), |item| out.push(&(item.clone(), name.to_owned())))
///     }
/// }
///
/// let (orders, customers) = (b"2 figs\n7 nuts\n2 pears\n- plums\n", b"1 Ann\n2 Bob\n");
/// let rows = check_join(&Joined(Ordered), orders, customers, &[1, 3])?;
/// assert_eq!(rows, "figs\tBob\nnuts\tsomebody\npears\tBob\nplums\tsomebody\n");
/// # Ok::<(), kinglet_core::Error>(())
/// ```
pub trait Join: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The job's name in the registry and in reports. It must be unique in a program.
    const NAME: &'static str;
    /// The format of the left side.
    type LeftInput: Format;
    /// The format of the right side.
    type RightInput: Format;
    /// What rows match by. Equal keys are those whose encodings are equal.
    type Key: Key;
    /// What travels of a row of the left side.
    type Left: Value + Clone;
    /// What travels of a row of the right side.
    type Right: Value + Clone;
    /// One record of the result.
    type Output: Row;

    /// Returns which rows are written: by default those of both sides that match.
    fn how(&self) -> How {
        How::Inner
    }

    /// Returns the format of the left side, set up from the parameters. The default is the format's own `Default`.
    fn left_input(&self) -> Self::LeftInput {
        Self::LeftInput::default()
    }

    /// Returns the format of the right side, set up from the parameters. The default is the format's own `Default`.
    fn right_input(&self) -> Self::RightInput {
        Self::RightInput::default()
    }

    /// Maps a record of the left side to rows.
    ///
    /// # Errors
    /// As [`Job::map`].
    fn map_left(&self, record: <Self::LeftInput as Format>::Record<'_>, out: &mut LeftRows<'_, '_, Self>) -> UserResult
    where
        Self: Sized;

    /// Maps a record of the right side to rows.
    ///
    /// # Errors
    /// As [`Job::map`].
    fn map_right(
        &self,
        record: <Self::RightInput as Format>::Record<'_>,
        out: &mut RightRows<'_, '_, Self>,
    ) -> UserResult
    where
        Self: Sized;

    /// Writes what comes of rows that match, or of a row that is written without a match. `key` is the one that the rows have; a row
    /// [without a key](LeftRows::emit_alone) has none.
    ///
    /// # Errors
    /// As [`Job::reduce`].
    fn join(
        &self,
        key: Option<&Self::Key>,
        rows: Matched<'_, Self::Left, Self::Right>,
        out: &mut Sink<'_, Self::Output>,
    ) -> UserResult;

    /// Returns the side whose rows of a key are kept while those of the other go by: the one that has fewer rows of most keys, by
    /// default the right one. The result does not depend on it. Of semi and anti joins nothing is kept.
    fn kept(&self) -> Side {
        Side::Right
    }

    /// Returns which part of the side that is *not* [kept](Join::kept) has this key, from 0 to 1, where that is so much that one reduce
    /// task should not have all of it; otherwise, as by default, `None`. A key with a share of `f` is spread over `f` of all reduce tasks, and
    /// the rows of the side that is kept go to each of these. The result does not depend on it. It must be the same in all functions:
    /// a parameter of the job, found by a sample.
    ///
    /// Nothing is spread in a full join, nor in a left or right one that keeps the side whose rows are written without a match.
    fn share(&self, key: &Self::Key) -> Option<f64> {
        let _ = key;
        None
    }

    /// Returns what is known of the work that the job makes. By default runs and result are as large as the input.
    fn workload(&self) -> Workload {
        let all = Growth { bytes_at_gb: 1e9, exponent: 1.0 };
        Workload { runs: all, output: all, ..Workload::default() }
    }
}

/// Which part of what a key may keep is for the rows that are kept; the rest is for those that go by them.
const KEPT_PART: f64 = 0.5;

/// How many bytes of kept rows are decoded once, and not again for each row that goes by (1 MiB): a table of names, not of events.
const DECODED_BYTES_MAX: u64 = 1 << 20;

/// The [`Job`] that runs a [`Join`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined<J>(
    /// The join.
    pub J,
);

/// What a row of a join is found by; the module draws its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JoinKey<K> {
    /// A key, and 0 if the row's side comes first, otherwise 1.
    Keyed(K, u8),
    /// Any number, of a row without a key, and the same.
    Alone(u16, u8),
    /// A key whose rows are spread, which of its places, and the same.
    Placed(K, u16, u8),
}

const KEYED: u8 = 1;
const ALONE: u8 = 2;
const PLACED: u8 = 3;

/// How many bytes stand behind a key that is spread.
const PLACE_BYTES: usize = 3;

impl<K: Key> Key for JoinKey<K> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let turn = match self {
            JoinKey::Keyed(key, turn) => {
                out.push(KEYED);
                key.encode_before(out)?;
                turn
            }
            JoinKey::Alone(place, turn) => {
                out.push(ALONE);
                out.extend_from_slice(&place.to_be_bytes());
                turn
            }
            JoinKey::Placed(key, place, turn) => {
                out.push(PLACED);
                key.encode_before(out)?;
                out.extend_from_slice(&place.to_be_bytes());
                turn
            }
        };
        out.push(*turn);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let invalid = || Error::new(Code::KeyDecode, "decoding the key of a join: the bytes are none");
        match bytes {
            [KEYED, key @ .., turn] => Ok(JoinKey::Keyed(K::decode_before(key)?, *turn)),
            [ALONE, a, b, turn] => Ok(JoinKey::Alone(u16::from_be_bytes([*a, *b]), *turn)),
            [PLACED, key @ .., a, b, turn] => {
                Ok(JoinKey::Placed(K::decode_before(key)?, u16::from_be_bytes([*a, *b]), *turn))
            }
            _ => Err(invalid()),
        }
    }
}

/// What travels of a row of a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SideRow<L, R> {
    /// A row of the left side.
    Left(L),
    /// A row of the right side.
    Right(R),
    /// A row of the right side of which only the key matters.
    Seen,
}

impl<L, R> SideRow<L, R> {
    fn side(&self) -> Side {
        match self {
            SideRow::Left(_) => Side::Left,
            SideRow::Right(_) | SideRow::Seen => Side::Right,
        }
    }
}

/// The row of a side, as it travels in the pairs of a join.
type RowOf<J> = SideRow<<J as Join>::Left, <J as Join>::Right>;

/// What the pairs of a join are emitted through.
type EmitterOf<'a, J> = Emitter<'a, JoinKey<<J as Join>::Key>, RowOf<J>>;

/// Where the rows of a side go.
struct Out<'e, 'a, J: Join> {
    out: &'e mut EmitterOf<'a, J>,
    join: &'e Joined<J>,
    side: Side,
}

/// The handle through which [`Join::map_left`] emits rows.
pub struct LeftRows<'e, 'a, J: Join>(Out<'e, 'a, J>);

/// The handle through which [`Join::map_right`] emits rows.
pub struct RightRows<'e, 'a, J: Join>(Out<'e, 'a, J>);

impl<J: Join> LeftRows<'_, '_, J> {
    /// Emits a row under its key.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub fn emit(&mut self, key: impl Borrow<J::Key>, row: J::Left) -> UserResult {
        self.0.emit(key.borrow(), SideRow::Left(row))
    }

    /// Emits a row that has no key and so matches no other.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub fn emit_alone(&mut self, row: J::Left) -> UserResult {
        self.0.emit_alone(SideRow::Left(row))
    }
}

impl<J: Join> RightRows<'_, '_, J> {
    /// Emits a row under its key.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub fn emit(&mut self, key: impl Borrow<J::Key>, row: J::Right) -> UserResult {
        let is_seen = self.0.join.0.how().is_of_left_alone();
        self.0.emit(key.borrow(), if is_seen { SideRow::Seen } else { SideRow::Right(row) })
    }

    /// Emits a row that has no key and so matches no other.
    ///
    /// # Errors
    /// As [`Emitter::emit`].
    pub fn emit_alone(&mut self, row: J::Right) -> UserResult {
        self.0.emit_alone(SideRow::Right(row))
    }
}

impl<J: Join> Out<'_, '_, J> {
    fn emit(&mut self, key: &J::Key, row: RowOf<J>) -> UserResult {
        let (turn, places) = (self.join.turn(self.side), self.join.places(key, self.out.partitions()));
        if places < 2 {
            return self.out.emit_by(row, |bytes| {
                bytes.push(KEYED);
                key.encode_before(bytes)?;
                bytes.push(turn);
                Ok(())
            });
        }
        let placed = |place: u16| {
            move |bytes: &mut Vec<u8>| {
                bytes.push(PLACED);
                key.encode_before(bytes)?;
                bytes.extend_from_slice(&place.to_be_bytes());
                bytes.push(turn);
                Ok(())
            }
        };
        if turn > 0 {
            let place = self.out.next_number() % places;
            return self.out.emit_by(row, placed(place));
        }
        for place in 1..places {
            self.out.emit_by(row.clone(), placed(place))?;
        }
        self.out.emit_by(row, placed(0))
    }

    fn emit_alone(&mut self, row: RowOf<J>) -> UserResult {
        if !self.join.0.how().writes_alone(self.side) {
            return Ok(());
        }
        let key = JoinKey::<J::Key>::Alone(self.out.next_number(), self.join.turn(self.side));
        self.out.emit_by(row, |bytes| key.encode(bytes))
    }
}

impl<J: Join> Joined<J> {
    /// Returns the side whose rows come first.
    fn first(&self) -> Side {
        if self.0.how().is_of_left_alone() { Side::Right } else { self.0.kept() }
    }

    fn turn(&self, side: Side) -> u8 {
        u8::from(side != self.first())
    }

    /// Returns over how many places the rows of a key are spread.
    fn places(&self, key: &J::Key, partitions: u32) -> u16 {
        let Some(share) = self.0.share(key).filter(|_| !self.0.how().writes_alone(self.first())) else { return 1 };
        (share.clamp(0.0, 1.0) * f64::from(partitions)).ceil().clamp(1.0, f64::from(u16::MAX)) as u16
    }

    /// Writes a row that has no match.
    fn alone(&self, key: Option<&J::Key>, row: &RowOf<J>, out: &mut Sink<'_, J::Output>) -> UserResult {
        match row {
            SideRow::Left(left) => self.0.join(key, Matched::Left(left), out),
            SideRow::Right(right) => self.0.join(key, Matched::Right(right), out),
            SideRow::Seen => Ok(()),
        }
    }

    /// Writes two rows that match, whichever is of which side.
    fn both(&self, key: &J::Key, a: &RowOf<J>, b: &RowOf<J>, out: &mut Sink<'_, J::Output>) -> UserResult {
        match (a, b) {
            (SideRow::Left(left), SideRow::Right(right)) | (SideRow::Right(right), SideRow::Left(left)) => {
                self.0.join(Some(key), Matched::Both(left, right), out)
            }
            _ => Ok(()),
        }
    }

    /// Joins the rows of a key of which none but the left ones are written.
    fn semi(&self, key: &J::Key, rows: Values<'_, RowOf<J>>, out: &mut Sink<'_, J::Output>) -> UserResult {
        let wants_match = self.0.how() == How::Semi;
        let mut has_match = false;
        for row in rows {
            match row {
                SideRow::Left(_) if has_match == wants_match => self.alone(Some(key), &row, out)?,
                SideRow::Left(_) if !has_match => return Ok(()),
                SideRow::Left(_) => {}
                SideRow::Right(_) | SideRow::Seen => {
                    has_match = true;
                    if !wants_match {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Joins the rows of a key: keeps those that come first, and lets the others go by.
    fn rows(&self, key: &J::Key, mut rows: Values<'_, RowOf<J>>, out: &mut Sink<'_, J::Output>) -> UserResult {
        let (how, first) = (self.0.how(), self.first());
        let mut kept: Kept<RowOf<J>> = rows.kept(KEPT_PART);
        let mut passing: Kept<RowOf<J>> = rows.kept(1.0 - KEPT_PART);
        let mut decoded: Option<Vec<RowOf<J>>> = None;
        let mut has_passed = false;
        for row in &mut rows {
            if row.side() == first {
                kept.push(&row)?;
                continue;
            }
            has_passed = true;
            if kept.is_empty() {
                if !how.writes_alone(first.other()) {
                    return Ok(());
                }
                self.alone(Some(key), &row, out)?;
            } else if kept.is_spilled() {
                passing.push(&row)?;
                if passing.is_full() {
                    self.pass(key, &mut kept, &mut passing, out)?;
                }
            } else if kept.memory_bytes() > DECODED_BYTES_MAX {
                kept.for_each(|other| self.both(key, &other, &row, out))?;
            } else {
                let others = match &mut decoded {
                    Some(others) => others,
                    none => none.insert(kept.all()?),
                };
                others.iter().try_for_each(|other| self.both(key, other, &row, out))?;
            }
        }
        if !passing.is_empty() {
            self.pass(key, &mut kept, &mut passing, out)?;
        }
        if !has_passed && how.writes_alone(first) {
            kept.for_each(|row| self.alone(Some(key), &row, out))?;
        }
        Ok(())
    }

    /// Lets some rows, which lie in memory, go by those that are kept.
    fn pass(
        &self,
        key: &J::Key,
        kept: &mut Kept<RowOf<J>>,
        passing: &mut Kept<RowOf<J>>,
        out: &mut Sink<'_, J::Output>,
    ) -> UserResult {
        kept.for_each(|other| passing.for_each(|row| self.both(key, &other, &row, out)))?;
        passing.clear();
        Ok(())
    }
}

impl<J: Join> Job for Joined<J> {
    const NAME: &'static str = J::NAME;
    type Input = Sides<J::LeftInput, J::RightInput>;
    type Key = JoinKey<J::Key>;
    type Value = RowOf<J>;
    type Output = J::Output;

    fn input(&self) -> Self::Input {
        Sides(self.0.left_input(), self.0.right_input())
    }

    fn map(
        &self,
        record: <Self::Input as Format>::Record<'_>,
        out: &mut Emitter<'_, JoinKey<J::Key>, RowOf<J>>,
    ) -> UserResult {
        match record {
            OfSide::Left(record) => self.0.map_left(record, &mut LeftRows(Out { out, join: self, side: Side::Left })),
            OfSide::Right(record) => {
                self.0.map_right(record, &mut RightRows(Out { out, join: self, side: Side::Right }))
            }
        }
    }

    fn grouped_by(&self) -> Option<GroupedBy> {
        Some(Arc::new(|key: &[u8]| key.len().saturating_sub(1)))
    }

    fn placed_by(&self) -> Option<PlacedBy> {
        Some(Arc::new(|key: &[u8]| match key {
            [PLACED, .., a, b, _] => {
                Placing { bytes: key.len() - PLACE_BYTES, further: u16::from_be_bytes([*a, *b]).into() }
            }
            _ => Placing::by(key.len().saturating_sub(1)),
        }))
    }

    fn workload(&self) -> Workload {
        self.0.workload()
    }

    fn reduce(
        &self,
        key: JoinKey<J::Key>,
        mut rows: Values<'_, RowOf<J>>,
        out: &mut Sink<'_, J::Output>,
    ) -> UserResult {
        match &key {
            JoinKey::Alone(..) => rows.try_for_each(|row| self.alone(None, &row, out)),
            JoinKey::Keyed(key, _) | JoinKey::Placed(key, ..) if self.0.how().is_of_left_alone() => {
                self.semi(key, rows, out)
            }
            JoinKey::Keyed(key, _) | JoinKey::Placed(key, ..) => self.rows(key, rows, out),
        }
    }
}
