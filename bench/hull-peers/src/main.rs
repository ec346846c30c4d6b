//! Points for `bench/hull`, and the hull of them by Kinglet's kernel or by the crate `geo`, timed.
//!
//! ```text
//! kinglet-bench-hull make SHAPE COUNT FILE                    points as little-endian f64, the same for the same shape and count
//! kinglet-bench-hull find FILE --dimensions D --by kinglet --threads T --vertices OUT
//! kinglet-bench-hull find FILE --dimensions 2 --by geo --vertices OUT
//! ```
//!
//! `find` reads the file first, then finds the hull once, and prints the seconds of that alone. `OUT` gets the vertices.

use clap::{Parser, ValueEnum};
use geo::ConvexHull;
use kinglet_jobs::kernels::hull::{hull_2d, hull_3d};
use rand::{Rng, RngExt, SeedableRng};
use std::error::Error;
use std::f64::consts::TAU;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Parser)]
enum Command {
    /// Makes points.
    Make { shape: Shape, count: usize, file: PathBuf },
    /// Finds their hull.
    Find {
        file: PathBuf,
        #[arg(long)]
        dimensions: usize,
        #[arg(long)]
        by: By,
        #[arg(long, default_value_t = 1)]
        threads: usize,
        #[arg(long)]
        vertices: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Kinglet,
    Geo,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    /// Uniform in the unit square.
    Square,
    /// Uniform in the unit disk.
    Disk,
    /// On the unit circle, evenly, in no order.
    Circle,
    /// On the unit circle, uniform: some are so close that rounding puts one on the chord of its neighbours.
    CircleRandom,
    /// Both coordinates normal.
    Normal,
    /// Uniform in the unit cube.
    Cube,
    /// Uniform in the unit ball.
    Ball,
    /// Uniform on the unit sphere.
    Sphere,
    /// All three coordinates normal.
    NormalSpace,
}

fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Make { shape, count, file } => make(shape, count, &file),
        Command::Find { file, dimensions, by, threads, vertices } => {
            let points: Vec<f64> = std::fs::read(&file)?.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect();
            let (seconds, found) = find(&points, dimensions, by, threads)?;
            println!("{seconds:.6}");
            std::fs::write(vertices, found.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?;
            Ok(())
        }
    }
}

fn find(points: &[f64], dimensions: usize, by: By, threads: usize) -> Result<(f64, Vec<f64>), Box<dyn Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    Ok(match (by, dimensions) {
        (By::Kinglet, 3) => {
            let points = points.as_chunks::<3>().0;
            let started = Instant::now();
            let hull = pool.install(|| hull_3d(points))?;
            (started.elapsed().as_secs_f64(), hull.vertices.into_flattened())
        }
        (By::Kinglet, _) => {
            let points = points.as_chunks::<2>().0;
            let started = Instant::now();
            let hull = pool.install(|| hull_2d(points))?;
            (started.elapsed().as_secs_f64(), hull.into_flattened())
        }
        (By::Geo, 2) => {
            let points: geo::MultiPoint =
                points.as_chunks::<2>().0.iter().map(|p| geo::Point::new(p[0], p[1])).collect();
            let started = Instant::now();
            let hull = points.convex_hull();
            let seconds = started.elapsed().as_secs_f64();
            let ring = &hull.exterior().0;
            (seconds, ring[..ring.len() - 1].iter().flat_map(|c| [c.x, c.y]).collect())
        }
        (By::Geo, _) => return Err("geo has no hulls in space".into()),
    })
}

fn make(shape: Shape, count: usize, file: &PathBuf) -> Result<(), Box<dyn Error>> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut order: Vec<usize> = (0..if matches!(shape, Shape::Circle) { count } else { 0 }).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.random_range(0..=at));
    }
    for n in 0..count {
        let r = &mut random;
        let point = match shape {
            Shape::Square => vec![r.random(), r.random()],
            Shape::Disk => within(r, 2),
            Shape::Circle => on_circle(order[n] as f64 / count as f64),
            Shape::CircleRandom => on_circle(r.random()),
            Shape::Normal => vec![normal(r), normal(r)],
            Shape::Cube => vec![r.random(), r.random(), r.random()],
            Shape::Ball => within(r, 3),
            Shape::Sphere => {
                let point = [normal(r), normal(r), normal(r)];
                let length = point.iter().map(|x| x * x).sum::<f64>().sqrt();
                point.iter().map(|x| x / length).collect()
            }
            Shape::NormalSpace => vec![normal(r), normal(r), normal(r)],
        };
        for x in point {
            out.write_all(&x.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn on_circle(turn: f64) -> Vec<f64> {
    vec![libm::cos(turn * TAU), libm::sin(turn * TAU)]
}

fn within(random: &mut impl Rng, dimensions: usize) -> Vec<f64> {
    loop {
        let point: Vec<f64> = (0..dimensions).map(|_| random.random_range(-1.0..1.0)).collect();
        if point.iter().map(|x| x * x).sum::<f64>() < 1.0 {
            return point;
        }
    }
}

/// By Box and Muller.
fn normal(random: &mut impl Rng) -> f64 {
    let (u, turn): (f64, f64) = (random.random(), random.random());
    (-2.0 * libm::log(1.0 - u)).sqrt() * libm::cos(turn * TAU)
}
