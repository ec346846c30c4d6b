//! Rows as they are: fields of bytes, found when they are asked for.

use super::head::Head;
use super::record::{Fields, Line};
use super::{CsvDialect, checked, for_each_row};
use crate::error::UserResult;
use crate::format::{Extent, Format, Framing};
use std::borrow::Cow;
use std::rc::Rc;

/// CSV whose rows are not made into a type: each gives its fields as bytes. A row that nobody takes apart costs next to nothing.
///
/// By default a row has the fields that its object has, in its order. A format of chosen columns gives those, in the order in
/// which they were chosen, whatever the order in the object; an object that lacks one is refused (`column-missing`). So
/// the rows of objects with different heads are never mixed up.
///
/// ```
/// use kinglet_core::{CsvFields, check_format};
///
/// let object = b"name,age,town\nAnn,41,\"Newcastle, NSW\"\nBob,7,Perth\n";
/// let format = CsvFields::default().with_columns(["town", "name"]);
/// check_format(format, object, &[30], 8, |row| (row.get(0).map(|town| town.into_owned()), row.len()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CsvFields {
    dialect: CsvDialect,
    columns: Option<Vec<String>>,
}

impl CsvFields {
    /// Makes a format of this dialect.
    pub fn new(dialect: CsvDialect) -> Self {
        CsvFields { dialect, columns: None }
    }

    /// Chooses columns by their names, which heads must have.
    #[must_use]
    pub fn with_columns<I: IntoIterator<Item: Into<String>>>(self, columns: I) -> Self {
        CsvFields { columns: Some(columns.into_iter().map(Into::into).collect()), ..self }
    }
}

/// A row of [`CsvFields`].
#[derive(Clone, Debug)]
pub struct CsvRow<'a> {
    dialect: CsvDialect,
    line: Line<'a>,
    count: usize,
    chosen: Option<Rc<[usize]>>,
}

impl<'a> CsvRow<'a> {
    /// Returns how many fields there are.
    pub fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.count, |chosen| chosen.len())
    }

    /// Returns whether there are no fields, which is so only if no columns were chosen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the field at this position, from 0 on, without its quotes. It is borrowed from the input unless it has doubled
    /// quotes or escapes in it. A field that a short row lacks is empty.
    pub fn get(&self, at: usize) -> Option<Cow<'a, [u8]>> {
        let at = match &self.chosen {
            Some(chosen) => *chosen.get(at)?,
            None if at < self.count => at,
            None => return None,
        };
        // A row is given out only after all of its fields were found valid.
        Some(Fields::of(self.dialect, self.line).nth(at).and_then(Result::ok).unwrap_or_default())
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let mut all = match self.chosen {
            Some(_) => None,
            None => Some(Fields::of(self.dialect, self.line).flatten()),
        };
        (0..self.len()).map(move |at| match &mut all {
            Some(fields) => fields.next().unwrap_or_default(),
            None => self.get(at).unwrap_or_default(),
        })
    }

    /// Returns the row as it is written, without its line's end.
    pub fn bytes(&self) -> &'a [u8] {
        self.line.bytes
    }
}

impl Format for CsvFields {
    type Record<'a> = CsvRow<'a>;
    const NAME: &'static str = "csv-fields";

    fn framing(&self) -> Framing {
        self.dialect.framing()
    }

    fn has_head(&self) -> bool {
        true
    }

    fn first_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.dialect.first_cut(bytes)
    }

    fn last_cut(&self, bytes: &[u8]) -> Option<usize> {
        self.dialect.last_cut(bytes)
    }

    #[inline]
    fn for_each<'a>(
        &'a self,
        extent: Extent<'a>,
        mut each: impl FnMut(usize, CsvRow<'a>) -> UserResult,
    ) -> UserResult<u64> {
        let (dialect, head) = (self.dialect, Head::of(&self.dialect, extent)?);
        let chosen = match &self.columns {
            Some(names) if head.columns.is_some() => {
                let places = names.iter().map(|name| head.column(name, extent.object));
                Some(places.collect::<Result<Rc<[usize]>, _>>()?)
            }
            // An object without a row.
            Some(_) => Some(Rc::default()),
            None => None,
        };
        for_each_row(&self.dialect, extent, |found| {
            let fields = checked(dialect, found.line, &head).map_err(|e| found.not_valid(e))?;
            let count = head.columns.unwrap_or(fields);
            each(found.start, CsvRow { dialect, line: found.line, count, chosen: chosen.clone() })
        })
    }
}
