//! Hulls from the command: the answer for every format and cut, its picture, and what is wrong with points said by name.

use crate::programs;
use crate::support::{Ran, failed, nothing_published, only_part, run};
use kinglet_core::manifest::Manifest;
use kinglet_jobs::kernels::hull::{Hull3, Point2, hull_2d, hull_3d};
use std::fs;
use std::path::Path;
use std::process::Command;

fn hull(dir: &Path, args: &[&str]) -> Command {
    let mut command = programs::kinglet();
    command.current_dir(dir).args(["run", "hull"]).args(args);
    command
}

/// Runs `kinglet run hull … --output out --overwrite`, which must succeed, and gives the one part and the manifest.
#[track_caller]
fn found(dir: &Path, args: &[&str]) -> (String, Manifest) {
    let ran = run(hull(dir, args).args(["--output", "out", "--overwrite"]));
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.join("out/_manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.parts.len(), 1);
    (String::from_utf8(only_part(&dir.join("out"))).unwrap(), manifest)
}

fn vertices(part: &str) -> Vec<Point2> {
    let number = |text: &str| text.parse().unwrap();
    part.lines().map(|line| line.split_once('\t').map(|(x, y)| [number(x), number(y)]).unwrap()).collect()
}

/// Numbers from -1 to 1, the same each time.
fn random() -> impl FnMut() -> f64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[test]
fn the_same_hull_comes_from_every_format_and_every_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = random();
    // Numbers of 17 digits: one that is read or written a little wrong shows.
    let points: Vec<Point2> = (0..20_000).map(|_| [random() / 3.0, random() * 1e-9]).collect();
    let (mut csv, mut tsv, mut bare) = ("name,lat,\"lon\",more\r\n".to_owned(), "x\ty\n".to_owned(), String::new());
    let (mut json, mut binary) = (String::new(), Vec::new());
    for (n, [x, y]) in points.iter().enumerate() {
        csv += &format!("\"point \"\"{n}\"\", here\",{y},\"{x}\",\r\n");
        tsv += &format!("{x:e}\t{y:e}\n");
        bare += &format!("{y};{n};{x}\n");
        json += &format!("{{\"id\": [{n}], \"y\": {y:e}, \"x\": {x}}}\n");
        binary.extend([x.to_le_bytes(), y.to_le_bytes()].concat());
    }
    for (name, bytes) in [
        ("points.csv", csv.as_bytes()),
        ("points.tsv", tsv.as_bytes()),
        ("bare.txt", bare.trim_end().as_bytes()),
        ("points.jsonl", json.as_bytes()),
        ("points.f64", &binary),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let want = hull_2d(&points).unwrap();
    let cases: [&[&str]; 5] = [
        &["points.csv", "--x", "lon", "--y", "lat"],
        &["points.tsv"],
        &["bare.txt", "--format", "csv", "--no-header", "--x", "3", "--y", "1", "--delimiter", ";"],
        &["points.jsonl"],
        &["points.f64"],
    ];
    for args in cases {
        // No split but the first holds the names of the columns; none is cut at a multiple of a record's length.
        for cut in [&[][..], &["--split-bytes", "33333"]] {
            let (part, manifest) = found(dir.path(), &[args, cut].concat());
            assert_eq!(vertices(&part), want, "{args:?} {cut:?}");
            assert_eq!(manifest.records, 20_000, "{args:?} {cut:?}");
            assert_eq!(manifest.splits.len() > 5, !cut.is_empty(), "{args:?} {cut:?}");
        }
    }
    // Both halves of the points and one more, in objects of which each has its names, in an order of its own.
    let (first, second) = csv.split_at(csv.match_indices('\n').nth(9_000).unwrap().0 + 1);
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("in/a.csv"), first).unwrap();
    fs::write(dir.path().join("in/b.csv"), "more,lon,lat\n0,2,0\n").unwrap();
    fs::write(dir.path().join("in/c.csv"), format!("name,lat,\"lon\",more\r\n{second}")).unwrap();
    let (part, manifest) = found(dir.path(), &["in/*.csv", "--x", "lon", "--y", "lat"]);
    let mut all = points.clone();
    all.push([2.0, 0.0]);
    assert_eq!((vertices(&part), manifest.records), (hull_2d(&all).unwrap(), 20_001));
}

#[test]
fn a_body_is_an_off_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = random();
    let points: Vec<[f64; 3]> = (0..10_000).map(|_| [random(), random(), random() * 7.0]).collect();
    let rows: String = points.iter().map(|[x, y, z]| format!("{z},{x},{y}\n")).collect();
    fs::write(dir.path().join("points.csv"), format!("height,x,y\n{rows}")).unwrap();
    fs::write(
        dir.path().join("points.bin"),
        points.as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(),
    )
    .unwrap();
    let Hull3 { vertices, triangles, .. } = hull_3d(&points).unwrap();
    let mut want = format!("OFF\n{} {} 0\n", vertices.len(), triangles.len());
    let short = |x: &f64| if format!("{x:e}").len() < x.to_string().len() { format!("{x:e}") } else { x.to_string() };
    vertices.iter().for_each(|vertex| want += &format!("{}\n", vertex.each_ref().map(short).join(" ")));
    triangles.iter().for_each(|[a, b, c]| want += &format!("3 {a} {b} {c}\n"));
    for args in [&["points.csv", "--z", "height"][..], &["points.bin", "--dimensions", "3"]] {
        for cut in [&[][..], &["--split-bytes", "20001"]] {
            assert!(found(dir.path(), &[args, cut].concat()).0 == want, "{args:?}");
        }
    }
}

#[test]
fn few_points_and_points_on_a_line_have_a_hull_too() {
    let dir = tempfile::tempdir().unwrap();
    for (points, want) in [
        ("3,4\n3,4\n", "3\t4\n"),
        ("3,4\n1,2\n2,3\n", "1\t2\n3\t4\n"),
        ("0,0\n\n1e300,0\n1e300,1e-300\n0,-0\n", "0\t0\n1e300\t0\n1e300\t1e-300\n"),
    ] {
        fs::write(dir.path().join("p.csv"), format!("x,y\n{points}")).unwrap();
        assert_eq!(found(dir.path(), &["p.csv"]).0, want);
    }
    // A mark of UTF-8 at an object's start is no part of its first line, which is there also where the input is cut.
    for (name, points, args) in [
        ("p.csv", "x,y\n3,4\n1,2\n", &[][..]),
        ("p.csv", "3,4\n1,2\n", &["--no-header"]),
        ("p.jsonl", "{\"x\":3,\"y\":4}\n{\"x\":1,\"y\":2}\n", &[]),
    ] {
        fs::write(dir.path().join(name), format!("\u{feff}{points}")).unwrap();
        for split_bytes in ["1000", "9"] {
            let (part, _) = found(dir.path(), &[&[name, "--split-bytes", split_bytes], args].concat());
            assert_eq!(part, "1\t2\n3\t4\n", "{name} {args:?}");
        }
    }
    assert_eq!(found(dir.path(), &["p.jsonl", "--x", "y", "--y", "y"]).0, "2\t2\n4\t4\n");
    fs::write(dir.path().join("p.csv"), "x,y,z\n1,1,5\n0,0,5\n1,0,5\n").unwrap();
    assert_eq!(found(dir.path(), &["p.csv", "--dimensions", "3"]).0, "OFF\n3 1 0\n0 0 5\n1 0 5\n1 1 5\n3 0 1 2\n");
}

#[test]
fn a_picture_is_drawn_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p.csv"), "x,y\n0,0\n4,0\n4,2\n0,2\n1,1\n").unwrap();
    found(dir.path(), &["p.csv", "--svg", "p.svg"]);
    let svg = fs::read_to_string(dir.path().join("p.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains(r#"points="60.00,560.00 1060.00,560.00 1060.00,60.00 60.00,60.00""#), "{svg}");
    assert_eq!(svg.matches("<circle").count(), 4);
    let ran =
        run(hull(dir.path(), &["p.csv", "--output", "out", "--overwrite", "--svg", "nowhere/p.svg"]).arg("--json"));
    assert!(ran.code == Some(1) && ran.err.contains("nowhere/p.svg"), "{ran:?}");
}

/// Runs the command, which must fail with an error that says all this, and publish nothing.
#[track_caller]
fn refused(dir: &Path, args: &[&str], says: &[&str]) -> Ran {
    let ran = run(hull(dir, args).args(["--output", "refused"]));
    failed(&ran, says);
    nothing_published(&dir.join("refused"));
    ran
}

#[test]
fn what_is_wrong_with_points_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let good = "1,2\n".repeat(5_000);
    // No points at all, in every way.
    write("empty.csv", b"");
    write("head.csv", b"x,y\n");
    write("blank.csv", b"x,y\n\n\r\n");
    for name in ["empty.csv", "head.csv", "blank.csv"] {
        refused(dir, &[name], &["there are no points"]);
    }
    refused(dir, &["nowhere.csv"], &["there is no nowhere.csv"]);
    // A row with one coordinate, at the byte where it starts, whichever split it is in.
    write("short.csv", format!("x,y\n{good}7\n{good}").as_bytes());
    for split_bytes in ["1000000", "3000"] {
        refused(dir, &["short.csv", "--split-bytes", split_bytes], &["short.csv at byte 20004", "no y", "1 field"]);
    }
    // Rows of empty fields, whose delimiter is white space: they are no empty lines.
    write("empty.tsv", b"x\ty\n1\t2\n\n\r\n\t\n3\t9\n");
    refused(dir, &["empty.tsv"], &["empty.tsv at byte 11", "x is \"\", which is no number"]);
    // A mark of UTF-8 within an object is what it says there: no number.
    write("mark.csv", "1,2\n\u{feff}3,4\n".as_bytes());
    refused(dir, &["mark.csv", "--no-header"], &["mark.csv at byte 4", "which is no number"]);
    // A column that is missing, also where the head is far away.
    write("columns.csv", format!("lon,lat\n{good}").as_bytes());
    for split_bytes in ["1000000", "3000"] {
        let args = ["columns.csv", "--x", "lon", "--y", "height", "--split-bytes", split_bytes];
        refused(dir, &args, &["columns.csv", "no column \"height\" among \"lon\", \"lat\""]);
    }
    // What is no number, or none that a hull can have.
    for (text, says) in [
        ("1,north", "y is \"north\", which is no number"),
        ("NaN,1", "x is NaN"),
        ("1,-Infinity", "y is -inf"),
        ("1e400,1", "x is inf"),
        ("1,", "y is \"\", which is no number"),
        ("1,2,\"open", "a quoted field does not end on its line"),
    ] {
        write("bad.csv", format!("x,y\n{good}{text}\n{good}").as_bytes());
        refused(dir, &["bad.csv"], &["bad.csv at byte 20004", says]);
    }
    write("bad.jsonl", b"{\"x\":1,\"y\":2}\n{\"x\":1}\n");
    refused(dir, &["bad.jsonl"], &["bad.jsonl at byte 14", "no field \"y\""]);
    write("bad.jsonl", b"{\"x\":1,\"y\":2}\n{\"x\":1,\"y\":\"2\"}\n");
    refused(dir, &["bad.jsonl"], &["bad.jsonl at byte 14", "string"]);
    let mut binary: Vec<u8> = [1.0, 2.0, 3.0, f64::NAN].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
    write("bad.f64", &binary);
    refused(dir, &["bad.f64"], &["bad.f64 at byte 16", "y is NaN"]);
    binary.truncate(23);
    write("bad.f64", &binary);
    refused(dir, &["bad.f64"], &["bad.f64 at byte 16", "ends within a record", "7 of 16"]);
    // A head that is none.
    write("long.csv", &vec![b'1'; 2_500_000]);
    refused(dir, &["long.csv", "--split-bytes", "1200000"], &["no column \"x\""]);
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["p.csv", "p.jsonl", "p.f64", "p"] {
        fs::write(dir.join(name), "x,y\n1,2\n").unwrap();
    }
    refused(dir, &["p"], &["the name of p does not say how its points are written"]);
    refused(dir, &["p.csv", "p.jsonl"], &["p.csv and p.jsonl are not written alike"]);
    refused(dir, &["p.csv", "--partitions", "2"], &["a hull is one part"]);
    refused(dir, &["p.csv", "--dimensions", "2", "--z", "h"], &["--z"]);
    refused(dir, &["p.csv", "--dimensions", "3", "--svg", "p.svg"], &["a picture is drawn of a hull in the plane"]);
    refused(dir, &["p.csv", "--no-header", "--x", "lon"], &["--x lon is no number of a column"]);
    refused(dir, &["p.jsonl", "--delimiter", ";"], &["--delimiter is about rows"]);
    refused(dir, &["p.f64", "--y", "lat"], &["no names"]);
}
