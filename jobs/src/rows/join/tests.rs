//! Rows joined as their values say, whatever they are written as.

use super::joining::wider;
use super::*;
use kinglet_core::engine::cut::Chunk;
use kinglet_core::engine::sample::Sampler;
use kinglet_core::{Code, CsvDialect, Joined, RowFormat, Types, check_job, check_join};
use proptest::prelude::*;

fn side(format: RowFormat, types: &str) -> JoinSide {
    let types: Types = if types.is_empty() { Types::default() } else { types.parse().unwrap() };
    JoinSide { format, types, unseen: vec![] }
}

fn csv() -> RowFormat {
    RowFormat::Csv(CsvDialect::new())
}

/// The pairs that a join makes of a side.
fn pairs_of(job: &JoinRows, side: Side, object: &str) -> Vec<JoinPair> {
    if object.is_empty() {
        return Vec::new();
    }
    let sampler = Sampler::new(&Joined(job.clone()), side).unwrap().of_all();
    let head = object.split_inclusive('\n').next().unwrap_or_default().to_owned();
    let chunk = Chunk { bytes: object.to_owned().into(), range_idx: 0, offset: 0, head: head.into(), rows: None };
    sampler.map(chunk, "it").unwrap().pairs
}

fn in_order(text: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// Joins CSV with JSON lines.
fn joined(how: How, on: &str, chosen: &[&str], only: &[&str], left: &str, right: &str) -> Result<String> {
    let (of_left, of_right) = ("id bigint, town text, n double", "id bigint, name text, n decimal(9,2)");
    let sides = (side(csv(), of_left), side(RowFormat::JsonLines, of_right));
    let joining = Joining::new(how, sides.0, sides.1, On::parse_all(on)?)?;
    let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
    let job = joining.job(&chosen, only.iter().map(|only| only.parse()).collect::<Result<_>>()?)?;
    let text = check_join(&Joined(job.clone()), left.as_bytes(), right.as_bytes(), &[1, 3])?;
    // It does not matter whether a side goes to every function.
    for side in Side::BOTH.into_iter().filter(|side| BroadcastJoin::can(how, *side)) {
        let (small, big) = if side == Side::Left { (left, right) } else { (right, left) };
        let to_all = BroadcastJoin::new(job.clone(), side, pairs_of(&job, side, small))?;
        assert_eq!(in_order(&check_job(&to_all, big.as_bytes(), &[1, 3])?), text, "{side}");
    }
    // It does not matter which side is kept.
    let other = job.with_kept(Side::Left);
    assert_eq!(check_join(&Joined(other), left.as_bytes(), right.as_bytes(), &[2])?, text);
    Ok(text)
}

const LEFT: &str = "id,town,n\n1,Ulm,1.0\n2,Perth,\n,Oslo,3\n007,Rome,4\n2,Bern,1e0\n";
const RIGHT: &str = "{\"id\": 1.0, \"name\": \"one\", \"n\": 1}\n{\"id\": 2, \"name\": \"two\"}\n{\"id\": null, \"name\": \"none\"}\n\
    {\"name\": \"nothing\"}\n{\"id\": \"007\", \"name\": \"Bond\"}\n{\"id\": \"2\", \"name\": \"text\"}\n";

#[test]
fn values_are_equal_by_what_they_are() {
    let rows = |how| joined(how, "id", &["id", "town", "name"], &[], LEFT, RIGHT).unwrap();
    // A field of CSV that looks like no number is text, and text of JSON is never a number.
    assert_eq!(rows(How::Inner), "007\tRome\tBond\n1\tUlm\tone\n2\tBern\ttwo\n2\tPerth\ttwo\n");
    assert_eq!(rows(How::Left), "\tOslo\t\n007\tRome\tBond\n1\tUlm\tone\n2\tBern\ttwo\n2\tPerth\ttwo\n");
    let right = "\t\tnone\n\t\tnothing\n007\tRome\tBond\n1\tUlm\tone\n2\t\ttext\n2\tBern\ttwo\n2\tPerth\ttwo\n";
    assert_eq!(rows(How::Right), right);
    assert_eq!(rows(How::Full).lines().count(), 8);
    let left_alone = |how| joined(how, "id", &["id", "town"], &[], LEFT, RIGHT).unwrap();
    assert_eq!(left_alone(How::Semi), "007\tRome\n1\tUlm\n2\tBern\n2\tPerth\n");
    assert_eq!(left_alone(How::Anti), "\tOslo\n");
    let as_text = joined(How::Inner, "id as text", &["town", "name"], &[], LEFT, RIGHT).unwrap();
    assert_eq!(as_text, "Bern\ttext\nBern\ttwo\nPerth\ttext\nPerth\ttwo\nRome\tBond\n");
}

#[test]
fn all_columns_of_a_join_must_be_equal_and_none_may_be_nothing() {
    let rows = joined(How::Inner, "id, left.n = right.n", &[], &[], LEFT, RIGHT).unwrap();
    assert_eq!(rows, "1\tUlm\t1.0\tone\n");
    let rows = joined(How::Anti, "id, n", &["town"], &[], LEFT, RIGHT).unwrap();
    assert_eq!(rows, "Bern\nOslo\nPerth\nRome\n");
}

#[test]
fn conditions_choose_rows_before_they_are_joined() {
    let chosen = &["town", "name"];
    let rows = |how, only| joined(how, "id", chosen, only, LEFT, RIGHT).unwrap();
    assert_eq!(rows(How::Inner, &["town >= P", "name < two"]), "Rome\tBond\nUlm\tone\n");
    assert_eq!(rows(How::Left, &["name = one"]), "Bern\t\nOslo\t\nPerth\t\nRome\t\nUlm\tone\n");
    // A number is compared as one, though fields travel as text.
    assert_eq!(rows(How::Inner, &["left.n > 0.5"]), "Bern\ttwo\nRome\tBond\nUlm\tone\n");
    // What both sides are joined by is a condition on both.
    assert_eq!(rows(How::Full, &["id = 2"]), "\ttext\nBern\ttwo\nPerth\ttwo\n");
    assert!(joined(How::Inner, "id", chosen, &["n > 1"], LEFT, RIGHT).unwrap_err().is(Code::ColumnAmbiguous));
}

#[test]
fn an_empty_side_matches_nothing() {
    let rows = |how, left, right| joined(how, "id", &["id", "name"], &[], left, right).unwrap();
    assert_eq!(rows(How::Inner, LEFT, ""), "");
    assert_eq!(rows(How::Left, "id,town,n\n3,a,\n", ""), "3\t\n");
    assert_eq!(rows(How::Right, "id,town,n\n", "{\"id\": 3}\n"), "3\t\n");
    assert_eq!(rows(How::Full, "", ""), "");
    // Of a side without rows nobody knows the columns.
    let joining = Joining::new(
        How::Left,
        side(csv(), "id bigint"),
        side(RowFormat::JsonLines, ""),
        On::parse_all("id = key").unwrap(),
    );
    let job = joining.unwrap().job(&["id".into(), "right.name".into()], vec![]).unwrap();
    assert_eq!(check_join(&Joined(job), b"id\n1\n", b"", &[1]).unwrap(), "1\t\n");
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let new = |on: &str, left: &str, right: &str| {
        Joining::new(How::Inner, side(csv(), left), side(csv(), right), On::parse_all(on).unwrap()).map(drop)
    };
    let missing = new("custmer = id", "customer bigint", "id bigint").unwrap_err();
    assert!(
        missing.is(Code::ColumnMissing) && missing.hint().is_some_and(|hint| hint.contains("customer")),
        "{missing}"
    );
    let missing = new("customer = idd", "customer bigint", "id bigint").unwrap_err();
    assert!(missing.to_string().contains("the right side has no column \"idd\", but id"), "{missing}");
    let types = new("customer = id", "customer bigint", "id text").unwrap_err();
    assert!(types.is(Code::JoinTypes), "{types}");
    for said in ["\"customer\" of the left side, which is bigint", "\"id\" of the right side, which is text"] {
        assert!(types.to_string().contains(said), "{types}");
    }
    assert!(types.hint().is_some_and(|hint| hint.contains("--on 'customer = id as text'")), "{types:?}");
    assert!(new("a = b as text", "a bigint", "b text").is_ok());
    assert!(new("a = b as number", "a bigint", "b text").is_ok());
    assert!(new("a = b as number", "a bigint", "b date").unwrap_err().is(Code::JoinTypes));
    assert!(new("a = b", "a bigint", "b decimal(9,2)").is_ok());
    assert!(new("a = b", "a date", "b timestamp").is_ok());
    assert!(new("a = b", "a time", "b timestamp").is_err());
    // Of a column without a value the type says nothing.
    let unseen = JoinSide { unseen: vec!["b".into()], ..side(csv(), "b text") };
    assert!(Joining::new(How::Inner, side(csv(), "a bigint"), unseen, On::parse_all("a = b").unwrap()).is_ok());
    let none = Joining::new(How::Inner, side(csv(), "a bigint"), side(csv(), "a bigint"), vec![]);
    assert!(none.unwrap_err().is(Code::JoinOn));
}

#[test]
fn types_of_the_result_hold_the_values_of_both_sides() {
    let of = |how, given: &str, chosen: &[&str]| {
        let left = side(csv(), "id int, price decimal(9,2), day date");
        let right = side(csv(), "id bigint, price decimal(4,3), at timestamp");
        let joining = Joining::new(how, left, right, On::parse_all("id, day = at").unwrap()).unwrap();
        let job = joining.job(&chosen.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), vec![]).unwrap();
        let given: Types = if given.is_empty() { Types::default() } else { given.parse().unwrap() };
        joining.typed(job, &given, [csv(), csv()]).map(|(_, types)| types.to_string())
    };
    let all = "id bigint, price decimal(9,2), day date, \"right.price\" decimal(4,3), at timestamp";
    assert_eq!(of(How::Full, "", &[]).unwrap(), all);
    assert_eq!(of(How::Semi, "", &[]).unwrap(), "id int, price decimal(9,2), day date");
    let chosen = of(How::Inner, "cheap double", &["right.price as cheap", "id"]).unwrap();
    // An inner join writes the left side's value.
    assert_eq!(chosen, "cheap double, id int");
    assert!(of(How::Inner, "x int", &[]).unwrap_err().is(Code::Columns));
    let number = |text: &str| format!("a {text}").parse::<Types>().unwrap().of("a").cloned().unwrap();
    for (a, b, want) in [
        ("int", "smallint", "bigint"),
        ("ubigint", "bigint", "decimal(20,0)"),
        ("decimal(9,2)", "int", "decimal(21,2)"),
        ("decimal(38,10)", "decimal(38,2)", "decimal(38,10)"),
        ("decimal(9,2)", "double", "double"),
        ("date", "timestamp(3)", "timestamp(3)"),
        ("timestamp(3)", "timestamptz(9)", "timestamp(9)"),
        ("text", "bytes", "text"),
    ] {
        assert_eq!(wider(&number(a), &number(b)), number(want), "{a} {b}");
        assert_eq!(wider(&number(b), &number(a)), number(want), "{b} {a}");
    }
}

/// A value of a key: as it stands in CSV, as it stands in JSON, and what it is.
type Written = (&'static str, &'static str, Option<&'static str>);

const KEYS: [Written; 9] = [
    ("1", "1.0", Some("1")),
    ("1.50", "1.5", Some("1.5")),
    ("a", "\"a\"", Some("a")),
    ("ab", "\"ab\"", Some("ab")),
    ("\"a,b\"", "\"a,b\"", Some("a,b")),
    ("true", "true", Some("true")),
    ("", "null", None),
    ("007", "\"007\"", Some("007")),
    ("-3", "-3", Some("-3")),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn mixed_formats_are_joined_as_nested_loops_say(
        left in proptest::collection::vec((0usize..9, 0u32..99), 0..20),
        right in proptest::collection::vec((0usize..9, 0u32..99), 0..20),
        how in proptest::sample::select(How::ALL.to_vec()),
        partitions in 1u32..4,
    ) {
        let left_text: String = left.iter().map(|(key, n)| format!("{},{n}\n", KEYS[*key].0)).collect();
        let left_text = format!("k,n\n{left_text}");
        let right_text = right.iter().map(|(key, n)| format!("{{\"m\": {n}, \"k\": {}}}\n", KEYS[*key].1));
        let right_text: String = right_text.collect();
        let sides = (side(csv(), "k text, n bigint"), side(RowFormat::JsonLines, "m bigint, k text"));
        let joining = Joining::new(how, sides.0, sides.1, On::parse_all("k").unwrap()).unwrap();
        let chosen: &[&str] = if how.is_of_left_alone() { &["n"] } else { &["n", "m"] };
        let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
        let job = Joined(joining.job(&chosen, vec![]).unwrap());
        let got = check_join(&job, left_text.as_bytes(), right_text.as_bytes(), &[1, partitions]).unwrap();
        let matches = |a: usize, b: usize| KEYS[a].2.is_some() && KEYS[a].2 == KEYS[b].2;
        let mut want: Vec<String> = Vec::new();
        for (key, n) in &left {
            let found: Vec<u32> = right.iter().filter(|(other, _)| matches(*key, *other)).map(|(_, m)| *m).collect();
            match how {
                How::Semi => want.extend((!found.is_empty()).then(|| format!("{n}\n"))),
                How::Anti => want.extend(found.is_empty().then(|| format!("{n}\n"))),
                _ => {
                    want.extend(found.iter().map(|m| format!("{n}\t{m}\n")));
                    want.extend((found.is_empty() && how.writes_alone(Side::Left)).then(|| format!("{n}\t\n")));
                }
            }
        }
        if how.writes_alone(Side::Right) {
            let is_alone = |key: usize| !left.iter().any(|(other, _)| matches(*other, key));
            want.extend(right.iter().filter(|(key, _)| is_alone(*key)).map(|(_, m)| format!("\t{m}\n")));
        }
        want.sort_unstable();
        prop_assert_eq!(got, want.concat());
    }
}

#[test]
fn a_side_that_is_not_small_or_is_written_alone_does_not_go_to_every_function() {
    let can = |how| Side::BOTH.map(|side| BroadcastJoin::can(how, side));
    let all = How::ALL.map(can);
    assert_eq!(all, [[true, true], [false, true], [true, false], [false, false], [false, true], [false, true]]);
    let joining = Joining::new(
        How::Full,
        side(csv(), "id bigint"),
        side(csv(), "id bigint, b text"),
        On::parse_all("id").unwrap(),
    );
    let job = joining.unwrap().job(&[], vec![]).unwrap();
    assert!(BroadcastJoin::new(job, Side::Right, vec![]).unwrap_err().is(Code::Broadcast));
    let joining = Joining::new(
        How::Inner,
        side(csv(), "id bigint"),
        side(csv(), "id bigint, b text"),
        On::parse_all("id").unwrap(),
    );
    let job = joining.unwrap().job(&[], vec![]).unwrap();
    let pairs = pairs_of(&job, Side::Right, &format!("id,b\n1,{}\n", "x".repeat(BroadcastJoin::TABLE_BYTES_MAX)));
    let error = BroadcastJoin::new(job, Side::Right, pairs).unwrap_err();
    assert!(error.is(Code::Broadcast) && error.to_string().contains("at most go to every function"), "{error}");
}

#[test]
fn heavy_keys_are_known_by_their_values() {
    let job = JoinRows::default().with_kept(Side::Right);
    assert_eq!((job.spreads(), job.with_kept(Side::Left).spreads()), (Some(Side::Left), Some(Side::Right)));
    let joining = Joining::new(
        How::Inner,
        side(csv(), "id bigint, t text"),
        side(csv(), "id bigint, t text"),
        On::parse_all("id, t").unwrap(),
    );
    let job = joining.unwrap().job(&[], vec![]).unwrap();
    let keys: Vec<RowKey> = pairs_of(&job, Side::Left, "id,t\n7,a b\n-1.5,x\n")
        .into_iter()
        .filter_map(|(key, _)| match key {
            kinglet_core::JoinKey::Keyed(key, _) => Some(key),
            _ => None,
        })
        .collect();
    let mut shown: Vec<String> = keys.iter().map(RowKey::shown).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["-1.5, x", "7, a b"]);
    let heavy = job.with_heavy(keys.iter().cloned().zip([0.5, 0.25]));
    assert_eq!(keys.iter().map(|key| heavy.share(key)).collect::<Vec<_>>(), [Some(0.5), Some(0.25)]);
    assert_eq!(JoinRows::default().share(&keys[0]), None);
}
