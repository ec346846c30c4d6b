//! The name that somebody may have meant who wrote another.

/// How alike two names must be, from 0 to 1, for one to be meant by the other: of `prize` and `price` that is 0.91.
const ALIKE: f64 = 0.8;

/// Returns the one of these names that is most like another, if it is so much like it that it may be meant.
///
/// ```
/// use kinglet_core::nearest;
///
/// assert_eq!(nearest("prize", ["town", "price"]), Some("price"));
/// assert_eq!(nearest("PRICE", ["town", "price"]), Some("price"));
/// assert_eq!(nearest("day", ["town", "price"]), None);
/// ```
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&name, &other.to_lowercase());
    let alike = names.into_iter().map(|other| (likeness(other), other)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other)
}
