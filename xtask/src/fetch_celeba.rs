//! Fetch the aligned CelebA photos, or take those that the user has, and make the images that the face configs train on.

use crate::{
    download::{Downloader, Patience, RemoteFile, with_mirror},
    preprocess, setup, workspace,
};
use anyhow::{Context, Result, anyhow, ensure};
use srm_fetch::Checksum;
use srm_files::{Kind, identify};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask fetch-celeba`.
#[derive(clap::Args)]
pub struct Args {
    /// The photos that you have, all or a part: img_align_celeba.zip, a folder of 000001.jpg … or .png, or a .zip, .tar or
    /// .tar.gz of one
    #[arg(long, value_name = "ZIP|DIR")]
    from: Option<PathBuf>,
    /// A server of yours that has img_align_celeba.zip and list_eval_partition.txt; tried first
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Only fetch and check; make no .npy
    #[arg(long)]
    no_preprocess: bool,
}

const PHOTOS: &str = "img_align_celeba.zip";
const PHOTOS_MD5: &str = "00d2c5bc6d35e252742224ab0c1e8fcb";
const PHOTOS_BYTES: u64 = 1_443_490_838;
const PARTITION: &str = "list_eval_partition.txt";
const PARTITION_CSV: &str = "list_eval_partition.csv";
const PARTITION_MD5: &str = "d32c9cbf5e040fd4025c592c306e6668";
/// All photos of the data set.
const OFFICIAL_COUNT: usize = 202_599;

/// The authors' own files on Google Drive and Dropbox, then copies; the MD5 of torchvision's CelebA decides what is genuine.
const PHOTOS_MIRRORS: [&str; 4] = [
    "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM&export=download&confirm=t",
    "https://cseweb.ucsd.edu/~weijian/static/datasets/celeba/img_align_celeba.zip",
    "https://huggingface.co/datasets/Yuehao/celeba/resolve/main/img_align_celeba.zip",
    "https://www.dropbox.com/sh/8oqt9vytwxb3s4r/AADIKlz8PR9zr6Y20qbkunrba/Img/img_align_celeba.zip?dl=1",
];
const PARTITION_MIRRORS: [&str; 2] = [
    "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pY0NSMzRuSXJEVkk&export=download&confirm=t",
    "https://www.dropbox.com/sh/8oqt9vytwxb3s4r/AADxLE5t6HqyD8sQCmzWJRcHa/Eval/list_eval_partition.txt?dl=1",
];
const BY_HAND: &str = "get img_align_celeba.zip in a browser (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, 'Align&Cropped Images') and give it: cargo xtask fetch-celeba --from PATH";

/// Bring the photos to `data/celeba`, or use them where they lie, and make the training and test images of 32 and 64 px there.
pub fn run(args: Args) -> Result<()> {
    setup::ensure_done()?;
    let folder = workspace::root().join("data/celeba");
    let photos = match &args.from {
        Some(path) => {
            examine(path)?;
            path.clone()
        }
        None => download(&folder, args.mirror.as_deref())?,
    };
    println!("CelebA: {}", workspace::shown(&photos));
    if args.no_preprocess {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    preprocess::celeba(&photos, partition(&photos, &folder).as_deref(), &folder)
}

fn download(folder: &Path, mirror: Option<&str>) -> Result<PathBuf> {
    let remote = |name: &str, bytes, md5, mirrors: &[&str]| {
        let mirrors = mirrors.iter().map(|&url| url.to_owned()).collect();
        with_mirror(RemoteFile { name: name.into(), bytes, checksum: Checksum::md5(md5), mirrors }, mirror)
    };
    let downloader = Downloader::new(Patience::default());
    if !folder.join(PHOTOS).exists() {
        eprintln!("CelebA is for research only: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html");
    }
    let photos = downloader.fetch(&remote(PHOTOS, Some(PHOTOS_BYTES), PHOTOS_MD5, &PHOTOS_MIRRORS), folder);
    let photos = photos.map_err(|error| anyhow!("{error:#}; {BY_HAND}"))?;
    if downloader.fetch(&remote(PARTITION, None, PARTITION_MD5, &PARTITION_MIRRORS), folder).is_err() {
        eprintln!("{PARTITION} is not to be had: the split goes by the photos' numbers, which is the same");
    }
    Ok(photos)
}

/// Look at what the user gave; a part of the data set is welcome, in any form of pictures, a web page or a broken archive
/// is not.
fn examine(path: &Path) -> Result<()> {
    ensure!(path.exists(), "cannot read --from {}: there is no such file or folder", path.display());
    let bytes = path.metadata().map_or(0, |data| data.len());
    let survey = srm_data::survey(path).map_err(|error| match identify(path) {
        Some(Kind::WebPage) => anyhow!(
            "{} is a web page that was saved as .zip (Google Drive shows one when the file's daily quota is used up); {BY_HAND}",
            path.display()
        ),
        Some(Kind::Zip) => anyhow!("{error}; it has {bytes} of the {PHOTOS_BYTES} bytes of {PHOTOS}; {BY_HAND}"),
        _ => anyhow!("{error}; {BY_HAND}"),
    })?;
    ensure!(survey.pictures, "{} holds no photos but {}; {BY_HAND}", path.display(), survey.kind);
    if path.is_file() && !Checksum::md5(PHOTOS_MD5).matches(path)? {
        eprintln!(
            "warning: {} is not the official archive (MD5 {PHOTOS_MD5}): it has {} of {OFFICIAL_COUNT} photos; going on with these",
            path.display(),
            survey.count
        );
    }
    Ok(())
}

/// The partition file in the photos' folder, beside it, or downloaded, as the authors have it or Kaggle; without one the
/// split goes by number.
fn partition(photos: &Path, folder: &Path) -> Option<PathBuf> {
    let beside = photos.parent().unwrap_or(Path::new("."));
    let mut found =
        [photos, beside, folder].into_iter().flat_map(|place| [PARTITION, PARTITION_CSV].map(|list| place.join(list)));
    found.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Write};

    #[test]
    fn what_is_no_archive_is_refused_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("img_align_celeba.zip");
        let message = |path: &Path| format!("{:#}", examine(path).unwrap_err());
        assert!(message(&path).contains("cannot read"));
        fs::write(&path, "<!DOCTYPE html><html>Quota exceeded").unwrap();
        assert!(message(&path).contains("web page that was saved as .zip"));
        fs::write(&path, b"PK\x03\x04cut off").unwrap();
        assert!(message(&path).contains("it has 11 of the 1443490838 bytes"), "{}", message(&path));
        fs::write(&path, [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7]).unwrap();
        assert!(message(&path).contains("holds no photos but IDX"), "{}", message(&path));
        assert!(message(folder.path()).contains("is a folder without pictures"), "{}", message(folder.path()));
    }

    #[test]
    fn a_part_of_the_archive_is_welcome_and_its_partition_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("img_align_celeba.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("img_align_celeba/000001.jpg", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"jpeg").unwrap();
        zip.finish().unwrap();
        examine(&path).unwrap();
        let converted = folder.path().join("png");
        fs::create_dir(&converted).unwrap();
        fs::write(converted.join("000001.png"), b"png").unwrap();
        examine(&converted).unwrap();
        let data = folder.path().join("data");
        assert_eq!(partition(&path, &data), None);
        fs::create_dir(&data).unwrap();
        fs::write(data.join(PARTITION), "").unwrap();
        assert_eq!(partition(&path, &data), Some(data.join(PARTITION)));
        fs::write(folder.path().join(PARTITION_CSV), "").unwrap();
        assert_eq!(partition(&path, &data), Some(folder.path().join(PARTITION_CSV)));
    }
}
