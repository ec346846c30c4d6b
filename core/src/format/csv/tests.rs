use super::*;
use crate::check_format;
use crate::format::extent;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A row and where it starts.
type Placed = (usize, Vec<String>);

fn rows(format: CsvFields, object: &[u8]) -> Result<Vec<Placed>, (usize, Error)> {
    let mut rows = vec![];
    let read = format.for_each(extent(object), |at, row| {
        let fields: Vec<_> = row.fields().map(|field| String::from_utf8_lossy(&field).into_owned()).collect();
        let by_place = (0..row.len()).map(|at| row.get(at).unwrap());
        assert!(by_place.eq(row.fields()) && row.get(row.len()).is_none());
        rows.push((at, fields));
        Ok(())
    });
    match read {
        Ok(count) => {
            assert_eq!(count, rows.len() as u64);
            Ok(rows)
        }
        Err(error) => {
            let (at, error) = error.take_place();
            Err((at, error.into_error(Code::MapFailed)))
        }
    }
}

fn read(dialect: CsvDialect, object: &[u8]) -> Vec<Vec<String>> {
    let rows = rows(CsvFields::new(dialect), object).unwrap_or_else(|(at, e)| panic!("at {at}: {e}"));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn typed<T: Shape + for<'a> Shape<Of<'a> = T>>(dialect: CsvDialect, object: &[u8]) -> Result<Vec<T>, (usize, Error)> {
    let (format, mut rows) = (Csv::<T>::new(dialect), vec![]);
    let read = format.for_each(extent(object), |_, row| {
        rows.push(row);
        Ok(())
    });
    read.map(|_| rows).map_err(|error| {
        let (at, error) = error.take_place();
        (at, error.into_error(Code::MapFailed))
    })
}

#[test]
fn rows_are_what_rfc_4180_says() {
    let plain = CsvDialect::new().without_head();
    assert_eq!(read(plain, b"aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n"), [["aaa", "bbb", "ccc"], ["zzz", "yyy", "xxx"]]);
    assert_eq!(read(plain, b"aaa,bbb\nzzz,yyy"), [["aaa", "bbb"], ["zzz", "yyy"]]);
    assert_eq!(read(CsvDialect::new(), b"a,b\n1,\n"), [["1", ""]]);
    assert_eq!(
        read(plain, b"\"aaa\",\"b\r\nbb\",\"c,c\"\nz,\"y\"\"\"\"y\",\"\"\n"),
        [["aaa", "b\r\nbb", "c,c"], ["z", "y\"\"y", ""]]
    );
    assert_eq!(read(plain, b"\xef\xbb\xbf\"a\",b\n\r\n\nc,d\n\n"), [["a", "b"], ["c", "d"]]);
    assert_eq!(read(plain, b"\"\"\n\na\n"), [[""], ["a"]]);
    assert_eq!(read(CsvDialect::tsv(), b"a\tb\nc,d\t\"e\tf\"\n"), [["c,d", "e\tf"]]);
    assert_eq!(read(plain.with_delimiter(b';').with_quote(b'\''), b"'a;''b';\"c\n"), [["a;'b", "\"c"]]);
    assert_eq!(read(plain.without_quotes(), b"\"a,b\"\n\"c\",d\n"), [["\"a", "b\""], ["\"c\"", "d"]]);
    assert_eq!(read(CsvDialect::new(), b""), Vec::<Vec<String>>::new());
    assert_eq!(read(CsvDialect::new(), b"\xef\xbb\xbf"), Vec::<Vec<String>>::new());
    assert_eq!(read(CsvDialect::new(), b"only,a,head"), Vec::<Vec<String>>::new());
}

#[test]
fn an_escape_makes_the_next_byte_an_ordinary_one() {
    let dialect = CsvDialect::new().without_head().with_escape(b'\\');
    let object = b"a\\,b,\"c\\\"d\\\\\"\ne\\\nf,\"g\\nh\"\n\\\",\"\"\n";
    assert_eq!(read(dialect, object), [["a,b", "c\"d\\"], ["e\nf", "gnh"], ["\"", ""]]);
    let lines = dialect.without_quoted_newlines();
    assert_eq!(read(lines, b"a\\,b,\"c\\\"d\"\n"), [["a,b", "c\"d"]]);
    assert!(rows(CsvFields::new(lines), b"a,b\\\nc,d\n").unwrap_err().1.to_string().contains("escape"));
    let unquoted = dialect.without_quotes();
    assert_eq!(read(unquoted, b"a\\,b,\"c\nd\\\ne,f\n"), [["a,b", "\"c"], ["d\ne", "f"]]);
}

#[test]
fn a_row_that_is_not_valid_names_its_place_and_what_is_wrong() {
    for (row, says) in [
        (&b"1,2,3\n"[..], "the row has 3 fields, and the head of its object has 2"),
        (b"1\n", "the row has 1 fields, and the head of its object has 2"),
        (b"1,a\"b\n", "field 2 has a \" in text that is not quoted"),
        (b"\"a\"b,2\n", "field 1 goes on behind its closing \""),
        (b"\"a\"\"\"b,2\n", "field 1 goes on behind its closing \""),
        (b"1,\"never\n3,4\n", "field 2 opens with a \" that is never closed"),
        (b"1,\"", "field 2 opens with a \" that is never closed"),
        (b"a\rb,2\n", "field 1 has a carriage return that ends no line"),
    ] {
        let object = [b"x,y\n\"a\nb\",c\n\n", row].concat();
        let (at, error) = rows(CsvFields::default(), &object).unwrap_err();
        assert_eq!((at, error.code()), (13, "record-invalid"), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(typed::<(String, String)>(CsvDialect::new(), &object).unwrap_err().1.to_string(), error.to_string());
    }
    let (_, empty) = rows(CsvFields::default(), b"\na,b\n").unwrap_err();
    assert!(empty.to_string().contains("the first line is empty"), "{empty}");
    let clash = CsvDialect::new().with_quote(b',');
    assert!(rows(CsvFields::new(clash), b"a\n").unwrap_err().1.to_string().contains("',' has two meanings"));
    let (_, open) =
        rows(CsvFields::new(CsvDialect::new().without_quoted_newlines()), b"a,b\n1,\"2\n3\",4\n").unwrap_err();
    assert!(open.to_string().contains("its line does not close"), "{open}");
}

#[test]
fn short_rows_are_filled_where_that_is_said_and_long_ones_never_are() {
    let dialect = CsvDialect::new().with_short_rows();
    assert_eq!(read(dialect, b"a,b,c\n1\n1,2\n1,2,3\n"), [["1", "", ""], ["1", "2", ""], ["1", "2", "3"]]);
    assert!(rows(CsvFields::new(dialect), b"a,b\n1,2,3\n").is_err());
    let filled = typed::<(u8, Option<u8>)>(dialect, b"a,b\n1\n2,3\n").unwrap();
    assert_eq!(filled, [(1, None), (2, Some(3))]);
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Small,
    Large,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Sale {
    id: i64,
    price: f64,
    kind: Kind,
    note: Option<String>,
    #[serde(default)]
    tax: u8,
}

#[test]
fn rows_become_types_by_the_names_of_columns() {
    let object = b"kind,price,id,note,unread\nsmall,0.1,-7,,x\nlarge,1e300,9223372036854775807,\"a, b\",\n";
    let want = [
        Sale { id: -7, price: 0.1, kind: Kind::Small, note: None, tax: 0 },
        Sale { id: i64::MAX, price: 1e300, kind: Kind::Large, note: Some("a, b".into()), tax: 0 },
    ];
    assert_eq!(typed::<Sale>(CsvDialect::new(), object).unwrap(), want);
    let tuples = typed::<(Kind, f64, i128, String, char)>(CsvDialect::new(), b"a,b,c,d,e\nlarge,2,3,,x\n").unwrap();
    assert_eq!(tuples, [(Kind::Large, 2.0, 3, String::new(), 'x')]);
    let maps = typed::<BTreeMap<String, String>>(CsvDialect::new(), b"a,b\n1,2\n").unwrap();
    assert_eq!(maps[0], BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]));
    assert_eq!(typed::<u32>(CsvDialect::new().without_head(), b"1\n2\n").unwrap(), [1, 2]);
    let lists = typed::<Vec<bool>>(CsvDialect::new().without_head(), b"true,false\n").unwrap();
    assert_eq!(lists, [vec![true, false]]);
    // Without a head, the fields of a struct are the columns.
    let ordered = typed::<Sale>(CsvDialect::new().without_head(), b"1,2,small,,3\n").unwrap();
    assert_eq!(ordered, [Sale { id: 1, price: 2.0, kind: Kind::Small, note: None, tax: 3 }]);
}

#[derive(Debug, Deserialize, PartialEq)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[test]
fn what_takes_anything_gets_numbers_and_text() {
    let flat = typed::<Flat>(CsvDialect::new(), b"a,id,b,c,d,e\n-1,5,x,2.5,18446744073709551616,nan\n").unwrap();
    let json: serde_json::Value =
        serde_json::from_str(r#"{"a": -1, "b": "x", "c": 2.5, "d": 18446744073709551616, "e": "nan"}"#).unwrap();
    assert_eq!(serde_json::to_value(&flat[0].rest).unwrap(), json);
}

#[test]
fn a_row_of_another_type_says_which_column_is_wrong() {
    for (object, code, says) in [
        (&b"id,price,kind,note\n1,x,small,\n"[..], "record-invalid", "column \"price\": \"x\": invalid float literal"),
        (b"id,price,kind,note\n9223372036854775808,1,small,\n", "record-invalid", "column \"id\""),
        (b"id,price,kind,note\n,1,small,\n", "record-invalid", "column \"id\": \"\": cannot parse integer from empty"),
        (b"id,price,kind,note\n1,1,huge,\n", "record-invalid", "column \"kind\": unknown variant `huge`"),
        (b"id,price,kind,note\n1,1,small,\xff\n", "record-invalid", "column \"note\": not UTF-8"),
        (b"id,cost,kind,note\n1,1,small,\n", "column-missing", "it has no column \"price\", but id, cost, kind, note"),
    ] {
        let (_, error) = typed::<Sale>(CsvDialect::new(), object).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let (_, few) = typed::<(u8, u8)>(CsvDialect::new(), b"a,b,c\n1,2,3\n").unwrap_err();
    assert!(few.to_string().contains("it has 3 columns, where 2 are expected"), "{few}");
}

#[derive(Debug, Deserialize)]
struct Borrowed<'a> {
    name: &'a str,
    #[serde(with = "serde_bytes_like")]
    raw: &'a [u8],
}

mod serde_bytes_like {
    use serde::Deserialize;

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<&'de [u8], D::Error> {
        <&[u8]>::deserialize(from)
    }
}

struct Borrows;

impl Shape for Borrows {
    type Of<'a> = Borrowed<'a>;
}

#[test]
fn text_and_bytes_are_borrowed_where_nothing_is_doubled() {
    let object = b"raw,name\n\xff\xfe,\"a,b\"\n";
    let format = Csv::<Borrows>::default();
    let read = format.for_each(extent(object), |_, row| {
        assert_eq!((row.name, row.raw), ("a,b", &b"\xff\xfe"[..]));
        assert!(object.as_ptr_range().contains(&row.name.as_ptr()));
        Ok(())
    });
    assert_eq!(read.unwrap(), 1);
}

#[test]
fn chosen_columns_are_found_in_every_head() {
    let format = CsvFields::default().with_columns(["b", "a"]);
    let read =
        |object| rows(format.clone(), object).map(|rows| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    assert_eq!(read(b"a,b\n1,2\n").unwrap(), [["2", "1"]]);
    assert_eq!(read(b"x,b,\"a\"\n0,2,\"1\"\n").unwrap(), [["2", "1"]]);
    let missing = read(b"a,c\n1,2\n").unwrap_err().1;
    assert_eq!(missing.code(), "column-missing");
    assert!(missing.to_string().contains("no column \"b\", but a, c"), "{missing}");
    assert!(read(b"a,b,b\n1,2,3\n").unwrap_err().1.to_string().contains("two columns \"b\""));
    assert_eq!(read(b"").unwrap(), Vec::<Vec<String>>::new());
}

/// Text of rows, each field quoted where it must be, and some where they need not be.
fn object() -> impl Strategy<Value = (String, Vec<Vec<String>>)> {
    let field = ("[ab,\"\n\r;]{0,5}", any::<bool>());
    let rows = (1usize..4)
        .prop_flat_map(move |columns| proptest::collection::vec(proptest::collection::vec(field, columns), 0..7));
    (rows, any::<[bool; 4]>()).prop_map(|(rows, [mark, crlf, last, blanks])| {
        let mut text = String::from(if mark { "\u{feff}" } else { "" });
        let end = if crlf { "\r\n" } else { "\n" };
        for (n, row) in rows.iter().enumerate() {
            let fields = row.iter().map(|(field, quoted)| {
                let must = field.contains([',', '"', '\n', '\r']) || (row.len() == 1 && field.is_empty());
                if *quoted || must { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.clone() }
            });
            text += &fields.collect::<Vec<_>>().join(",");
            if n + 1 < rows.len() || !last {
                text += end;
            }
            if blanks && n + 1 < rows.len() {
                text += end;
            }
        }
        (text, rows.into_iter().map(|row| row.into_iter().map(|(field, _)| field).collect()).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn what_was_written_is_read_as_the_csv_crate_reads_it((text, want) in object()) {
        let got = read(CsvDialect::new().without_head(), text.as_bytes());
        prop_assert_eq!(&got, &want);
        let mut theirs = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let theirs: Vec<Vec<String>> =
            theirs.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        prop_assert_eq!(&got, &theirs);
    }

    #[test]
    fn what_is_not_refused_is_read_as_the_csv_crate_reads_it(text in "[ab,\"\n]{0,20}") {
        let dialect = CsvDialect::new().without_head();
        if let Ok(got) = rows(CsvFields::new(dialect), text.as_bytes()) {
            let mut theirs = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let theirs: Vec<Vec<String>> =
                theirs.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            let got: Vec<_> = got.into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(got, theirs);
        }
    }

    #[test]
    fn every_cut_gives_the_same_rows_once(
        (text, _) in object(), cuts in proptest::collection::vec(0usize..80, 0..5), block_bytes in 1usize..20, head: bool,
    ) {
        let fields = |row: CsvRow<'_>| row.fields().map(|field| field.into_owned()).collect::<Vec<_>>();
        let dialect = CsvDialect { head, ..CsvDialect::new() };
        check_format(CsvFields::new(dialect), text.as_bytes(), &cuts, block_bytes, fields);
        let lists = |row: Vec<String>| row;
        check_format(Csv::<Vec<String>>::new(dialect), text.as_bytes(), &cuts, block_bytes, lists);
        let lines = dialect.without_quotes();
        let text = text.replace(['"', ','], "").replace("\r", "").replace('\u{feff}', "").trim_start().to_owned();
        check_format(CsvFields::new(lines), text.as_bytes(), &cuts, block_bytes, fields);
    }
}

#[test]
fn rows_keep_the_laws_of_formats_cut_at_every_byte() {
    let object =
        "\u{feff}id,text\r\n1,\"one,\"\"two\"\"\r\nthree\"\r\n\n2,plain\n3,\"\n\",\n4,\"\",\n".replace("\",\n", "\"\n");
    for cut in 0..=object.len() {
        for block_bytes in [1, 5, 100] {
            check_format(Csv::<(u8, String)>::default(), object.as_bytes(), &[cut, cut + 7], block_bytes, |row| row);
            let escaped = CsvFields::new(CsvDialect::new().with_escape(b'\\'));
            check_format(escaped, object.as_bytes(), &[], block_bytes, |row| row.bytes().to_vec());
        }
    }
}
