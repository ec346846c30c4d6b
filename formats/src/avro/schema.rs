//! The names of types in a file's schema, made plain: what a row is does not depend on them, and writers spell them in several ways, which
//! the crate does not all resolve.
//!
//! Each record, enum and fixed becomes `t0`, `t1`, … in the order in which they are defined, without a namespace.

use serde_json::Value;
use std::collections::HashMap;

const PRIMITIVE: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// How many types a schema may have, those that are named again included: each takes some kilobytes to decode.
const TYPES_MAX: u64 = 10_000;

/// How many bytes a fixed may have (16 MiB).
const FIXED_BYTES_MAX: u64 = 16 << 20;

/// How many bytes a fixed may have that may be null among the items of an array or a map: a null takes a byte in the file, and as much as
/// a value when it is decoded, and the items of one row are decoded together.
const REPEATED_FIXED_BYTES_MAX: u64 = 64;

/// Returns a schema with plain names, or what is wrong with it.
pub(super) fn with_plain_names(schema: &str) -> Result<String, String> {
    let mut schema: Value = serde_json::from_str(schema).map_err(|e| format!("it is no JSON: {e}"))?;
    Names::default().of_type(&mut schema, "", Where::default())?;
    Ok(schema.to_string())
}

/// The types that are defined so far.
#[derive(Default)]
struct Names {
    of: HashMap<String, Named>,
}

struct Named {
    plain: String,
    /// Whether its definition goes on.
    open: bool,
    size: Size,
}

/// How large a type is.
#[derive(Clone, Copy, Default)]
struct Size {
    /// How many types it has, itself included.
    types: u64,
    /// The bytes of the longest fixed in it.
    fixed: u64,
}

/// Where a type stands.
#[derive(Clone, Copy, Default)]
struct Where {
    /// Among the items of an array or a map.
    repeated: bool,
    /// And there may be none in its place.
    optional: bool,
}

impl Where {
    const REPEATED: Where = Where { repeated: true, optional: false };

    fn optional(self) -> Self {
        Where { optional: self.repeated, ..self }
    }

    fn check(self, size: Size) -> Result<Size, String> {
        if size.types > TYPES_MAX {
            return Err(format!("it has more than {TYPES_MAX} types, with those that are named again"));
        }
        if self.optional && size.fixed > REPEATED_FIXED_BYTES_MAX {
            let bytes = size.fixed;
            return Err(format!(
                "items that may be null have a fixed of {bytes} bytes, and {REPEATED_FIXED_BYTES_MAX} are the most"
            ));
        }
        Ok(size)
    }
}

impl Size {
    const ONE: Size = Size { types: 1, fixed: 0 };

    fn and(self, other: Size) -> Self {
        Size { types: self.types.saturating_add(other.types), fixed: self.fixed.max(other.fixed) }
    }
}

impl Names {
    fn of_type(&mut self, of: &mut Value, namespace: &str, at: Where) -> Result<Size, String> {
        let size = match of {
            Value::String(name) if PRIMITIVE.contains(&&name[..]) => Size::ONE,
            Value::String(name) => {
                let full = full_name(name, namespace);
                match self.of.get(&full).or_else(|| self.of.get(name)) {
                    Some(Named { open: true, .. }) => return Err(format!("the type {name} contains itself")),
                    Some(named) => {
                        *name = named.plain.clone();
                        named.size
                    }
                    None => return Err(format!("the type {name} is not defined")),
                }
            }
            Value::Array(union) => {
                let at = if union.len() > 1 { at.optional() } else { at };
                let mut size = Size::ONE;
                for of in union {
                    size = at.check(size.and(self.of_type(of, namespace, at)?))?;
                }
                size
            }
            Value::Object(about) => {
                let kind = about.get("type").and_then(Value::as_str).map(str::to_owned);
                match kind.as_deref() {
                    Some("record" | "error" | "enum" | "fixed") => self.define(about, namespace, at)?,
                    Some("array") => self.of_items(about.get_mut("items"), namespace)?,
                    Some("map") => self.of_items(about.get_mut("values"), namespace)?,
                    _ => match about.get_mut("type") {
                        // Nothing but braces around another type.
                        Some(inner @ (Value::Object(_) | Value::Array(_))) => {
                            let inner = inner.take();
                            *of = inner;
                            return self.of_type(of, namespace, at);
                        }
                        Some(of) => self.of_type(of, namespace, at)?,
                        None => return Err("a type lacks its `type`".to_owned()),
                    },
                }
            }
            other => return Err(format!("{other} is no type")),
        };
        at.check(size)
    }

    fn of_items(&mut self, items: Option<&mut Value>, namespace: &str) -> Result<Size, String> {
        let items = items.map_or(Ok(Size::default()), |of| self.of_type(of, namespace, Where::REPEATED))?;
        Ok(Size::ONE.and(items))
    }

    fn define(&mut self, about: &mut serde_json::Map<String, Value>, outer: &str, at: Where) -> Result<Size, String> {
        let Some(name) = about.get("name").and_then(Value::as_str) else {
            return Err("a record, an enum or a fixed has no name".to_owned());
        };
        let own = about.get("namespace").and_then(Value::as_str).unwrap_or(outer);
        let full = full_name(name, own);
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let plain = format!("t{}", self.of.len());
        let named = Named { plain: plain.clone(), open: true, size: Size::default() };
        if self.of.insert(full.clone(), named).is_some() {
            return Err(format!("the type {full} is defined twice"));
        }
        about.insert("name".to_owned(), plain.into());
        ["namespace", "aliases", "doc"].iter().for_each(|key| {
            about.remove(*key);
        });
        let fixed = match about.get("type").and_then(Value::as_str) {
            Some("fixed") => about.get("size").and_then(Value::as_u64).unwrap_or(0),
            _ => 0,
        };
        if fixed > FIXED_BYTES_MAX {
            return Err(format!("the fixed {full} has {fixed} bytes, and {FIXED_BYTES_MAX} are the most"));
        }
        let mut size = Size { types: 1, fixed };
        for field in about.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
            match field.get_mut("type") {
                Some(of) => size = at.check(size.and(self.of_type(of, &namespace, at)?))?,
                None => return Err("a field lacks its `type`".to_owned()),
            }
        }
        if let Some(named) = self.of.get_mut(&full) {
            (named.open, named.size) = (false, size);
        }
        Ok(size)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_as_the_specification_says() {
        let plain = |schema: &str| with_plain_names(schema).map(|plain| serde_json::from_str::<Value>(&plain).unwrap());
        let schema = r#"{"type": "record", "name": "a.b.Row", "namespace": "unused", "doc": "d", "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["x"]}},
            {"name": "again", "type": ["null", "a.b.Kind"]},
            {"name": "once_more", "type": {"type": "array", "items": "Kind"}},
            {"name": "other", "type": {"type": "fixed", "name": "Kind", "namespace": "c", "size": 2}},
            {"name": "map", "type": {"type": "map", "values": {"type": "c.Kind"}}}]}"#;
        let want = r#"{"type": "record", "name": "t0", "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "t1", "symbols": ["x"]}},
            {"name": "again", "type": ["null", "t1"]},
            {"name": "once_more", "type": {"type": "array", "items": "t1"}},
            {"name": "other", "type": {"type": "fixed", "name": "t2", "size": 2}},
            {"name": "map", "type": {"type": "map", "values": {"type": "t2"}}}]}"#;
        assert_eq!(plain(schema).unwrap(), serde_json::from_str::<Value>(want).unwrap());
        for (schema, says) in [
            ("{", "no JSON"),
            ("7", "7 is no type"),
            ("\"Row\"", "Row is not defined"),
            (r#"{"type": "record", "fields": []}"#, "no name"),
            (r#"{"type": "record", "name": "R", "fields": [{"name": "n"}]}"#, "field lacks"),
            (
                r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "R"]}]}"#,
                "R contains itself",
            ),
            (r#"[{"type": "fixed", "name": "R", "size": 1}, {"type": "fixed", "name": "R", "size": 1}]"#, "twice"),
            (r#"{"type": "fixed", "name": "R", "size": 16777217}"#, "16777216 are the most"),
            (
                r#"{"type": "array", "items": ["null", {"type": "fixed", "name": "R", "size": 65}]}"#,
                "items that may be null have a fixed of 65 bytes",
            ),
            (
                r#"[{"type": "fixed", "name": "R", "size": 65}, {"type": "map", "values": ["null", "R"]}]"#,
                "items that may be null have a fixed of 65 bytes",
            ),
        ] {
            let error = with_plain_names(schema).unwrap_err();
            assert!(error.contains(says), "{schema}: {error}");
        }
        // Whatever takes as many bytes in the file as when it is decoded may be long.
        assert!(plain(r#"{"type": "array", "items": {"type": "fixed", "name": "R", "size": 65}}"#).is_ok());
        assert!(plain(r#"["null", {"type": "fixed", "name": "R", "size": 65}]"#).is_ok());
    }

    #[test]
    fn braces_around_a_type_are_left_out() {
        let plain = with_plain_names(r#"{"type": {"type": ["null", {"type": "long"}]}}"#).unwrap();
        assert_eq!(plain, r#"["null",{"type":"long"}]"#);
    }

    /// Each level names the one before it twice: with twenty of them, a million types would be decoded.
    #[test]
    fn types_that_are_named_again_and_again_are_counted() {
        let level = |n: u32| {
            let of = |n: u32| if n == 0 { "\"int\"".to_owned() } else { format!("\"T{}\"", n - 1) };
            format!(
                r#"{{"type": "record", "name": "T{n}", "fields": [{{"name": "a", "type": {0}}}, {{"name": "b", "type": {0}}}]}}"#,
                of(n)
            )
        };
        let levels = |count: u32| format!("[{}]", (0..count).map(level).collect::<Vec<_>>().join(", "));
        assert!(with_plain_names(&levels(11)).is_ok());
        let error = with_plain_names(&levels(20)).unwrap_err();
        assert!(error.contains("more than 10000 types"), "{error}");
    }
}
