//! Joins with the whole system: the rows are those of nested loops and of DuckDB, whatever the formats of the sides, the splits, the
//! number of parts and who dies; a key with more rows than a function keeps in memory; what cannot be joined is named.

use crate::programs;
use crate::support::{driver, failed, job, nothing_published, parts, run, shown};
use crate::venv;
use kinglet::{How, Joined, Manifest, OutputFormat, RowFormat, Side, Submit};
use kinglet_jobs::{JoinSide, Joining, On};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Runs a job that writes Parquet, and leaves its parts in a directory.
#[track_caller]
fn parquet(dir: &Path, args: &[&str], to: &str) {
    let ran = job(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    fs::rename(dir.join("out"), dir.join(to)).unwrap();
}

/// The lines of all parts but heads, in order.
#[track_caller]
fn lines(dir: &Path, args: &[&str]) -> Vec<String> {
    let mut args = args.to_vec();
    args.push("--no-output-header");
    let mut lines: Vec<String> =
        parts(dir, &args).iter().flat_map(|part| part.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort_unstable();
    lines
}

/// Numbers that are the same each time.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % most
    }
}

/// An order: its customer and its number. A customer: a number and a name.
type Sides = (Vec<(Option<usize>, usize)>, Vec<(Option<usize>, String)>);

/// Orders of which a third are one customer's, and customers of whom some have no order, and some are there twice.
fn sides() -> Sides {
    let mut numbers = Numbers(7);
    let orders = (0..3_000).map(|n| match numbers.below(20) {
        0 => (None, n),
        1..=6 => (Some(5), n),
        _ => (Some(numbers.below(400)), n),
    });
    let orders = orders.collect();
    let customers = (0..600).map(|n| match n {
        7 => (None, "nobody".to_owned()),
        n if n % 50 == 0 => (Some(n % 300), format!("again, {n}")),
        n => (Some(n), format!("c{n}")),
    });
    (orders, customers.collect())
}

/// Writes orders as two CSV files, and customers as JSON lines, below `in`.
fn write(dir: &Path, (orders, customers): &Sides) {
    let dir = &dir.join("in");
    fs::create_dir(dir).unwrap();
    for (n, orders) in orders.chunks(1_700).enumerate() {
        let rows = orders.iter().map(|(customer, n)| match customer {
            // Written as numbers are anywhere.
            Some(customer) if n % 7 == 0 => format!("{n},{customer}.0\n"),
            Some(customer) => format!("{n},{customer}\n"),
            None => format!("{n},\n"),
        });
        fs::write(dir.join(format!("orders-{n}.csv")), format!("n,customer\n{}", rows.collect::<String>())).unwrap();
    }
    let mut rows = String::new();
    for (id, name) in customers {
        let id = id.map_or("null".to_owned(), |id| id.to_string());
        writeln!(rows, "{{\"name\": \"{name}\", \"id\": {id}}}").unwrap();
    }
    fs::write(dir.join("customers.jsonl"), rows).unwrap();
}

/// What nested loops say: `n,name`, or `n` alone.
fn nested(how: How, (orders, customers): &Sides) -> Vec<String> {
    let quoted = |name: &String| if name.contains(',') { format!("\"{name}\"") } else { name.clone() };
    let mut all = Vec::new();
    for (customer, n) in orders {
        let found: Vec<_> = customers.iter().filter(|(id, _)| id.is_some() && id == customer).collect();
        match how {
            How::Semi => all.extend((!found.is_empty()).then(|| n.to_string())),
            How::Anti => all.extend(found.is_empty().then(|| n.to_string())),
            _ => {
                all.extend(found.iter().map(|(_, name)| format!("{n},{}", quoted(name))));
                all.extend((found.is_empty() && how.writes_alone(Side::Left)).then(|| format!("{n},")));
            }
        }
    }
    if how.writes_alone(Side::Right) {
        let is_alone = |id: &Option<usize>| id.is_none() || !orders.iter().any(|(customer, _)| customer == id);
        all.extend(customers.iter().filter(|(id, _)| is_alone(id)).map(|(_, name)| format!(",{}", quoted(name))));
    }
    all.sort_unstable();
    all
}

#[test]
fn rows_of_mixed_formats_are_joined_however_they_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let all = sides();
    write(dir, &all);
    for (from, format) in [("in/orders-*.csv", "orders"), ("in/customers.jsonl", "customers")] {
        let ran = run(programs::kinglet()
            .current_dir(dir)
            .args(["run", "convert", from, "--output-format", "parquet"])
            .args(["--partitions", "2", "--output", &format!("{format}-parquet")]));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    for how in How::ALL {
        let want = nested(how, &all);
        let columns = if how.is_of_left_alone() { "n" } else { "n,name" };
        let ways: &[&[&str]] = &[
            &["in/orders-*.csv", "--right", "in/customers.jsonl"],
            &["in/orders-*.csv", "--right", "in/customers.jsonl", "--split-bytes", "2000", "--partitions", "5"],
            &[
                "orders-parquet/*.parquet",
                "--right",
                "in/customers.jsonl",
                "--split-bytes",
                "4000",
                "--partitions",
                "3",
            ],
            &[
                "in/orders-*.csv",
                "--right",
                "customers-parquet/*.parquet",
                "--partitions",
                "2",
                "--output-format",
                "csv",
            ],
        ];
        for (way, broadcast) in ways.iter().flat_map(|way| ["never", "left", "right"].map(|side| (way, side))) {
            let mut args = vec!["join", "--broadcast", broadcast];
            args.extend_from_slice(way);
            args.extend_from_slice(&["--on", "customer = id", "--how", how.as_str(), "--columns", columns]);
            args.extend_from_slice(if way[0].ends_with(".csv") { &[] } else { &["--output-format", "csv"] });
            let got = lines(dir, &args);
            assert!(got == want, "{how} {way:?} {broadcast}: {} rows, not {}", got.len(), want.len());
        }
    }
    // All columns, of which those that rows are joined by are read once.
    for broadcast in ["never", "right"] {
        let args =
            ["join", "orders-parquet/*.parquet", "--right", "customers-parquet/*.parquet", "--on", "customer = id"];
        let args = [&args[..], &["--output-format", "csv", "--broadcast", broadcast]].concat();
        let got = lines(dir, &args);
        assert_eq!(got.len(), nested(How::Inner, &all).len());
        assert!(got.iter().all(|line| line.split(',').count() >= 4), "{:?}", got.first());
    }
}

#[test]
fn a_table_is_joined_with_itself_and_names_of_both_sides_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("people.csv"), "id,name,boss\n1,Ann,\n2,Bob,1\n3,Cem,2\n4,Dan,2\n").unwrap();
    let rows = parts(dir, &["join", "people.csv", "--right", "people.csv", "--on", "boss = id", "--partitions", "1"]);
    assert_eq!(
        rows.concat().lines().next(),
        Some("id,name,boss,right.id,right.name,right.boss"),
        "all columns, and those of the right side by their side"
    );
    let columns = "name,right.name as chief";
    let ambiguous =
        job(dir, &["join", "people.csv", "--right", "people.csv", "--on", "boss = id", "--columns", columns]);
    failed(&ambiguous, &["the column \"name\" is ambiguous: it is left.name or right.name"]);
    let columns = "left.name as who,right.name as chief";
    let args = ["join", "people.csv", "--right", "people.csv", "--on", "boss = id", "--columns", columns];
    assert_eq!(lines(dir, &args), ["Bob,Ann", "Cem,Bob", "Dan,Bob"]);
    let mut only = args.to_vec();
    only.extend_from_slice(&["--where", "right.name = Bob", "--how", "left"]);
    assert_eq!(lines(dir, &only), ["Ann,", "Bob,", "Cem,Bob", "Dan,Bob"]);
    let json = parts(dir, &[&args[..], &["--output-format", "json-lines", "--partitions", "1"]].concat());
    let mut json: Vec<_> = json.concat().lines().map(str::to_owned).collect();
    json.sort_unstable();
    assert_eq!(json[0], "{\"who\":\"Bob\",\"chief\":\"Ann\"}");
}

#[test]
fn an_empty_side_is_a_side() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("left.csv"), "id,a\n1,x\n2,y\n").unwrap();
    fs::write(dir.join("head.csv"), "id,b\n").unwrap();
    fs::write(dir.join("none.jsonl"), "").unwrap();
    let join = |how: &str, right: &str| lines(dir, &["join", "left.csv", "--right", right, "--on", "id", "--how", how]);
    for right in ["head.csv", "none.jsonl"] {
        let nothing = if right == "head.csv" { "," } else { "" };
        assert_eq!(join("inner", right), [""; 0]);
        assert_eq!(join("left", right), [format!("1,x{nothing}"), format!("2,y{nothing}")]);
        assert_eq!(join("full", right), [format!("1,x{nothing}"), format!("2,y{nothing}")]);
        assert_eq!(join("right", right), [""; 0]);
        assert_eq!(join("anti", right), ["1,x", "2,y"]);
        assert_eq!(join("semi", right), [""; 0]);
    }
}

#[test]
fn a_result_that_stores_types_has_those_of_both_sides() {
    let Some(python) = venv::python("join") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("left.csv"), "id,price,zip\n1,2.50,007\n2,3,1\n").unwrap();
    fs::write(dir.join("right.jsonl"), "{\"id\": 2.0, \"name\": \"two\"}\n{\"id\": 3.5, \"name\": \"none\"}\n")
        .unwrap();
    let ran = job(
        dir,
        &["join", "left.csv", "--right", "right.jsonl", "--on", "id", "--how", "full", "--output-format", "parquet"]
            .into_iter()
            .chain(["--types", "price decimal(9,2)"])
            .collect::<Vec<_>>(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let script = "import duckdb\n\
        rows = duckdb.sql(\"select * from 'out/*.parquet' order by id\")\n\
        print([str(t) for t in rows.types], rows.fetchall())";
    let read = Command::new(python).current_dir(dir).args(["-c", script]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read.stdout).trim(),
        "['DOUBLE', 'DECIMAL(9,2)', 'VARCHAR', 'VARCHAR'] [(1.0, Decimal('2.50'), '007', None), \
         (2.0, Decimal('3.00'), '1', 'two'), (3.5, None, None, 'none')]",
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
}

#[test]
fn duckdb_joins_the_same_rows() {
    let Some(python) = venv::python("join") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let all = sides();
    write(dir, &all);
    let script = "import duckdb, json\n\
        orders = \"(select * from read_csv('in/orders-*.csv'))\"\n\
        customers = \"(select * from read_json('in/customers.jsonl'))\"\n\
        for how in ['inner', 'left', 'right', 'full', 'semi', 'anti']:\n    \
            columns = 'n' if how in ('semi', 'anti') else 'n, name'\n    \
            rows = duckdb.sql(f'select {columns} from {orders} a {how} join {customers} b on a.customer = b.id').fetchall()\n    \
            print(how, json.dumps(sorted(rows, key=lambda row: json.dumps(row))))\n";
    let read = Command::new(python).current_dir(dir).args(["-c", script]).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let said = String::from_utf8(read.stdout).unwrap();
    assert_eq!(said.lines().count(), 6);
    for line in said.lines() {
        let (how, rows) = line.split_once(' ').unwrap();
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(rows).unwrap();
        let mut want: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        want.sort_unstable();
        let columns = if rows[0].len() == 1 { "n" } else { "n,name" };
        let args = ["join", "in/orders-*.csv", "--right", "in/customers.jsonl", "--on", "customer = id"];
        let args =
            [&args[..], &["--how", how, "--columns", columns, "--output-format", "json-lines", "--broadcast", "never"]]
                .concat();
        let mut got: Vec<String> = parts(dir, &args)
            .iter()
            .flat_map(|part| part.lines().map(str::to_owned).collect::<Vec<_>>())
            .map(|line| {
                let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
                serde_json::to_string(&columns.split(',').map(|name| &row[name]).collect::<Vec<_>>()).unwrap()
            })
            .collect();
        got.sort_unstable();
        assert!(got == want, "{how}: {} rows, not {}", got.len(), want.len());
    }
}

/// A third of the rows of the left side have one key, and the rows that the right one has of it are more than a reducer keeps in memory.
#[test]
fn a_key_with_more_rows_than_fit_into_memory_is_joined() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let left: String =
        (0..9).map(|n| format!("{},{n}\n", if n % 3 == 0 { "hot".to_owned() } else { format!("k{n}") })).collect();
    fs::write(dir.join("left.csv"), format!("k,n\n{left}")).unwrap();
    // A function of 128 MB keeps 6.4 MB of the side that is kept.
    let rows = 100_000u64;
    let right: String =
        (0..rows).map(|n| format!("hot,{n:060}\n")).chain((0..9).map(|n| format!("k{n},{n}\n"))).collect();
    fs::write(dir.join("right.csv"), format!("k,m\n{right}")).unwrap();
    for how in ["inner", "full"] {
        let args = [
            "join",
            "left.csv",
            "--right",
            "right.csv",
            "--on",
            "k",
            "--how",
            how,
            "--columns",
            "n,m",
            "--broadcast",
            "never",
        ];
        let args = [&args[..], &["--memory-mb", "128", "--partitions", "2", "--no-output-header"]].concat();
        let (mut hot, mut others) = ([0u64; 3], Vec::new());
        for line in parts(dir, &args).iter().flat_map(|part| part.lines()) {
            let (n, m) = line.split_once(',').unwrap();
            match (n.parse::<usize>(), m.len()) {
                // Each row once: their numbers add up.
                (Ok(n), 60) => hot[n / 3] += m.trim_start_matches('0').parse::<u64>().unwrap_or(0),
                _ => others.push(line.to_owned()),
            }
        }
        assert_eq!(hot, [rows * (rows - 1) / 2; 3]);
        others.sort_unstable();
        let want: &[&str] = match how {
            "inner" => &["1,1", "2,2", "4,4", "5,5", "7,7", "8,8"],
            _ => &[",0", ",3", ",6", "1,1", "2,2", "4,4", "5,5", "7,7", "8,8"],
        };
        assert_eq!(others, want);
    }
}

/// Which way a join takes is said, and the rows are the same.
#[test]
fn a_small_side_goes_to_every_function_where_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, &sides());
    let join = |args: &[&str]| {
        let ran = job(
            dir,
            &[&["join", "in/orders-*.csv", "--right", "in/customers.jsonl", "--on", "customer = id"], args].concat(),
        );
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.err.lines().find(|line| line.starts_with("join: ")).unwrap_or_default().to_owned()
    };
    assert_eq!(join(&[]), "join: the right side goes to every function");
    assert_eq!(join(&["--broadcast", "left"]), "join: the left side goes to every function");
    assert_eq!(join(&["--how", "full"]), "join: both sides are merged");
    assert_eq!(join(&["--max-rejected", "1"]), "join: both sides are merged");
    let merged = "join: both sides are merged: in a right join, rows of the right side are written without a match";
    assert_eq!(join(&["--how", "right", "--broadcast", "right"]), merged);
    let mut large = String::new();
    for n in 0..60_000 {
        writeln!(large, "{{\"id\": {n}, \"name\": \"customer number {n}\"}}").unwrap();
    }
    fs::write(dir.join("in/customers.jsonl"), large).unwrap();
    assert_eq!(join(&[]), "join: the left side goes to every function");
    assert_eq!(join(&["--how", "left"]), "join: both sides are merged");
    let merged = "join: both sides are merged: the right side is too large to go to every function";
    assert_eq!(join(&["--how", "left", "--broadcast", "right"]), merged);
}

/// A key with a third of the rows of the larger side is named, and spread over parts: none has most of the result.
/// Rows so long that each is a chunk by itself, of one key, and of none.
#[test]
fn long_rows_of_one_key_are_spread_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let long = "y".repeat(400_000);
    for (id, columns) in [("1", "n,w"), ("null", "n")] {
        let rows: String = (0..60).map(|n| format!("{{\"id\":{id},\"n\":{n},\"p\":\"{long}\"}}\n")).collect();
        fs::write(dir.path().join("l.jsonl"), rows).unwrap();
        fs::write(dir.path().join("r.jsonl"), "{\"id\":1,\"w\":\"a\"}\n").unwrap();
        let join = ["join", "l.jsonl", "--right", "r.jsonl", "--on", "id", "--how", "left", "--columns", columns];
        let parts = parts(dir.path(), &[&join[..], &["--broadcast", "never", "--partitions", "6"]].concat());
        let rows: Vec<usize> = parts.iter().map(|part| part.lines().count()).collect();
        assert_eq!(rows.iter().sum::<usize>(), 60);
        assert!(rows.iter().filter(|rows| **rows > 0).count() > 1, "{id}: {rows:?}");
        assert!(rows.iter().all(|rows| *rows < 50), "{id}: {rows:?}");
    }
}

#[test]
fn what_is_compared_as_text_is_compared_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("l.csv"), "v,a\n1.10,x\n1.1,y\n").unwrap();
    fs::write(dir.path().join("r.jsonl"), "{\"v\":\"1.10\",\"b\":1}\n").unwrap();
    let rows = |on| lines(dir.path(), &["join", "l.csv", "--right", "r.jsonl", "--on", on, "--columns", "a,b"]);
    assert_eq!(rows("v as text"), ["x,1"]);
    assert_eq!(rows("v as number"), ["x,1", "y,1"]);
}

#[test]
fn a_side_whose_first_row_is_longer_than_a_look_is_not_taken_for_empty() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{{\"id\":1,\"p\":\"{}\"}}\n{{\"id\":2,\"p\":\"\"}}\n", "x".repeat(1_200_000));
    fs::write(dir.path().join("long.jsonl"), long).unwrap();
    fs::write(dir.path().join("s.jsonl"), "{\"id\":1,\"v\":\"a\"}\n").unwrap();
    for (left, right) in [("s.jsonl", "long.jsonl"), ("long.jsonl", "s.jsonl")] {
        let ran = job(dir.path(), &["join", left, "--right", right, "--on", "id"]);
        failed(&ran, &["the first row of ", "long.jsonl is longer than 1048576 bytes"]);
    }
    // The way out that the hint names.
    let convert =
        ["convert", "long.jsonl", "--output-format", "parquet", "--columns", "id,p", "--types", "id bigint, p text"];
    parquet(dir.path(), &convert, "long");
    let join = ["join", "s.jsonl", "--right", "long/", "--right-format", "parquet", "--on", "id", "--columns", "id,v"];
    assert_eq!(parts(dir.path(), &join).concat(), "{\"id\":1,\"v\":\"a\"}\n");
}

/// Rows that are all alike take little room in Parquet, and as much as others in memory.
#[test]
fn a_side_that_is_small_as_it_is_stored_is_not_taken_for_small() {
    let dir = tempfile::tempdir().unwrap();
    let row = "{\"id\":1,\"w\":\"the same in all rows of this file, which takes some room\"}\n";
    fs::write(dir.path().join("many.jsonl"), row.repeat(400_000)).unwrap();
    parquet(dir.path(), &["convert", "many.jsonl", "--output-format", "parquet", "--partitions", "1"], "many");
    fs::write(dir.path().join("s.jsonl"), "{\"id\":2,\"v\":\"a\"}\n").unwrap();
    let join = ["join", "s.jsonl", "--right", "many/", "--right-format", "parquet", "--on", "id", "--how", "left"];
    let ran = job(dir.path(), &[&join[..], &["--broadcast", "right"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.err.contains("both sides are merged: the right side is too large to go to every function"),
        "{}",
        ran.err
    );
    assert_eq!(parts(dir.path(), &join).concat().lines().count(), 1);
}

#[test]
fn a_key_with_much_of_a_side_is_named_and_spread() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut numbers = Numbers(3);
    let rows = 60_000;
    let left: String = (0..rows)
        .map(|n| match numbers.below(3) {
            0 => format!("hot,{n:015}\n"),
            _ => format!("k{},{n:015}\n", numbers.below(5_000)),
        })
        .collect();
    fs::write(dir.join("left.csv"), format!("k,n\n{left}")).unwrap();
    fs::write(dir.join("right.csv"), "k,m\nhot,1\nk7,2\nhot,3\n").unwrap();
    for how in ["inner", "left", "full"] {
        let args = ["join", "left.csv", "--right", "right.csv", "--on", "k", "--how", how, "--broadcast", "never"];
        let args = [&args[..], &["--partitions", "6", "--no-output-header"]].concat();
        let ran = job(dir, &args);
        let named = ran.err.contains("heavy key: hot has about 3");
        assert_eq!((ran.code, named), (Some(0), how != "full"), "{}", ran.err);
        let parts = parts(dir, &args);
        let hot: Vec<usize> =
            parts.iter().map(|part| part.lines().filter(|line| line.starts_with("hot,")).count()).collect();
        let expected = left.lines().filter(|line| line.starts_with("hot,")).count();
        assert_eq!(hot.iter().sum::<usize>(), 2 * expected);
        let spread = hot.iter().filter(|count| **count > 0).count();
        assert!(if how == "full" { spread == 1 } else { (2..=3).contains(&spread) }, "{hot:?}");
        let all: usize = parts.iter().map(|part| part.lines().count()).sum();
        let sevens = left.lines().filter(|line| line.starts_with("k7,")).count();
        assert_eq!(all, if how == "inner" { 2 * expected + sevens } else { rows + expected });
    }
}

#[tokio::test]
async fn workers_that_are_killed_change_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let all = sides();
    write(dir.path(), &all);
    let driver = driver(|local| local).await;
    let inputs = [0, 1].map(|n| shown(&dir.path().join(format!("in/orders-{n}.csv"))));
    let right = shown(&dir.path().join("in/customers.jsonl"));
    let mut results = Vec::new();
    for killed in [false, true] {
        let output = dir.path().join(format!("out-{killed}"));
        let submit = Submit::new(inputs.clone(), shown(&output)).with_right([right.clone()]);
        let submit = submit.with_split_bytes(9_000).with_partitions(4).with_output_format(OutputFormat::json_lines());
        let formats = [RowFormat::named("a.csv"), RowFormat::JsonLines];
        let mut sides = Vec::new();
        for (side, format) in Side::BOTH.into_iter().zip(formats) {
            let of_side = submit.clone().with_side_alone(side);
            let found = driver.input_columns(&of_side, &format, &"".parse().unwrap_or_default()).await.unwrap();
            assert_eq!(found.sampled, if side == Side::Left { 2 } else { 1 });
            sides.push(JoinSide { format, types: found.types, unseen: found.unseen });
        }
        let [left, right] = <[JoinSide; 2]>::try_from(sides).unwrap();
        let joining = Joining::new(How::Full, left, right, On::parse_all("customer = id").unwrap()).unwrap();
        let job = Joined(joining.job(&[], vec![]).unwrap());
        let host = driver.runtime().unwrap().host();
        let kill = |function: &str, n| FaultRule::nth(function, n, Fault::KillWorker { after: Duration::ZERO });
        let rules = vec![kill("kinglet-mapper", 0), kill("kinglet-mapper", 3), kill("kinglet-reducer", 2)];
        host.set_faults(FaultPlan { seed: 1, rules: if killed { rules } else { vec![] } });
        let report = driver.submit(&job, submit).await.unwrap().wait().await.unwrap();
        assert_eq!(report.retries, if killed { 3 } else { 0 });
        host.set_faults(FaultPlan::default());
        let manifest: Manifest = serde_json::from_slice(&fs::read(output.join("_manifest.json")).unwrap()).unwrap();
        let mut rows: Vec<String> = manifest
            .parts
            .iter()
            .flat_map(|part| {
                let text = fs::read_to_string(output.join(&part.name)).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        rows.sort_unstable();
        results.push(rows);
    }
    assert_eq!(results[0].len(), nested(How::Full, &all).len());
    // A join has two sides, and no other job has.
    let out = shown(&dir.path().join("none"));
    let joining =
        Joining::new(How::Inner, JoinSide::default(), JoinSide::default(), On::parse_all("a").unwrap()).unwrap();
    let job = Joined(joining.job(&[], vec![]).unwrap());
    let error = driver.run(&job, inputs.clone(), out.clone()).await.unwrap_err();
    assert!(error.code() == "input-missing" && error.to_string().contains("has no right side"), "{error}");
    let error =
        driver.submit(&kinglet_jobs::WordCount, Submit::new(inputs, out).with_right([right])).await.err().unwrap();
    assert!(error.code() == "input-kind" && error.to_string().contains("is no join"), "{error}");
    assert!(results[0] == results[1]);
    driver.close().await;
}

#[test]
fn what_cannot_be_joined_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("orders.csv"), "n,customer,day\n1,2,x\n").unwrap();
    fs::write(dir.join("customers.jsonl"), "{\"id\": 2, \"name\": \"Bob\", \"day\": \"y\"}\n").unwrap();
    fs::write(dir.join("points.tsv"), "id\tx\n2\t7\n").unwrap();
    let join = |right: &str, args: &[&str], says: &[&str]| {
        let ran = job(dir, &[&["join", "orders.csv", "--right", right], args].concat());
        failed(&ran, &says[..1]);
        assert!(says.iter().all(|said| ran.err.contains(said)), "{says:?} is not said in: {}", ran.err);
        nothing_published(&dir.join("out"));
    };
    let right = "customers.jsonl";
    join(right, &["--on", "custmer = id"], &["the left side has no column \"custmer\"", "\"customer\" is meant"]);
    join(right, &["--on", "customer = idd"], &["the right side has no column \"idd\", but id, name, day"]);
    join(
        right,
        &["--on", "customer = name"],
        &[
            "the columns \"customer\" of the left side, which is bigint, and \"name\" of the right side, which is text",
            "--on 'customer = name as text'",
        ],
    );
    join(right, &["--on", "customer ="], &["rows cannot be joined by \"customer =\": a name is missing at its end"]);
    join(right, &["--on", "customer = id", "--columns", "n,day"], &["the column \"day\" is ambiguous"]);
    join(right, &["--on", "customer = id", "--where", "day = x"], &["the column \"day\" is ambiguous", "left.day"]);
    join(
        right,
        &["--on", "customer = id", "--columns", "n,nmae"],
        &["both sides have no column \"nmae\"", "\"name\" is meant"],
    );
    join(right, &["--on", "customer = id", "--how", "anti", "--columns", "name"], &["of the left side alone"]);
    join(
        right,
        &["--on", "customer = id", "--columns", "n,name as n"],
        &["two columns of the result would be called \"n\""],
    );
    join(right, &["--on", "customer = id", "--types", "n int"], &["the result stores no types"]);
    join(right, &["--on", "customer = id", "--right-delimiter", ";"], &["is json-lines, of which an option for CSV"]);
    join("nowhere.csv", &["--on", "customer = id"], &["nowhere.csv"]);
    join("points.tsv", &["--on", "customer = id", "--right-format", "csv"], &["the right side has no column \"id\""]);
    // What the command line lacks is said before anything starts.
    for (args, says) in [
        (&["join", "orders.csv", "--right", right][..], "--on <COLUMN"),
        (&["join", "orders.csv", "--on", "id"], "--right <INPUT>"),
        (
            &["join", "orders.csv", "--right", right, "--on", "id", "--how", "outer"],
            "inner, left, right, full, semi, anti",
        ),
    ] {
        let ran = job(dir, args);
        assert!(ran.code == Some(2) && ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    assert_eq!(
        lines(dir, &["join", "orders.csv", "--right", "points.tsv", "--on", "customer = id", "--columns", "n,x"]),
        ["1,7"]
    );
}
