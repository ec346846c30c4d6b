//! Some columns of rows, in an order that the program gives: what is not asked for is not made.

use super::columns::{BlockExtent, Cells, Columns, Only, Selection, WantedOfAny};
use super::{RowFormat, Rows, columns};
use crate::error::{Error, UserError, UserResult};
use crate::format::csv::{for_each_fields, missing_column};
use crate::format::{Datum, Extent, Format, Framing, Named, by_rows_only};
use std::borrow::Cow;

/// Rows of a format that is chosen when the program runs, of each the values of these columns, in this order.
///
/// A column is one of those that [`Rows`](super::Rows) has under this name, the values that paths say included. Where rows of JSON
/// lack one, the value is null; an object of CSV or Parquet that lacks one is refused.
///
/// ```
/// use kinglet_core::{CsvDialect, Datum, Picked, RowFormat, check_format};
///
/// let object = b"name,age,town\nAnn,41,Ulm\nBob,,Perth\n";
/// let picked = Picked::new(RowFormat::Csv(CsvDialect::new()), ["town", "age"]);
/// check_format(picked, object, &[12], 8, |row| row == [Datum::Text("Perth".into()), Datum::Null]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Picked {
    rows: Rows,
    /// The columns that are read: those that are picked, and then those that conditions are on.
    columns: Vec<String>,
    picked: usize,
    /// What must hold of a row, and in which column.
    wanted: Vec<(usize, WantedOfAny)>,
    /// The same where rows lie in columns, and the decoder compares.
    only: Vec<Only>,
}

impl Picked {
    /// Picks these columns.
    pub fn new<I>(format: RowFormat, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        Picked { rows: Rows(format), picked: columns.len(), columns, wanted: Vec::new(), only: Vec::new() }
    }

    /// Gives those rows alone of which this holds, and what was said before. Values that are found to be of different types are each
    /// compared as what they are: `price >= 10` holds of 10.5, and not of text.
    #[must_use]
    pub fn with_only(mut self, only: Only) -> Self {
        if self.rows.0.in_columns().is_some() {
            self.only.push(only);
            return self;
        }
        let known = self.columns.iter().position(|column| *column == only.column);
        let at = known.unwrap_or_else(|| {
            self.columns.push(only.column.clone());
            self.columns.len() - 1
        });
        self.wanted.push((at, WantedOfAny::new(&only)));
        self
    }

    /// Returns a row without what was read for conditions alone; `None` if one does not hold.
    fn chosen<'a>(&self, mut row: Vec<Datum<'a>>) -> Option<Vec<Datum<'a>>> {
        let all_hold = self.wanted.iter().all(|(at, wanted)| row.get(*at).is_some_and(|value| wanted.holds(value)));
        row.truncate(self.picked);
        all_hold.then_some(row)
    }
}

/// Where the value of a picked column comes from, in all rows of an extent.
enum Place<'a, F> {
    /// The object's path says it.
    Path(Datum<'a>),
    /// A field or a column of the rows.
    In(F),
}

impl Picked {
    /// Finds each column: in the path, or among the names that the rows have.
    fn places<'a, F>(
        &self,
        object: &'a str,
        names: &[Cow<'_, str>],
        place: impl Fn(usize) -> F,
    ) -> Result<Vec<Place<'a, F>>, Error> {
        let of_path = columns(object);
        let find = |column: &String| match of_path.iter().find(|named| named.name == *column) {
            Some(named) => Ok(Place::Path(named.value.clone())),
            None => match names.iter().position(|name| name == column) {
                Some(at) => Ok(Place::In(place(at))),
                None => Err(missing_column(column, names, object)),
            },
        };
        self.columns.iter().map(find).collect()
    }

    /// Takes the values out of a row that has all of them.
    fn take<'a>(&self, fields: Vec<Named<'a>>) -> Vec<Datum<'a>> {
        let value = |column: &String| match fields.iter().find(|field| field.name == *column) {
            Some(field) => field.value.clone(),
            None => Datum::Null,
        };
        self.columns.iter().map(value).collect()
    }
}

impl Format for Picked {
    type Record<'a> = Vec<Datum<'a>>;
    const NAME: &'static str = "picked-rows";

    fn framing(&self) -> Framing {
        self.rows.framing()
    }

    fn has_head(&self) -> bool {
        self.rows.has_head()
    }

    fn selection(&self) -> Selection {
        let mut selection = self.rows.selection();
        selection.only.extend_from_slice(&self.only);
        // A column may be picked twice, and is read once.
        let mut columns: Vec<String> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        Selection { columns: Columns::IfThere(columns), ..selection }
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.rows.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.rows.last_cut(bytes)
    }

    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, Vec<Datum<'a>>) -> UserResult,
    ) -> UserResult<u64> {
        let mut each = |at: usize, row: Vec<Datum<'a>>| self.chosen(row).map_or(Ok(()), |row| each(at, row));
        match &self.rows.0 {
            RowFormat::Csv(dialect) => {
                let mut known: Option<FieldPlaces<'a>> = None;
                for_each_fields(*dialect, extent, |at, names, fields| {
                    let known = match &mut known {
                        Some(known) => known,
                        None => {
                            let places = self.places(extent.object, names, |at| at);
                            known.insert(FieldPlaces::new(places.map_err(|e| UserError::from(e).at(at))?))
                        }
                    };
                    each(at, known.take(fields, |field| dialect.datum(field)))
                })
            }
            RowFormat::Parquet(_) | RowFormat::Avro(_) => Err(by_rows_only(Self::NAME)),
            RowFormat::Fixed(_) | RowFormat::Whole => {
                let names: &[Cow<'_, str>] = match &self.rows.0 {
                    RowFormat::Whole => &["name".into(), "bytes".into()],
                    _ => &["record".into()],
                };
                self.places(extent.object, names, |_| ()).map_err(|e| UserError::from(e).at(0))?;
                self.rows.for_each(extent, |at, row| each(at, self.take(row.fields)))
            }
            RowFormat::Lines | RowFormat::JsonLines => {
                self.rows.for_each(extent, |at, row| each(at, self.take(row.fields)))
            }
        }
    }

    fn for_each_row<'a>(
        &'a self,
        rows: BlockExtent<'a>,
        mut each: impl FnMut(usize, Vec<Datum<'a>>) -> UserResult,
    ) -> UserResult<u64> {
        let all = rows.block.columns();
        let names: Vec<Cow<'_, str>> = all.iter().map(|column| (&*column.name).into()).collect();
        let places: Vec<Place<'a, &'a dyn Cells>> = self.places(rows.object, &names, |at| &*all[at].cells)?;
        rows.block.for_each_row(|at| {
            let value = |place: &Place<'a, &'a dyn Cells>| match place {
                Place::Path(value) => value.clone(),
                Place::In(cells) => cells.get(at),
            };
            each(at, places.iter().map(value).collect())
        })
    }
}

/// Which fields of CSV are picked.
struct FieldPlaces<'a> {
    /// A row's values, as far as they are the same in all rows.
    values: Vec<Datum<'a>>,
    /// The field and the value that it becomes, in the order of the fields.
    fields: Vec<(usize, usize)>,
}

impl<'a> FieldPlaces<'a> {
    fn new(places: Vec<Place<'a, usize>>) -> Self {
        let mut fields = Vec::new();
        let value = |(at, place)| match place {
            Place::Path(value) => value,
            Place::In(field) => {
                fields.push((field, at));
                Datum::Null
            }
        };
        let values = places.into_iter().enumerate().map(value).collect();
        fields.sort_unstable();
        FieldPlaces { values, fields }
    }

    fn take(
        &self,
        fields: &mut dyn Iterator<Item = Cow<'a, [u8]>>,
        datum: impl Fn(Cow<'a, [u8]>) -> Datum<'a>,
    ) -> Vec<Datum<'a>> {
        let mut values = self.values.clone();
        let (mut next, mut last) = (0, 0);
        for (field, at) in &self.fields {
            if *field < next {
                // A column that was asked for twice.
                values[*at] = values[last].clone();
                continue;
            }
            if let Some(written) = fields.nth(field - next) {
                values[*at] = datum(written);
            }
            (next, last) = (field + 1, *at);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{CsvDialect, extent};

    fn picked(format: RowFormat, columns: &[&str], object: &str, bytes: &[u8]) -> UserResult<Vec<Vec<String>>> {
        let picked = Picked::new(format, columns.iter().copied());
        let mut rows = Vec::new();
        picked.for_each(Extent { object, ..extent(bytes) }, |_, row| {
            rows.push(row.iter().map(|value| format!("{value:?}")).collect());
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn columns_come_in_the_order_that_is_asked_for_and_paths_say_some() {
        let csv = b"a,b,c\n1,\"x,\"\"\",3.5\n,,\n";
        let columns = ["c", "year", "a", "c", "b"];
        let rows = picked(RowFormat::Csv(CsvDialect::new()), &columns, "y/year=2026/o", csv).unwrap();
        assert_eq!(rows[0], ["Float(3.5)", "Int(2026)", "Int(1)", "Float(3.5)", "Text(\"x,\\\"\")"]);
        assert_eq!(rows[1], ["Null", "Int(2026)", "Null", "Null", "Null"]);
        let json = b"{\"a\": [1], \"year\": 1}\n{\"c\": true}\n7\n";
        let rows = picked(RowFormat::JsonLines, &["a", "year", "value", "c"], "y/year=2026/o", json).unwrap();
        assert_eq!(rows[0], ["List([Int(1)])", "Int(2026)", "Null", "Null"]);
        assert_eq!(rows[1], ["Null", "Int(2026)", "Null", "Bool(true)"]);
        assert_eq!(rows[2], ["Null", "Int(2026)", "Int(7)", "Null"]);
        assert_eq!(picked(RowFormat::Lines, &["line"], "o", b"a b\n").unwrap(), [["Text(\"a b\")"]]);
        assert_eq!(picked(RowFormat::Lines, &[], "o", b"a\nb\n").unwrap().len(), 2);
    }

    #[test]
    fn rows_are_chosen_by_columns_that_need_not_be_picked() {
        let rows = |only: &[&str]| {
            let only = only.iter().map(|text| text.parse::<Only>().unwrap());
            let format = RowFormat::Csv(CsvDialect::new());
            let picked = only.fold(Picked::new(format, ["a"]), Picked::with_only);
            let mut rows = Vec::new();
            let csv = b"a,b\n1,x\n2,\n30,y\n";
            picked
                .for_each(extent(csv), |_, row| {
                    assert_eq!(row.len(), 1);
                    rows.push(format!("{:?}", row[0]));
                    Ok(())
                })
                .unwrap();
            rows
        };
        assert_eq!(rows(&["a >= 2"]), ["Int(2)", "Int(30)"]);
        assert_eq!(rows(&["a < 30", "b != y"]), ["Int(1)"]);
    }

    #[test]
    fn a_column_that_an_object_of_csv_lacks_is_named() {
        let error = picked(RowFormat::Csv(CsvDialect::new()), &["a", "d"], "o", b"a,b\n1,2\n").unwrap_err();
        assert!(error.to_string().contains("o has no column \"d\", but a, b"), "{error}");
    }
}
