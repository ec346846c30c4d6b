//! A join as it is planned: which columns are compared, which ones the result has, and of which types these are.

use super::super::by::{By, ReadAs};
use super::result::{Names, ResultColumn, columns, find};
use super::side::SideOf;
use super::{JoinRows, On};
use kinglet_core::{Code, Error, How, Only, Result, RowFormat, Side, TypedColumn, Types, ValueType, Width};

/// A side of a join, as it is known before the job runs.
#[derive(Clone, Debug, Default)]
pub struct JoinSide {
    /// How its rows are read.
    pub format: RowFormat,
    /// Its columns, and their types as far as they show.
    pub types: Types,
    /// Columns of which no value was seen: their types say nothing.
    pub unseen: Vec<String>,
}

/// What joins rows, before columns and conditions are chosen.
#[derive(Clone, Debug)]
pub struct Joining {
    how: How,
    sides: [JoinSide; 2],
    on: Vec<On>,
}

impl Joining {
    /// Joins the rows of two sides that have equal values in these columns.
    ///
    /// # Errors
    /// Returns `join-on` when there is no column; `column-missing` when a side does not have one; and `join-types` when values of two
    /// columns can never be equal.
    pub fn new(how: How, left: JoinSide, right: JoinSide, on: Vec<On>) -> Result<Self> {
        if on.is_empty() {
            return Err(Error::new(Code::JoinOn, "no column says which rows belong together")
                .with_hint("name columns: --on 'customer = id'"));
        }
        let joining = Joining { how, sides: [left, right], on };
        let names = joining.names();
        for on in &joining.on {
            for (side, names) in Side::BOTH.into_iter().zip(joining.sides_of(&names)) {
                names.check(on.column(side))?;
            }
            joining.check_types(on)?;
        }
        Ok(joining)
    }

    fn names(&self) -> [Vec<String>; 2] {
        self.sides.each_ref().map(|side| side.types.names().map(str::to_owned).collect())
    }

    fn sides_of<'n>(&self, names: &'n [Vec<String>; 2]) -> [Names<'n>; 2] {
        Side::BOTH.map(|side| {
            let names = &names[side as usize];
            Names { side, names, is_open: names.is_empty() }
        })
    }

    /// Refuses columns whose values are of two classes, and so never equal.
    fn check_types(&self, on: &On) -> Result<()> {
        let seen = |side: Side| {
            let (known, column) = (&self.sides[side as usize], on.column(side));
            let of = known.types.of(column).filter(|_| !known.unseen.iter().any(|unseen| unseen == column))?;
            Some((of, Class::of(of)))
        };
        let (Some((left, left_class)), Some((right, right_class))) = (seen(Side::Left), seen(Side::Right)) else {
            return Ok(());
        };
        let is_same = match on.read {
            ReadAs::Found => left_class == right_class,
            ReadAs::Text => true,
            ReadAs::Number => {
                [left_class, right_class].iter().all(|class| matches!(class, Class::Number | Class::Text))
            }
        };
        if is_same {
            return Ok(());
        }
        let message = format!(
            "the columns {:?} of the left side, which is {left}, and {:?} of the right side, which is {right}, have no equal values",
            on.left, on.right
        );
        let hint = format!("compare them as text, or as numbers: --on '{} = {} as text'", on.left, on.right);
        Err(Error::new(Code::JoinTypes, message).with_hint(hint))
    }

    /// Makes the job that writes these columns, each as `NAME`, `left.NAME` or `right.NAME`, with `as OTHER` behind it or not; without
    /// any, all columns. Of each side, only rows take part of which the conditions on its columns hold.
    ///
    /// # Errors
    /// Returns `column-missing` and `column-ambiguous` for names that none of the sides has, or both; and `columns` when two columns of
    /// the result have one name, or when it has rows of the left side alone, and a column of the right one is wanted.
    pub fn job(&self, chosen: &[String], only: Vec<Only>) -> Result<JoinRows> {
        let names = self.names();
        let sides = self.sides_of(&names);
        let columns = columns(chosen, sides, &self.on, self.how)?;
        let mut of = Side::BOTH.map(|side| self.side(side, &columns));
        for only in only {
            let (side, column) = find(&only.column, sides, &self.on)?;
            let is_both = on_both(&self.on, &only.column);
            for side in Side::BOTH.into_iter().filter(|other| *other == side || is_both) {
                of[side as usize].only.push(Only { column: column.to_owned(), ..only.clone() });
            }
        }
        let [left, right] = of;
        Ok(JoinRows { how: self.how, left, right, columns, kept: Side::Right, ..JoinRows::default() })
    }

    fn side(&self, side: Side, columns: &[ResultColumn]) -> SideOf {
        let (format, guessed) = match self.sides[side as usize].format.clone() {
            RowFormat::Csv(dialect) => {
                let text = dialect.with_text_or_nothing();
                (RowFormat::Csv(text), text != dialect)
            }
            other => (other, false),
        };
        let by = self.on.iter().map(|on| By { read: on.read, ..By::new(on.column(side)) }).collect();
        let mut of = SideOf { format, guessed, by, ..SideOf::default() };
        for column in columns {
            let from = if side == Side::Left { &column.left } else { &column.right };
            if let Some(name) = from.as_ref().filter(|name| !of.columns.contains(name)) {
                of.columns.push(name.clone());
            }
        }
        of
    }

    /// Makes the values of a job's result what types are: those that are given by the names of the result's columns, and otherwise those
    /// of the sides. Returns the job and the types of its result. `formats` say how each side is read for that.
    ///
    /// # Errors
    /// Returns `columns` for a type of a column that the result does not have.
    pub fn typed(&self, mut job: JoinRows, given: &Types, formats: [RowFormat; 2]) -> Result<(JoinRows, Types)> {
        if let Some(name) = given.names().find(|name| !job.columns.iter().any(|column| column.name == *name)) {
            let names: Vec<_> = job.names();
            let message =
                format!("--types says a type of {name:?}, and the result has the columns {}", names.join(", "));
            return Err(Error::new(Code::Columns, message).with_hint("name columns as the result calls them"));
        }
        let mut types: [Vec<TypedColumn>; 2] = [vec![], vec![]];
        for column in &job.columns {
            let from = [&column.left, &column.right];
            let found = Side::BOTH.map(|side| {
                let name = from[side as usize].as_deref()?;
                let of = self.sides[side as usize].types.of(name).cloned().unwrap_or(ValueType::Text);
                Some((name, of))
            });
            let of = match (given.of(&column.name), &found) {
                (Some(given), _) => given.clone(),
                (None, [Some((_, left)), Some((_, right))]) => wider(left, right),
                (None, [Some((_, of)), None] | [None, Some((_, of))]) => of.clone(),
                (None, [None, None]) => ValueType::Text,
            };
            for (types, found) in types.iter_mut().zip(found) {
                let Some((name, _)) = found else { continue };
                match types.iter_mut().find(|column| column.name == name) {
                    Some(known) => known.of = wider(&known.of, &of),
                    None => types.push(TypedColumn { name: name.to_owned(), of: of.clone() }),
                }
            }
        }
        // As the sides have them, one of whose columns may be several of the result.
        let side_type = |side: Side, name: &Option<String>| {
            let column = types[side as usize].iter().find(|column| Some(&column.name) == name.as_ref())?;
            Some(column.of.clone())
        };
        let result_type = |column: &ResultColumn| {
            let of = match (side_type(Side::Left, &column.left), side_type(Side::Right, &column.right)) {
                (Some(left), Some(right)) => wider(&left, &right),
                (Some(of), None) | (None, Some(of)) => of,
                (None, None) => ValueType::Text,
            };
            TypedColumn { name: column.name.clone(), of }
        };
        let all: Vec<TypedColumn> = job.columns.iter().map(result_type).collect();
        for ((side, format), types) in [&mut job.left, &mut job.right].into_iter().zip(formats).zip(types) {
            let is_of = |name: &String| types.iter().position(|column| column.name == *name);
            let in_order: Vec<TypedColumn> =
                side.columns.iter().filter_map(|name| is_of(name).map(|at| types[at].clone())).collect();
            side.format = match format {
                RowFormat::Parquet(mut selection) => {
                    if let Some(agreed) = &mut selection.agreed {
                        agreed.cast.extend(side.columns.iter().cloned());
                        agreed.cast.extend(side.by.iter().map(|by| by.column.clone()));
                    }
                    RowFormat::Parquet(selection)
                }
                other => other,
            };
            side.types = Some(Types::new(in_order)?);
        }
        Ok((job, Types::new(all)?))
    }
}

fn on_both(on: &[On], name: &str) -> bool {
    on.iter().any(|on| on.left == name && on.right == name)
}

/// What values can be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Boolean,
    Number,
    TimeOfDay,
    Instant,
    Text,
    List,
    Struct,
}

impl Class {
    fn of(of: &ValueType) -> Self {
        match of {
            ValueType::Boolean => Class::Boolean,
            ValueType::Whole(_) | ValueType::Float | ValueType::Double | ValueType::Decimal { .. } => Class::Number,
            ValueType::Time(_) => Class::TimeOfDay,
            ValueType::Date | ValueType::Timestamp { .. } => Class::Instant,
            ValueType::List(_) | ValueType::Map(_) => Class::List,
            ValueType::Struct(_) => Class::Struct,
            _ => Class::Text,
        }
    }
}

/// Returns a type that holds the values of both.
pub(super) fn wider(a: &ValueType, b: &ValueType) -> ValueType {
    let whole_digits = |width: &Width| match width {
        Width::U64 => 20,
        _ => 19,
    };
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (ValueType::Whole(a), ValueType::Whole(b)) if *a != Width::U64 && *b != Width::U64 => {
            ValueType::Whole(Width::I64)
        }
        (ValueType::Whole(_), ValueType::Whole(_)) => ValueType::Decimal { precision: 20, scale: 0 },
        (ValueType::Decimal { precision, scale }, ValueType::Whole(width))
        | (ValueType::Whole(width), ValueType::Decimal { precision, scale }) => {
            let whole = whole_digits(width).max(precision - scale);
            ValueType::Decimal { precision: (whole + scale).min(38), scale: *scale }
        }
        (ValueType::Decimal { precision: p, scale: s }, ValueType::Decimal { precision: q, scale: t }) => {
            let (whole, scale) = ((p - s).max(q - t), *s.max(t));
            ValueType::Decimal { precision: (whole + scale).min(38), scale }
        }
        (a, b) if Class::of(a) == Class::Number && Class::of(b) == Class::Number => ValueType::Double,
        (ValueType::Date, stamp @ ValueType::Timestamp { .. })
        | (stamp @ ValueType::Timestamp { .. }, ValueType::Date) => stamp.clone(),
        (ValueType::Timestamp { unit: a, utc: x }, ValueType::Timestamp { unit: b, utc: y }) => {
            let unit = if a.per_second() > b.per_second() { a } else { b };
            ValueType::Timestamp { unit: *unit, utc: *x && *y }
        }
        _ => ValueType::Text,
    }
}
