//! Show chains on their way as an animated PNG of a grid.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array3, Array4, Axis, concatenate};
use srm_data::grid;
use srm_train::to_bytes;
use tch::Tensor;

use super::PADDING;

/// Milliseconds a frame, and how long the last one stays.
const FRAME: u16 = 60;
const LAST: u16 = 2_000;

/// Frames of several sets of states side by side: state k of every set makes frame k.
///
/// # Errors
/// libtorch refuses, or the sets have different lengths.
pub fn side_by_side(sets: &[Vec<Tensor>]) -> Result<Vec<Array4<u8>>> {
    let frames = sets.first().map_or(0, Vec::len);
    let frame = |k: usize| {
        let parts = sets.iter().map(|states| Ok(to_bytes(&states[k])?)).collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        Ok(concatenate(Axis(0), &views)?)
    };
    (0..frames).map(frame).collect()
}

/// Write the frames, each a grid of `columns`, as an animated PNG that repeats for ever and rests on its last frame.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, frames: &[Array4<u8>], columns: usize) -> Result<()> {
    let sheets: Vec<_> = frames.iter().map(|images| grid(&images.view(), columns, PADDING)).collect();
    let Some(first) = sheets.first() else { return Ok(()) };
    let (height, width, channels) = first.dim();
    srm_files::write_whole(path, |file| {
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(match channels {
            1 => png::ColorType::Grayscale,
            4 => png::ColorType::Rgba,
            _ => png::ColorType::Rgb,
        });
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_animated(sheets.len() as u32, 0)?;
        let mut writer = encoder.write_header()?;
        for (number, sheet) in sheets.iter().enumerate() {
            let delay = if number + 1 == sheets.len() { LAST } else { FRAME };
            writer.set_frame_delay(delay, 1_000)?;
            writer.write_image_data(&bytes(sheet))?;
        }
        Ok(writer.finish()?)
    })
    .with_context(|| format!("cannot write {}", path.display()))
}

fn bytes(sheet: &Array3<u8>) -> Vec<u8> {
    sheet.iter().copied().collect()
}
