//! Writes rows in another format: each row's values by the names of its columns, in the order of objects and offsets within a part.
//!
//! Where the result stores the types of its columns, as Parquet does, values are made what these are as they are read, so that what does
//! not fit fails the job by object and offset.
//!
//! Rows travel in blocks of some hundred kilobytes, so hardly anything is sorted, and names travel once for all rows of a block.
//!
//! Where the values of columns are folders, a block has the rows of one folder, and the folder's path begins its key and decides its
//! partition, so that a task writes each of its folders once, as one file. It is the path and not the values, as rows belong together
//! that lie together: `1` and `1.0` are one value, and two folders.
//!
//! A folder that has much of the data is *spread* over several tasks, and has a file of each. Where it has a share `f` of what
//! its map task has read so far, in bytes, and the job `R` partitions, these rows go to one of `n = ⌊f·R⌋` places, at least one, each of another task, by a hash of
//! their object and of where in it they lie. A place then has no more than `f/n < 2/R` of each task's rows, and so of the job's: at most twice
//! a reduce task's share. A folder with less than a share stays together; rows from 64 MiB of one object do so too, so that input in the order of its
//! folders, of which each task has but few, does not become many small files.

use hashbrown::HashMap;
use kinglet_core::{
    Batch, Batches, BlockRow, Code, Datum, Emitter, Error, Folders, Job, Key, Located, Named, OutputFormat, PathPart,
    PlacedBy, Placing, Result, RowBlock, RowFormat, Rows, Sink, Types, UserResult, Values, cast_row,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// About how many bytes of rows make one pair.
const BLOCK_BYTES: usize = 256 << 10;

/// How many bytes of rows of several folders are held until they are emitted, in each thread (8 MiB): a batch rarely has more.
const HELD_BYTES: usize = 8 << 20;

/// How much of an object, in bytes (64 MiB) or in rows, goes to the same place of a folder.
const TOGETHER_BYTES: u64 = 64 << 20;
const TOGETHER_ROWS: u64 = 1 << 20;

/// The job; see the module. What the rows are written as is the output's format.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Convert {
    /// The format of the rows that are read.
    pub format: RowFormat,
    /// The columns of the result, if it stores their types.
    pub typed: Option<TypedRows>,
    /// The result's format, if the values of columns are folders there: rows of one folder are then brought together.
    pub folders: Option<OutputFormat>,
    /// What the task has read so far.
    #[serde(skip)]
    seen: Arc<Mutex<Seen>>,
}

/// How many bytes of rows a map task has read, and of them of each folder.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    folders: HashMap<String, u64>,
}

impl Convert {
    /// Makes the job of its fields.
    pub fn new(format: RowFormat, typed: Option<TypedRows>, folders: Option<OutputFormat>) -> Self {
        Convert { format, typed, folders, seen: Arc::default() }
    }
}

/// Where rows lie, and where they go: a key of pairs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowsAt {
    /// The folder's path in the output.
    folder: String,
    /// Which of its places.
    place: u32,
    /// The object that the rows are from.
    object: String,
    /// Where the first of them lies there.
    offset: u64,
}

impl RowsAt {
    /// Rows of a result without folders.
    fn in_object(object: &str, offset: u64) -> Self {
        RowsAt { folder: String::new(), place: 0, object: object.to_owned(), offset }
    }
}

/// ```text
/// 0  folder         its text, which has no zero byte, and a 0
///    place:u32      big-endian; the folder decides the partition, and the place how many further it is
///    object, offset as a key of these two
/// ```
impl Key for RowsAt {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.folder.as_bytes());
        out.push(0);
        out.extend_from_slice(&self.place.to_be_bytes());
        let RowsAt { object, offset, .. } = self;
        (object.clone(), *offset).encode(out)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let invalid = || Error::new(Code::KeyDecode, "decoding the key of rows: the bytes are none");
        let (placing, rest) = bytes.split_at_checked(placing_bytes(bytes)).ok_or_else(invalid)?;
        let (folder, place) = placing.split_last_chunk().ok_or_else(invalid)?;
        let folder =
            folder.strip_suffix(&[0]).and_then(|folder| std::str::from_utf8(folder).ok()).ok_or_else(invalid)?;
        let (object, offset) = Key::decode(rest)?;
        Ok(RowsAt { folder: folder.to_owned(), place: u32::from_be_bytes(*place), object, offset })
    }
}

/// Returns where an encoded key goes: each place of a folder to a partition of its own.
fn placing(key: &[u8]) -> Placing {
    let bytes = placing_bytes(key);
    let place = key.get(bytes - size_of::<u32>()..bytes).and_then(|place| place.try_into().ok());
    Placing { bytes: bytes - size_of::<u32>(), further: place.map_or(0, u32::from_be_bytes) }
}

/// Returns how many bytes folder and place take at the start of an encoded key.
fn placing_bytes(key: &[u8]) -> usize {
    let folder = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    folder.saturating_add(1 + size_of::<u32>())
}

/// Rows of several folders that are held until they are emitted.
#[derive(Default)]
struct Held {
    folders: HashMap<String, HeldRows>,
    bytes: usize,
}

/// The rows of a folder.
#[derive(Default)]
struct HeldRows {
    /// Blocks that are full, and where each starts.
    full: Vec<(u64, RowBlock)>,
    block: RowBlock,
    start: u64,
    bytes: usize,
}

impl Held {
    fn push(&mut self, folder: &str, offset: u64, fields: &[Named<'_>]) -> Result<()> {
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), HeldRows::default());
        }
        let Some(rows) = self.folders.get_mut(folder) else { return Ok(()) };
        if rows.block.is_empty() {
            rows.start = offset;
        }
        let before = rows.block.len();
        rows.block.push(fields)?;
        let more = rows.block.len() - before;
        rows.bytes += more;
        self.bytes += more;
        if rows.block.len() >= BLOCK_BYTES {
            rows.full.push((rows.start, std::mem::take(&mut rows.block)));
        }
        Ok(())
    }

    /// Emits all rows, those of a folder that has much of them to one of several places.
    fn emit(
        &mut self,
        seen: &Mutex<Seen>,
        (object, together): (&str, u64),
        out: &mut Emitter<'_, RowsAt, RowBlock>,
    ) -> UserResult {
        let mut places = seen.lock().unwrap_or_else(PoisonError::into_inner).add(self, out.partitions());
        for (folder, HeldRows { mut full, block, start, .. }) in self.folders.drain() {
            if !block.is_empty() {
                full.push((start, block));
            }
            let places = places.remove(&folder).unwrap_or(1);
            for (start, block) in full {
                let place = place(object, start / together, places);
                out.emit(RowsAt { folder: folder.clone(), place, object: object.to_owned(), offset: start }, block)?;
            }
        }
        self.bytes = 0;
        Ok(())
    }
}

impl Seen {
    /// Adds what is held. Returns over how many places those of its folders are spread that have more than a share.
    fn add(&mut self, held: &Held, partitions: u32) -> HashMap<String, u64> {
        self.bytes += held.bytes as u64;
        for (folder, rows) in &held.folders {
            *self.folders.entry_ref(folder).or_default() += rows.bytes as u64;
        }
        // A few rows say little of the job.
        let all = self.bytes.max(BLOCK_BYTES as u64);
        let places = |folder: &String| self.folders.get(folder).map_or(0, |bytes| bytes * u64::from(partitions) / all);
        held.folders.keys().map(|folder| (folder.clone(), places(folder))).filter(|(_, places)| *places > 1).collect()
    }
}

/// Returns to which of so many places rows of this part of an object go: parts one behind the other to one place after the other. Where
/// an object's begin is its name's hash, FNV-1a of 64 bits, whose upper half is the better one. <http://www.isthe.com/chongo/tech/comp/fnv/>
fn place(object: &str, part: u64, places: u64) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = object.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 32;
    (hash.wrapping_add(part) % places) as u32
}

/// The columns of a result that stores their types.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TypedRows {
    /// The columns.
    pub types: Types,
    /// Whether somebody has chosen them: what a row has besides is then left out. Otherwise it fails the job.
    pub chosen: bool,
}

impl TypedRows {
    /// Returns a row as its columns have it. `of_path` are the values that the object's path says.
    pub(super) fn row<'a>(&'a self, mut fields: Vec<Named<'a>>, of_path: &[Named<'a>]) -> Result<Vec<Named<'a>>> {
        if self.chosen {
            fields.retain(|field| self.types.of(&field.name).is_some());
        }
        for said in of_path {
            if let Some(field) = fields.iter_mut().find(|field| field.name == said.name) {
                field.value = said.value.clone();
            }
        }
        cast_row(fields, &self.types)
    }
}

/// Returns the values that a path says, as they are written.
pub(super) fn of_path(object: &str) -> Vec<Named<'_>> {
    let named = |part: PathPart<'_>| Named {
        name: part.name.into_owned().into(),
        value: part.value.map_or(Datum::Null, |value| Datum::Text(value.into_owned().into())),
    };
    PathPart::all(object).map(named).collect()
}

impl Job for Convert {
    const NAME: &'static str = "convert";
    type Input = Batches<Located<Rows>>;
    type Key = RowsAt;
    type Value = RowBlock;
    type Output = BlockRow;

    fn input(&self) -> Self::Input {
        Batches(Located(Rows(self.format.clone())))
    }

    fn map(&self, batch: Batch<'_, Located<Rows>>, out: &mut Emitter<'_, RowsAt, RowBlock>) -> UserResult {
        let extent = batch.extent();
        let object = extent.object;
        let of_path = of_path(object);
        let of_row = |fields| match &self.typed {
            None => Ok(fields),
            Some(typed) => typed.row(fields, &of_path),
        };
        if let Some(mut folders) = self.folders.as_ref().and_then(Folders::of) {
            // Of rows that lie in columns, offsets are their numbers.
            let together = if extent.bytes.is_empty() { TOGETHER_ROWS } else { TOGETHER_BYTES };
            let mut held = Held::default();
            batch.for_each(|row| {
                let fields = of_row(row.record.fields)?;
                held.push(folders.path_of(&fields)?, row.offset, &fields)?;
                if held.bytes < HELD_BYTES { Ok(()) } else { held.emit(&self.seen, (object, together), out) }
            })?;
            return held.emit(&self.seen, (object, together), out);
        }
        let (mut block, mut start) = (RowBlock::default(), 0);
        batch.for_each(|row| {
            if block.is_empty() {
                start = row.offset;
            }
            block.push(&of_row(row.record.fields)?)?;
            if block.len() < BLOCK_BYTES {
                return Ok(());
            }
            out.emit(RowsAt::in_object(object, start), std::mem::take(&mut block))
        })?;
        if block.is_empty() { Ok(()) } else { out.emit(RowsAt::in_object(object, start), block) }
    }

    fn placed_by(&self) -> Option<PlacedBy> {
        self.folders.as_ref().map(|_| Arc::new(placing) as PlacedBy)
    }

    fn reduce(&self, _: RowsAt, blocks: Values<'_, RowBlock>, out: &mut Sink<'_, BlockRow>) -> UserResult {
        blocks.flat_map(RowBlock::into_rows).try_for_each(|row| out.push(&row?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::{CsvDialect, check_job};

    #[test]
    fn rows_are_the_same_however_they_are_cut() {
        let csv: String = (0..40).map(|n| format!("{n},\"a\n{n}\",{}\n", f64::from(n) / 8.0)).collect();
        let job = Convert::new(RowFormat::Csv(CsvDialect::new()), None, None);
        let text = check_job(&job, format!("id,text,share\n{csv}").as_bytes(), &[1]).unwrap();
        assert!(text.starts_with("0\ta\n0\t0\n1\ta\n1\t0.125\n"), "{text}");
        let job = Convert::new(RowFormat::JsonLines, None, None);
        let text = check_job(&job, b"{\"a\": 1}\n{\"b\": [true, {\"c\": null}]}\n7\n", &[1]).unwrap();
        assert_eq!(text, "1\n[true,{\"c\":null}]\n7\n");
    }

    #[test]
    fn values_are_made_what_their_columns_are_or_fail_where_they_lie() {
        let typed = |types: &str| Some(TypedRows { types: types.parse().unwrap(), chosen: false });
        let csv = RowFormat::Csv(CsvDialect::new().with_text_or_nothing());
        let job = |types: &str| Convert::new(csv.clone(), typed(types), None);
        let rows = b"id,price,day\n007,1.50,2026-11-22\n,,\n";
        let text = check_job(&job("price decimal(5,3), id int, day date, no text"), rows, &[1]).unwrap();
        assert_eq!(text, "1.500\t7\t2026-11-22\t\n\t\t\t\n");
        assert_eq!(
            check_job(&job("id text, price text, day text"), rows, &[1]).unwrap().lines().next(),
            Some("007\t1.50\t2026-11-22")
        );
        let error = check_job(&job("id int, price int, day date"), rows, &[1]).unwrap_err().to_string();
        assert!(error.contains("at byte 13") && error.contains("column price is int, and \"1.50\" is not"), "{error}");
        let error = check_job(&job("id int, price text"), rows, &[1]).unwrap_err().to_string();
        assert!(error.contains("a column day"), "{error}");
    }

    fn by_town(format: RowFormat) -> Convert {
        let folders = OutputFormat::json_lines().with_partition_by(["town"]);
        Convert::new(format, None, Some(folders))
    }

    #[test]
    fn rows_of_a_folder_come_one_behind_the_other() {
        let rows: String = (0..60).map(|n| format!("{{\"n\":{n},\"town\":\"T{}\"}}\n", n % 3)).collect();
        let text = check_job(&by_town(RowFormat::JsonLines), rows.as_bytes(), &[1]).unwrap();
        let towns: Vec<_> = text.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        assert!(towns.is_sorted() && towns.len() == 60, "{text}");
        let numbers = text.lines().filter(|line| line.ends_with("T1")).map(|line| line.split_once('\t').unwrap().0);
        assert!(numbers.eq((0..20).map(|n| (3 * n + 1).to_string())), "{text}");
        let error =
            check_job(&by_town(RowFormat::JsonLines), b"{\"n\":1,\"town\":\"a\"}\n{\"n\":2}\n", &[1]).unwrap_err();
        assert!(error.is(Code::OutputColumns) && error.to_string().contains("at byte 19"), "{error}");
    }

    #[test]
    fn keys_of_rows_come_back_and_sort_as_folders_objects_and_offsets() {
        let at = |folder: &str, place, object: &str, offset| RowsAt {
            folder: folder.into(),
            place,
            object: object.into(),
            offset,
        };
        let keys = [
            at("", 0, "", 0),
            at("", 0, "a", 7),
            at("", 1, "", 0),
            at("a=1/", 0, "\0", 1),
            at("a=1/", 0, "b", 255),
            at("a=1/", 0, "b", 256),
            at("a=1/", 300, "a", 0),
            at("a=1/b=é/", 0, "a", 0),
            at("a=10/", 0, "", 0),
        ];
        assert!(keys.is_sorted());
        let encoded = keys.clone().map(|key| {
            let mut bytes = Vec::new();
            key.encode(&mut bytes).unwrap();
            assert_eq!(RowsAt::decode(&bytes).unwrap(), key);
            assert_eq!(placing(&bytes), Placing { bytes: key.folder.len() + 1, further: key.place });
            (0..bytes.len()).for_each(|cut| assert!(RowsAt::decode(&bytes[..cut]).is_err(), "{key:?} cut at {cut}"));
            bytes
        });
        assert!(encoded.is_sorted());
    }

    #[test]
    fn a_folder_that_has_much_of_the_data_is_spread_and_others_are_not() {
        // The first of ten folders has half of the rows, the others share the rest, in an object of many parts and batches.
        let (partitions, mut spread) = (8, vec![HashMap::<u32, u64>::new(); 10]);
        let mut seen = Seen::default();
        for batch in 0..640u64 {
            let mut held = Held::default();
            for n in 0..600u64 {
                let folder = if n % 2 == 0 { 0 } else { 1 + n / 2 % 9 };
                let value = Datum::Text("x".repeat(200).into());
                held.push(&folder.to_string(), n, &[Named { name: "v".into(), value }]).unwrap();
            }
            let places = seen.add(&held, partitions);
            for (folder, rows) in held.folders {
                let place = place("s3://b/k", batch / 10, places.get(&folder).copied().unwrap_or(1));
                *spread[folder.parse::<usize>().unwrap()].entry(place).or_default() += rows.bytes as u64;
            }
        }
        let all: u64 = spread.iter().flat_map(HashMap::values).sum();
        assert!((3..=4).contains(&spread[0].len()), "{:?}", spread[0]);
        assert!(spread[1..].iter().all(|places| places.len() == 1));
        let most = spread.iter().flat_map(HashMap::values).max().unwrap();
        assert!(*most < all / u64::from(partitions) * 2, "{spread:?}");
    }

    #[test]
    fn a_value_of_a_path_is_what_is_written_there_or_left_out() {
        let (types, object) = ("a int, v text".parse::<Types>().unwrap(), "s3://b/v=1.50/w=x/a.csv");
        let fields = || {
            let named = |name: &'static str, value| Named { name: name.into(), value };
            vec![named("a", Datum::Int(1)), named("v", Datum::Float(1.5)), named("w", Datum::Text("x".into()))]
        };
        let chosen = TypedRows { types: types.clone(), chosen: true };
        let values: Vec<_> =
            chosen.row(fields(), &of_path(object)).unwrap().into_iter().map(|field| field.value).collect();
        assert_eq!(values, [Datum::Int(1), Datum::Text("1.50".into())]);
        assert!(TypedRows { types, chosen: false }.row(fields(), &of_path(object)).is_err());
    }
}
