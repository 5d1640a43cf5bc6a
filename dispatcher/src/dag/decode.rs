//! From the located tree to typed values, saying everything that is wrong on the way.
//!
//! Decoding never stops at an error: what could not be read is absent from the result, which is why
//! every field of a [`record!`](record) is an `Option`. A result is used only if nothing was found.

use std::{collections::HashMap, hash::Hash};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    findings::{Findings, Path, Place, shown},
    suggest::{did_you_mean, listed},
    tree::{Entry, Node, Value},
};

/// What a YAML node can be read as.
pub trait Decode: JsonSchema + Sized {
    /// Reads a node. What is wrong goes into `findings`; `None` when nothing can be made of it.
    fn decode(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Self>;
}

/// A single value: how it is read, and how the JSON Schema describes it.
pub trait Leaf: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// What would be right.
    fn read(value: Value) -> Result<Self, String>;

    /// The schema of what [`read`](Leaf::read) takes.
    fn describe() -> Schema;
}

/// A leaf and its place.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T: Leaf> Decode for Located<T> {
    fn decode(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Self> {
        let at = node.at;
        match T::read(node.value) {
            Ok(value) => Some(Self { value, place: path.place(at) }),
            Err(message) => {
                findings.push_at(path, at, message);
                None
            }
        }
    }
}

impl<T: Leaf> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::describe()
    }
}

/// A list, and where it stands.
#[derive(Debug)]
pub struct List<T> {
    /// The items that could be read.
    pub items: Vec<T>,
    /// How many there are in the file.
    pub written: usize,
    /// Where the list stands.
    pub place: Place,
}

impl<T: Decode> Decode for List<T> {
    fn decode(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Self> {
        let Value::List(nodes) = node.value else {
            findings.push_at(path, node.at, format!("expected a list, found {}", node.value.kind()));
            return None;
        };
        let written = nodes.len();
        let items = nodes
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| T::decode(item, &Path::Item(path, index), findings))
            .collect();
        Some(Self { items, written, place: path.place(node.at) })
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// A mapping whose keys the author chooses, in the file's order.
#[derive(Debug)]
pub struct Table<K, V> {
    /// The entries that could be read; no key twice.
    pub entries: Vec<(Located<K>, V)>,
    /// Where the mapping stands.
    pub place: Place,
}

impl<K: Leaf + Clone + Eq + Hash, V: Decode> Decode for Table<K, V> {
    fn decode(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Self> {
        let place = path.place(node.at);
        let mut entries = Vec::new();
        let mut seen = HashMap::new();
        for entry in mapping(node, path, findings)? {
            let Some(text) = key_text(&entry, path, findings) else { continue };
            let at = Path::Key(path, &text);
            let key = Located::<K>::decode(entry.key, &at, findings);
            let value = V::decode(entry.value, &at, findings);
            if let (Some(key), Some(value)) = (key, value) {
                match seen.insert(key.value.clone(), key.place.at.line) {
                    Some(line) => findings.push(&key.place, twice(&text, line)),
                    None => entries.push((key, value)),
                }
            }
        }
        Some(Self { entries, place })
    }
}

impl<K: Leaf, V: JsonSchema> JsonSchema for Table<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Table_of_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": K::describe(),
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}

/// The fields of one record while it is being read.
pub struct Fields<'p> {
    entries: HashMap<String, Node>,
    path: &'p Path<'p>,
    written: Written,
}

/// What of a record is known without reading its fields.
#[derive(Debug, Clone)]
pub struct Written {
    /// Where it stands.
    pub place: Place,
    /// Which fields are there, whether or not they could be read.
    pub given: Vec<&'static str>,
}

/// What [`record!`](record) declares.
pub trait Record {
    /// What is known without reading its fields.
    fn written(&self) -> &Written;

    /// Where it stands.
    fn place(&self) -> &Place {
        &self.written().place
    }

    /// Whether a field is there, whether or not it could be read.
    fn gives(&self, field: &str) -> bool {
        self.written().given.contains(&field)
    }
}

impl<'p> Fields<'p> {
    /// Takes a mapping apart; reports fields that are unknown or there twice. `None`, said in
    /// `findings`, when the node is no mapping.
    pub fn of(
        node: Node,
        path: &'p Path<'p>,
        known: &[&'static str],
        findings: &mut Findings,
    ) -> Option<Self> {
        let place = path.place(node.at);
        let mut entries = HashMap::new();
        let mut lines = HashMap::new();
        for entry in mapping(node, path, findings)? {
            let Some(text) = key_text(&entry, path, findings) else { continue };
            let at = Path::Key(path, &text);
            if !known.contains(&text.as_str()) && findings.is_full() {
                findings.count();
            } else if !known.contains(&text.as_str()) {
                let hint = did_you_mean(&text, known.iter().copied());
                let all = listed_fields(known);
                findings.push_at(&at, entry.key.at, format!("unknown field `{}`{hint}: {all}", shown(&text)));
            } else if let Some(line) = lines.insert(text.clone(), entry.key.at.line) {
                findings.push_at(&at, entry.key.at, twice(&text, line));
            } else {
                entries.insert(text, entry.value);
            }
        }
        let given = known.iter().copied().filter(|name| entries.contains_key(*name)).collect();
        Some(Self { entries, path, written: Written { place, given } })
    }

    /// What of the record is known without reading its fields.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written.clone()
    }

    /// Reads a field that may be left out.
    pub fn optional<T: Decode>(&mut self, name: &str, findings: &mut Findings) -> Option<T> {
        let node = self.entries.remove(name)?;
        T::decode(node, &Path::Key(self.path, name), findings)
    }

    /// Reads a field that must be there.
    pub fn required<T: Decode>(&mut self, name: &str, findings: &mut Findings) -> Option<T> {
        if !self.entries.contains_key(name) {
            findings.push(&self.written.place, format!("the field `{name}` is missing"));
        }
        self.optional(name, findings)
    }
}

fn mapping(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Vec<Entry>> {
    match node.value {
        Value::Map(entries) => Some(entries),
        other => {
            findings.push_at(path, node.at, format!("expected a mapping, found {}", other.kind()));
            None
        }
    }
}

fn key_text(entry: &Entry, path: &Path<'_>, findings: &mut Findings) -> Option<String> {
    match &entry.key.value {
        Value::Text(text) => Some(text.clone()),
        other => {
            let message = format!("a key must be a text, found {}: put it in quotes", other.kind());
            findings.push_at(path, entry.key.at, message);
            None
        }
    }
}

fn twice(key: &str, line: u64) -> String {
    format!("`{}` is already there in line {line}", shown(key))
}

fn listed_fields(known: &[&str]) -> String {
    format!("the fields here are {}", listed(known.iter().copied()))
}

/// Exactly one of these fields must be there. Answers the one, if so.
pub fn exactly_one(
    record: &impl Record,
    of: &[&'static str],
    findings: &mut Findings,
) -> Option<&'static str> {
    let there: Vec<&'static str> = of.iter().copied().filter(|name| record.gives(name)).collect();
    let message = match there.as_slice() {
        [one] => return Some(one),
        [] => format!("one of these fields must be there: {}", listed(of.iter().copied())),
        several => format!("only one of these fields may be there: {}", listed(several.iter().copied())),
    };
    findings.push(record.place(), message);
    None
}

/// Declares a record: a struct whose fields are `Option`s, how it is read, and its JSON Schema. One
/// declaration, so that the three can't disagree. What follows the `;` is checked and not kept.
macro_rules! record {
    ($(#[doc = $doc:literal])* pub struct $name:ident $(where schema has $extra:tt)? {
        $($(#[doc = $field_doc:literal])* $need:ident $field:ident: $type:ty = $key:literal,)*
        $(; $($(#[doc = $checked_doc:literal])* $checked_key:literal: $checked:ty,)*)?
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub struct $name {
            written: $crate::dag::decode::Written,
            $($(#[doc = $field_doc])* pub $field: Option<$type>,)*
        }

        impl $crate::dag::decode::Decode for $name {
            fn decode(
                node: $crate::dag::tree::Node,
                path: &$crate::dag::findings::Path<'_>,
                findings: &mut $crate::dag::findings::Findings,
            ) -> Option<Self> {
                let known = &[$($key,)* $($($checked_key,)*)?];
                let mut fields = $crate::dag::decode::Fields::of(node, path, known, findings)?;
                $($(fields.optional::<$checked>($checked_key, findings);)*)?
                Some(Self {
                    $($field: fields.$need($key, findings),)*
                    written: fields.written(),
                })
            }
        }

        impl $crate::dag::decode::Record for $name {
            fn written(&self) -> &$crate::dag::decode::Written {
                &self.written
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = $crate::dag::decode::object_schema(concat!($($doc,)* ""));
                $($crate::dag::decode::add_property(
                    &mut schema,
                    $key,
                    generator.subschema_for::<$type>(),
                    concat!($($field_doc,)* ""),
                    stringify!($need) == "required",
                );)*
                $($($crate::dag::decode::add_property(
                    &mut schema,
                    $checked_key,
                    generator.subschema_for::<$checked>(),
                    concat!($($checked_doc,)* ""),
                    false,
                );)*)?
                $($crate::dag::decode::extend(&mut schema, serde_json::json!($extra));)?
                schema
            }
        }
    };
}
pub(super) use record;

/// The schema of a record without fields yet.
pub fn object_schema(doc: &str) -> Schema {
    json_schema!({
        "type": "object",
        "description": doc.trim(),
        "properties": {},
        "required": [],
        "additionalProperties": false,
    })
}

/// Adds a field to the schema of a record.
pub fn add_property(schema: &mut Schema, key: &str, mut field: Schema, doc: &str, required: bool) {
    field.insert("description".to_owned(), doc.trim().into());
    let object = schema.ensure_object();
    if let Some(properties) = object.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        properties.insert(key.to_owned(), field.to_value());
    }
    if let (true, Some(list)) =
        (required, object.get_mut("required").and_then(serde_json::Value::as_array_mut))
    {
        list.push(key.into());
    }
}

/// Adds rules that span several fields.
pub fn extend(schema: &mut Schema, rules: serde_json::Value) {
    if let serde_json::Value::Object(rules) = rules {
        schema.ensure_object().extend(rules);
    }
}
