//! Fetch the published PyTorch wheels with pip, checked against pinned checksums, and unpack what srm needs of them.

mod pip;

use crate::{libtorch::Entry, workspace::bar};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use srm_fetch::Checksum;
use srm_files::hex;
use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// One published file. Its checksum makes pip choose the same one on every machine.
pub struct Wheel {
    package: &'static str,
    version: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const fn wheel(package: &'static str, version: &'static str, bytes: u64, sha256: &'static str) -> Wheel {
    Wheel { package, version, bytes, sha256 }
}

/// What a CPU program needs: libtorch_cpu of the Linux wheel is linked against these two CUDA libraries, too.
pub const CPU: &[Wheel] = &[
    wheel("torch", "2.11.0", 530_604_548, "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"),
    wheel(
        "nvidia-cuda-cupti",
        "13.0.85",
        10_715_597,
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    ),
    wheel(
        "nvidia-cuda-runtime",
        "13.0.96",
        2_243_632,
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    ),
];

/// What the wheel of torch 2.11.0 asks for besides, on a machine with a GPU, and headers for what srm compiles there.
pub const CUDA: &[Wheel] = &[
    wheel("nvidia-cuda-crt", "13.0.88", 134_086, "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
    wheel("nvidia-cublas", "13.1.0.3", 423_133_236, "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
    wheel(
        "nvidia-cuda-nvrtc",
        "13.0.88",
        90_215_200,
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
    ),
    wheel(
        "nvidia-cudnn-cu13",
        "9.19.0.56",
        366_066_321,
        "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
    ),
    wheel("nvidia-cufft", "12.0.0.61", 214_085_489, "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"),
    wheel("nvidia-cufile", "1.15.1.6", 1_223_672, "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"),
    wheel("nvidia-curand", "10.4.0.35", 59_544_258, "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
    wheel(
        "nvidia-cusolver",
        "12.0.4.66",
        200_941_980,
        "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
    ),
    wheel(
        "nvidia-cusparse",
        "12.6.3.3",
        145_942_937,
        "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
    ),
    wheel(
        "nvidia-cusparselt-cu13",
        "0.8.0",
        169_884_119,
        "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd",
    ),
    wheel(
        "nvidia-nccl-cu13",
        "2.28.9",
        196_493_177,
        "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
    ),
    wheel(
        "nvidia-nvjitlink",
        "13.0.88",
        40_713_933,
        "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
    ),
    wheel(
        "nvidia-nvshmem-cu13",
        "3.4.5",
        60_412_546,
        "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
    ),
    wheel("nvidia-nvtx", "13.0.85", 148_047, "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"),
];

impl Wheel {
    /// Its file in `folder`, when one with its name lies there.
    fn find(&self, folder: &Path) -> Option<PathBuf> {
        let beginning = format!("{}-{}-", self.package.replace('-', "_"), self.version);
        let names = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        names
            .filter(|path| path.extension().is_some_and(|kind| kind == "whl"))
            .find(|path| file_name(path).starts_with(&beginning))
    }

    /// Why its file in `folder` cannot be used; `None` when it is complete.
    fn fault(&self, folder: &Path) -> Result<Option<String>> {
        let Some(path) = self.find(folder) else { return Ok(Some("missing".into())) };
        let (expected, found) = (Checksum::sha256(self.sha256), Checksum::sha256("").of_file(&path)?);
        if found == expected {
            return Ok(None);
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove the damaged {}", path.display()))?;
        Ok(Some(format!("{} has {found} instead of {expected}", file_name(&path))))
    }
}

/// Bring the wheels into `folder` and return their paths in the same order; complete ones that lie there are kept.
///
/// # Errors
/// Without python3 and pip, without a connection, or when what arrives is not what was published.
pub fn download(wheels: &[&Wheel], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut faults = Vec::new();
    for attempt in 0..3 {
        let mut wanted = Vec::new();
        faults.clear();
        for &wheel in wheels {
            if let Some(fault) = wheel.fault(folder)? {
                faults.push(fault);
                wanted.push(wheel);
            }
        }
        match wanted.is_empty() {
            true => return wheels.iter().map(|wheel| wheel.find(folder).context("a checked wheel is gone")).collect(),
            false if attempt == 2 => break,
            false => {
                let python = pip::interpreter(&pip::INTERPRETERS)?;
                pip::download(python, env::vars_os().collect(), &wanted, folder)?;
            }
        }
    }
    bail!(
        "the downloaded wheels are not the published ones: {}; try again, or give a libtorch of your own with --from DIR|ZIP",
        faults.join(", ")
    )
}

/// Unpack those files of a zip archive for which `place` names a path below `folder`; list what was written.
pub fn unpack(
    archive: &Path,
    folder: &Path,
    place: &dyn Fn(&str) -> Option<String>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let damaged = || format!("{} is damaged or no zip archive", archive.display());
    let mut zip =
        zip::ZipArchive::new(File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?)
            .with_context(damaged)?;
    let bar = bar(
        &format!("unpacking {}", file_name(archive)),
        zip.decompressed_size().and_then(|size| size.try_into().ok()),
        0,
    );
    let mut buffer = vec![0; 1 << 20];
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).with_context(damaged)?;
        let safe = file.enclosed_name().is_some() && file.is_file();
        let Some(path) = file.name().ok().and_then(|name| place(&name)).filter(|_| safe) else {
            bar.inc(file.size());
            continue;
        };
        let target = folder.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let no_room = || format!("cannot write {}; check free space (df -h) and permissions", target.display());
        let (mut output, mut hasher, mut bytes) = (File::create(&target).with_context(no_room)?, Sha256::new(), 0);
        loop {
            let count = file.read(&mut buffer).with_context(damaged)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            output.write_all(&buffer[..count]).with_context(no_room)?;
            bytes += count as u64;
            bar.inc(count as u64);
        }
        entries.push(Entry { sha256: hex(&hasher.finalize()), bytes, path });
    }
    bar.finish_and_clear();
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn folder_size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            entry.metadata().map_or(0, |data| if data.is_dir() { folder_size(&entry.path()) } else { data.len() })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_wheel_is_removed_so_that_pip_fetches_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let abc = wheel("some-package", "1.0", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let path = folder.path().join("some_package-1.0-py3-none-any.whl");
        assert_eq!(abc.fault(folder.path()).unwrap().as_deref(), Some("missing"));
        fs::write(&path, b"ab").unwrap();
        assert!(abc.fault(folder.path()).unwrap().unwrap().contains("instead of SHA-256 ba7816bf"));
        assert!(!path.exists());
        fs::write(&path, b"abc").unwrap();
        assert_eq!(abc.fault(folder.path()).unwrap(), None);
        assert_eq!(download(&[&abc], folder.path()).unwrap(), [path]);
    }

    #[test]
    fn unpacking_takes_only_what_is_placed_and_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.zip");
        let mut zip = zip::ZipWriter::new(File::create(&archive).unwrap());
        for (name, text) in [("torch/lib/a.so", "abc"), ("torch/other.py", "x"), ("torch/lib/../../../evil", "x")] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let (out, mut entries) = (folder.path().join("out"), Vec::new());
        unpack(&archive, &out, &|name| name.strip_prefix("torch/lib/").map(|rest| format!("lib/{rest}")), &mut entries)
            .unwrap();
        assert_eq!(fs::read(out.join("lib/a.so")).unwrap(), b"abc");
        assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["lib/a.so"]);
        assert!(!folder.path().join("evil").exists());
        fs::write(&archive, b"<html>").unwrap();
        let error = format!("{:#}", unpack(&archive, &out, &|_| None, &mut entries).unwrap_err());
        assert!(error.contains("damaged or no zip archive"), "{error}");
    }
}
