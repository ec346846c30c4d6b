//! Groups rows by the values of some columns, and computes counts, sums and the like of each group. Without something to compute,
//! the result is the distinct values of these columns.
//!
//! The values of a group are the key of its pairs ([`encode_key`]), and what was computed so far is their value, which combiners
//! merge. Each batch of rows has a table of its groups first, so that most pairs are never made. The result does not depend on the
//! order of rows, on splits or on retries: sums of floats are exact until their last rounding.

mod computed;
mod sum;

pub use computed::{Computed, Function};

use hashbrown::HashMap;
use kinglet_core::{
    Batch, Batches, Code, Combiner, DECIMAL_DIGITS_MAX, DataRow, Datum, Emitter, Error, Job, KeyOrder, Kind, Named,
    Only, Picked, PlacedBy, Placing, Result, RowFormat, Sink, TypedColumn, Types, UserResult, ValueType, Values, Width,
    decode_key, encode_key, key_bytes,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use sum::{Refused, Sum};

/// How many groups the table of a batch has at most; then they are emitted.
const GROUPS_MAX: usize = 1 << 16;

/// The job; see the module. Groups are sorted by their columns within a part, those without a value last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Aggregate {
    format: RowFormat,
    by: Vec<String>,
    computed: Vec<Computed>,
    only: Vec<Only>,
    /// How many of the first columns of `by` decide the partition of a group; 0: all.
    placed_by: usize,
}

impl Aggregate {
    /// Computes all this of each group of rows with the same values in the columns `by`; of all rows, if there are none.
    ///
    /// # Errors
    /// Returns `aggregate` when there is neither a column nor something to compute, or when two columns of the result have one
    /// name.
    pub fn new(format: RowFormat, by: Vec<String>, computed: Vec<Computed>) -> Result<Self> {
        let job = Aggregate { format, by, computed, only: Vec::new(), placed_by: 0 };
        let names = job.names();
        if names.is_empty() {
            return Err(Error::new(Code::Aggregate, "there is nothing to compute, and no column to group by")
                .with_hint("say what to compute, as count(), or name columns to group by"));
        }
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, twice)) => {
                Err(Error::new(Code::Aggregate, format!("two columns of the result would be called {twice:?}"))
                    .with_hint("give one of them another name, as in sum(price) as total"))
            }
            None => Ok(job),
        }
    }

    /// Leaves out rows of which this does not hold, and those of which what was said before does not.
    #[must_use]
    pub fn with_only(mut self, only: Only) -> Self {
        self.only.push(only);
        self
    }

    /// Brings the groups of each folder together, for a result that is partitioned by these columns: they come first in the order of
    /// groups, and all groups of a folder are one task's. If one of them is computed, groups stay as they are.
    #[must_use]
    pub fn with_folders(mut self, columns: &[String]) -> Self {
        if columns.iter().all(|column| self.by.contains(column)) {
            let place = |name: &String| columns.iter().position(|column| column == name).unwrap_or(columns.len());
            self.by.sort_by_key(place);
            self.placed_by = columns.len();
        }
        self
    }

    /// Returns the names of the result's columns: those that rows are grouped by, and then what is computed.
    pub fn names(&self) -> Vec<&str> {
        self.by.iter().map(String::as_str).chain(self.computed.iter().map(|computed| &computed.name[..])).collect()
    }

    /// Returns the types of the result's columns, for a result that stores them, by those of the columns that are read.
    ///
    /// | column | type |
    /// |---|---|
    /// | of `by`; `min`, `max` | that of its column |
    /// | `count` | `bigint` |
    /// | `sum` of whole numbers; of decimals | `decimal(38,0)`; `decimal(38,S)`, with as many digits behind the point |
    /// | `sum` of anything else; `avg` | `double` |
    ///
    /// What `known` says counts instead.
    ///
    /// # Errors
    /// Returns `types` when `known` has a column that the result has not.
    pub fn types(&self, read: &Types, known: &Types) -> Result<Types> {
        let names = self.names();
        if let Some(other) = known.names().find(|name| !names.contains(name)) {
            let message = format!("the result has no column {other}; its columns are {}", names.join(", "));
            return Err(Error::new(Code::Types, message).with_hint("name columns of the result in --types"));
        }
        let of = |column: &String| read.of(column).cloned().unwrap_or(ValueType::Text);
        let by = self.by.iter().map(|name| (name, of(name)));
        let computed = self.computed.iter().map(|computed| {
            let of = computed.column.as_ref().map(of);
            let stored = match (computed.function, of) {
                (Function::Count, _) => ValueType::Whole(Width::I64),
                (Function::Sum, Some(ValueType::Whole(_))) => {
                    ValueType::Decimal { precision: DECIMAL_DIGITS_MAX, scale: 0 }
                }
                (Function::Sum, Some(ValueType::Decimal { scale, .. })) => {
                    ValueType::Decimal { precision: DECIMAL_DIGITS_MAX, scale }
                }
                (Function::Sum | Function::Avg, _) => ValueType::Double,
                (Function::Min | Function::Max, of) => of.unwrap_or(ValueType::Text),
            };
            (&computed.name, stored)
        });
        let typed = by
            .chain(computed)
            .map(|(name, of)| TypedColumn { name: name.clone(), of: known.of(name).cloned().unwrap_or(of) });
        Types::new(typed.collect())
    }

    /// Returns the columns that are read, each once, those of `by` first.
    pub fn columns(&self) -> Vec<&String> {
        let mut columns: Vec<&String> = self.by.iter().collect();
        for column in self.computed.iter().filter_map(|computed| computed.column.as_ref()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// Returns the columns on whose types those of the result depend, each once, where it has columns of `known` types.
    pub fn columns_to_type(&self, known: &Types) -> Vec<&String> {
        let mut columns: Vec<&String> = self.by.iter().filter(|name| known.of(name).is_none()).collect();
        for Computed { function, column, name, .. } in &self.computed {
            let depends = !matches!(function, Function::Count | Function::Avg) && known.of(name).is_none();
            if let Some(column) = column.as_ref().filter(|column| depends && !columns.contains(column)) {
                columns.push(column);
            }
        }
        columns
    }

    fn no_rows(&self) -> Group {
        let state = |computed: &Computed| match computed.function {
            Function::Count => State::Count(0),
            Function::Sum | Function::Avg => State::Sum(Sum::default()),
            Function::Min => State::Min(None),
            Function::Max => State::Max(None),
        };
        Group { kinds: vec![Kind::default(); self.by.len()], states: self.computed.iter().map(state).collect() }
    }

    /// Adds a row to what was computed of its group. `places` says where the column of each computed value is in the row.
    fn add(
        &self,
        states: &mut [State],
        row: &[Datum<'_>],
        places: &[Option<usize>],
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        for ((state, computed), place) in states.iter_mut().zip(&self.computed).zip(places) {
            let value = place.and_then(|at| row.get(at));
            if value == Some(&Datum::Null) {
                continue;
            }
            match (state, value) {
                (State::Count(count), _) => *count += 1,
                (State::Sum(sum), Some(value)) => sum.add(value).map_err(|refused| refuse(refused, computed, value))?,
                (State::Min(least), Some(value)) => keep(least, value, scratch, false),
                (State::Max(most), Some(value)) => keep(most, value, scratch, true),
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn result(&self, key: &[u8], group: &Group) -> Result<DataRow<'static>> {
        let mut left = key;
        let mut fields = Vec::with_capacity(self.by.len() + self.computed.len());
        for (name, kind) in self.by.iter().zip(&group.kinds) {
            let value = decode_key(&mut left, KeyOrder::default(), *kind)?;
            fields.push(Named { name: name.clone().into(), value });
        }
        for (computed, state) in self.computed.iter().zip(&group.states) {
            let too_large = |_| {
                let message = format!("{} is too large: more than 38 digits, or 2^960", computed.name);
                Error::new(Code::SumTooLarge, message)
            };
            let value = match state {
                State::Count(count) => (*count).into(),
                State::Sum(sum) if computed.function == Function::Avg => sum.mean().map_err(too_large)?,
                State::Sum(sum) => sum.total().map_err(too_large)?,
                State::Min(kept) | State::Max(kept) => match kept {
                    Some(Extreme { bytes, kind }) => decode_key(&mut &bytes[..], KeyOrder::default(), *kind)?,
                    None => Datum::Null,
                },
            };
            fields.push(Named { name: computed.name.clone().into(), value });
        }
        Ok(DataRow { fields })
    }
}

/// What was computed of a group so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// How the values of the key are written.
    kinds: Vec<Kind>,
    states: Vec<State>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Count(u64),
    Sum(Sum),
    Min(Option<Extreme>),
    Max(Option<Extreme>),
}

/// A value, as a key: keys sort as values do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Extreme {
    bytes: Vec<u8>,
    kind: Kind,
}

/// Keeps the larger of two values, or the smaller one.
fn keep(kept: &mut Option<Extreme>, value: &Datum<'_>, scratch: &mut Vec<u8>, largest: bool) {
    scratch.clear();
    let kind = encode_key(value, KeyOrder::default(), scratch);
    let is_better = kept.as_ref().is_none_or(|kept| {
        let order = (&scratch[..], kind).cmp(&(&kept.bytes[..], kept.kind));
        if largest { order.is_gt() } else { order.is_lt() }
    });
    if is_better {
        let kept = kept.get_or_insert_with(|| Extreme { bytes: Vec::new(), kind });
        kept.bytes.clone_from(scratch);
        kept.kind = kind;
    }
}

/// Merges what was computed of a group in two places.
fn merge(group: &mut Group, other: Group) {
    for (kind, other) in group.kinds.iter_mut().zip(other.kinds) {
        *kind = (*kind).max(other);
    }
    for (state, other) in group.states.iter_mut().zip(other.states) {
        match (state, other) {
            (State::Count(count), State::Count(more)) => *count += more,
            (State::Sum(sum), State::Sum(more)) => sum.merge(more),
            (State::Max(most), State::Max(other)) if other > *most => *most = other,
            (State::Min(least), State::Min(Some(other))) if least.as_ref().is_none_or(|least| other < *least) => {
                *least = Some(other);
            }
            _ => {}
        }
    }
}

fn refuse(refused: Refused, computed: &Computed, value: &Datum<'_>) -> Error {
    let shown = serde_json::to_string(value).unwrap_or_default();
    match refused {
        Refused::NoNumber => Error::new(Code::NotSummed, format!("{}: the value {shown} is no number", computed.name))
            .with_hint("mend the input, or leave such rows out"),
        Refused::TooLarge => {
            let message = format!("{}: with {shown} it has more than 38 digits, or more than 2^960", computed.name);
            Error::new(Code::SumTooLarge, message)
        }
    }
}

impl Job for Aggregate {
    const NAME: &'static str = "aggregate";
    type Input = Batches<Picked>;
    type Key = Vec<u8>;
    type Value = Group;
    type Output = DataRow<'static>;

    fn input(&self) -> Self::Input {
        let picked = Picked::new(self.format.clone(), self.columns());
        Batches(self.only.iter().cloned().fold(picked, Picked::with_only))
    }

    fn map(&self, batch: Batch<'_, Picked>, out: &mut Emitter<'_, Vec<u8>, Group>) -> UserResult {
        let columns = self.columns();
        let place = |column: &String| columns.iter().position(|other| *other == column);
        let places: Vec<_> = self.computed.iter().map(|computed| computed.column.as_ref().and_then(place)).collect();
        let mut groups: HashMap<Vec<u8>, Group> = HashMap::new();
        let (mut key, mut kinds, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        batch.for_each(|row| {
            key.clear();
            kinds.clear();
            let by = row.iter().take(self.by.len());
            kinds.extend(by.map(|value| encode_key(value, KeyOrder::default(), &mut key)));
            if let Some(group) = groups.get_mut(&key) {
                group.kinds.iter_mut().zip(&kinds).for_each(|(kind, other)| *kind = (*kind).max(*other));
                return Ok(self.add(&mut group.states, &row, &places, &mut scratch)?);
            }
            let mut group = Group { kinds: kinds.clone(), ..self.no_rows() };
            self.add(&mut group.states, &row, &places, &mut scratch)?;
            groups.insert(key.clone(), group);
            if groups.len() < GROUPS_MAX {
                return Ok(());
            }
            groups.drain().try_for_each(|(key, group)| out.emit(key, group))
        })?;
        groups.into_iter().try_for_each(|(key, group)| out.emit(key, group))
    }

    fn placed_by(&self) -> Option<PlacedBy> {
        let columns = self.placed_by;
        (columns > 0)
            .then(|| Arc::new(move |key: &[u8]| Placing::by(key_bytes(key, KeyOrder::default(), columns))) as PlacedBy)
    }

    fn combiner(&self) -> Option<Combiner<Group>> {
        Some(Combiner::new(merge))
    }

    fn reduce(&self, key: Vec<u8>, groups: Values<'_, Group>, out: &mut Sink<'_, DataRow<'static>>) -> UserResult {
        let mut all: Option<Group> = None;
        for group in groups {
            match &mut all {
                Some(all) => merge(all, group),
                none => *none = Some(group),
            }
        }
        out.push(&self.result(&key, &all.unwrap_or_else(|| self.no_rows()))?)
    }

    fn reduce_nothing(&self, out: &mut Sink<'_, DataRow<'static>>) -> UserResult {
        // Of all rows there is one group, even if there are none.
        if self.by.is_empty() { out.push(&self.result(&[], &self.no_rows())?) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::{CsvDialect, check_job};

    const SALES: &str = "town,item,price,day\n\
        Ulm,a,1.5,2026-01-02\n\
        Perth,b,2,2026-01-01\n\
        Ulm,b,,2025-12-31\n\
        ,a,0.25,2026-02-01\n\
        Ulm,a,3,\n";

    fn aggregate(by: &[&str], computed: &str, csv: &str) -> Result<String> {
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        let format = RowFormat::Csv(CsvDialect::new());
        let job = Aggregate::new(format, by, Computed::parse_all(computed)?)?;
        check_job(&job, csv.as_bytes(), &[1])
    }

    #[test]
    fn groups_have_counts_sums_means_and_extremes() {
        let all = "count(), count(price), sum(price), avg(price), min(price), max(day)";
        let text = aggregate(&["town"], all, SALES).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        let want = [
            "\t1\t1\t0.25\t0.25\t0.25\t2026-02-01",
            "Perth\t1\t1\t2\t2\t2\t2026-01-01",
            "Ulm\t3\t2\t4.5\t2.25\t1.5\t2026-01-02",
        ];
        assert_eq!(lines, want);
        assert_eq!(aggregate(&[], all, SALES).unwrap(), "5\t4\t6.75\t1.6875\t0.25\t2026-02-01\n");
    }

    #[test]
    fn no_rows_are_one_group_or_none() {
        assert_eq!(aggregate(&[], "count(), sum(price), min(day)", "town,price,day\n").unwrap(), "0\t\t\n");
        assert_eq!(aggregate(&["town"], "count()", "town,price\n").unwrap(), "");
    }

    #[test]
    fn distinct_values_are_groups_without_anything_computed() {
        assert_eq!(aggregate(&["item"], "", SALES).unwrap(), "a\nb\n");
        // As numbers they are one, and are written as what shows all.
        assert_eq!(aggregate(&["n"], "count()", "n,m\n1,\n1.0,\n2,\n1e0,\n").unwrap(), "1\t3\n2\t1\n");
    }

    #[test]
    fn groups_of_a_folder_come_together() {
        let by = ["item", "town"].map(str::to_owned).to_vec();
        let job =
            Aggregate::new(RowFormat::Csv(CsvDialect::new()), by, Computed::parse_all("count()").unwrap()).unwrap();
        assert!(job.placed_by().is_none());
        let text = |job: &Aggregate| check_job(job, SALES.as_bytes(), &[1]).unwrap();
        assert_eq!(text(&job), "a\tUlm\t2\na\t\t1\nb\tPerth\t1\nb\tUlm\t1\n");
        let foldered = job.clone().with_folders(&["town".to_owned()]);
        assert_eq!(text(&foldered), "Perth\tb\t1\nUlm\ta\t2\nUlm\tb\t1\n\ta\t1\n");
        let placed_by = foldered.placed_by().unwrap();
        let mut key = Vec::new();
        encode_key(&Datum::Text("Ulm".into()), KeyOrder::default(), &mut key);
        let town = key.len();
        encode_key(&Datum::Null, KeyOrder::default(), &mut key);
        assert_eq!((placed_by(&key), placed_by(&key[..2])), (Placing::by(town), Placing::by(2)));
        assert!(job.with_folders(&["town".to_owned(), "count()".to_owned()]).placed_by().is_none());
    }

    #[test]
    fn what_cannot_be_computed_is_refused() {
        let code = |by: &[&str], computed| aggregate(by, computed, SALES).unwrap_err();
        assert!(code(&[], "").is(Code::Aggregate));
        assert!(code(&["town", "town"], "").is(Code::Aggregate));
        assert!(code(&[], "sum(price), sum(price)").is(Code::Aggregate));
        assert!(code(&["twon"], "").is(Code::ColumnMissing));
        let error = code(&[], "sum(day)");
        assert!(
            error.is(Code::NotSummed) && error.to_string().contains("sum(day): the value \"2026-01-02\""),
            "{error}"
        );
    }
}
