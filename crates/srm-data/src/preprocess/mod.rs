//! Turn photos into an image set: read, crop, resize, write, and record what was done.

mod archive;
mod crop;
mod decode;
mod header;
mod listing;
mod manifest;
mod output;
mod partition;
mod records;
mod resize;
mod source;
mod split;
#[cfg(test)]
mod tests;

use crate::DataError;
pub use crop::Crop;
pub use decode::Background;
pub(crate) use decode::{Lost, Picture};
pub use listing::LeftOut;
pub use manifest::{Manifest, Origin, Refused, sha256_of_file};
use output::Output;
use rayon::prelude::*;
pub use resize::Filter;
pub(crate) use resize::Scaler;
use source::Items;
pub(crate) use source::Source;
pub use source::{Survey, survey};
pub use split::Split;
use srm_files::WholeFile;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Images decoded beforehand, spread over the source, to see whether all are grey.
const PROBES: usize = 32;
/// Largest side of the finished images in pixels.
const LARGEST: usize = 4096;
/// Largest height and width of a picture that is read, where both are equal, in pixels: as many pixels it may have.
const LARGEST_PICTURE: usize = 16_384;

/// What to make of which images.
#[derive(Clone, Debug)]
pub struct PreprocessOptions {
    /// A folder (with subfolders), .zip, .tar or .tar.gz of PNG, JPEG, PBM to PAM, BMP or WebP pictures, or one picture;
    /// the binary version of CIFAR-10 as folder or .tar.gz; IDX files, one or a folder of them, .gz or not.
    pub input: PathBuf,
    /// CelebA's list_eval_partition.txt or .csv; `None` looks in and beside the input.
    pub partition: Option<PathBuf>,
    /// Only these images.
    pub split: Option<Split>,
    /// Only the first so many, of which bad ones still fall out.
    pub count: Option<usize>,
    /// The square to take.
    pub crop: Crop,
    /// Height and width of the finished images, pixels.
    pub size: usize,
    /// Resize filter.
    pub filter: Filter,
    /// 1 or 3; `None`: 1 where the images are grey, else 3.
    pub channels: Option<usize>,
    /// What shows through transparent pixels.
    pub background: Background,
    /// Leave bad images out and list them in the manifest, instead of stopping at the first.
    pub skip_bad: bool,
    /// The `.npy` to write.
    pub out: PathBuf,
}

impl PreprocessOptions {
    /// All images of `input`, with the default filter and background; the first bad image is an error.
    pub fn new(input: &Path, crop: Crop, size: usize, out: &Path) -> Self {
        Self {
            input: input.to_owned(),
            partition: None,
            split: None,
            count: None,
            crop,
            size,
            filter: Filter::default(),
            channels: None,
            background: Background::default(),
            skip_bad: false,
            out: out.to_owned(),
        }
    }

    fn check(&self) -> Result<(), DataError> {
        let wrong = |option, value: String, expected| Err(DataError::BadOption { option, value, expected });
        if self.size == 0 || self.size > LARGEST {
            return wrong("--size", self.size.to_string(), "1 to 4096 pixels");
        }
        if self.channels.is_some_and(|channels| channels != 1 && channels != 3) {
            return wrong("--channels", self.channels.unwrap_or(0).to_string(), "1 (grey) or 3 (RGB)");
        }
        if self.count == Some(0) {
            return wrong("--count", "0".into(), "at least 1 image");
        }
        if self.out.extension().is_none_or(|ending| ending != "npy") {
            return wrong("--out", self.out.display().to_string(), "a file name that ends with .npy");
        }
        Ok(())
    }
}

/// Make an image set of u8 `[n, size, size, channels]` in `options.out`, and its [`Manifest`] beside it.
///
/// Each image is decoded, converted to grey or RGB, cropped, then resized in 8 bits as Pillow does it; all cores work.
/// `progress(done, total)` is called after each image from any thread and returns false to stop. Until all is done the
/// images stand under a temporary name.
///
/// # Errors
/// [`DataError::BadOption`], [`DataError::NotASource`], [`DataError::NoImagesIn`], [`DataError::NoSplit`] for an input
/// or options that cannot serve; [`DataError::BadImage`] for the first bad image, unless they are skipped;
/// [`DataError::MixedColours`]; [`DataError::Stopped`]; [`DataError::Io`].
pub fn preprocess(
    options: &PreprocessOptions,
    progress: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<Manifest, DataError> {
    options.check()?;
    let source = open(options)?;
    let (count, size) = (source.len(), options.size);
    let channels = options.channels.unwrap_or_else(|| probe(&source, options.background));
    let output = Output::create(&options.out, [count, size, size, channels])?;

    let job = Job { options, source: &source, output: &output, channels, refused: Mutex::default() };
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut digests = vec![None; count];
    digests.par_iter_mut().enumerate().try_for_each_init(
        || Worker::new(&job),
        |worker, (index, digest)| {
            if stop.load(Ordering::Relaxed) {
                return Ok(()); // another thread fails or was told to stop, and says so
            }
            let result = worker.process(index).map(|found| *digest = found);
            let going = progress(done.fetch_add(1, Ordering::Relaxed) + 1, count);
            let result = result.and_then(|()| {
                let stopped = || DataError::Stopped { path: options.out.clone() };
                if going { Ok(()) } else { Err(stopped()) }
            });
            result.inspect_err(|_| stop.store(true, Ordering::Relaxed))
        },
    )?;

    let mut refused = job.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    refused.sort_by_key(|(index, _)| *index);
    let missing: Vec<usize> = refused.iter().map(|(index, _)| *index).collect();
    let refused: Vec<Refused> = refused.into_iter().map(|(_, refused)| refused).collect();
    if refused.len() == count {
        let Refused { name, reason } = refused[0].clone();
        return Err(DataError::AllBad { path: options.input.clone(), count, name, reason });
    }
    let manifest = describe(options, &source, channels, &digests, refused)?;
    let path = Manifest::path_for(&options.out);
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| DataError::io("write", &path)(error.into()))?;
    let record = WholeFile::create(&path).map_err(DataError::io("write", &path))?;
    writeln!(record.file(), "{text}").map_err(DataError::io("write", &path))?;
    // a kill between the two leaves images without a manifest, never with that of the images before
    output.finish(&missing, || manifest::remove(&path))?;
    record.finish().map_err(DataError::io("write", &path))?;
    Ok(manifest)
}

fn open(options: &PreprocessOptions) -> Result<Source, DataError> {
    // a packed archive is unpacked where there must be room for the images anyway
    let scratch = options.out.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let mut source = Source::open(&options.input, scratch)?;
    if let Some(split) = options.split {
        split::choose(&mut source, split, &options.input, options.partition.as_deref())?;
    }
    source.truncate(options.count.unwrap_or(usize::MAX));
    Ok(source)
}

/// 1 where all of some images are grey, else 3.
fn probe(source: &Source, background: Background) -> usize {
    let probes = source.len().min(PROBES);
    let pictures = (0..probes).into_par_iter().map(|i| {
        let index = i * source.len() / probes;
        source.clone().read(index, background, &mut Vec::new()).map_or(0, |(picture, _)| picture.channels)
    });
    if pictures.max() == Some(1) { 1 } else { 3 }
}

/// What all workers share.
struct Job<'a> {
    options: &'a PreprocessOptions,
    source: &'a Source,
    output: &'a Output,
    channels: usize,
    refused: Mutex<Vec<(usize, Refused)>>,
}

/// One thread's reader and buffers.
struct Worker<'a> {
    job: &'a Job<'a>,
    source: Source,
    scaler: Scaler,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let PreprocessOptions { crop, filter, size, .. } = *job.options;
        let scaler = Scaler::new(crop, filter, size, job.channels);
        Self { job, source: job.source.clone(), scaler, buffer: Vec::new() }
    }

    /// Finish one image; the SHA-256 of its file in a folder. A bad one is noted where bad ones are skipped.
    fn process(&mut self, index: usize) -> Result<Option<[u8; 32]>, DataError> {
        let Job { options, output, channels, refused, .. } = self.job;
        let reason = match self.source.read(index, options.background, &mut self.buffer) {
            Ok((Picture { channels: 3, .. }, _)) if *channels == 1 && options.channels.is_none() => {
                return Err(DataError::MixedColours { name: self.source.name_of(index) });
            }
            Ok((picture, digest)) => match self.scaler.run(&picture.with_channels(*channels)) {
                Ok(pixels) => return output.write(index, pixels).map(|()| digest),
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        let name = self.source.name_of(index);
        if !options.skip_bad {
            return Err(DataError::BadImage { name, reason });
        }
        refused.lock().unwrap_or_else(PoisonError::into_inner).push((index, Refused { name, reason }));
        Ok(None)
    }
}

fn describe(
    options: &PreprocessOptions,
    source: &Source,
    channels: usize,
    digests: &[Option<[u8; 32]>],
    refused: Vec<Refused>,
) -> Result<Manifest, DataError> {
    let sha256 = match &source.items {
        Items::Files(files) => {
            let pairs = files.iter().zip(digests);
            manifest::sha256_of_list(pairs.filter_map(|((name, _), digest)| Some((name.as_str(), digest.as_ref()?))))
        }
        Items::Records(parts) if options.input.is_dir() => {
            let digests: Vec<_> = parts.iter().map(|part| (part.name(), part.digest())).collect();
            manifest::sha256_of_list(digests.iter().map(|(name, digest)| (*name, digest)))
        }
        _ => manifest::sha256_of_file(&options.input)?,
    };
    Ok(Manifest {
        images: options.out.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        count: source.len() - refused.len(),
        size: options.size,
        channels,
        crop: options.crop.to_string(),
        filter: (options.crop != Crop::Pad).then(|| options.filter.to_string()),
        background: options.background.to_string(),
        split: options.split.map(|split| split.to_string()),
        source: Origin { name: source.name.clone(), kind: source.kind.to_owned(), sha256 },
        refused,
        left_out: source.left_out.clone(),
        srm: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
