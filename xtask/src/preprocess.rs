//! Make image sets out of photos, archives and data sets: `cargo xtask preprocess`, and the presets of the fetch tasks.

use crate::workspace;
use anyhow::{Result, anyhow};
use srm_data::{Background, Crop, DataError, Filter, LeftOut, Manifest, PreprocessOptions, Split};
use srm_terminal::{Bars, Unit};
use std::{
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Options of `cargo xtask preprocess`.
#[derive(clap::Args)]
pub struct Args {
    /// A folder, .zip, .tar or .tar.gz of PNG, JPEG, PBM to PAM, BMP or WebP pictures, or one picture; the binary version
    /// of CIFAR-10 (folder or .tar.gz); IDX files (one or their folder, .gz or not). Each real file counts once, hidden
    /// ones do not; what is left out is said at the end. GIF, TIFF and HEIC are not read: convert them to PNG. A picture
    /// has at most 16384×16384 pixels and 1 GiB; those of a .tar.gz are unpacked in one go beside --out
    #[arg(long, value_name = "DIR|ZIP|TAR|FILE")]
    input: PathBuf,
    /// The square to take: centerN (CelebA: center178, center140), box:x0,y0,x1,y1, square (the largest in the
    /// middle), none (the image is square), pad (zeros around, no resize)
    #[arg(long, default_value_t = Crop::Square)]
    crop: Crop,
    /// Height and width of the finished images in pixels
    #[arg(long)]
    size: usize,
    /// Resize filter, antialiased as in Pillow: box, bilinear, hamming, bicubic, lanczos
    #[arg(long, default_value_t = Filter::default())]
    filter: Filter,
    /// Only train, valid or test: CelebA by list_eval_partition.txt or .csv, else by number; CIFAR-10 and IDX by file name
    #[arg(long)]
    split: Option<Split>,
    /// CelebA's list_eval_partition.txt, or Kaggle's .csv; without it the one in or beside the input. A photo may have
    /// another ending than in the list
    #[arg(long, value_name = "FILE")]
    partition: Option<PathBuf>,
    /// Only the first so many images; with --skip-bad the bad ones among them are left out
    #[arg(long)]
    count: Option<usize>,
    /// 1 (grey) or 3 (RGB); without it 1 where all images are grey
    #[arg(long)]
    channels: Option<usize>,
    /// What shows through transparent pixels: white or black
    #[arg(long, default_value_t = Background::default())]
    background: Background,
    /// Leave damaged or too small images out and list them in the manifest, instead of stopping at the first
    #[arg(long)]
    skip_bad: bool,
    /// The .npy to write, u8 [n, size, size, channels]; its manifest is written beside it as .json
    #[arg(long, value_name = "F.npy")]
    out: PathBuf,
}

/// Preprocess with a progress bar.
pub fn run(args: Args) -> Result<()> {
    let Args { input, crop, size, filter, split, partition, count, channels, background, skip_bad, out } = args;
    make(&PreprocessOptions { input, partition, split, count, crop, size, filter, channels, background, skip_bad, out })
        .map_err(in_words)
}

/// CelebA, the middle 178 pixels, in `folder` as `celeba_{32,64}_center178_{train,test}.npy`.
pub fn celeba(photos: &Path, partition: Option<&Path>, folder: &Path) -> Result<()> {
    [32, 64].into_iter().try_for_each(|size| {
        let options = PreprocessOptions {
            partition: partition.map(Path::to_path_buf),
            channels: Some(3),
            ..PreprocessOptions::new(photos, Crop::Center(178), size, folder)
        };
        train_and_test(options, &format!("celeba_{size}_center178"))
    })
}

/// Fashion-MNIST, whose files lie in `files`, with a margin of 2 black pixels, in `folder` as
/// `fashion_mnist_32_{train,test}.npy`.
pub fn fashion_mnist(files: &Path, folder: &Path) -> Result<()> {
    let options = PreprocessOptions { channels: Some(1), ..PreprocessOptions::new(files, Crop::Pad, 32, folder) };
    train_and_test(options, "fashion_mnist_32")
}

/// CIFAR-10 from its archive or folder, as it is, in `folder` as `cifar10_32_{train,test}.npy`.
pub fn cifar10(batches: &Path, folder: &Path) -> Result<()> {
    let options = PreprocessOptions { channels: Some(3), ..PreprocessOptions::new(batches, Crop::None, 32, folder) };
    train_and_test(options, "cifar10_32")
}

/// Preprocess into the folder `out` of the options as `NAME_train.npy` and `NAME_test.npy`. A part of a data set may lack
/// test images.
fn train_and_test(options: PreprocessOptions, name: &str) -> Result<()> {
    for split in [Split::Train, Split::Test] {
        let out = options.out.join(format!("{name}_{split}.npy"));
        match make(&PreprocessOptions { split: Some(split), out: out.clone(), ..options.clone() }) {
            Err(DataError::NoSplit { .. }) if split == Split::Test => {
                eprintln!("{} is not made: there are no test images in {}", out.display(), options.input.display());
            }
            made => made.map_err(in_words)?,
        }
    }
    Ok(())
}

/// The message already holds its cause; as text it is not printed once more by main's chain of causes.
fn in_words(error: DataError) -> anyhow::Error {
    anyhow!("{error}")
}

/// Preprocess with a bar and a line at the end; Ctrl-C stops and leaves no half file.
fn make(options: &PreprocessOptions) -> Result<(), DataError> {
    let stopped = interrupts();
    let bar = Bars::new().bar(Some(0), Unit::Things("images".to_owned()));
    let start = Instant::now();
    let result = srm_data::preprocess(options, &|done, total| {
        if bar.length() != Some(total as u64) {
            bar.set_length(total as u64);
        }
        bar.set_position(done as u64);
        !stopped.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    let manifest = result?;
    println!("{}", summary(&manifest, &options.out, start.elapsed().as_secs_f64()));
    Ok(())
}

/// Becomes true at Ctrl-C, for all calls of this process.
fn interrupts() -> &'static AtomicBool {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        if let Err(error) = ctrlc::set_handler(|| STOPPED.store(true, Ordering::Relaxed)) {
            eprintln!("Ctrl-C will leave a file that ends with .part: {error}");
        }
    });
    &STOPPED
}

fn summary(manifest: &Manifest, out: &Path, seconds: f64) -> String {
    let Manifest { count, size, channels, refused, left_out, .. } = manifest;
    let rate = (count + refused.len()) as f64 / seconds.max(1e-3);
    let mut text =
        format!("{}: [{count}, {size}, {size}, {channels}], {seconds:.1} s, {rate:.0} images/s", workspace::shown(out));
    if let Some(first) = refused.first() {
        let list = workspace::shown(&Manifest::path_for(out));
        text += &format!("\nleft out: {}, for example {}: {}; all in {list}", refused.len(), first.name, first.reason);
    }
    if !left_out.is_empty() {
        text += &format!("\nnot taken: {}", LeftOut::text(left_out));
    }
    if let Some(remedy) = LeftOut::conversion(left_out) {
        text += &format!("\n{remedy}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use srm_data::ImageSet;
    use std::fs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn fashion_mnist_gets_a_black_margin_and_one_channel() {
        let folder = tempfile::tempdir().unwrap();
        let header = [[0, 0, 8, 3], [0, 0, 0, 2], [0, 0, 0, 28], [0, 0, 0, 28]].concat();
        for (name, level) in [("train-images-idx3-ubyte", 200), ("t10k-images-idx3-ubyte", 9)] {
            fs::write(folder.path().join(name), [&header[..], &[level; 2 * 28 * 28]].concat()).unwrap();
        }
        fashion_mnist(folder.path(), folder.path()).unwrap();
        let set = ImageSet::open(&folder.path().join("fashion_mnist_32_train.npy")).unwrap();
        assert_eq!((set.len(), set.height(), set.width(), set.channels()), (2, 32, 32, 1));
        let lit = |row: usize, column: usize| set.image(1)[row * 32 + column] == 200;
        assert!(lit(2, 2) && lit(29, 29) && !lit(1, 2) && !lit(2, 30));
    }

    #[test]
    fn cifar10_takes_training_and_test_batches_apart_and_a_part_may_lack_the_test() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, level| fs::write(folder.path().join(name), vec![level; 3073]).unwrap();
        write("data_batch_1.bin", 7);
        write("data_batch_2.bin", 8);
        cifar10(folder.path(), folder.path()).unwrap();
        let set = ImageSet::open(&folder.path().join("cifar10_32_train.npy")).unwrap();
        assert_eq!((set.len(), set.channels(), set.image(0)[0], set.image(1)[0]), (2, 3, 7, 8));
        let test = folder.path().join("cifar10_32_test.npy");
        assert!(!test.exists());
        write("test_batch.bin", 9);
        cifar10(folder.path(), folder.path()).unwrap();
        let set = ImageSet::open(&test).unwrap();
        assert_eq!((set.len(), set.image(0)[0]), (1, 9));
    }

    #[test]
    fn the_fixed_flags_are_understood_and_wrong_values_named() {
        let flags =
            "x --input d --crop box:15,40,163,188 --size 64 --filter bicubic --split train --count 9 --out f.npy";
        let args = Line::parse_from(flags.split(' ')).args;
        assert_eq!((args.crop, args.filter), (Crop::Box([15, 40, 163, 188]), Filter::Bicubic));
        assert_eq!((args.split, args.count, args.channels, args.skip_bad), (Some(Split::Train), Some(9), None, false));
        let message = |flags: &str| Line::try_parse_from(flags.split(' ')).err().map(|error| error.to_string());
        let filter = message("x --input d --size 64 --filter nearest --out f.npy").unwrap();
        assert!(filter.contains("nearest") && filter.contains("lanczos"), "{filter}");
        let crop = message("x --input d --size 64 --crop face --out f.npy").unwrap();
        assert!(crop.contains("face") && crop.contains("center178"), "{crop}");
    }

    #[test]
    fn images_left_out_are_counted_and_the_first_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (photos, out) = (folder.path().join("photos"), folder.path().join("p.npy"));
        fs::create_dir(&photos).unwrap();
        fs::write(photos.join("a.ppm"), b"P6\n2 2\n255\n123456789012").unwrap();
        fs::write(photos.join("b.png"), b"").unwrap();
        for name in ["c.gif", "d.tif", "._a.ppm", "e.jfif"] {
            fs::write(photos.join(name), b"x").unwrap();
        }
        let mut options = PreprocessOptions::new(&photos, Crop::None, 2, &out);
        let error = make(&options).unwrap_err().to_string();
        assert!(error.contains("b.png") && error.contains("--skip-bad") && !out.exists(), "{error}");
        let gone = PreprocessOptions::new(&folder.path().join("gone"), Crop::None, 2, &out);
        let error = format!("{:#}", in_words(make(&gone).unwrap_err()));
        assert_eq!(error.matches("os error").count(), 1, "{error}");
        options.skip_bad = true;
        let manifest = srm_data::preprocess(&options, &|_, _| true).unwrap();
        let text = summary(&manifest, &out, 0.5);
        assert!(text.contains("[1, 2, 2, 3]") && text.contains("6 images/s") && text.contains("b.png"), "{text}");
        assert!(
            text.contains("\nnot taken: 1 .gif (c.gif), 1 .tif (d.tif), 1 hidden (._a.ppm)\n.gif is not read"),
            "{text}"
        );
        assert!(fs::read_to_string(Manifest::path_for(&out)).unwrap().contains("\"what\": \".tif\""));
    }
}
