//! Writes rows in another format: each row's values by the names of its columns, in the order of objects and offsets within a part.
//!
//! Where the result stores the types of its columns, as Parquet does, values are made what these are as they are read, so that what does
//! not fit fails the job by object and offset.
//!
//! Rows travel in blocks of some hundred kilobytes, so hardly anything is sorted, and names travel once for all rows of a block.

use kinglet_core::{
    Batch, Batches, BlockRow, Datum, Emitter, Job, Located, Named, PathPart, RowBlock, RowFormat, Rows, Sink, Types,
    UserResult, Values, cast_row,
};
use serde::{Deserialize, Serialize};

/// About how many bytes of rows make one pair.
const BLOCK_BYTES: usize = 256 << 10;

/// The job; see the module. What the rows are written as is the output's format.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Convert {
    /// The format of the rows that are read.
    pub format: RowFormat,
    /// The columns of the result, if it stores their types.
    pub typed: Option<TypedRows>,
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
    pub(super) fn row<'a>(
        &'a self,
        mut fields: Vec<Named<'a>>,
        of_path: &[Named<'a>],
    ) -> kinglet_core::Result<Vec<Named<'a>>> {
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
    type Key = (String, u64);
    type Value = RowBlock;
    type Output = BlockRow;

    fn input(&self) -> Self::Input {
        Batches(Located(Rows(self.format.clone())))
    }

    fn map(&self, batch: Batch<'_, Located<Rows>>, out: &mut Emitter<'_, (String, u64), RowBlock>) -> UserResult {
        let object = batch.extent().object;
        let of_path = of_path(object);
        let (mut block, mut start) = (RowBlock::default(), 0);
        batch.for_each(|row| {
            if block.is_empty() {
                start = row.offset;
            }
            match &self.typed {
                None => block.push(&row.record.fields)?,
                Some(typed) => block.push(&typed.row(row.record.fields, &of_path)?)?,
            }
            if block.len() < BLOCK_BYTES {
                return Ok(());
            }
            out.emit((object.to_owned(), start), std::mem::take(&mut block))
        })?;
        if block.is_empty() { Ok(()) } else { out.emit((object.to_owned(), start), block) }
    }

    fn reduce(&self, _: (String, u64), blocks: Values<'_, RowBlock>, out: &mut Sink<'_, BlockRow>) -> UserResult {
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
        let job = Convert { format: RowFormat::Csv(CsvDialect::new()), typed: None };
        let text = check_job(&job, format!("id,text,share\n{csv}").as_bytes(), &[1]).unwrap();
        assert!(text.starts_with("0\ta\n0\t0\n1\ta\n1\t0.125\n"), "{text}");
        let job = Convert { format: RowFormat::JsonLines, typed: None };
        let text = check_job(&job, b"{\"a\": 1}\n{\"b\": [true, {\"c\": null}]}\n7\n", &[1]).unwrap();
        assert_eq!(text, "1\n[true,{\"c\":null}]\n7\n");
    }

    #[test]
    fn values_are_made_what_their_columns_are_or_fail_where_they_lie() {
        let typed = |types: &str| Some(TypedRows { types: types.parse().unwrap(), chosen: false });
        let csv = RowFormat::Csv(CsvDialect::new().with_text_or_nothing());
        let job = |types: &str| Convert { format: csv.clone(), typed: typed(types) };
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
