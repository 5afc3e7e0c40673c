//! Fetch the Inception weights of the FID, as pytorch-fid publishes them.

use crate::{
    download::{Downloader, Patience, RemoteFile, with_mirror},
    workspace,
};
use anyhow::{Context, Result, anyhow, ensure};
use srm_fetch::Checksum;
use srm_files::write_whole;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask fetch-inception`.
#[derive(clap::Args)]
pub struct Args {
    /// The file pt_inception-2015-12-05-6726825d.pth, where you have it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// A server of yours that has the file; tried first
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// The published name; its last part begins the file's SHA-256.
const NAME: &str = "pt_inception-2015-12-05-6726825d.pth";
const BYTES: u64 = 95_628_359;
const SHA256: &str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";
/// pytorch-fid's release, and the same file in that of torch-fidelity.
const MIRRORS: [&str; 2] = [
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
];

/// Bring the weights to `data/inception`.
pub fn run(args: Args) -> Result<()> {
    let folder = workspace::root().join("data/inception");
    let file = match &args.from {
        Some(path) => take(path, &folder)?,
        None => download(&folder, args.mirror.as_deref())?,
    };
    println!("Inception, the weights of the FID: {}", workspace::shown(&file));
    println!("srm evaluate --features {} …", workspace::shown(&file));
    Ok(())
}

/// Check the user's file and copy it.
fn take(path: &Path, folder: &Path) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} does not exist; give the file {NAME}", path.display());
    let (expected, found) = (Checksum::sha256(SHA256), Checksum::sha256(SHA256).of_file(path)?);
    ensure!(found == expected, "{} is damaged or another file: it has {found}, {NAME} has {expected}", path.display());
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let target = folder.join(NAME);
    write_whole(&target, |file| io::copy(&mut File::open(path)?, file).map(drop))
        .with_context(|| format!("cannot write {}", target.display()))?;
    Ok(target)
}

fn download(folder: &Path, mirror: Option<&str>) -> Result<PathBuf> {
    let mirrors = MIRRORS.map(str::to_owned).to_vec();
    let file = RemoteFile { name: NAME.into(), bytes: Some(BYTES), checksum: Checksum::sha256(SHA256), mirrors };
    Downloader::new(Patience::default()).fetch(&with_mirror(file, mirror), folder).map_err(|error| {
        anyhow!(
            "{error:#}; get it in a browser ({}) and give it with --from PATH; --features random-conv needs no file",
            MIRRORS[0]
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_refused_and_nothing_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join(NAME), folder.path().join("data"));
        assert!(take(&path, &target).unwrap_err().to_string().contains("does not exist"));
        fs::write(&path, b"<html>quota").unwrap();
        let message = take(&path, &target).unwrap_err().to_string();
        assert!(message.contains("damaged or another file") && message.contains(SHA256), "{message}");
        assert!(!target.exists());
    }
}
