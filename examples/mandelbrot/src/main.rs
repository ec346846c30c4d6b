//! The Mandelbrot set as a PNG: a call for each tile of the picture, put in its place as it comes.

use kinglet::{Code, Driver, Error, Registry, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::BufWriter;

/// How wide and high a tile is, in pixels, but for those at the right and the lower edge.
const SIDE: usize = 64;

/// A tile: where it lies in the picture, and how large both are, in pixels.
#[derive(Clone, Serialize, Deserialize)]
struct Tile {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    picture: (usize, usize),
}

/// The pixels of a tile, row by row: each is a number in the palette.
fn render(tile: Tile) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(tile.width * tile.height);
    for y in tile.y..tile.y + tile.height {
        for x in tile.x..tile.x + tile.width {
            let (re, im) = point(x, y, tile.picture);
            pixels.push(steps(re, im));
        }
    }
    pixels
}

/// The number that a pixel stands for: the picture shows -2.2 to 0.8, and 0 in the middle of its height.
fn point(x: usize, y: usize, (width, height): (usize, usize)) -> (f64, f64) {
    let step = 3.0 / width as f64;
    (x as f64 * step - 2.2, (y as f64 - height as f64 / 2.0) * step)
}

/// How many steps of z² + c stay within 2: 255 when all do that are tried.
fn steps(c_re: f64, c_im: f64) -> u8 {
    let (mut re, mut im) = (0.0, 0.0);
    for step in 0..255 {
        if re * re + im * im > 4.0 {
            return step;
        }
        (re, im) = (re * re - im * im + c_re, 2.0 * re * im + c_im);
    }
    255
}

fn tiles(width: usize, height: usize) -> Vec<Tile> {
    let corners = (0..height).step_by(SIDE).flat_map(|y| (0..width).step_by(SIDE).map(move |x| (x, y)));
    let tile =
        |(x, y)| Tile { x, y, width: SIDE.min(width - x), height: SIDE.min(height - y), picture: (width, height) };
    corners.map(tile).collect()
}

/// Writes the picture, with colours from night to day, and black where all steps stay.
fn save(path: &str, width: usize, height: usize, pixels: &[u8]) -> Result<(), png::EncodingError> {
    let shade = |n: u8, power: f64| (255.0 * (f64::from(n) / 254.0).powf(power)) as u8;
    let mut palette: Vec<u8> = (0..255).flat_map(|n| [shade(n, 0.6), shade(n, 0.4), shade(n, 0.25)]).collect();
    palette.extend([0; 3]);
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}

async fn program() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "mandelbrot.png".to_owned());
    let (width, height) = (argument(2, 960)?, argument(3, 640)?);
    let tiles = tiles(width, height);
    let mut picture = vec![0; width * height];

    let driver = driver().await?;
    let mut calls = driver.map(render, tiles.clone()).await?;
    while let Some((n, pixels)) = calls.next().await {
        let tile = &tiles[n];
        for (row, pixels) in pixels?.chunks(tile.width).enumerate() {
            let at = (tile.y + row) * width + tile.x;
            picture[at..at + tile.width].copy_from_slice(pixels);
        }
    }
    save(&path, width, height, &picture)
        .map_err(|e| Error::new(Code::ProgramFailed, format!("writing {path}: {e}")))?;
    println!("{path}: {width} × {height} pixels from {} tiles", tiles.len());
    Ok(())
}

/// The embedded runtime, or the stack on AWS that `STACK` names.
async fn driver() -> Result<Driver> {
    match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await,
        Err(_) => Driver::local().await,
    }
}

/// An argument of the program that is a number of pixels.
fn argument(nth: usize, default: u16) -> Result<usize> {
    let Some(text) = std::env::args().nth(nth) else { return Ok(default.into()) };
    let wrong =
        |e| Error::new(Code::ProgramFailed, format!("{text:?} is no size: {e}")).with_hint("give it FILE WIDTH HEIGHT");
    text.parse::<u16>().map(usize::from).map_err(wrong)
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(render), program)
}
