//! Keys: bytes are refused, or decode to a key whose encoding decodes to the same; and the encodings of two keys sort as the keys
//! do. Input: the length of the first key; both keys.

use crate::Seed;
use crate::input::Input;
use kinglet_core::Key;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A key with everything that a user's own may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Own {
    Nothing,
    Named(String),
    Pair(i8, Option<u16>),
    Fields { list: Vec<(bool, char)>, bytes: Vec<u8>, deeper: Option<Box<Own>> },
}

impl Key for Own {}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let length = input.byte();
    let (a, b) = (input.take(length.into()), input.0);
    both::<String>(a, b);
    both::<Vec<u8>>(a, b);
    both::<u8>(a, b);
    both::<i64>(a, b);
    both::<u128>(a, b);
    both::<()>(a, b);
    both::<bool>(a, b);
    both::<char>(a, b);
    both::<Option<i32>>(a, b);
    both::<(String, u64)>(a, b);
    both::<(Option<String>, i16, Vec<u8>)>(a, b);
    both::<((u8, bool), char, String, Option<()>)>(a, b);
    both::<Own>(a, b);
}

fn both<K: Key + Debug>(a: &[u8], b: &[u8]) {
    if let (Some((a, x)), Some((b, y))) = (one::<K>(a), one::<K>(b)) {
        assert_eq!(a.cmp(&b), x.cmp(&y), "{a:?} and {b:?}");
    }
}

/// Decodes a key, and returns it with its encoding.
fn one<K: Key + Debug>(bytes: &[u8]) -> Option<(K, Vec<u8>)> {
    let key = K::decode(bytes).ok()?;
    let mut again = Vec::new();
    key.encode(&mut again).expect("what was read can be written");
    assert_eq!(K::decode(&again).expect("what was written can be read"), key);
    Some((key, again))
}

pub(crate) fn seeds() -> Vec<Seed> {
    fn pair<K: Key>(name: &str, a: K, b: K) -> Seed {
        let (mut x, mut y) = (vec![], vec![]);
        a.encode(&mut x).and_then(|()| b.encode(&mut y)).expect("keys");
        Seed::new(name, [&[x.len() as u8][..], &x, &y].concat())
    }
    let fields = |deeper| Own::Fields { list: vec![(true, 'ß'), (false, 'x')], bytes: vec![0, 255], deeper };
    vec![
        pair("text", "one".to_owned(), "two".to_owned()),
        pair("number", -1i64, 1),
        pair("pair", ("a city of some length".to_owned(), 1u64), ("a city".to_owned(), 2)),
        pair("option", (Some("x".to_owned()), 3i16, vec![1u8]), (None, -3, vec![])),
        pair("nested", ((1u8, true), 'c', "s".to_owned(), Some(())), ((1, true), 'c', "t".to_owned(), None)),
        pair("own", fields(Some(Box::new(Own::Named("n".into())))), Own::Pair(-3, Some(9))),
        pair("deeper", fields(Some(Box::new(fields(None)))), Own::Nothing),
    ]
}
