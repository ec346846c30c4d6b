//! Items and their attributes: how text, numbers, times, flags and bytes are stored.

use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::ids::Timestamp;
use std::collections::HashMap;

/// Attributes by their names.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn time(at: Timestamp) -> AttributeValue {
    number(at.0)
}

pub(crate) fn flag(value: bool) -> AttributeValue {
    AttributeValue::Bool(value)
}

pub(crate) fn binary(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(value.into())
}

pub(crate) fn read_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn read_number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(crate) fn read_time(item: &Item, name: &str) -> Option<Timestamp> {
    read_number(item, name).map(Timestamp)
}

/// Returns the flag; a missing flag is not set.
pub(crate) fn read_flag(item: &Item, name: &str) -> bool {
    matches!(item.get(name), Some(AttributeValue::Bool(true)))
}

pub(crate) fn read_binary<'a>(item: &'a Item, name: &str) -> Option<&'a [u8]> {
    item.get(name)?.as_b().ok().map(AsRef::as_ref)
}
