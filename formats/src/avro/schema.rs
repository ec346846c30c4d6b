//! The names of types in a file's schema, made plain: what a row is does not depend on them, and writers spell them in several ways, which
//! the crate does not all resolve.
//!
//! Each record, enum and fixed becomes `t0`, `t1`, … in the order in which they are defined, without a namespace.

use serde_json::Value;
use std::collections::HashMap;

const PRIMITIVE: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Returns a schema with plain names, or what is wrong with it.
pub(super) fn with_plain_names(schema: &str) -> Result<String, String> {
    let mut schema: Value = serde_json::from_str(schema).map_err(|e| format!("it is no JSON: {e}"))?;
    Names::default().of_type(&mut schema, "")?;
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
}

impl Names {
    fn of_type(&mut self, of: &mut Value, namespace: &str) -> Result<(), String> {
        match of {
            Value::String(name) if PRIMITIVE.contains(&&name[..]) => Ok(()),
            Value::String(name) => {
                let full = full_name(name, namespace);
                match self.of.get(&full).or_else(|| self.of.get(name)) {
                    Some(Named { open: true, .. }) => Err(format!("the type {name} contains itself")),
                    Some(named) => {
                        *name = named.plain.clone();
                        Ok(())
                    }
                    None => Err(format!("the type {name} is not defined")),
                }
            }
            Value::Array(union) => union.iter_mut().try_for_each(|of| self.of_type(of, namespace)),
            Value::Object(about) => {
                let kind = about.get("type").and_then(Value::as_str).map(str::to_owned);
                match kind.as_deref() {
                    Some("record" | "error" | "enum" | "fixed") => self.define(about, namespace),
                    Some("array") => about.get_mut("items").map_or(Ok(()), |of| self.of_type(of, namespace)),
                    Some("map") => about.get_mut("values").map_or(Ok(()), |of| self.of_type(of, namespace)),
                    _ => match about.get_mut("type") {
                        Some(of) => self.of_type(of, namespace),
                        None => Err("a type lacks its `type`".to_owned()),
                    },
                }
            }
            other => Err(format!("{other} is no type")),
        }
    }

    fn define(&mut self, about: &mut serde_json::Map<String, Value>, outer: &str) -> Result<(), String> {
        let Some(name) = about.get("name").and_then(Value::as_str) else {
            return Err("a record, an enum or a fixed has no name".to_owned());
        };
        let own = about.get("namespace").and_then(Value::as_str).unwrap_or(outer);
        let full = full_name(name, own);
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let plain = format!("t{}", self.of.len());
        if self.of.insert(full.clone(), Named { plain: plain.clone(), open: true }).is_some() {
            return Err(format!("the type {full} is defined twice"));
        }
        about.insert("name".to_owned(), plain.into());
        ["namespace", "aliases", "doc"].iter().for_each(|key| {
            about.remove(*key);
        });
        for field in about.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
            match field.get_mut("type") {
                Some(of) => self.of_type(of, &namespace)?,
                None => return Err("a field lacks its `type`".to_owned()),
            }
        }
        if let Some(named) = self.of.get_mut(&full) {
            named.open = false;
        }
        Ok(())
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
        ] {
            let error = with_plain_names(schema).unwrap_err();
            assert!(error.contains(says), "{schema}: {error}");
        }
    }
}
