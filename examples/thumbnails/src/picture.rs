//! Pictures: read from PNG and JPEG, shrunk, and written as PNG.

use kinglet::{UserError, UserResult};
use std::io::Cursor;

/// A picture of 8 bits a channel: one of grey or three of colour, and perhaps another that says how opaque a pixel is.
pub(crate) struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    bytes: Vec<u8>,
}

impl Picture {
    /// Reads a picture, by what is in it and not by its name.
    pub(crate) fn read(file: &[u8]) -> UserResult<Self> {
        match file {
            [0x89, b'P', b'N', b'G', ..] => Self::from_png(file),
            [0xff, 0xd8, ..] => Self::from_jpeg(file),
            _ => Err(UserError::new("this is neither a PNG nor a JPEG")),
        }
    }

    fn from_png(file: &[u8]) -> UserResult<Self> {
        let mut decoder = png::Decoder::new(Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(|| UserError::new("it is too large"))?];
        let frame = reader.next_frame(&mut bytes)?;
        let channels = frame.color_type.samples();
        Ok(Picture { width: frame.width as usize, height: frame.height as usize, channels, bytes })
    }

    fn from_jpeg(file: &[u8]) -> UserResult<Self> {
        let mut decoder = zune_jpeg::JpegDecoder::new(Cursor::new(file));
        let bytes = decoder.decode()?;
        let (width, height) = decoder.dimensions().ok_or_else(|| UserError::new("it has no size"))?;
        Ok(Picture { width, height, channels: bytes.len() / (width * height), bytes })
    }

    /// The picture within a square of `side` pixels: each pixel is the average of those that it stands for. A smaller picture
    /// stays as it is.
    pub(crate) fn within(self, side: usize) -> Self {
        let long = self.width.max(self.height);
        if long <= side {
            return self;
        }
        let scaled = |length: usize| ((length * side + long / 2) / long).max(1);
        let (width, height) = (scaled(self.width), scaled(self.height));
        let mut bytes = Vec::with_capacity(width * height * self.channels);
        for y in 0..height {
            for x in 0..width {
                let columns = x * self.width / width..(x + 1) * self.width / width;
                let rows = y * self.height / height..(y + 1) * self.height / height;
                let area = rows.flat_map(|row| columns.clone().map(move |column| row * self.width + column));
                self.average(area, &mut bytes);
            }
        }
        Picture { width, height, channels: self.channels, bytes }
    }

    /// The average of some pixels. One that nothing is seen of has no part in the colour.
    fn average(&self, pixels: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        let colours = if self.channels.is_multiple_of(2) { self.channels - 1 } else { self.channels };
        let (mut sums, mut opaque, mut count) = ([0; 3], 0, 0);
        for pixel in pixels {
            let pixel = &self.bytes[pixel * self.channels..][..self.channels];
            let weight = pixel.get(colours).map_or(255, |alpha| u64::from(*alpha));
            for (sum, colour) in sums.iter_mut().zip(&pixel[..colours]) {
                *sum += u64::from(*colour) * weight;
            }
            opaque += weight;
            count += 1;
        }
        let rounded = |sum: u64, of: u64| ((sum + of / 2) / of.max(1)) as u8;
        out.extend(sums[..colours].iter().map(|sum| rounded(*sum, opaque)));
        if colours < self.channels {
            out.push(rounded(opaque, count));
        }
    }

    /// The picture as a PNG.
    pub(crate) fn to_png(&self) -> UserResult<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            2 => png::ColorType::GrayscaleAlpha,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bytes)?;
        writer.finish()?;
        Ok(file)
    }
}
