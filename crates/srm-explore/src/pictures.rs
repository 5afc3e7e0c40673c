//! Keep the pictures that are brought and the masks that are painted, each saved so that a command can name it.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ndarray::Array4;
use serde::Serialize;
use sha2::{Digest, Sha256};
use srm_data::{Cut, cut_picture, write_grid};
use srm_files::hex;

use crate::{answer64, ask::Target};

/// Pictures and masks that are kept at hand; their files stay.
const KEPT: usize = 256;

/// Pictures and masks of this server, by the names that it gave them.
pub struct Pictures {
    folder: PathBuf,
    /// The newest at the end.
    known: Mutex<VecDeque<(String, Kept)>>,
}

#[derive(Clone)]
struct Kept {
    file: PathBuf,
    /// u8 `[1, h, w, c]`; of a mask `[1, h, w, 1]`.
    pixels: Arc<Array4<u8>>,
    /// Of the picture that was brought.
    original: Original,
}

/// What the page is told of a picture.
#[derive(Serialize)]
pub struct Brought {
    picture: String,
    size: usize,
    channels: usize,
    pixels: String,
    file: String,
    original: Original,
}

#[derive(Clone, Copy, Serialize)]
struct Original {
    width: usize,
    height: usize,
}

/// What the page is told of a mask.
#[derive(Serialize)]
pub struct Painted {
    mask: String,
    file: String,
}

impl Pictures {
    /// Pictures that are saved in a folder, which nobody else may read.
    pub fn new(folder: PathBuf) -> Pictures {
        Pictures { folder, known: Mutex::default() }
    }

    /// Decode a picture's bytes, cut it and bring it to the net's size.
    ///
    /// # Errors
    /// They are no picture, or too large a one; the folder cannot be written to.
    pub fn bring(&self, bytes: &[u8], cut: Option<Cut>, (size, channels): (usize, usize)) -> Result<Brought, String> {
        let found = cut_picture(bytes, cut, size, channels)
            .map_err(|reason| format!("this picture cannot be used: {reason}"))?;
        let original = Original { width: found.width, height: found.height };
        let (name, kept) = self.keep("picture", found.pixels, original)?;
        Ok(kept.told(name))
    }

    /// A picture that was brought before.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn again(&self, name: &str) -> Result<Brought, String> {
        Ok(self.find(name)?.told(name.to_owned()))
    }

    /// Keep a mask, 255 where observed and 0 elsewhere, `[size, size]`.
    ///
    /// # Errors
    /// It has another size or other values; nothing is observed; the folder cannot be written to.
    pub fn paint(&self, bytes: &[u8], size: usize) -> Result<Painted, String> {
        if bytes.len() != size * size || bytes.iter().any(|&byte| byte != 0 && byte != 255) {
            return Err(format!("a mask is {size} × {size} bytes, 255 where the picture is observed and 0 elsewhere"));
        }
        if !bytes.contains(&255) {
            return Err("the mask observes no pixel; leave some of the picture".to_owned());
        }
        let pixels = Array4::from_shape_vec((1, size, size, 1), bytes.to_vec()).expect("its length was checked");
        let (mask, kept) = self.keep("mask", pixels, Original { width: size, height: size })?;
        Ok(Painted { mask, file: kept.file.display().to_string() })
    }

    /// A picture of this server, with a mask.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn target(&self, picture: &str, mask: Option<&str>) -> Result<Target, String> {
        let Kept { file, pixels, .. } = self.find(picture)?;
        let mask = mask.map(|name| self.find(name)).transpose()?;
        let mask = mask.map(|mask| (mask.file, mask.pixels.iter().copied().collect()));
        Ok(Target { file, pixels: (*pixels).clone(), mask })
    }

    fn find(&self, name: &str) -> Result<Kept, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(known, _)| known == name).map(|(_, kept)| kept.clone());
        found.ok_or_else(|| "this picture is not here any more; bring it again".to_owned())
    }

    /// Save pixels under a name that follows from them.
    fn keep(&self, what: &str, pixels: Array4<u8>, original: Original) -> Result<(String, Kept), String> {
        let mut digest = Sha256::new();
        digest.update(format!("{:?}", pixels.shape()));
        digest.update(pixels.as_slice().unwrap_or_default());
        let name = format!("{what}-{}", &hex(&digest.finalize())[..12]);
        let file = self.folder.join(format!("{name}.png"));
        let written = private(&self.folder).map_err(|error| error.to_string());
        let written = written.and_then(|()| write_grid(&file, &pixels.view(), 1, 0).map_err(|error| error.to_string()));
        written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        let kept = Kept { file, pixels: Arc::new(pixels), original };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(known, _)| *known != name);
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back((name.clone(), kept.clone()));
        Ok((name, kept))
    }
}

impl Kept {
    fn told(&self, picture: String) -> Brought {
        let (_, size, _, channels) = self.pixels.dim();
        let (pixels, file) = (answer64(&self.pixels), self.file.display().to_string());
        Brought { picture, size, channels, pixels, file, original: self.original }
    }
}

/// A folder for its owner alone.
pub(crate) fn private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
