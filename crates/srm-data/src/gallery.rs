//! Read a few pictures straight into memory, whatever their form and size.

use crate::preprocess::{Background, Crop, Filter, Lost, Picture, Scaler, Source};
use crate::{DataError, ImageSet, LeftOut};
use ndarray::{Array3, Array4};
use srm_files::{Kind, identify};
use std::path::Path;

/// Pictures in memory.
pub struct Gallery {
    /// u8 `[n, size, size, channels]`.
    pub images: Array4<u8>,
    /// Where each is from: a file, or an index of the `.npy`.
    pub names: Vec<String>,
    /// How many had another size or shape, and were cut to the middle square and resized.
    pub resized: usize,
    /// Files of the folder or archive that were not taken.
    pub left_out: Vec<LeftOut>,
}

/// Read a `.npy` of u8 `[n, h, w, c]`, or whatever [`preprocess()`](crate::preprocess()) takes: a picture file, a folder
/// or archive of them (in the order of names), raw images; at most `count`.
///
/// Pictures of another size are cut to the middle square and resized (antialiased, bilinear). Grey pictures become RGB
/// where the net wants it; a `.npy` of other channels is an error.
///
/// # Errors
/// [`DataError::Io`], [`DataError::NotASource`], [`DataError::NoImagesIn`], [`DataError::BadPicture`],
/// [`DataError::NotAnImageSet`].
pub fn read_gallery(path: &Path, size: usize, channels: usize, count: usize) -> Result<Gallery, DataError> {
    let mut reader = Reader::new(size, channels);
    let left_out = each(path, channels, count, |picture, name| reader.take(picture, name))?;
    Ok(Gallery { left_out, ..reader.done() })
}

/// Hand over the first `count` pictures of a `.npy`, or of whatever [`preprocess()`](crate::preprocess()) takes, one by one in their own
/// size, with their names; what was not taken of a folder or archive comes back.
///
/// # Errors
/// As in [`read_gallery`], and what `take` returns.
pub(crate) fn each(
    path: &Path,
    channels: usize,
    count: usize,
    mut take: impl FnMut(Picture, String) -> Result<(), DataError>,
) -> Result<Vec<LeftOut>, DataError> {
    let named = path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("npy"));
    if named || matches!(identify(path), Some(Kind::Npy | Kind::Npz)) {
        return each_of_npy(path, channels, count, take);
    }
    if channels == 4 {
        let reason = "pictures have no fourth channel; give a .npy of the net's size".to_owned();
        return Err(DataError::BadPicture { name: path.display().to_string(), reason });
    }
    let mut source = Source::open(path, &std::env::temp_dir())?;
    let (whole, mut buffer) = (path.is_file() && source.kind == "picture", Vec::new());
    for index in 0..source.len().min(count) {
        let name = if whole { path.to_owned() } else { path.join(source.name_of(index)) }.display().to_string();
        let read = source.read(index, Background::White, &mut buffer);
        let (picture, _) = read.map_err(|reason| DataError::BadPicture { name: name.clone(), reason })?;
        take(picture.with_channels(channels), name)?;
    }
    Ok(source.left_out)
}

/// The first picture of what [`read_gallery`] takes, in its own size: u8 `[h, w, channels]`.
///
/// # Errors
/// As in [`read_gallery`]; [`DataError::NoImagesIn`] where there is none.
pub fn read_picture(path: &Path, channels: usize) -> Result<Array3<u8>, DataError> {
    let mut first = None;
    let left_out = each(path, channels, 1, |picture, name| {
        whole(&picture, &name)?;
        let shape = (picture.height, picture.width, channels);
        first = Some(Array3::from_shape_vec(shape, picture.pixels).expect("a picture has its pixels"));
        Ok(())
    })?;
    first.ok_or_else(|| DataError::NoImagesIn { path: path.to_owned(), left_out })
}

/// Refuse a picture whose file has what pixels do not.
///
/// # Errors
/// [`DataError::BadPicture`] for a transparent or animated one.
pub(crate) fn whole(picture: &Picture, name: &str) -> Result<(), DataError> {
    let reason = match picture.lost {
        None => return Ok(()),
        Some(Lost::Transparency) => "it is transparent in places; lay it on a background first",
        Some(Lost::Motion) => "it is animated; give one frame of it",
    };
    Err(DataError::BadPicture { name: name.to_owned(), reason: reason.to_owned() })
}

/// A square of a picture, in its own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Width and height.
    pub side: usize,
}

/// A picture that was cut and resized.
pub struct CutPicture {
    /// u8 `[1, size, size, channels]`.
    pub pixels: Array4<u8>,
    /// Of the whole picture.
    pub width: usize,
    /// Of the whole picture.
    pub height: usize,
}

/// Decode a picture's bytes and bring a square of it, or the largest in its middle, to a size, as [`read_gallery`] does.
///
/// # Errors
/// The reason: it is none, damaged, larger than what is read; the square does not lie in it.
pub fn cut_picture(bytes: &[u8], cut: Option<Cut>, size: usize, channels: usize) -> Result<CutPicture, String> {
    let whole = Picture::decode(bytes, Background::White)?.with_channels(channels);
    let (width, height) = (whole.width, whole.height);
    let picture = match cut {
        None => whole,
        Some(cut) => whole.cut(cut).ok_or_else(|| {
            let Cut { left, top, side } = cut;
            format!("a square of {side} px at ({left}, {top}) does not lie in {width}×{height}")
        })?,
    };
    let pixels = match (picture.width, picture.height) == (size, size) {
        true => picture.pixels,
        false => Scaler::new(Crop::Square, Filter::default(), size, channels).run(&picture)?.to_vec(),
    };
    let pixels = Array4::from_shape_vec((1, size, size, channels), pixels).map_err(|error| error.to_string())?;
    Ok(CutPicture { pixels, width, height })
}

fn each_of_npy(
    path: &Path,
    channels: usize,
    count: usize,
    mut take: impl FnMut(Picture, String) -> Result<(), DataError>,
) -> Result<Vec<LeftOut>, DataError> {
    let set = ImageSet::open(path)?;
    if set.channels() != channels {
        let got = format!("{} channels, where the net has {channels}", set.channels());
        return Err(DataError::NotAnImageSet { path: path.to_owned(), got });
    }
    for i in 0..set.len().min(count) {
        let picture =
            Picture { width: set.width(), height: set.height(), channels, pixels: set.image(i).to_vec(), lost: None };
        take(picture, format!("{} of {}", i, path.display()))?;
    }
    Ok(Vec::new())
}

/// Gathers pictures in one size.
struct Reader {
    size: usize,
    channels: usize,
    scaler: Scaler,
    pixels: Vec<u8>,
    names: Vec<String>,
    resized: usize,
}

impl Reader {
    fn new(size: usize, channels: usize) -> Self {
        let scaler = Scaler::new(Crop::Square, Filter::default(), size, channels);
        Self { size, channels, scaler, pixels: Vec::new(), names: Vec::new(), resized: 0 }
    }

    fn take(&mut self, picture: Picture, name: String) -> Result<(), DataError> {
        if (picture.width, picture.height) == (self.size, self.size) {
            self.pixels.extend(&picture.pixels);
        } else if self.channels == 4 {
            let reason = format!("it is {}×{}, and four channels are not resized", picture.width, picture.height);
            return Err(DataError::BadPicture { name, reason });
        } else {
            let scaled = self.scaler.run(&picture);
            self.pixels.extend(scaled.map_err(|reason| DataError::BadPicture { name: name.clone(), reason })?);
            self.resized += 1;
        }
        self.names.push(name);
        Ok(())
    }

    fn done(self) -> Gallery {
        let shape = (self.names.len(), self.size, self.size, self.channels);
        let images = Array4::from_shape_vec(shape, self.pixels).expect("every picture has been brought to one size");
        Gallery { images, names: self.names, resized: self.resized, left_out: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;
    use std::fs;

    fn pgm(level: u8) -> Vec<u8> {
        [b"P5\n1 1\n255\n", &[level][..]].concat()
    }

    fn read(path: &Path) -> Result<Gallery, String> {
        read_gallery(path, 1, 1, 9).map_err(|error| error.to_string())
    }

    #[test]
    fn folders_are_read_as_everywhere_and_a_picture_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("b.pgm", pgm(2)), ("a.JPE", pgm(1)), ("._b.pgm", vec![0; 9]), ("c.gif", vec![0; 9])] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let gallery = read(folder.path()).unwrap();
        assert_eq!(gallery.images.as_slice(), Some(&[1, 2][..]));
        assert_eq!(gallery.names[1], folder.path().join("b.pgm").display().to_string());
        assert_eq!(LeftOut::text(&gallery.left_out), "1 .gif (c.gif), 1 hidden (._b.pgm)");
        let one = folder.path().join("b.pgm");
        let gallery = read(&one).unwrap();
        assert_eq!((gallery.names, gallery.images.len()), (vec![one.display().to_string()], 1));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_advice_for_another_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ppm");
        for (bytes, expected) in [
            (&b"P6\n9999999 9999999\n255\n"[..], "a.ppm: it is damaged or cut off: it claims 9999999×9999999"),
            (b"GIF89a", "a picture (GIF): this format is not read"),
            (b"PAR1", "a Parquet table"),
            (b"", "an empty file"),
        ] {
            fs::write(&path, bytes).unwrap();
            let text = read(&path).err().unwrap();
            assert!(text.contains(expected) && !text.contains("--skip-bad"), "{text}");
        }
        assert!(!read(folder.path()).err().unwrap().contains("--skip-bad"));
    }

    #[test]
    fn a_square_of_a_picture_is_cut_where_it_lies_in_it() {
        let bytes = [b"P5\n3 2\n255\n", &[1, 2, 3, 4, 5, 6][..]].concat();
        let cut = |left, top, side| cut_picture(&bytes, Some(Cut { left, top, side }), side, 1);
        let found = cut(1, 0, 2).unwrap();
        assert_eq!((found.pixels.as_slice(), found.width, found.height), (Some(&[2, 3, 5, 6][..]), 3, 2));
        assert_eq!(cut_picture(&bytes, None, 2, 3).unwrap().pixels.dim(), (1, 2, 2, 3));
        for (left, top, side) in [(2, 0, 2), (0, 1, 2), (0, 0, 0), (usize::MAX, 0, 1), (0, 0, usize::MAX)] {
            assert!(cut(left, top, side).err().unwrap().contains("does not lie in 3×2"));
        }
        assert!(cut_picture(b"PK\x03\x04", None, 2, 1).err().unwrap().contains("zip"));
    }

    #[test]
    fn arrays_are_told_by_their_content_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.dat");
        ndarray_npy::write_npy(&path, &Array4::<u8>::from_elem((2, 1, 1, 1), 7)).unwrap();
        assert_eq!(read(&path).unwrap().images.as_slice(), Some(&[7, 7][..]));
        ndarray_npy::write_npy(&path, &Array4::<u8>::zeros((2, 3, 8, 8))).unwrap();
        assert!(read(&path).err().unwrap().contains(".transpose(0, 2, 3, 1)"));
        fs::write(folder.path().join("x.npz"), "PK\x03\x04").unwrap();
        assert!(read(&folder.path().join("x.npz")).is_err());
    }
}
