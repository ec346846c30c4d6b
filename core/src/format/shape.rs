//! What serde makes of a record: a type that owns its data, or one that borrows from the record's bytes.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A type of records for formats that read through serde, as [`JsonLines`](crate::JsonLines) and [`Csv`](crate::Csv) do.
///
/// Every type that serde reads and that owns its data is one, so nothing is to be done for it. A record that borrows from the
/// input has a lifetime, which a job's `Input` cannot name. A type of its own then stands for it, whichever the lifetime:
///
/// ```
/// use kinglet_core::{JsonLines, Shape, check_format};
/// use serde::Deserialize;
///
/// /// One event. Its text is not copied.
/// #[derive(Deserialize)]
/// struct Event<'a> {
///     id: u64,
///     text: &'a str,
/// }
///
/// /// The shape of events.
/// struct Events;
///
/// impl Shape for Events {
///     type Of<'a> = Event<'a>;
/// }
///
/// let object = br#"{"id": 1, "text": "one"}
/// {"id": 2, "text": "two"}"#;
/// check_format(JsonLines::<Events>::default(), object, &[7], 5, |event| (event.id, event.text.to_owned()));
/// ```
///
/// Text that is escaped in the input, as `"\n"` is in JSON, cannot be borrowed. A field that may have such text is a
/// `Cow<'a, str>` with `#[serde(borrow)]`, which owns what it must.
pub trait Shape: 'static {
    /// The record, borrowed for `'a`.
    type Of<'a>: Deserialize<'a>;
}

impl<T: DeserializeOwned + 'static> Shape for T {
    type Of<'a> = T;
}
