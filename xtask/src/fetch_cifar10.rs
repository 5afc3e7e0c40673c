//! Fetch CIFAR-10 in its binary version and make the images that configs/cifar10.json trains on.

use crate::{
    checksum::Checksum,
    download::{Downloader, Patience, RemoteFile, with_mirror},
    workspace,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::read::GzDecoder;
use std::{
    fs::{self, File},
    io,
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
    /// Only fetch and unpack; make no .npy
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

/// Bring the batches to `data/cifar10` and make `cifar10_32_train.npy` there.
pub fn run(args: Args) -> Result<()> {
    let folder = workspace::root().join("data/cifar10");
    let batches = match &args.from {
        Some(path) if path.is_dir() => path.clone(),
        from => {
            if !complete(&folder) {
                let archive = match from {
                    Some(path) => checked(path)?,
                    None => download(&folder, args.mirror.as_deref())?,
                };
                unpack(&archive, &folder)?;
            }
            folder.clone()
        }
    };
    ensure!(
        complete(&batches),
        "{} does not have the five files {} … of {BATCH_BYTES} bytes; give the unpacked binary version",
        batches.display(),
        TRAIN[0]
    );
    println!("CIFAR-10, 50,000 images for training: {}", workspace::shown(&batches));
    if args.no_preprocess {
        return Ok(());
    }
    preprocess(&batches, &folder)
}

fn complete(folder: &Path) -> bool {
    TRAIN.iter().all(|name| folder.join(name).metadata().is_ok_and(|data| data.len() == BATCH_BYTES))
}

fn checked(path: &Path) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} does not exist; give {ARCHIVE} or a folder with {} …", path.display(), TRAIN[0]);
    let (expected, found) = (Checksum::md5(MD5), Checksum::md5(MD5).of_file(path)?);
    ensure!(
        found == expected,
        "{} is damaged or another file: it has {found}, {ARCHIVE} has {expected}; the Python and Matlab versions do not serve",
        path.display()
    );
    Ok(path.to_owned())
}

fn download(folder: &Path, mirror: Option<&str>) -> Result<PathBuf> {
    let mirrors = MIRRORS.map(str::to_owned).to_vec();
    let file = RemoteFile { name: ARCHIVE.into(), bytes: Some(170_052_171), checksum: Checksum::md5(MD5), mirrors };
    eprintln!("downloading {ARCHIVE}, 170 MB");
    Downloader::new(Patience::default())
        .fetch(&with_mirror(file, mirror), folder)
        .map_err(|error| anyhow!("{error:#}; get it in a browser (https://www.cs.toronto.edu/~kriz/cifar.html, 'binary version') and give it with --from PATH"))
}

/// Write the .bin files of the archive into `folder`.
fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let damaged = || format!("{} is damaged or no .tar.gz archive", archive.display());
    let mut tar = tar::Archive::new(GzDecoder::new(io::BufReader::new(File::open(archive).with_context(damaged)?)));
    let mut count = 0;
    for entry in tar.entries().with_context(damaged)? {
        let mut entry = entry.with_context(damaged)?;
        let path = entry.path().with_context(damaged)?.into_owned();
        let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|kind| kind == "bin")) else {
            continue;
        };
        let (target, new) = (folder.join(name), folder.join("batch.part"));
        let no_room = || format!("cannot write {}; check free space (df -h)", target.display());
        io::copy(&mut entry, &mut File::create(&new).with_context(no_room)?).with_context(damaged)?;
        fs::rename(&new, &target).with_context(no_room)?;
        count += 1;
    }
    if count == 0 {
        bail!("{} has no .bin files; the binary version of CIFAR-10 is needed", archive.display());
    }
    Ok(())
}

fn preprocess(_a: &Path, _c: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn archive(folder: &Path, names: &[&str]) -> PathBuf {
        let path = folder.join("a.tar.gz");
        let mut tar = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_cksum();
            tar.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &b"abc"[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn the_batches_come_out_of_the_archive_and_short_ones_are_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        unpack(&archive(folder.path(), &["data_batch_1.bin", "readme.html"]), &out).unwrap();
        assert_eq!(fs::read(out.join("data_batch_1.bin")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert!(!complete(&out));
        for name in TRAIN {
            File::create(out.join(name)).unwrap().set_len(BATCH_BYTES).unwrap();
        }
        assert!(complete(&out));
    }

    #[test]
    fn wrong_archives_are_refused_with_their_cause() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &["readme.html"]);
        assert!(unpack(&path, folder.path()).unwrap_err().to_string().contains("binary version"));
        assert!(checked(&path).unwrap_err().to_string().contains("c32a1d4ab5d03f1284b67883e8d87530"));
        fs::write(&path, "<html>").unwrap();
        assert!(unpack(&path, folder.path()).unwrap_err().to_string().contains("damaged"));
        assert!(checked(&folder.path().join("none")).unwrap_err().to_string().contains("does not exist"));
    }
}
