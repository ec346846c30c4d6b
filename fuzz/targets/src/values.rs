//! Values: bytes are refused, or decode to a value whose encoding decodes to the same. Input: which type; the bytes.

use crate::Seed;
use crate::input::Input;
use kinglet_core::codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Text(String),
    Pair(i8, Option<u16>),
    Fields { list: Vec<Tree>, map: BTreeMap<String, u32>, c: char },
    Deeper(Box<Tree>),
}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let bytes = input.0;
    match kind {
        0 => value::<String>(bytes),
        1 => value::<Vec<String>>(bytes),
        2 => value::<(u64, i128, bool, char)>(bytes),
        3 => value::<HashMap<String, Vec<u8>>>(bytes),
        4 => value::<Vec<()>>(bytes),
        5 => value::<Option<(Duration, [u16; 5])>>(bytes),
        6 => value::<Vec<(u32, String, Option<bool>)>>(bytes),
        7 => value::<std::net::IpAddr>(bytes),
        8 => value::<std::path::PathBuf>(bytes),
        _ => value::<Tree>(bytes),
    }
}

fn value<T: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) {
    let Ok((value, read)) = codec::decode_first::<T>(bytes) else {
        assert!(codec::decode::<T>(bytes).is_err());
        return;
    };
    assert!(read <= bytes.len());
    assert_eq!(codec::decode::<T>(bytes).is_ok(), read == bytes.len());
    let again = codec::encode(&value).expect("what was read can be written");
    assert_eq!(again.len(), codec::encoded_len(&value));
    assert_eq!(codec::decode::<T>(&again).expect("what was written can be read"), value);
}

pub(crate) fn seeds() -> Vec<Seed> {
    fn of<T: Serialize>(name: &str, kind: u8, value: T) -> Seed {
        Seed::new(name, [&[kind][..], &codec::encode(&value).expect("a value")].concat())
    }
    let list = vec![Tree::Leaf, Tree::Text("text".into()), Tree::Pair(-3, Some(900))];
    let tree = Tree::Fields { list, map: BTreeMap::from([("k".into(), 70_000)]), c: 'ß' };
    vec![
        of("text", 0, "some text"),
        of("texts", 1, ["one", "", "three"].as_slice()),
        of("numbers", 2, (u64::MAX, i128::MIN, true, '\u{10ffff}')),
        of("map", 3, HashMap::from([("key", vec![1u8, 2, 3])])),
        of("units", 4, vec![(); 9]),
        of("array", 5, Some((Duration::from_millis(1_500), [1u16, 2, 3, 4, 500]))),
        of("rows", 6, vec![(7u32, "row", Some(true)), (70_000, "", None)]),
        of("address", 7, std::net::IpAddr::from([127, 0, 0, 1])),
        of("path", 8, std::path::Path::new("a/path")),
        of("tree", 9, Tree::Deeper(Box::new(tree))),
    ]
}
