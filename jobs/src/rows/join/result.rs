//! Which columns the result of a join has, and what they are called.
//!
//! Without a choice they are those of the left side and then those of the right one. A column by which rows are joined and that both sides
//! call the same is there once. Of any other name that both sides have, the right one's column is called `right.NAME`.

use super::on::{On, side_of};
use kinglet_core::{Code, Error, How, Result, Side, nearest};
use serde::{Deserialize, Serialize};

/// A column of the result, and where its values come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResultColumn {
    pub(super) name: String,
    /// The column of the left side.
    pub(super) left: Option<String>,
    /// The column of the right side; where the left one has one, too, for rows without a left side.
    pub(super) right: Option<String>,
}

/// The names of a side's columns, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) side: Side,
    pub(super) names: &'a [String],
    /// Whether the side may have others, too, as it was found to have no row.
    pub(super) is_open: bool,
}

impl Names<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    /// Refuses a column that the side does not have.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if self.has(name) || self.is_open {
            return Ok(());
        }
        Err(missing(name, &format!("the {} side has", self.side), self.names.iter().map(String::as_str)))
    }
}

fn missing<'a>(name: &str, who: &str, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let all: Vec<&str> = names.clone().collect();
    let error = Error::new(Code::ColumnMissing, format!("{who} no column {name:?}, but {}", all.join(", ")));
    match nearest(name, names) {
        Some(near) => error.with_hint(format!("if {near:?} is meant, say so")),
        None => error.with_hint("see with `kinglet look` which columns there are"),
    }
}

/// Finds the side of a column that is called `name`, with or without its side before it.
pub(super) fn find<'n>(name: &'n str, sides: [Names<'_>; 2], on: &[On]) -> Result<(Side, &'n str)> {
    let [left, right] = sides;
    match side_of(name) {
        // A side may have a column whose name begins so.
        _ if left.has(name) && !right.has(name) => return Ok((Side::Left, name)),
        _ if right.has(name) && !left.has(name) => return Ok((Side::Right, name)),
        (Some(side), column) => {
            sides[side as usize].check(column)?;
            return Ok((side, column));
        }
        (None, _) => {}
    }
    match (left.has(name), right.has(name)) {
        // It is the same on both.
        (true, true) if on.iter().any(|on| on.left == name && on.right == name) => Ok((Side::Left, name)),
        (true, true) => {
            let message = format!("the column {name:?} is ambiguous: it is left.{name} or right.{name}");
            Err(Error::new(Code::ColumnAmbiguous, message).with_hint(format!("say which: left.{name} or right.{name}")))
        }
        _ if right.is_open => Ok((Side::Right, name)),
        _ if left.is_open => Ok((Side::Left, name)),
        _ => {
            let all = left.names.iter().chain(right.names).map(String::as_str);
            Err(missing(name, "both sides have", all))
        }
    }
}

/// Returns the columns of the result: all, or those that are chosen, each as `NAME` or `NAME as OTHER`.
pub(super) fn columns(chosen: &[String], sides: [Names<'_>; 2], on: &[On], how: How) -> Result<Vec<ResultColumn>> {
    let [left, right] = sides;
    let left_alone = how.is_of_left_alone();
    let is_shared = |name: &str| on.iter().any(|on| on.left == name && on.right == name);
    let shared = |name: &str, column: &str| {
        // Where there is always a row of the left side, its value is as good.
        let right = how.writes_alone(Side::Right).then(|| column.to_owned());
        ResultColumn { name: name.to_owned(), left: Some(column.to_owned()), right }
    };
    let of_left =
        |name: &str, column: &str| ResultColumn { name: name.to_owned(), left: Some(column.to_owned()), right: None };
    let of_right = |name: String, column: &str| ResultColumn { name, left: None, right: Some(column.to_owned()) };
    let mut all = Vec::new();
    if chosen.is_empty() {
        // Columns of rows that were not seen are known only as far as rows are joined by them.
        let open_left = on.iter().map(|on| &on.left).filter(|name| left.is_open && !left.has(name));
        for name in left.names.iter().chain(open_left) {
            all.push(if is_shared(name) { shared(name, name) } else { of_left(name, name) });
        }
        for name in right.names.iter().filter(|name| !left_alone && !is_shared(name)) {
            let is_taken = all.iter().any(|column: &ResultColumn| column.name == **name);
            all.push(of_right(if is_taken { format!("right.{name}") } else { name.clone() }, name));
        }
    }
    for text in chosen {
        let (wanted, name) = match text.rsplit_once(" as ") {
            Some((wanted, name)) => (wanted.trim(), name.trim()),
            None => (text.trim(), text.trim()),
        };
        let is_both = side_of(wanted).0.is_none() || left.has(wanted) || right.has(wanted);
        all.push(match find(wanted, sides, on)? {
            (_, column) if is_both && is_shared(column) => shared(name, column),
            (Side::Left, column) => of_left(name, column),
            (Side::Right, column) if left_alone => {
                let message = format!(
                    "the result has rows of the left side alone, and not the column {column:?} of the right one"
                );
                return Err(Error::new(Code::Columns, message)
                    .with_hint("leave it out of --columns, or write rows of both sides: --how inner"));
            }
            (Side::Right, column) => of_right(name.to_owned(), column),
        });
    }
    match all.iter().enumerate().find(|(at, column)| all[..*at].iter().any(|other| other.name == column.name)) {
        None => Ok(all),
        Some((_, twice)) => {
            let message = format!("two columns of the result would be called {:?}", twice.name);
            Err(Error::new(Code::Columns, message).with_hint(format!(
                "choose the columns, and give one another name: --columns 'right.{0} as {0}2'",
                twice.name
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    fn result(chosen: &[&str], on: &str, left_alone: bool) -> Result<Vec<String>> {
        result_of(chosen, on, if left_alone { How::Semi } else { How::Full })
    }

    fn result_of(chosen: &[&str], on: &str, how: How) -> Result<Vec<String>> {
        let (left, right) = (names(&["id", "town", "name"]), names(&["id", "key", "name", "left.id"]));
        let sides =
            [(Side::Left, &left), (Side::Right, &right)].map(|(side, names)| Names { side, names, is_open: false });
        let columns = columns(&names(chosen), sides, &On::parse_all(on)?, how)?;
        let shown = |column: &ResultColumn| {
            let from = [&column.left, &column.right].map(|from| from.as_deref().unwrap_or("-"));
            format!("{}: {}", column.name, from.join("/"))
        };
        Ok(columns.iter().map(shown).collect())
    }

    #[test]
    fn all_columns_are_there_and_shared_ones_once() {
        let want =
            ["id: id/id", "town: town/-", "name: name/-", "key: -/key", "right.name: -/name", "left.id: -/left.id"];
        assert_eq!(result(&[], "id", false).unwrap(), want);
        assert_eq!(result(&[], "town = key", false).unwrap()[3], "right.id: -/id");
        assert_eq!(result(&[], "id", true).unwrap(), ["id: id/-", "town: town/-", "name: name/-"]);
        // Only where a row may have no left side does the right one say what is shared.
        let firsts = [How::Inner, How::Left, How::Right].map(|how| result_of(&[], "id", how).unwrap().swap_remove(0));
        assert_eq!(firsts, ["id: id/-", "id: id/-", "id: id/id"]);
    }

    #[test]
    fn columns_are_chosen_by_names_that_may_say_their_side() {
        let chosen = ["key", "right.name as product", "left.name", "id", "right.id", "left.id as theirs"];
        let want = [
            "key: -/key",
            "product: -/name",
            "left.name: name/-",
            "id: id/id",
            "right.id: -/id",
            // A column that is called so comes before the side of one.
            "theirs: -/left.id",
        ];
        assert_eq!(result(&chosen, "id", false).unwrap(), want);
    }

    #[test]
    fn names_that_say_nothing_or_two_things_are_refused() {
        let error = |chosen: &[&str], on, left_alone| result(chosen, on, left_alone).unwrap_err();
        let ambiguous = error(&["name"], "id", false);
        assert!(ambiguous.is(Code::ColumnAmbiguous), "{ambiguous}");
        assert!(ambiguous.to_string().contains("left.name or right.name"), "{ambiguous}");
        assert!(error(&["id"], "town = key", false).is(Code::ColumnAmbiguous));
        let missing = error(&["twon"], "id", false);
        assert!(missing.is(Code::ColumnMissing), "{missing}");
        assert!(missing.hint().is_some_and(|hint| hint.contains("town")), "{missing:?}");
        let missing = error(&["right.town"], "id", false);
        assert!(missing.to_string().contains("the right side has no column \"town\", but id, key"), "{missing}");
        assert!(error(&["key"], "id", true).is(Code::Columns));
        assert!(error(&["left.name as a", "right.name as a"], "id", false).is(Code::Columns));
    }
}
