//! The crates depend on each other as ARCHITECTURE.md says.

use std::collections::BTreeSet;
use std::process::Command;

/// All packages that `package` pulls in, by name, without its development dependencies.
fn tree(package: &str) -> BTreeSet<String> {
    tree_with(package, &[])
}

fn tree_with(package: &str, features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", package])
        .args(features)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    names.filter(|name| *name != package).map(str::to_owned).collect()
}

fn ours(package: &str) -> Vec<String> {
    tree(package).into_iter().filter(|name| name.starts_with("kinglet")).collect()
}

#[test]
fn arrows_point_one_way() {
    assert_eq!(ours("kinglet-core"), [""; 0]);
    assert_eq!(ours("kinglet-jobs"), ["kinglet-core"]);
    assert_eq!(ours("kinglet-formats"), ["kinglet-core"]);
    assert_eq!(ours("kinglet-local"), ["kinglet-core"]);
    assert_eq!(ours("kinglet-aws"), ["kinglet-core"]);
    assert_eq!(ours("kinglet-worker"), ["kinglet-aws", "kinglet-core"]);
    assert_eq!(ours("kinglet-splitter"), ["kinglet-aws", "kinglet-core", "kinglet-formats", "kinglet-worker"]);
    assert_eq!(ours("kinglet-calls"), ["kinglet-aws", "kinglet-core", "kinglet-worker"]);
    let beneath = ["kinglet-aws", "kinglet-calls", "kinglet-core", "kinglet-formats", "kinglet-jobs", "kinglet-worker"];
    assert_eq!(ours("kinglet-mapper"), beneath);
    assert_eq!(ours("kinglet-reducer"), beneath);
    // A user's program compiles no jobs but its own.
    let driver = ours("kinglet");
    assert!(!driver.iter().any(|name| name == "kinglet-cli" || name == "kinglet-jobs"), "{driver:?}");
}

#[test]
fn core_and_jobs_know_no_aws_and_no_http() {
    for package in ["kinglet-core", "kinglet-formats", "kinglet-jobs"] {
        for name in tree_with(package, &["--all-features"]) {
            let foreign = name.starts_with("aws-") || ["hyper", "http", "tokio", "reqwest"].contains(&name.as_str());
            assert!(!foreign, "{package} pulls in {name}");
        }
    }
}

/// A program that reads text does not pay for it.
#[test]
fn parquet_and_avro_are_compiled_where_they_are_asked_for() {
    let names = ["parquet", "arrow-array", "brotli", "arrow-avro"];
    let has = |package: &str| names.map(|name| tree(package).contains(name));
    assert_eq!(has("kinglet"), [false; 4]);
    assert_eq!(has("kinglet-jobs"), [false; 4]);
    assert_eq!(has("kinglet-cli"), [true; 4]);
    assert_eq!(has("kinglet-mapper"), [true; 4], "the deployed function");
}

#[test]
fn there_is_one_tls_stack() {
    let all = tree("kinglet-cli");
    assert!(all.contains("rustls"));
    for other in ["openssl-sys", "native-tls", "aws-lc-sys"] {
        assert!(!all.contains(other), "kinglet-cli pulls in {other}");
    }
}
