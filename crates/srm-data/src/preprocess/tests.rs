//! Preprocess small folders and archives from end to end.

use super::*;
use crate::ImageSet;
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use std::fs::{self, File};
use zip::{ZipWriter, write::SimpleFileOptions};

fn colour(level: u8, side: u32) -> DynamicImage {
    RgbImage::from_pixel(side, side, Rgb([level, 0, 0])).into()
}

fn grey(level: u8, side: u32) -> DynamicImage {
    GrayImage::from_pixel(side, side, Luma([level])).into()
}

/// A folder of red squares 0.png … of level 10 each more, without the finished set in it.
fn folder(count: u8) -> (tempfile::TempDir, PreprocessOptions) {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for i in 0..count {
        colour(10 * i, 8).save(photos.join(format!("{i}.png"))).unwrap();
    }
    let options = PreprocessOptions::new(&photos, Crop::None, 4, &folder.path().join("out/x.npy"));
    (folder, options)
}

fn go(options: &PreprocessOptions) -> Result<Manifest, DataError> {
    preprocess(options, &|_, _| true)
}

fn reds(options: &PreprocessOptions) -> Vec<u8> {
    let set = ImageSet::open(&options.out).unwrap();
    (0..set.len()).map(|i| set.image(i)[0]).collect()
}

#[test]
fn a_folder_becomes_a_set_with_its_manifest() {
    let (_folder, options) = folder(5);
    let seen = AtomicUsize::new(0);
    let manifest = preprocess(&options, &|done, total| {
        assert!(done <= total && total == 5);
        seen.fetch_max(done, Ordering::Relaxed);
        true
    });
    let manifest = manifest.unwrap();
    assert_eq!(seen.into_inner(), 5);
    assert_eq!(reds(&options), [0, 10, 20, 30, 40]);
    assert_eq!(Manifest::of(&options.out), Some(manifest.clone()));
    assert_eq!((manifest.count, manifest.channels, manifest.size), (5, 3, 4));
    assert_eq!((manifest.crop.as_str(), manifest.filter.as_deref()), ("none", Some("bilinear")));
    assert_eq!((manifest.source.name.as_str(), manifest.source.kind.as_str()), ("photos", "folder"));
    let text = fs::read_to_string(Manifest::path_for(&options.out)).unwrap();
    assert!(!text.contains(&*options.input.parent().unwrap().to_string_lossy()), "no path of this machine: {text}");

    let some = PreprocessOptions { count: Some(2), ..options };
    assert_ne!(go(&some).unwrap().source.sha256, manifest.source.sha256);
    assert_eq!(reds(&some), [0, 10]);
}

#[test]
fn a_zip_gives_the_same_images_and_its_own_checksum() {
    let (folder, options) = folder(3);
    let path = folder.path().join("photos.zip");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for i in [2, 0, 1] {
        zip.start_file(format!("photos/{i}.png"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(options.input.join(format!("{i}.png"))).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    let options = PreprocessOptions { input: path.clone(), ..options };
    let manifest = go(&options).unwrap();
    assert_eq!(reds(&options), [0, 10, 20]);
    assert_eq!(manifest.source.sha256, manifest::sha256_of_file(&path).unwrap());

    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1; // within the first file's data
    fs::write(&path, bytes).unwrap();
    let message = go(&options).unwrap_err().to_string();
    assert!(message.contains("photos/2.png"), "{message}");
}

#[test]
fn a_bad_image_is_named_or_left_out() {
    let (_folder, options) = folder(6);
    fs::write(options.input.join("0.png"), b"").unwrap();
    let damaged = fs::read(options.input.join("3.png")).unwrap();
    fs::write(options.input.join("3.png"), &damaged[..damaged.len() - 20]).unwrap();
    let message = go(&options).unwrap_err().to_string();
    assert!(message.contains(".png") && message.contains("--skip-bad"), "{message}");
    assert!(!options.out.exists());

    let options = PreprocessOptions { skip_bad: true, ..options };
    let manifest = go(&options).unwrap();
    assert_eq!(reds(&options), [10, 20, 40, 50]);
    let refused: Vec<&str> = manifest.refused.iter().map(|refused| refused.name.as_str()).collect();
    assert_eq!((manifest.count, refused), (4, vec!["0.png", "3.png"]));
    assert!(manifest.refused[0].reason.contains("0 bytes"));

    for i in 0..6 {
        fs::write(options.input.join(format!("{i}.png")), b"").unwrap();
    }
    let message = go(&options).unwrap_err().to_string();
    assert!(message.contains("none of the 6") && message.contains("0.png"), "{message}");
}

#[test]
fn a_picture_that_promises_300_terabytes_is_a_bad_one() {
    let (folder, options) = folder(2);
    let bomb = b"P6\n9999999 9999999\n255\n";
    fs::write(options.input.join("0.ppm"), bomb).unwrap();
    let message = go(&options).unwrap_err().to_string();
    assert!(message.contains("0.ppm: it is damaged or cut off: it claims 9999999×9999999 pixels"), "{message}");
    let options = PreprocessOptions { skip_bad: true, ..options };
    assert_eq!(go(&options).unwrap().refused[0].name, "0.ppm");
    assert_eq!(reds(&options), [0, 10]);

    let path = folder.path().join("x.zip");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in [("0.ppm", bomb.to_vec()), ("1.png", fs::read(options.input.join("1.png")).unwrap())] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
    let options = PreprocessOptions { input: path, ..options };
    assert_eq!((go(&options).unwrap().refused.len(), reds(&options)), (1, vec![10]));
}

#[test]
fn what_is_left_out_stands_in_the_manifest() {
    let (_folder, options) = folder(2);
    for name in ["a.gif", "b.tif", ".hidden.png"] {
        fs::write(options.input.join(name), b"x").unwrap();
    }
    std::os::unix::fs::symlink(".", options.input.join("all")).unwrap();
    let manifest = go(&options).unwrap();
    assert_eq!((manifest.count, reds(&options)), (2, vec![0, 10]));
    let text = LeftOut::text(&manifest.left_out);
    assert_eq!(text, "1 .gif (a.gif), 1 .tif (b.tif), 1 hidden (.hidden.png), 1 links to folders taken already (all)");
    assert_eq!(Manifest::of(&options.out), Some(manifest));
}

#[test]
fn converted_photos_split_by_the_list_of_the_originals_in_every_archive() {
    let (folder, options) = folder(3);
    let list = folder.path().join("list_eval_partition.csv");
    fs::write(&list, "\u{feff}image_id,partition\r\n0.jpg,0\r\n1.jpg,1\r\n2.jpg,0\r\n").unwrap();
    let (zip, tar) = (folder.path().join("x.zip"), folder.path().join("x.tar.gz"));
    let mut zips = ZipWriter::new(File::create(&zip).unwrap());
    let packed = flate2::write::GzEncoder::new(File::create(&tar).unwrap(), flate2::Compression::fast());
    let mut tars = tar::Builder::new(packed);
    for i in 0..3 {
        let file = options.input.join(format!("{i}.png"));
        zips.start_file(format!("img\\{i}.png"), SimpleFileOptions::default()).unwrap();
        zips.write_all(&fs::read(&file).unwrap()).unwrap();
        tars.append_path_with_name(&file, format!("img/{i}.png")).unwrap();
    }
    zips.finish().unwrap();
    tars.into_inner().unwrap().finish().unwrap();
    for input in [options.input.clone(), zip, tar.clone()] {
        let options = PreprocessOptions { input, split: Some(Split::Train), ..options.clone() };
        go(&options).unwrap();
        assert_eq!(reds(&options), [0, 20]);
    }
    let options = PreprocessOptions { input: tar.clone(), ..options };
    let manifest = go(&options).unwrap();
    assert_eq!((manifest.source.kind.as_str(), reds(&options)), ("tar", vec![0, 10, 20]));
    assert_eq!(manifest.source.sha256, sha256_of_file(&tar).unwrap());
    assert_eq!(fs::read_dir(options.out.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn grey_stays_grey_unless_asked() {
    let (_folder, options) = folder(0);
    for i in 0..40 {
        grey(i, 8).save(options.input.join(format!("{i:02}.png"))).unwrap();
    }
    assert_eq!(go(&options).unwrap().channels, 1);
    let wide = PreprocessOptions { channels: Some(3), ..options.clone() };
    assert_eq!(go(&wide).unwrap().channels, 3);
    assert_eq!(ImageSet::open(&wide.out).unwrap().image(7)[..3], [7; 3]);

    colour(200, 8).save(options.input.join("04.png")).unwrap(); // not among the images that are looked at beforehand
    let message = go(&options).unwrap_err().to_string();
    assert!(message.contains("04.png is in colour") && message.contains("--channels 3"), "{message}");
    let all_grey = PreprocessOptions { channels: Some(1), ..options };
    go(&all_grey).unwrap();
    assert_eq!(reds(&all_grey)[4], 60); // 0.299 · 200
}

#[test]
fn stopping_leaves_nothing_behind() {
    let (_folder, options) = folder(5);
    let stopped = preprocess(&options, &|done, _| done < 2);
    assert!(matches!(stopped, Err(DataError::Stopped { .. })));
    assert_eq!(fs::read_dir(options.out.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn wrong_options_name_themselves() {
    let (_folder, options) = folder(1);
    for (wrong, flag) in [
        (PreprocessOptions { size: 0, ..options.clone() }, "--size"),
        (PreprocessOptions { channels: Some(2), ..options.clone() }, "--channels"),
        (PreprocessOptions { count: Some(0), ..options.clone() }, "--count"),
        (PreprocessOptions { out: "x.png".into(), ..options.clone() }, "--out"),
        (PreprocessOptions { split: Some(Split::Train), ..options.clone() }, "--partition"),
        (PreprocessOptions { crop: Crop::Center(178), ..options }, "center178"),
    ] {
        let message = go(&wrong).unwrap_err().to_string();
        assert!(message.contains(flag), "{message}");
    }
}
