//! Fetch CIFAR-10 in its binary version and make the images that configs/cifar10.json trains on.

use crate::{
    download::{Downloader, Patience, RemoteFile, with_mirror},
    preprocess, workspace,
};
use anyhow::{Context, Result, anyhow, ensure};
use srm_fetch::Checksum;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask fetch-cifar10`.
#[derive(clap::Args)]
pub struct Args {
    /// The archive cifar-10-binary.tar.gz, or a folder with its files data_batch_1.bin …
    #[arg(long, value_name = "FILE|DIR")]
    from: Option<PathBuf>,
    /// A server of yours that has cifar-10-binary.tar.gz; tried first
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Only fetch and check; make no .npy
    #[arg(long)]
    no_preprocess: bool,
}

const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// As on the data set's page, https://www.cs.toronto.edu/~kriz/cifar.html.
const MD5: &str = "c32a1d4ab5d03f1284b67883e8d87530";
const MIRRORS: [&str; 3] = [
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
];
/// Five batches of 10,000 records, each a label and 3 × 32 × 32 pixels.
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const BATCH_BYTES: u64 = 10_000 * (1 + 3 * 32 * 32);

/// Bring the archive to `data/cifar10` and make `cifar10_32_{train,test}.npy` there.
pub fn run(args: Args) -> Result<()> {
    let folder = workspace::root().join("data/cifar10");
    let batches = match args.from {
        Some(path) => checked(&path).map(|()| path)?,
        None => download(&folder, args.mirror.as_deref())?,
    };
    println!("CIFAR-10, 50,000 images for training: {}", workspace::shown(&batches));
    if args.no_preprocess {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    preprocess::cifar10(&batches, &folder)
}

/// Whether `path` is the official archive, or a folder with its five files of training images.
fn checked(path: &Path) -> Result<()> {
    if path.is_dir() {
        let complete = TRAIN.iter().all(|name| path.join(name).metadata().is_ok_and(|data| data.len() == BATCH_BYTES));
        ensure!(
            complete,
            "{} does not have the five files {} … of {BATCH_BYTES} bytes; give the unpacked binary version",
            path.display(),
            TRAIN[0]
        );
        return Ok(());
    }
    ensure!(path.is_file(), "{} does not exist; give {ARCHIVE} or a folder with {} …", path.display(), TRAIN[0]);
    let (expected, found) = (Checksum::md5(MD5), Checksum::md5(MD5).of_file(path)?);
    ensure!(
        found == expected,
        "{} is damaged or another file: it has {found}, {ARCHIVE} has {expected}; the Python and Matlab versions do not serve",
        path.display()
    );
    Ok(())
}

fn download(folder: &Path, mirror: Option<&str>) -> Result<PathBuf> {
    let mirrors = MIRRORS.map(str::to_owned).to_vec();
    let file = RemoteFile { name: ARCHIVE.into(), bytes: Some(170_052_171), checksum: Checksum::md5(MD5), mirrors };
    Downloader::new(Patience::default())
        .fetch(&with_mirror(file, mirror), folder)
        .map_err(|error| anyhow!("{error:#}; get it in a browser (https://www.cs.toronto.edu/~kriz/cifar.html, 'binary version') and give it with --from PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_is_not_the_binary_version_is_refused_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ARCHIVE);
        let message = |path: &Path| checked(path).unwrap_err().to_string();
        assert!(message(&path).contains("does not exist"));
        fs::write(&path, "<html>").unwrap();
        assert!(message(&path).contains("damaged or another file") && message(&path).contains(MD5));
        assert!(message(folder.path()).contains("does not have the five files data_batch_1.bin"));
        for name in TRAIN {
            File::create(folder.path().join(name)).unwrap().set_len(BATCH_BYTES).unwrap();
        }
        checked(folder.path()).unwrap();
        fs::write(folder.path().join(TRAIN[4]), "short").unwrap();
        assert!(message(folder.path()).contains("of 30730000 bytes"));
    }
}
