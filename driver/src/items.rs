//! Items that a driver makes: they are encoded, cut into splits, and written to the work bucket.

use crate::{Code, Error, Result, Value};
use bytes::Bytes;
use kinglet_aws::Conductor;
use kinglet_aws::upload::Upload;
use kinglet_core::budget::WAVES;
use kinglet_core::ids::JobId;
use kinglet_core::limits;
use kinglet_core::wire::items::Writer;
use kinglet_core::wire::spec::{InputSpec, ItemsSpec, Objects};

/// How items are cut into splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemCuts {
    /// Evenly, into about [`WAVES`] tasks for each function that can run at once.
    Even,
    /// This many for each task.
    PerSplit(usize),
    /// Tasks of about the same weight.
    Weights(Vec<u64>),
}

/// How many bytes of the object are handed to the upload at once.
const PUSH_BYTES: usize = 8 << 20;

/// Encoded items, ready to be written.
pub(crate) struct Made {
    writer: Writer,
    /// The last item of each split.
    last: Vec<usize>,
}

/// Items that are written.
pub(crate) struct Written {
    /// The items as a job's input.
    pub(crate) input: InputSpec,
    pub(crate) spec: ItemsSpec,
    /// The end of each split: the position after its last byte.
    pub(crate) ends: Vec<u64>,
}

impl Made {
    pub(crate) fn new<T: Value>(items: impl IntoIterator<Item = T>, cuts: &ItemCuts, concurrency: u32) -> Result<Self> {
        let mut writer = Writer::new();
        for item in items {
            writer.push(&item)?;
        }
        Self::of(writer, cuts, concurrency)
    }

    /// Takes items that are already encoded, and cuts them.
    pub(crate) fn of(writer: Writer, cuts: &ItemCuts, concurrency: u32) -> Result<Self> {
        if writer.count() == 0 {
            return Err(Error::new(Code::InputMissing, "there are no items").with_hint("give it at least one"));
        }
        let last = cut(writer.count(), cuts, concurrency)?;
        if last.len() as u64 > limits::MAP_TASKS_MAX {
            let (items, tasks) = (writer.count(), last.len());
            let message = format!("{items} items make {tasks} tasks; the most is {}", limits::MAP_TASKS_MAX);
            return Err(
                Error::new(Code::Items, message).with_hint("put more items into a split (`with_items_per_split`)")
            );
        }
        Ok(Made { writer, last })
    }

    /// Returns how many bytes each split has.
    pub(crate) fn split_bytes(&self) -> impl Iterator<Item = u64> + '_ {
        let ends = self.last.iter().map(|last| self.writer.ends()[*last]);
        ends.scan(0, |from, end| Some(end - std::mem::replace(from, end)))
    }

    /// Writes the object, and returns where it is.
    pub(crate) async fn write(self, conductor: &Conductor, job: &JobId) -> Result<Written> {
        let items = self.writer.count() as u64;
        let items_bytes = self.writer.ends().last().copied().unwrap_or(0);
        let splits = self.last.len() as u32;
        let ends = self.last.iter().map(|last| self.writer.ends()[*last]).collect();
        let mut bytes = Bytes::from(self.writer.finish(&self.last));
        let (bucket, key) = (conductor.stack.work_bucket.clone(), Conductor::items_key(job));
        let mut upload = Upload::new(&conductor.objects, &bucket, &key);
        while !bytes.is_empty() {
            upload.push(bytes.split_to(PUSH_BYTES.min(bytes.len()))).await?;
        }
        let etag = upload.finish().await?;
        let spec = ItemsSpec { key, etag, items, items_bytes, splits };
        let objects = Objects::Items(spec.clone());
        Ok(Written { input: InputSpec { bucket, objects, shown: "items".to_owned(), root: None }, spec, ends })
    }
}

/// Returns the last item of each split.
fn cut(count: usize, cuts: &ItemCuts, concurrency: u32) -> Result<Vec<usize>> {
    let tasks = (concurrency.max(1) as usize).saturating_mul(WAVES as usize).min(count);
    match cuts {
        // Sizes differ by one at most; `count / tasks` each would leave a short last split.
        ItemCuts::Even => Ok((1..=tasks).map(|n| n * count / tasks - 1).collect()),
        ItemCuts::PerSplit(0) => Err(Error::new(Code::ItemsPerSplit, "a split of 0 items holds nothing")
            .with_hint("put one item or more into a split, or leave the choice to Kinglet")),
        ItemCuts::PerSplit(each) => Ok((1..=count.div_ceil(*each)).map(|n| (n * each).min(count) - 1).collect()),
        ItemCuts::Weights(weights) if weights.len() != count => {
            let message = format!("{} weights were given for {count} items", weights.len());
            Err(Error::new(Code::ItemWeights, message).with_hint("give one weight for each item, in the same order"))
        }
        ItemCuts::Weights(weights) => Ok(cut_by_weight(weights, tasks)),
    }
}

/// Cuts items into at most `tasks` splits of whole items, in order, so that the heaviest split is as light as possible. Its
/// weight is found by halving the interval that it lies in.
fn cut_by_weight(weights: &[u64], tasks: usize) -> Vec<usize> {
    let fill = |most: u128| {
        let (mut last, mut held) = (Vec::new(), 0);
        for (n, weight) in weights.iter().map(|weight| u128::from(*weight)).enumerate() {
            if n > 0 && held + weight > most {
                last.push(n - 1);
                held = 0;
            }
            held += weight;
        }
        last.push(weights.len() - 1);
        last
    };
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let (mut low, mut high) = (weights.iter().max().copied().unwrap_or(0).into(), total);
    while low < high {
        let middle = low + (high - low) / 2;
        if fill(middle).len() <= tasks { high = middle } else { low = middle + 1 }
    }
    fill(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_cut_evenly_by_number_or_by_weight() {
        let cut = |count, cuts| cut(count, &cuts, 2).unwrap();
        assert_eq!(cut(10, ItemCuts::Even), [0, 1, 2, 4, 5, 6, 7, 9]);
        assert_eq!(cut(3, ItemCuts::Even), [0, 1, 2]);
        assert_eq!(cut(10, ItemCuts::PerSplit(4)), [3, 7, 9]);
        assert_eq!(cut(4, ItemCuts::PerSplit(4)), [3]);
        assert_eq!(cut(3, ItemCuts::PerSplit(usize::MAX)), [2]);
        // Weights that grow, so later splits hold fewer items.
        let last = cut(100, ItemCuts::Weights((1..=100).collect()));
        assert_eq!((last.len(), last.last()), (8, Some(&99)));
        assert!(last.windows(3).all(|w| w[2] - w[1] <= w[1] - w[0]), "{last:?}");
        assert_eq!(cut(3, ItemCuts::Weights(vec![0, 0, 0])), [2]);
        assert_eq!(cut(3, ItemCuts::Weights(vec![u64::MAX; 3])), [0, 1, 2]);
    }

    #[test]
    fn what_cannot_be_cut_is_said() {
        let code = |cuts| cut(2, &cuts, 2).unwrap_err().code().to_owned();
        assert_eq!(code(ItemCuts::PerSplit(0)), "items-per-split");
        assert_eq!(code(ItemCuts::Weights(vec![1])), "item-weights");
        let error = Made::new([0u8; 0], &ItemCuts::Even, 1).err().unwrap();
        assert_eq!(error.code(), "input-missing");
        let error = Made::new(0..100_001u32, &ItemCuts::PerSplit(1), 1).err().unwrap();
        assert_eq!(error.code(), "items");
        assert!(error.hint().unwrap().contains("with_items_per_split"));
    }
}
