//! Open image sets with messages that say how to get them.

pub mod places;
mod synthetic;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ndarray::Array4;
use sha2::{Digest, Sha256};
use srm_config::{Colours, Config, EnergyConfig};
use srm_data::{Gallery, ImageSet, LeftOut, random_crops, read_gallery};
use srm_files::hex;

use crate::session::{memory, usage};
use places::Places;
pub use synthetic::{SYNTHETIC, is_synthetic};

/// Crops where `data.count` does not say.
const CROPS: usize = 1000;

/// Refuse a config, read from `source`, whose images are not there, with the places where they are not and the command that makes
/// them.
///
/// # Errors
/// The file does not exist, or the built-in set is not known.
pub fn check(config: &Config, source: &Path) -> Result<()> {
    let images = &config.data.images;
    if is_synthetic(config) {
        return match images.to_str() {
            Some("synthetic:blobs") => Ok(()),
            _ => Err(usage(format!(
                "data.images = {}: there is no such built-in set; the only one is synthetic:blobs",
                images.display()
            ))),
        };
    }
    if images.exists() {
        return Ok(());
    }
    let tried = match images.is_absolute() {
        true => String::new(),
        false => format!(" (looked for {})", places::listed(&Places::of(source).tried(images))),
    };
    bail!("the images {} do not exist{tried}; {}", images.display(), remedy(images))
}

/// Open the images of a config that [`check`] has passed, or make them where it names the built-in set.
///
/// # Errors
/// The file is missing or is no image set.
pub fn open(config: &Config) -> Result<ImageSet> {
    if is_synthetic(config) {
        return synthetic::make(config);
    }
    let file = &config.data.images;
    if let Some(side) = config.data.crop {
        let (count, channels) = (config.data.count.unwrap_or(CROPS), config.energy.channels);
        let size = EnergyConfig { size: side, ..config.energy.clone() };
        memory::check(memory::of_images(&size, count), format!("data.count = {count} crops"), "lower data.count")?;
        return Ok(random_crops(file, side, channels, count, config.train.seed)?);
    }
    let mut images = open_file(file)?;
    if let Some(count) = config.data.count {
        if count > images.len() {
            tracing::warn!("{} holds {} images, data.count asks for {count}: using all", file.display(), images.len());
        } else {
            images.truncate(count);
        }
    }
    Ok(images)
}

/// How the images of a set, averaged down to `size` × `size` pixels, are spread on the [-1, 1] scale; with `flip` they and their
/// mirror images.
///
/// # Errors
/// The set is empty, or its images are smaller.
pub fn colours(images: &ImageSet, size: usize, flip: bool) -> Result<Colours> {
    let [height, width, channels] = images.shape();
    let (rows, columns) = (height / size, width / size);
    ensure!(rows > 0 && columns > 0, "images of {height} × {width} px have no law of colours on {size} × {size}");
    let averaged = |i: usize| {
        let mut sums = vec![0.0; channels * size * size];
        for (at, &byte) in images.image(i).iter().enumerate() {
            let (pixel, channel) = (at / channels, at % channels);
            let (row, column) = (pixel / width / rows, pixel % width / columns);
            sums[(channel * size + row) * size + column] += f64::from(byte);
        }
        sums.into_iter().map(|sum| sum / (rows * columns) as f64 / 127.5 - 1.0).collect::<Vec<f64>>()
    };
    let mirrored = |mut image: Vec<f64>| {
        image.chunks_mut(size).for_each(<[f64]>::reverse);
        image
    };
    let all = (0..images.len()).map(averaged);
    let law = match flip && size > 1 {
        true => Colours::of(size, all.flat_map(|image| [image.clone(), mirrored(image)])),
        false => Colours::of(size, all),
    };
    law.context("a set without images has no colours")
}

/// Open a `.npy` of images.
///
/// # Errors
/// There is no such file: the command that makes it; or it is no image set.
pub fn open_file(path: &Path) -> Result<ImageSet> {
    if !path.exists() {
        bail!("the images {} do not exist; {}", path.display(), remedy(path));
    }
    Ok(ImageSet::open(path)?)
}

/// Read a few pictures or a `.npy` in the net's size, and say what was resized and what was not taken.
///
/// # Errors
/// There is no such path, or what lies there cannot be used.
pub fn gallery(path: &Path, size: usize, channels: usize, count: usize) -> Result<Gallery> {
    if !path.exists() {
        bail!("the images {} do not exist; give a .npy, a folder or archive of pictures, or a picture", path.display());
    }
    let gallery = read_gallery(path, size, channels, count)?;
    if gallery.resized > 0 {
        tracing::warn!(
            "{} of {} images were not {size}×{size}: cut to the middle square and resized",
            gallery.resized,
            gallery.names.len()
        );
    }
    if !gallery.left_out.is_empty() {
        tracing::warn!("not taken of {}: {}", path.display(), LeftOut::text(&gallery.left_out));
    }
    Ok(gallery)
}

/// SHA-256 of the bytes of images u8 `[n, h, w, c]`, in their order.
pub fn digest(images: &Array4<u8>) -> String {
    hex(&Sha256::digest(images.as_standard_layout().as_slice().unwrap_or_default()))
}

/// The command that makes a missing image set.
pub fn remedy(images: &Path) -> String {
    let name = images.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let place = images.to_string_lossy().to_lowercase();
    if name.starts_with("celeba_32") || name.starts_with("celeba_64") {
        return "`cargo xtask fetch-celeba` makes them (--from PATH takes an img_align_celeba.zip that you have)"
            .to_owned();
    }
    if place.contains("fashion") {
        return "`cargo xtask fetch-fashion-mnist` makes them".to_owned();
    }
    if place.contains("cifar10") {
        return "`cargo xtask fetch-cifar10` makes them".to_owned();
    }
    format!(
        "`cargo xtask preprocess --input FOLDER --crop square --size N --out {}` makes such a file from photos",
        images.display()
    )
}
