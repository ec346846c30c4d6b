//! The example projects that call functions, and the one with a tokenizer of its own: what they give is right, by another way
//! of finding it. `.ci/run` builds the projects themselves.

use crate::programs;
use crate::support::{Ran, failed, read_output, run};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Runs an example in a directory.
fn example(name: &str, dir: &Path, args: &[&str]) -> Ran {
    run(programs::of_example(name).current_dir(dir).args(args).env_remove("STACK"))
}

/// What an example prints, which must succeed.
#[track_caller]
fn says(name: &str, dir: &Path, args: &[&str]) -> String {
    let ran = example(name, dir, args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

/// What `kinglet init` makes is compiled as an example, too, and does what its README says.
#[test]
fn a_new_project_has_a_program_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let made = run(programs::kinglet().args(["init", "first"]).current_dir(dir.path()));
    assert_eq!((made.code, &made.err[..]), (Some(0), ""));
    assert_eq!(made.out, "made first; next: cd first && cargo test && cargo run -- README.md\n");
    let project = dir.path().join("first");
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    assert!(readme.starts_with("# first\n") && !readme.contains('{'), "{readme}");
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"first\"") && manifest.contains("/driver\" }"), "{manifest}");
    let own = include_str!("../cli/templates/job/src/main.rs");
    assert_eq!(fs::read_to_string(project.join("src/main.rs")).unwrap(), own);

    assert!(says("init-job", &project, &["README.md"]).contains("result in 1 parts"));
    let mut firsts = std::collections::BTreeMap::<&str, u64>::new();
    readme
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .for_each(|word| *firsts.entry(word).or_default() += 1);
    let counts = read_output(&project.join("result")).counts;
    assert_eq!(counts, firsts.into_iter().map(|(word, n)| (word.as_bytes().to_vec(), n)).collect());
    failed(&example("init-job", &project, &["README.md"]), &["the output result is taken"]);
    let usage = example("init-job", &project, &[]);
    assert_eq!((usage.code, usage.err.starts_with("usage: ")), (Some(2), true), "{usage:?}");

    let made = run(programs::kinglet().args(["init", "second", "--template", "function"]).current_dir(dir.path()));
    assert_eq!(made.code, Some(0), "{}", made.err);
    // https://oeis.org/A006877: of the numbers to 100,000, this one takes the most.
    assert_eq!(says("init-function", &dir.path().join("second"), &[]), "77031 takes the most: 350 steps\n");
}

#[test]
fn pi_is_within_its_deviation_and_a_seed_gives_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let points = 2_600_001;
    let inside = |seed: &str| {
        let said = says("pi", dir.path(), &[&points.to_string(), seed]);
        let (before, all) = said.trim_end().rsplit_once(" of ").unwrap();
        assert_eq!(all, format!("{points} points"));
        let inside: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        let pi = 4.0 * inside as f64 / points as f64;
        assert!(said.starts_with(&format!("π is {pi:.6}, ")), "{said}");
        // Each point is a coin that falls on one side with a probability of π/4.
        let probability = std::f64::consts::FRAC_PI_4;
        let deviation = 4.0 * (probability * (1.0 - probability) / points as f64).sqrt();
        assert!((pi - std::f64::consts::PI).abs() < 4.0 * deviation, "{said}");
        assert!(said.contains(&format!("deviation of {deviation:.4}")), "{said}");
        inside
    };
    let first = inside("1");
    assert_eq!(first, inside("1"));
    assert_ne!(first, inside("2"));

    failed(&example("pi", dir.path(), &["many"]), &["\"many\" is no number"]);
}

/// The pixels of a PNG, of the width, the height and the kind that it must have.
#[track_caller]
fn decoded(file: &[u8], transformations: png::Transformations, is: (u32, u32, png::ColorType)) -> Vec<u8> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height, frame.color_type), is);
    pixels
}

/// How many steps of z² + c stay within 2, up to 255, for each pixel.
fn mandelbrot(width: u32, height: u32) -> Vec<u8> {
    let step = 3.0 / f64::from(width);
    let mut all = Vec::new();
    for pixel in 0..width * height {
        let (column, row) = (f64::from(pixel % width), f64::from(pixel / width));
        let c = (column * step - 2.2, (row - f64::from(height) / 2.0) * step);
        let next = |z: &(f64, f64)| Some((z.0 * z.0 - z.1 * z.1 + c.0, 2.0 * z.0 * z.1 + c.1));
        let orbit = std::iter::successors(Some((0.0, 0.0)), next);
        all.push(orbit.take(255).take_while(|z: &(f64, f64)| z.0 * z.0 + z.1 * z.1 <= 4.0).count() as u8);
    }
    all
}

#[test]
fn the_mandelbrot_set_is_that_of_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    // Neither is a multiple of a tile's side.
    let (width, height) = (200, 130);
    let said = says("mandelbrot", dir.path(), &["set.png", "200", "130"]);
    assert_eq!(said, "set.png: 200 × 130 pixels from 12 tiles\n");

    let file = fs::read(dir.path().join("set.png")).unwrap();
    let pixels = decoded(&file, png::Transformations::IDENTITY, (width, height, png::ColorType::Indexed));
    let serial = mandelbrot(width, height);
    let inside = serial.iter().filter(|steps| **steps == 255).count();
    assert!(inside > 1_000 && inside < serial.len() / 2, "{inside} pixels are inside");
    assert!(pixels == serial, "{} pixels differ", pixels.iter().zip(&serial).filter(|(a, b)| a != b).count());

    // What is inside is black, and nothing else.
    let shown = decoded(&file, png::Transformations::EXPAND, (width, height, png::ColorType::Rgb));
    assert_eq!(shown.chunks(3).filter(|pixel| *pixel == [0; 3]).count(), inside);

    let ran = example("mandelbrot", dir.path(), &["nowhere/set.png", "10", "10"]);
    assert!(ran.code == Some(1) && ran.err.contains("writing nowhere/set.png"), "{ran:?}");
}

/// A PNG of pixels of some kind.
fn png_of(width: u32, height: u32, kind: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(kind);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    file
}

/// A JPEG that is red on the left and blue on the right. Its blocks of 8 × 8 pixels are even, so that all it takes is how much
/// each block's three averages differ from those of the block before.
fn jpeg_of(width: u16, height: u16) -> Vec<u8> {
    let (mut bits, mut last) = (String::new(), [0_i32; 3]);
    for block in 0..width / 8 * (height / 8) {
        // Brightness and the two colour differences, less 128.
        let averages = if block % (width / 8) < width / 16 { [-52, -43, 127] } else { [-99, 127, -21] };
        for (average, last) in averages.into_iter().zip(&mut last) {
            let difference: i32 = average - *last;
            let length = 32 - difference.unsigned_abs().leading_zeros();
            let low = if difference < 0 { difference - 1 + (1 << length) } else { difference };
            let low = if length == 0 { String::new() } else { format!("{low:0width$b}", width = length as usize) };
            // The number of bits in four bits, those bits, and one bit for "nothing else".
            bits += &format!("{length:04b}{low}0");
            *last = average;
        }
    }
    bits += &"1".repeat(bits.len().wrapping_neg() % 8);
    let (height, width) = (height.to_be_bytes(), width.to_be_bytes());
    let mut file = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    file.extend([8; 64]);
    file.extend(b"\xff\xc0\0\x11\x08");
    file.extend([height, width].concat());
    file.extend(b"\x03\x01\x11\0\x02\x11\0\x03\x11\0");
    file.extend(b"\xff\xc4\0\x1c\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08");
    file.extend(b"\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    file.extend(b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0");
    for byte in bits.as_bytes().chunks(8) {
        let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
        file.extend(if byte == 0xff { &[0xff, 0][..] } else { std::slice::from_ref(&byte) });
    }
    file.extend(b"\xff\xd9");
    file
}

#[test]
fn thumbnails_have_their_size_and_what_is_no_picture_stops_none() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("pictures"), dir.path().join("thumbnails"));
    fs::create_dir_all(from.join("a-folder")).unwrap();
    // Columns of white, black, white, …, and of one that is seen and one that is not.
    let striped: Vec<u8> = (0..400 * 300).map(|n| if n % 2 == 0 { 255 } else { 0 }).collect();
    let striped = png_of(400, 300, png::ColorType::Grayscale, &striped);
    let sheer: Vec<u8> =
        (0..256 * 4).flat_map(|n| if n % 2 == 0 { [200, 100, 50, 255] } else { [7, 7, 7, 0] }).collect();
    let small: Vec<u8> = (0..20 * 10 * 3).map(|n| n as u8).collect();
    let files: [(&str, &[u8]); 6] = [
        ("cut.png", &striped[..striped.len() / 2]),
        ("notes.txt", b"not a picture\n"),
        ("sheer.png", &png_of(256, 4, png::ColorType::Rgba, &sheer)),
        ("small.png", &png_of(20, 10, png::ColorType::Rgb, &small)),
        ("striped.png", &striped),
        ("tall.jpg", &jpeg_of(320, 640)),
    ];
    for (name, bytes) in files {
        fs::write(from.join(name), bytes).unwrap();
    }
    let ran = example("thumbnails", dir.path(), &["pictures", "thumbnails", "64"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "4 thumbnails in thumbnails\n"), "{ran:?}");
    for bad in ["cut.png: call 0: ", "notes.txt: call 1: this is neither", "error: 2 of 6 files gave no thumbnail"] {
        assert!(ran.err.lines().any(|line| line.starts_with(bad)), "{bad} is not said in: {}", ran.err);
    }

    let mut names: Vec<_> = fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["sheer.png.png", "small.png.png", "striped.png.png", "tall.jpg.png"]);
    let thumbnail = |name: &str, width, height, kind| {
        let file = fs::read(to.join(name)).unwrap();
        decoded(&file, png::Transformations::IDENTITY, (width, height, kind))
    };
    assert!(thumbnail("small.png.png", 20, 10, png::ColorType::Rgb) == small);
    // Each stands for 4 × 4 pixels, half of which are not seen and have no part in the colour.
    let sheer = thumbnail("sheer.png.png", 64, 1, png::ColorType::Rgba);
    assert!(sheer.chunks(4).all(|pixel| pixel == [200, 100, 50, 128]), "{sheer:?}");
    // Each stands for 6 or 7 columns, of which 3 or 4 are white.
    let striped = thumbnail("striped.png.png", 64, 48, png::ColorType::Grayscale);
    assert!(striped.iter().all(|grey| [109, 128, 146].contains(grey)), "{striped:?}");
    let tall = thumbnail("tall.jpg.png", 32, 64, png::ColorType::Rgb);
    for (n, pixel) in tall.chunks(3).enumerate() {
        let (strong, weak) = if n % 32 < 16 { (0, 2) } else { (2, 0) };
        assert!(pixel[strong] > 250 && pixel[1] < 5 && pixel[weak] < 5, "pixel {n}: {pixel:?}");
    }

    failed(&example("thumbnails", dir.path(), &["pictures"]), &["two folders are missing"]);
    failed(&example("thumbnails", dir.path(), &["a", "b", "0"]), &["the size is not a number"]);
}

#[test]
fn the_sweep_ends_with_the_first_that_arrives_and_cancels_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    // Had it waited for all of them, it would be at it for hours.
    let said = says("sweep", dir.path(), &[]);
    let lines: Vec<&str> = said.lines().collect();
    let [failures @ .., arrived, cancelled] = &lines[..] else { panic!("{said}") };
    assert!(failures.iter().all(|line| line.contains(": left the valley after ")), "{said}");
    let cancelled: usize = cancelled.strip_suffix(" of 27 were cancelled").unwrap().parse().unwrap();
    // At least those with the two smallest rates, of which each takes a billion steps and more.
    assert!((6..27).contains(&cancelled), "{said}");

    // `rate 1e-3, momentum 0.9: at (1.0000, 1.0000) after 4000 steps`, and so it is.
    let (settings, found) = arrived.split_once(": ").unwrap();
    let numbers: Vec<f64> = settings.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let steps: usize = found.split(' ').rev().nth(1).unwrap().parse().unwrap();
    // On a busy machine one of the small rates may have been the first. Walking after it would take many minutes.
    if steps > 20_000_000 {
        return;
    }
    let (mut at, mut speed) = ([-1.2_f64, 1.0], [0.0_f64; 2]);
    let height = |[x, y]: [f64; 2]| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
    for step in 0..steps {
        assert!(height(at) > 1e-9 * 0.99, "it was there after {step} steps already: {said}");
        let [x, y] = at;
        let slope = [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)];
        speed = [0, 1].map(|i| numbers[1] * speed[i] - numbers[0] * slope[i]);
        at = [0, 1].map(|i| at[i] + speed[i]);
    }
    assert!(height(at) < 1e-9 * 1.01, "{at:?}: {said}");
    assert!(found.starts_with(&format!("at ({:.4}, {:.4}) ", at[0], at[1])), "{said}");
}

#[test]
fn the_tokenizer_says_what_a_word_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "Don't stop: the well-known -- 'quoted' -- STOP sign, 3rd of 42.\n").unwrap();
    fs::write(dir.path().join("b.txt"), "don’t é Été x2y Straße\u{a0}été a\nÜber-all ''- über\n").unwrap();
    says("tokenizer", dir.path(), &["a.txt", "b.txt", "counts"]);
    let counts = read_output(&dir.path().join("counts")).counts;
    let counts: Vec<(&str, u64)> = counts.iter().map(|(word, n)| (std::str::from_utf8(word).unwrap(), *n)).collect();
    let words =
        [("don't", 2), ("of", 1), ("quoted", 1), ("rd", 1), ("sign", 1), ("stop", 2), ("straße", 1), ("the", 1)];
    let more = [("well-known", 1), ("été", 2), ("über", 1), ("über-all", 1)];
    assert_eq!(counts, [&words[..], &more].concat());

    failed(&example("tokenizer", dir.path(), &[]), &["the inputs and the output are missing"]);
}

#[test]
fn checksums_are_those_of_the_whole_objects_and_what_gives_none_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, Vec<u8>); 3] = [
        ("empty", vec![]),
        ("x/a b", b"what is said".to_vec()),
        // More than is read at once.
        ("x/large", (0..17_u32 << 20).map(|n| (n % 251) as u8).collect()),
    ];
    for (name, bytes) in &files {
        let path = dir.path().join("files").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let report = |said: &str| -> (serde_json::Value, Vec<String>) {
        let manifest = said.trim_end().rsplit_once(": ").unwrap().1;
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        let part = dir.path().join("reports").join(manifest["Results"][0]["Key"].as_str().unwrap());
        let lines = fs::read_to_string(part).unwrap().lines().map(str::to_owned).collect();
        (manifest, lines)
    };
    let said = says("checksums", dir.path(), &["files", "reports"]);
    assert!(said.starts_with("3 of 3 objects have a checksum: "), "{said}");
    let root = dir.path().canonicalize().unwrap().join("files");
    let line = |(name, bytes): &(&str, Vec<u8>)| {
        let (bucket, key) = (root.display(), name.replace(' ', "%20"));
        format!("{bucket},{key},,succeeded,,200,{:08x}", crc32fast::hash(bytes))
    };
    assert_eq!(report(&said).1, files.iter().map(line).collect::<Vec<_>>());

    fs::write(dir.path().join("objects.csv"), "nowhere,a\n").unwrap();
    let ran = example("checksums", dir.path(), &["--manifest", "objects.csv", "reports"]);
    assert!(ran.code == Some(1) && ran.err.contains("1 objects gave no checksum"), "{ran:?}");
    let (manifest, lines) = report(&ran.out);
    assert_eq!(manifest["Results"][0]["TaskExecutionStatus"], "failed");
    assert!(lines[0].starts_with("nowhere,a,,failed,bucket-missing,404,"), "{lines:?}");
    failed(&example("checksums", dir.path(), &["--inventory", "reports"]), &["is missing"]);
}
