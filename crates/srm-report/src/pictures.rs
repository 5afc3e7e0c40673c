//! Put pictures and charts into a page: everything travels inside it, as data.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, PreEscaped, html};
use ndarray::{Array3, Array4};
use srm_data::grid;

use crate::{Chart, ReportError};

/// Pixels between two images of a grid.
const PADDING: usize = 2;
/// The most that a picture is enlarged: an image of 32 pixels is then as wide as a thumb.
const ENLARGED: u32 = 3;

/// A PNG with its size.
pub struct Picture {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
}

impl Picture {
    /// Read a PNG file; the error says what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Picture, String> {
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", name()))?;
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info();
        let size = reader.map(|reader| reader.info().size());
        let (width, height) = size.map_err(|error| format!("{} is no whole PNG: {error}", name()))?;
        Ok(Picture { bytes, width, height })
    }

    /// All images in rows of `columns`.
    ///
    /// # Shapes
    /// u8 `[n, h, w, c]` with c 1 (grey), 3 (RGB) or 4 (RGBA).
    ///
    /// # Errors
    /// [`ReportError::Encode`] where there is no image.
    pub fn of_grid(images: &Array4<u8>, columns: usize) -> Result<Picture, ReportError> {
        let sheet = grid(&images.view(), columns, PADDING);
        let (height, width, _) = sheet.dim();
        let bytes = encode(&sheet).map_err(|source| ReportError::Encode { source })?;
        Ok(Picture { bytes, width: width as u32, height: height as u32 })
    }

    /// The picture, enlarged by a whole factor to at most `width` CSS pixels so that each of its pixels stays a square.
    pub(crate) fn show(&self, alt: &str, width: u32) -> Markup {
        let factor = (width / self.width.max(1)).clamp(1, ENLARGED);
        let class = (self.width <= width).then_some("pixels");
        html! {
            img class=[class] src=(data_uri("image/png", &self.bytes)) alt=(alt) width=(self.width * factor)
                height=(self.height * factor);
        }
    }
}

fn encode(sheet: &Array3<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let (height, width, channels) = sheet.dim();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(match channels {
        1 => png::ColorType::Grayscale,
        4 => png::ColorType::Rgba,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet.iter().copied().collect::<Vec<u8>>())?;
    writer.finish()?;
    Ok(bytes)
}

/// An SVG file as a picture: inside `img` it can neither run a script nor ask for anything, and its names cannot collide
/// with those of another.
pub fn svg_file(path: &Path, alt: &str) -> Result<Markup, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    if !text.contains("<svg") {
        return Err(format!("{name} is no SVG"));
    }
    Ok(html! { img.vector src=(data_uri("image/svg+xml", text.as_bytes())) alt=(alt); })
}

/// A chart of our own, in line: it has no names that could collide, and its letters can be searched.
pub fn chart(chart: &Chart, alt: &str) -> Markup {
    match chart.to_svg() {
        Ok(svg) => html! { div.vector role="img" aria-label=(alt) { (PreEscaped(svg)) } },
        Err(error) => missing(&error.to_string()),
    }
}

/// A picture or what stands in its place, with its caption.
pub fn figure(content: Result<Markup, String>, caption: Markup) -> Markup {
    match content {
        Ok(content) => html! { figure { div.frame { (content) } figcaption { (caption) } } },
        Err(reason) => missing(&reason),
    }
}

/// A sentence in place of what is not there.
pub fn missing(reason: &str) -> Markup {
    html! { p.missing { (reason) } }
}

fn data_uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_enlarged_by_a_whole_factor_and_survives_as_png() {
        let images = Array4::from_shape_fn((4, 8, 8, 3), |(n, y, x, c)| (n * 60 + y * 4 + x * 2 + c) as u8);
        let picture = Picture::of_grid(&images, 2).unwrap();
        assert_eq!((picture.width, picture.height), (22, 22)); // 2 · 8 pixels and 3 · 2 between and around
        let shown = picture.show("a < b", 100).into_string();
        assert!(shown.contains(r#"width="66""#) && shown.contains("a &lt; b"), "{shown}");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&picture.bytes)).read_info().unwrap();
        let mut back = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut back).unwrap();
        assert!(grid(&images.view(), 2, PADDING).iter().eq(back.iter()), "the pixels come back");
    }

    #[test]
    fn what_is_no_picture_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        fs::write(&path, "no picture").unwrap();
        assert!(Picture::read(&path).err().unwrap().contains("x.png is no whole PNG"));
        assert!(Picture::read(&folder.path().join("none.png")).err().unwrap().contains("none.png cannot be read"));
        assert!(svg_file(&path, "").err().unwrap().contains("x.png is no SVG"));
    }
}
