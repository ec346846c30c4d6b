//! Looking at objects before they are cut: whether they are compressed, and where they may be cut then.
//!
//! Of Parquet, the footer is read, which says where row groups start: cut anywhere else, there would be splits in which none does.
//!
//! Only an object that is larger than a split is looked at, by a GET of its first bytes, as many at once as
//! [`LOOKS_AT_ONCE`]. Of a small one, which is read as a whole, the mapper sees the first bytes anyway; but if its name says that
//! it is what cannot be read, the job need not begin.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kinglet_aws::Objects;
use kinglet_aws::objects::Listed;
use kinglet_core::cost::pieces;
use kinglet_core::wire::spec::{JobSpec, Splitting};
use kinglet_core::{ByteRange, Codec, Result};
use kinglet_formats::row_groups::FooterReader;
use kinglet_formats::{Cutting, cutting, read_seek_table, seek_table_bytes};

/// How many objects are looked at at once.
const LOOKS_AT_ONCE: usize = 64;

/// For how many objects looks are made beforehand.
const LOOKS_MADE: usize = 16 * LOOKS_AT_ONCE;

/// How many first bytes are looked at: the magic of any codec, and the header of a BGZF block.
const FIRST_BYTES: u64 = 64;

/// How many last bytes say whether there is a seek table.
const LAST_BYTES: u64 = 9;

/// What is known of an object when it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How it is compressed; `None` if only the mapper will see.
    pub(crate) codec: Option<Codec>,
    /// Whether it is compressed, as far as its name or the job says.
    pub(crate) is_packed: bool,
    pub(crate) places: Places,
}

/// Where an object may be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    Anywhere,
    At(Vec<u64>),
    Nowhere,
}

impl Seen {
    /// What is known of an object that is not looked at.
    fn small(codec: Option<Codec>, named: Option<Codec>) -> Self {
        let is_packed = codec.or(named).is_some_and(|codec| codec != Codec::None);
        Seen { codec, is_packed, places: Places::Anywhere }
    }

    /// What is known of an object that is not compressed.
    pub(crate) fn plain() -> Self {
        Seen { codec: Some(Codec::None), is_packed: false, places: Places::Anywhere }
    }
}

/// Looks at all objects that are listed, and returns what was seen, in the same order.
pub(crate) async fn look(
    objects: &Objects,
    spec: &JobSpec,
    listed: &[(u32, Listed)],
    split_bytes: u64,
) -> Result<Vec<Seen>> {
    let mut seen = Vec::with_capacity(listed.len());
    // A look that waits takes far more memory than an object in a listing, of which there may be a million.
    for some in listed.chunks(LOOKS_MADE) {
        let looks: Vec<_> =
            some.iter().map(|(input_idx, object)| look_at(objects, spec, *input_idx, object, split_bytes)).collect();
        let found: Vec<Seen> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        seen.extend(found);
    }
    Ok(seen)
}

async fn look_at(objects: &Objects, spec: &JobSpec, input_idx: u32, object: &Listed, split_bytes: u64) -> Result<Seen> {
    let (unpack, splitting) = (spec.unpack_of(input_idx), spec.splitting_of(input_idx));
    if splitting == Splitting::RowGroups {
        let places = match pieces(object.size, split_bytes) {
            0 | 1 => Places::Anywhere,
            _ => row_groups(objects, spec, input_idx, object).await?,
        };
        return Ok(Seen { places, ..Seen::plain() });
    }
    let whole = splitting == Splitting::Nowhere;
    let Some(input) = spec.inputs.get(input_idx as usize).filter(|_| unpack.codec != Some(Codec::None)) else {
        let seen = Seen::plain();
        return Ok(if whole { Seen { places: Places::Nowhere, ..seen } } else { seen });
    };
    let shown = input.shown_key(&object.key);
    let named = if unpack.codec.is_none() && object.size > 0 { Codec::named(&shown)? } else { None };
    if pieces(object.size, split_bytes) <= 1 {
        return Ok(Seen::small(unpack.codec, named));
    }
    let read = async |range: ByteRange| read_range(objects, &input.bucket, object, range, &shown).await;
    let first = read(ByteRange { from: 0, to: FIRST_BYTES.min(object.size) }).await?;
    let codec = match unpack.codec {
        Some(codec) => codec,
        None => Codec::of(&shown, &first)?,
    };
    let seen = |places| Seen { codec: Some(codec), is_packed: codec != Codec::None, places };
    if whole || (unpack.whole && codec != Codec::None) {
        return Ok(seen(Places::Nowhere));
    }
    let from_end = |bytes: u64| ByteRange { from: object.size.saturating_sub(bytes), to: object.size };
    Ok(seen(match cutting(codec, &first) {
        Cutting::Anywhere => Places::Anywhere,
        Cutting::Nowhere => Places::Nowhere,
        Cutting::BySeekTable => {
            let last = read(from_end(LAST_BYTES)).await?;
            let table = match seek_table_bytes(&last).filter(|bytes| *bytes <= object.size) {
                Some(bytes) => read_seek_table(&read(from_end(bytes)).await?, object.size),
                None => None,
            };
            table.map_or(Places::Nowhere, Places::At)
        }
    }))
}

async fn read_range(
    objects: &Objects,
    bucket: &str,
    object: &Listed,
    range: ByteRange,
    shown: &str,
) -> Result<Vec<u8>> {
    objects.read(bucket, &object.key, Some(&object.etag), range.from, range.to, shown).all().await
}

/// Returns where the row groups of an object start.
async fn row_groups(objects: &Objects, spec: &JobSpec, input_idx: u32, object: &Listed) -> Result<Places> {
    let Some(input) = spec.inputs.get(input_idx as usize) else { return Ok(Places::Anywhere) };
    let shown = input.shown_key(&object.key);
    let read = |range| read_range(objects, &input.bucket, object, range, &shown);
    let file = FooterReader::new(&shown, object.size).read(read).await?;
    let groups = file.row_groups(ByteRange { from: 0, to: object.size });
    Ok(Places::At(groups.iter().map(|group| group.from).collect()))
}
