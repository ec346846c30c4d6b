//! `kinglet run hull`.

use super::how::{Common, run_job, run_job_then};
use super::svg;
use crate::command::Command;
use crate::options::{Cloud, EmbeddedOnly};
use clap::{Args, ValueEnum};
use kinglet::{Code, Codec, Error, Result};
use kinglet_jobs::{Column, PointFormat};
use std::path::{Path, PathBuf};

/// Find the convex hull of points in the plane or in space
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kinglet run hull cities.csv --x lon --y lat --output hull --svg hull.svg\n  \
    kinglet run hull 'scans/*.jsonl' --x x --y y --z height --output body\n  \
    kinglet run hull points.f64 --output hull\n\n\
    The output is one part: in the plane the vertices counter-clockwise as lines X<TAB>Y, from the one with\n\
    the lowest x; in space an OFF file with the vertices and the triangles of the surface.")]
pub(crate) struct Hull {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    points: PointArgs,

    /// Draw the hull to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// How to find the points in the input.
#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// How points are written [default: as the inputs' names end]
    #[arg(long, value_enum, help_heading = "Points")]
    format: Option<FormatArg>,

    /// The column or field of the first coordinate [default: x; without names in the first line: 1]
    #[arg(long, value_name = "NAME", help_heading = "Points")]
    x: Option<String>,

    /// That of the second [default: y; 2]
    #[arg(long, value_name = "NAME", help_heading = "Points")]
    y: Option<String>,

    /// That of the third, for points in space [default with --dimensions 3: z; 3]
    #[arg(long, value_name = "NAME", help_heading = "Points")]
    z: Option<String>,

    /// How many coordinates a point has [default: 3 with --z, else 2]
    #[arg(long, value_name = "N", help_heading = "Points", value_parser = clap::value_parser!(u8).range(2..=3))]
    dimensions: Option<u8>,

    /// The byte between a row's columns [default: a comma; a tab in .tsv]
    #[arg(long, value_name = "C", help_heading = "Points", value_parser = delimiter)]
    delimiter: Option<u8>,

    /// The first line has no names: columns are given by number, from 1
    #[arg(long, help_heading = "Points")]
    no_header: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// Rows of columns: .csv, .tsv
    Csv,
    /// A JSON object a line: .jsonl, .ndjson
    Jsonl,
    /// 64-bit floating-point numbers, least byte first: .f64, .bin
    F64,
}

fn delimiter(text: &str) -> std::result::Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [b'"' | b'\n' | b'\r'] => Err("a quote or a line's end cannot be between columns".to_owned()),
        [byte] => Ok(*byte),
        _ => Err("it must be one byte, or `tab`".to_owned()),
    }
}

impl Command for Hull {
    fn embedded_only(&self) -> Option<EmbeddedOnly> {
        self.common.how.embedded.given()
    }

    async fn run(self, cloud: &Cloud) -> Result<()> {
        let job = job(&self.points, &self.common.inputs)?;
        let mut common = self.common;
        if let Some(n) = common.how.partitions.filter(|n| *n != 1) {
            return Err(Error::new(Code::Partitions, format!("a hull is one part, and cannot be {n}"))
                .with_hint("leave --partitions away"));
        }
        common.how.partitions = Some(1);
        let Some(file) = self.svg else {
            return run_job(&job, common, cloud).await;
        };
        if job.format.dimensions() == 3 {
            return Err(Error::new(
                Code::Svg,
                "a picture is drawn of a hull in the plane, and these points lie in space",
            )
            .with_hint("leave --svg away: the part is an OFF file, which viewers of 3-D models open"));
        }
        run_job_then(&job, common, cloud, async |handle| {
            let picture = svg::draw(&handle.part(0).await?)?;
            std::fs::write(&file, picture).map_err(|e| {
                Error::new(Code::Svg, format!("writing {}: {e}", file.display()))
                    .with_hint("the hull itself is whole in the output; choose another file for the picture")
            })
        })
        .await
    }
}

/// The job that finds the hull of these inputs' points. It has one partition.
pub(crate) fn job(args: &PointArgs, inputs: &[String]) -> Result<kinglet_jobs::Hull> {
    Ok(kinglet_jobs::Hull { format: points(args, inputs)? })
}

fn points(args: &PointArgs, inputs: &[String]) -> Result<PointFormat> {
    let dimensions = match (args.dimensions, &args.z) {
        (Some(2), Some(_)) => {
            return Err(Error::new(Code::Dimensions, "--z names a third coordinate, and --dimensions says 2")
                .with_hint("leave one of the two away"));
        }
        (Some(dimensions), _) => dimensions,
        (None, z) => 2 + u8::from(z.is_some()),
    };
    let (format, tabs) = match args.format {
        Some(format) => (format, inputs.iter().all(|input| ending(input) == "tsv")),
        None => detected(inputs)?,
    };
    let named = [&args.x, &args.y, &args.z].map(Option::as_ref);
    let csv_only = |what: &str, given: bool| {
        if !given || format == FormatArg::Csv {
            return Ok(());
        }
        Err(Error::new(Code::Format, format!("{what} is about rows of columns, and the points are not written so"))
            .with_hint("leave it away, or say how points are written: --format csv"))
    };
    csv_only("--delimiter", args.delimiter.is_some())?;
    csv_only("--no-header", args.no_header)?;
    let names = ["x", "y", "z"].into_iter().zip(named).take(dimensions.into());
    Ok(match format {
        FormatArg::Csv => {
            let column = |(number, (axis, name)): (u32, (&str, Option<&String>))| match (args.no_header, name) {
                (false, name) => Ok(Column::Name(name.map_or(axis, |name| name.as_str()).to_owned())),
                (true, None) => Ok(Column::Number(number)),
                (true, Some(name)) => name.parse().ok().filter(|n| *n > 0).map(Column::Number).ok_or_else(|| {
                    Error::new(Code::ColumnMissing, format!("--{axis} {name} is no number of a column"))
                        .with_hint("with --no-header, columns are counted from 1")
                }),
            };
            let columns = (1..).zip(names).map(column).collect::<Result<_>>()?;
            PointFormat::Csv { delimiter: args.delimiter.unwrap_or(if tabs { b'\t' } else { b',' }), columns }
        }
        FormatArg::Jsonl => PointFormat::JsonLines {
            fields: names.map(|(axis, name)| name.map_or(axis, |name| name.as_str()).to_owned()).collect(),
        },
        FormatArg::F64 if named.iter().any(Option::is_some) => {
            return Err(Error::new(Code::Format, "binary numbers have no names for --x, --y and --z to choose")
                .with_hint("leave them away; --dimensions 3 says that points have three coordinates"));
        }
        FormatArg::F64 => PointFormat::Binary { dimensions },
    })
}

/// Returns the ending of a name, or of a compressed object's name the one before that of its codec.
fn ending(input: &str) -> String {
    let is_packed = matches!(Codec::named(input), Ok(Some(_)));
    let name = if is_packed { Path::new(input).with_extension("") } else { input.into() };
    name.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// The format that all inputs' names end in, and whether columns are between tabs.
fn detected(inputs: &[String]) -> Result<(FormatArg, bool)> {
    let mut all = None;
    for input in inputs {
        let found = match ending(input).as_str() {
            "csv" => (FormatArg::Csv, false),
            "tsv" => (FormatArg::Csv, true),
            "jsonl" | "ndjson" => (FormatArg::Jsonl, false),
            "f64" | "bin" => (FormatArg::F64, false),
            _ => {
                return Err(Error::new(
                    Code::Format,
                    format!("the name of {input} does not say how its points are written"),
                )
                .with_hint("say it: --format csv, --format jsonl or --format f64"));
            }
        };
        if *all.get_or_insert(found) != found {
            let first = &inputs[0];
            return Err(Error::new(Code::Format, format!("{first} and {input} are not written alike"))
                .with_hint("a job reads one format: run it on one, or say --format"));
        }
    }
    all.ok_or_else(|| Error::new(Code::InputMissing, "the job has no input").with_hint("name at least one"))
}
