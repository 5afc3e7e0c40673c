//! Fetch Fashion-MNIST from a public mirror, else from the Debian package, and make the images that the demo trains on.

use crate::{
    download::{Downloader, Patience, RemoteFile, with_mirror},
    preprocess, workspace,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use srm_fetch::Checksum;
use srm_files::WholeFile;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Options of `cargo xtask fetch-fashion-mnist`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// A folder that has the four official files, compressed or not
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// A server of yours that has the files under their official names; tried first
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Only fetch the files; make no .npy of them
    #[arg(long)]
    no_preprocess: bool,
}

/// Name, size and MD5 of the official file (README of zalandoresearch/fashion-mnist), and the MD5 of what it unpacks to:
/// the Debian package has the same images, compressed anew.
struct Part {
    name: &'static str,
    bytes: u64,
    md5: &'static str,
    unpacked_md5: &'static str,
}

const PARTS: [Part; 4] = [
    Part {
        name: "train-images-idx3-ubyte.gz",
        bytes: 26_421_880,
        md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        unpacked_md5: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    },
    Part {
        name: "train-labels-idx1-ubyte.gz",
        bytes: 29_515,
        md5: "25c81989df183df01b3e8a0aad5dffbe",
        unpacked_md5: "9018921c3c673c538a1fc5bad174d6f9",
    },
    Part {
        name: "t10k-images-idx3-ubyte.gz",
        bytes: 4_422_102,
        md5: "bef4ecab320f06d8554ea6380940ec79",
        unpacked_md5: "8181f5470baa50b63fa0f6fddb340f0a",
    },
    Part {
        name: "t10k-labels-idx1-ubyte.gz",
        bytes: 5_148,
        md5: "bb300cfdad3c16e7a12a480ee83cd310",
        unpacked_md5: "15d484375f8d13e6eb1aabb0c3f46965",
    },
];

/// Two, so that a machine that reaches neither is at the Debian package within ten seconds.
const MIRRORS: [&str; 2] = [
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
];
const PACKAGE: &str = "dataset-fashion-mnist";

impl Part {
    /// Whether the compressed file at `path` holds the published images or labels.
    fn is_genuine(&self, path: &Path) -> bool {
        let same = |md5: &str, reader: Box<dyn Read>| {
            Checksum::md5(md5).of_reader(reader).is_ok_and(|found| found == Checksum::md5(md5))
        };
        let open = || File::open(path).map(io::BufReader::new);
        open().is_ok_and(|file| same(self.md5, Box::new(file)))
            || open().is_ok_and(|file| same(self.unpacked_md5, Box::new(GzDecoder::new(file))))
    }

    fn remote(&self, mirror: Option<&str>) -> RemoteFile {
        let mirrors = MIRRORS.iter().map(|base| format!("{base}/{}", self.name)).collect();
        with_mirror(
            RemoteFile { name: self.name.into(), bytes: Some(self.bytes), checksum: Checksum::md5(self.md5), mirrors },
            mirror,
        )
    }
}

/// Bring the four files to `data/fashion-mnist` and make `fashion_mnist_32_train.npy` there.
pub fn run(args: Args) -> Result<()> {
    let folder = workspace::root().join("data/fashion-mnist");
    let missing: Vec<&Part> = PARTS.iter().filter(|part| !part.is_genuine(&folder.join(part.name))).collect();
    if missing.is_empty() {
        println!("Fashion-MNIST is already there: {}", workspace::shown(&folder));
    } else {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        match &args.from {
            Some(from) => take_from(from, &missing, &folder)?,
            None => fetch(&missing, &folder, args.mirror.as_deref())?,
        }
        println!("Fashion-MNIST, 60,000 + 10,000 images: {}", workspace::shown(&folder));
    }
    if args.no_preprocess {
        return Ok(());
    }
    preprocess::fashion_mnist(&folder, &folder)
}

fn fetch(missing: &[&Part], folder: &Path, mirror: Option<&str>) -> Result<()> {
    let downloader = Downloader::new(Patience::default());
    let from_mirrors = missing.iter().try_for_each(|part| downloader.fetch(&part.remote(mirror), folder).map(drop));
    let Err(first) = from_mirrors else { return Ok(()) };
    eprintln!("no mirror delivers it; trying the Debian package {PACKAGE}");
    let scratch = folder.join("package");
    workspace::remove_folder(&scratch)?; // what a killed run left may be half a package
    let from_package = unpack_package(&scratch).and_then(|files| take_from(&files, missing, folder));
    workspace::remove_folder(&scratch)?;
    from_package.map_err(|second| {
        anyhow!("{first:#}; and the Debian package: {second:#}; download the four files {} … elsewhere and give their folder with --from DIR", PARTS[0].name)
    })
}

/// Download and unpack the package in `scratch`; this needs no root. Returns the folder with the files.
fn unpack_package(scratch: &Path) -> Result<PathBuf> {
    fs::create_dir_all(scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let apt = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.args([
            "--quiet=2",
            "-o",
            "Acquire::Retries=0",
            "-o",
            "Acquire::http::Timeout=5",
            "-o",
            "Acquire::https::Timeout=5",
        ]);
        let output = command
            .args(arguments)
            .current_dir(scratch)
            .stdin(Stdio::null())
            .output()
            .context("apt-get does not run here (no Debian?)")?;
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rfind(|line| line.starts_with("E:")).unwrap_or("no message").to_owned();
        ensure!(output.status.success(), "apt-get {} failed: {last}", arguments.join(" "));
        Ok(())
    };
    if apt(&["download", PACKAGE]).is_err() {
        // The package lists are missing or old; only root can renew them.
        let updated = apt(&["update"]);
        apt(&["download", PACKAGE]).map_err(|error| match updated {
            Ok(()) => error,
            Err(update) => anyhow!("{error:#} ({update:#})"),
        })?;
    }
    let package = fs::read_dir(scratch)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|kind| kind == "deb"));
    let package = package.context("apt-get download wrote no .deb file")?;
    let unpacked = scratch.join("files");
    let status =
        Command::new("dpkg").arg("-x").args([&package, &unpacked]).status().context("dpkg does not run here")?;
    ensure!(status.success(), "dpkg -x {} failed ({status})", package.display());
    Ok(unpacked.join("usr/share/datasets/fashion-mnist"))
}

/// Take the files from a folder that has them, compressed or not, each checked before it gets its name.
fn take_from(from: &Path, missing: &[&Part], folder: &Path) -> Result<()> {
    ensure!(from.is_dir(), "{} is no folder; give the folder with the four files {} …", from.display(), PARTS[0].name);
    for part in missing {
        let (packed, plain) = (from.join(part.name), from.join(part.name.trim_end_matches(".gz")));
        let target = folder.join(part.name);
        let cannot = |source: &Path| format!("cannot copy {} to {}", source.display(), target.display());
        let new = WholeFile::create(&target).with_context(|| cannot(&packed))?;
        if packed.is_file() {
            copy(&packed, &mut new.file()).with_context(|| cannot(&packed))?;
        } else if plain.is_file() {
            let mut encoder = GzEncoder::new(new.file(), Compression::default());
            copy(&plain, &mut encoder).and_then(|()| encoder.finish().map(drop)).with_context(|| cannot(&plain))?;
        } else {
            bail!("{} has no {}", from.display(), part.name);
        }
        if !part.is_genuine(new.temporary()) {
            bail!(
                "{} in {} is damaged or another file: neither MD5 {} nor, unpacked, MD5 {}",
                part.name,
                from.display(),
                part.md5,
                part.unpacked_md5
            );
        }
        new.finish().with_context(|| cannot(&packed))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut File::open(from)?, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        // MD5 of "abc" (RFC 1321); no archive has the first one.
        Part { name: "images.gz", bytes: 3, md5: "0", unpacked_md5: "900150983cd24fb0d6963f7d28e17f72" }
    }

    fn pack(path: &Path, text: &str) {
        let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
        io::copy(&mut text.as_bytes(), &mut encoder).unwrap();
        encoder.finish().unwrap();
    }

    #[test]
    fn files_are_taken_compressed_or_not_when_their_content_is_genuine() {
        for packed in [true, false] {
            let (from, to, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), part());
            match packed {
                true => pack(&from.path().join("images.gz"), "abc"),
                false => fs::write(from.path().join("images"), "abc").unwrap(),
            }
            take_from(from.path(), &[&part], to.path()).unwrap();
            assert!(part.is_genuine(&to.path().join("images.gz")));
        }
    }

    #[test]
    fn damaged_or_missing_files_leave_nothing_behind() {
        let (from, to, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), part());
        let message = || take_from(from.path(), &[&part], to.path()).unwrap_err().to_string();
        assert!(message().contains("has no images.gz"));
        pack(&from.path().join("images.gz"), "abd");
        assert!(message().contains("damaged or another file"));
        fs::write(from.path().join("images.gz"), "<html>").unwrap();
        assert!(message().contains("damaged or another file"));
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
        assert!(
            take_from(&from.path().join("images.gz"), &[&part], to.path())
                .unwrap_err()
                .to_string()
                .contains("is no folder")
        );
    }
}
