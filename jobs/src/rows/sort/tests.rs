//! Sorted rows are those of a stable sort, whatever the splits, the parts and where these end.

use super::*;
use crate::{By, TypedRows};
use kinglet_core::{Code, CsvDialect, Datum, Error, RowFormat, check_job};
use proptest::prelude::*;

fn rows(format: RowFormat, by: &str) -> Ordered {
    Ordered::new(format, By::parse_all(by).unwrap()).unwrap()
}

fn csv() -> RowFormat {
    RowFormat::Csv(CsvDialect::new())
}

fn sorted(format: RowFormat, by: &str, object: &str) -> Result<String> {
    check_job(&Sort::new(rows(format, by)), object.as_bytes(), &[1, 2])
}

fn body(text: &str) -> Vec<&str> {
    text.lines().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_are_those_of_a_stable_sort_wherever_parts_end(
        rows_of in proptest::collection::vec((proptest::option::of(-3i64..3), "[ab]{0,2}"), 0..60),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        parts in 1u32..6, descending: bool, nulls_first: bool, unique: bool,
    ) {
        let csv_rows = rows_of.iter().enumerate().map(|(n, (a, b))| {
            format!("{n},{},{b}\n", a.map(|a| a.to_string()).unwrap_or_default())
        });
        let object = format!("n,a,b\n{}", csv_rows.collect::<String>());
        let by = format!(
            "a {} nulls {}, b",
            if descending { "desc" } else { "asc" },
            if nulls_first { "first" } else { "last" }
        );
        let mut want: Vec<_> = rows_of.iter().enumerate().collect();
        want.sort_by(|(_, (a, b)), (_, (c, d))| {
            let values = match (a, c) {
                (Some(a), Some(c)) if descending => c.cmp(a),
                (Some(a), Some(c)) => a.cmp(c),
                (a, c) if nulls_first => a.is_some().cmp(&c.is_some()),
                (a, c) => c.is_some().cmp(&a.is_some()),
            };
            // An empty field is nothing, and comes last.
            values.then_with(|| (b.is_empty(), b).cmp(&(d.is_empty(), d)))
        });
        if unique {
            want.dedup_by(|(_, a), (_, b)| a == b);
        }
        let want: String = want
            .iter()
            .map(|(n, (a, b))| format!("{n}\t{}\t{b}\n", a.map(|a| a.to_string()).unwrap_or_default()))
            .collect();
        let job = Sort::new(rows(csv(), &by));
        let job = if unique { job.unique() } else { job };
        // Parts may end at any keys: of some rows, and with places that no row has.
        let keys = || {
            let mut keys: Vec<Vec<u8>> = cuts.iter().filter(|_| !rows_of.is_empty()).map(|at| {
                let (a, b) = &rows_of[at.index(rows_of.len())];
                let mut key = Vec::new();
                let value = |text: &str| Datum::of_field(text.as_bytes().to_vec().into());
                let order = kinglet_core::KeyOrder { descending, nulls_first };
                kinglet_core::encode_key(&a.map_or(Datum::Null, Datum::Int), order, &mut key);
                kinglet_core::encode_key(&value(b), Default::default(), &mut key);
                if !unique {
                    key.extend_from_slice(&[3, 0, 0, 1, 50, 0]);
                }
                key
            }).collect();
            keys.sort();
            keys
        };
        for job in [job.clone(), job.clone().with_bounds(keys())] {
            prop_assert_eq!(check_job(&job, object.as_bytes(), &[parts, 1]).unwrap(), &want[..]);
        }
        // What is known beforehand changes nothing.
        let names = ["n", "a", "b"].map(str::to_owned).to_vec();
        let job = Sort { rows: job.rows.with_common("the obj").with_names([vec![], names]), ..job };
        let known = job.with_bounds(keys());
        prop_assert_eq!(check_job(&known, object.as_bytes(), &[parts]).unwrap(), want);
    }
}

#[test]
fn lines_are_sorted_as_text_or_as_numbers() {
    let text = "10\n9\nb\n\n-1.5\nB\n9\n";
    assert_eq!(sorted(RowFormat::Lines, "line", text).unwrap(), "\n-1.5\n10\n9\n9\nB\nb\n");
    assert_eq!(sorted(RowFormat::Lines, "line desc", text).unwrap(), "b\nB\n9\n9\n10\n-1.5\n\n");
    // Behind numbers comes other text, and nothing last.
    assert_eq!(sorted(RowFormat::Lines, "line as number", text).unwrap(), "-1.5\n9\n9\n10\nB\nb\n\n");
    let whole = Sort::new(Ordered::new(RowFormat::Lines, vec![]).unwrap());
    assert_eq!(check_job(&whole, b"b\0c\nb\na", &[1, 3]).unwrap(), "a\nb\nb\0c\n");
    let unique = Sort::new(rows(RowFormat::Lines, "line desc")).unique();
    assert_eq!(check_job(&unique, text.as_bytes(), &[1, 3]).unwrap(), "b\nB\n9\n10\n-1.5\n\n");
}

#[test]
fn fields_stay_as_they_were_written_unless_values_are_wanted() {
    let object = "id,price\n007,1.50\nx,\"1,0\"\n10,1e0\n9,true\n";
    assert_eq!(body(&sorted(csv(), "price", object).unwrap()), ["9\ttrue", "10\t1e0", "007\t1.50", "x\t1,0"]);
    // `1.50` is a number whatever it is compared as; text as a number stays behind, and `true` is found to be no text.
    assert_eq!(body(&sorted(csv(), "price as number", object).unwrap())[1..3], ["10\t1e0", "007\t1.50"]);
    assert_eq!(body(&sorted(csv(), "id as text", object).unwrap()), ["007\t1.50", "10\t1e0", "9\ttrue", "x\t1,0"]);
    // As numbers, and then text.
    assert_eq!(body(&sorted(csv(), "id", object).unwrap()), ["9\ttrue", "10\t1e0", "007\t1.50", "x\t1,0"]);
    let values = Sort::new(rows(csv(), "id").with_values());
    assert_eq!(check_job(&values, object.as_bytes(), &[1]).unwrap(), "9\ttrue\n10\t1\n007\t1.5\nx\t1,0\n");
    let plain = RowFormat::Csv(CsvDialect::new().with_plain_text());
    assert_eq!(body(&sorted(plain, "id", object).unwrap()), ["007\t1.50", "10\t1e0", "9\ttrue", "x\t1,0"]);
}

#[test]
fn values_of_several_types_have_an_order() {
    let json = "{\"a\":[2]}\n{\"a\":\"x\"}\n{\"a\":null,\"b\":1}\n{\"a\":1e400}\n{\"a\":{\"c\":1}}\n{\"a\":-2}\n{\"a\":true}\n\
                {\"a\":\"\"}\n{}\n{\"a\":[1,5]}\n{\"a\":false}\n{\"a\":3.5}\n";
    let json = json.replace("1e400", "12345678901234567890");
    let want = "false\ntrue\n-2\n3.5\n12345678901234567890\n\nx\n[1,5]\n[2]\n{\"c\":1}\n\t1\n\n";
    assert_eq!(sorted(RowFormat::JsonLines, "a", &json).unwrap(), want);
    // A column that no row has: all stay as they were.
    assert_eq!(sorted(RowFormat::JsonLines, "z", "{\"a\":2}\n{\"a\":1}\n").unwrap(), "2\n1\n");
}

#[test]
fn rows_are_chosen_and_columns_too() {
    let object = "a,b,c\n1,x,5\n2,y,4\n3,x,3\n,x,2\n";
    let only = |text: &str| text.parse::<kinglet_core::Only>().unwrap();
    let chosen = rows(csv(), "c").with_only(only("b = x")).with_only(only("a >= 1"));
    let chosen = chosen.with_columns(vec!["b".into(), "a".into()]);
    assert_eq!(check_job(&Sort::new(chosen), object.as_bytes(), &[1]).unwrap(), "x\t3\nx\t1\n");
    let unknown = rows(csv(), "c").with_only(only("d = x"));
    let error = check_job(&Sort::new(unknown), object.as_bytes(), &[1]).unwrap_err();
    assert!(error.is(Code::ColumnMissing), "{error}");
}

#[test]
fn a_result_that_stores_types_gets_them() {
    let typed = TypedRows { types: "a decimal(4,2), b text".parse().unwrap(), chosen: false };
    let format = RowFormat::Csv(CsvDialect::new().with_text_or_nothing());
    let job = Sort::new(rows(csv(), "a desc").with_typed(format.clone(), typed.clone()));
    assert_eq!(check_job(&job, b"a,b\n1.5,7\n10,007\n", &[1]).unwrap(), "10.00\t007\n1.50\t7\n");
    let job = Sort::new(rows(csv(), "a desc").with_typed(format, typed));
    let error: Error = check_job(&job, b"a,b\n1.567,7\n", &[1]).unwrap_err();
    assert!(error.is(Code::RecordInvalid) && error.to_string().contains("column a"), "{error}");
}

#[test]
fn what_cannot_be_sorted_is_refused() {
    let error = sorted(csv(), "prise", "town,price\nUlm,1\n").unwrap_err();
    assert!(error.is(Code::ColumnMissing) && error.to_string().contains("\"prise\", but town, price"), "{error}");
    assert!(error.hint().unwrap().contains("if \"price\" is meant"), "{:?}", error.hint());
    assert!(Ordered::new(csv(), vec![]).unwrap_err().is(Code::SortBy));
    assert_eq!(sorted(csv(), "a", "a\n").unwrap(), "");
    assert_eq!(sorted(csv(), "a", "").unwrap(), "");
}

#[test]
fn bounds_are_as_short_as_tells_them_apart_and_not_too_many() {
    let key = |text: &str| [text.as_bytes(), &[0]].concat();
    let bounds = |keys: &[&str]| Sort::new(Ordered::default()).with_bounds(keys.iter().map(|text| key(text))).bounds();
    assert_eq!(bounds(&[]), [[255]]);
    assert_eq!(bounds(&["abc", "abc", "abdef", "b", "bc"]), [&b"abc"[..], b"abd", b"b", b"bc"]);
    // What they have in common with the one before is nearly all of them.
    let long: Vec<String> = (0..1_000).map(|n| format!("{}{n:04}", "a".repeat(1_000))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let kept = bounds(&long);
    let bytes: usize = kept.iter().map(Vec::len).sum();
    assert!(bytes <= BOUNDS_BYTES_MAX && bytes > BOUNDS_BYTES_MAX / 3 && kept.is_sorted(), "{bytes}");
}

#[test]
fn bytes_of_a_row_of_ten_columns_are_its_fields_and_little_more() {
    let fields: Vec<String> = (0..10).map(|n| format!("value {n}")).collect();
    let names: Vec<String> = (0..10).map(|n| format!("column_{n}")).collect();
    let object = format!("{}\n{}\n", names.join(","), fields.join(","));
    let bytes = |job: Sort| {
        let sampler = kinglet_core::engine::sample::Sampler::new(&job, kinglet_core::Side::Left).unwrap();
        let chunk = kinglet_core::engine::cut::Chunk {
            bytes: object.clone().into(),
            range_idx: 0,
            offset: 0,
            head: Default::default(),
            rows: None,
        };
        let piece = sampler.map(chunk, "s3://bucket/folder/name-00000.csv").unwrap();
        assert_eq!(piece.records, 1);
        piece.pairs[0].0.len()
    };
    let job = Sort::new(rows(csv(), "column_0"));
    let row: usize = fields.iter().map(String::len).sum();
    let unknown = bytes(job);
    let rows = rows(csv(), "column_0").with_common("s3://bucket/folder/name-").with_names([names]);
    let known = bytes(Sort::new(rows));
    // As the header of `ordered.rs` says.
    assert_eq!((row, known, unknown), (70, 116, 232));
}
