//! List the pictures of zip and tar archives, and say why one of their entries cannot be read.

use crate::{
    DataError,
    map::Map,
    preprocess::{
        listing::{LeftOut, Tally},
        records::{GZIP, Records, is_cifar},
    },
};
use flate2::read::MultiGzDecoder;
use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::File,
    io::{self, BufWriter, Cursor, ErrorKind, Read, Write},
    ops::Range,
    path::Path,
};
use tar::{Archive, Entries};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

/// Bytes of the largest picture file that is read: 16384 × 16384 pixels of three bytes, and room.
pub(crate) const LARGEST_FILE: u64 = 1 << 30;
/// Bytes per byte that the pictures of a `.tar.gz` may have, beyond [`LARGEST_FILE`].
const MOST_UNPACKED: u64 = 64;

/// Bytes to which a tar archive fills its entries up; of zeros, its end mark.
const TAR_BLOCK: usize = 512;

/// A zip in memory, which clones share.
pub(crate) type Zip = ZipArchive<Cursor<Map>>;
/// Picture entries of a zip: name, and index in the archive.
pub(crate) type ZipEntries = Vec<(String, usize)>;
/// Picture entries of a tar: name, and where the bytes lie.
pub(crate) type TarEntries = Vec<(String, Range<usize>)>;

/// The pictures of a zip by name, and what is left out.
pub(crate) fn list_zip(path: &Path, map: Map) -> Result<(Zip, ZipEntries, Vec<LeftOut>), DataError> {
    let not_a_source = |got: String| DataError::NotASource { path: path.to_owned(), got };
    let damaged = |error: ZipError| not_a_source(format!("a damaged or cut off zip archive ({error})"));
    let mut archive = ZipArchive::new(Cursor::new(map)).map_err(damaged)?;
    let (mut tally, mut entries) = (Tally::default(), Vec::new());
    for (index, name) in archive.file_names().enumerate() {
        let name = name.map_err(damaged)?.replace('\\', "/"); // as some programs of Windows write it
        if !name.ends_with('/') && !tally.hides(&name) && tally.takes(&name) {
            entries.push((name, index));
        }
    }
    entries.sort();
    // what the first of them needs, all need; damage is found on reading
    if let Some(reason) = entries.first().and_then(|(_, first)| foreign_entry(&mut archive, *first)) {
        return Err(not_a_source(format!("a zip archive whose pictures cannot be read: {reason}")));
    }
    Ok((archive, entries, tally.list()))
}

/// Read an entry of a zip to its end, where the CRC is checked.
pub(crate) fn read_entry(archive: &mut Zip, index: usize, buffer: &mut Vec<u8>) -> Result<(), String> {
    let read = match archive.by_index(index) {
        Ok(entry) => read_all(entry, buffer)?.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    read.map(|_| ()).map_err(|error| {
        foreign_entry(archive, index).unwrap_or_else(|| format!("the archive is damaged there ({error})"))
    })
}

/// Read to the end, or fail beyond the largest file that is read, as a bomb has it.
pub(crate) fn read_all(file: impl Read, buffer: &mut Vec<u8>) -> Result<io::Result<usize>, String> {
    let read = file.take(LARGEST_FILE + 1).read_to_end(buffer);
    match buffer.len() as u64 > LARGEST_FILE {
        true => Err(format!("it has more than {LARGEST_FILE} bytes, larger than what is read")),
        false => Ok(read),
    }
}

/// What an entry of a zip needs that srm does not have.
fn foreign_entry(archive: &mut Zip, index: usize) -> Option<String> {
    use CompressionMethod as Method;
    const NAMES: [(Method, &str); 9] = [
        (Method::DEFLATE64, "Deflate64"),
        (Method::BZIP2, "bzip2"),
        (Method::LZMA, "LZMA"),
        (Method::ZSTD, "Zstandard"),
        (Method::ZSTD_DEPRECATED, "Zstandard"),
        (Method::XZ, "xz"),
        (Method::PPMD, "PPMd"),
        (Method::SHRINK, "Shrink"),
        (Method::IMPLODE, "Implode"),
    ];
    const REMEDY: &str = "unpack the archive (`7z x FILE`) and give the folder";
    let entry = archive.by_index_raw(index).ok()?;
    let method = entry.compression();
    if entry.encrypted() || method == Method::AES {
        return Some(format!("it is protected by a password: {REMEDY}"));
    }
    if matches!(method, Method::Stored | Method::Deflated) {
        return None;
    }
    let name = NAMES.iter().find(|(known, _)| *known == method).map_or("another method", |(_, name)| name);
    Some(format!("it is compressed with {name}, which is not read: {REMEDY}"))
}

/// What a tar archive holds: the batches of CIFAR-10 where it has any, else pictures.
pub(crate) enum TarContent {
    Cifar(Vec<Records>),
    /// The bytes in which the entries lie: the archive's own, or those that were unpacked.
    Pictures(Map, TarEntries, Vec<LeftOut>),
}

/// List a tar archive. The pictures of one that is packed with gzip are unpacked, in one pass, into a file without a
/// name in `scratch`, which is gone with its last user.
pub(crate) fn list_tar(path: &Path, map: Map, scratch: &Path) -> Result<TarContent, DataError> {
    let packed = map.as_ref();
    let mut lister =
        Lister { path, store: None, cifar: Vec::new(), pictures: BTreeMap::new(), tally: Tally::default(), end: 0 };
    if packed.starts_with(&GZIP) {
        let file = tempfile::tempfile_in(scratch).map_err(DataError::io("unpack pictures in", scratch))?;
        let most = LARGEST_FILE.saturating_add(MOST_UNPACKED.saturating_mul(packed.len() as u64));
        let copy = file.try_clone().map_err(DataError::io("unpack pictures in", scratch))?;
        lister.store = Some(Store { file: BufWriter::new(copy), scratch, written: 0, most });
        lister.list(Archive::new(MultiGzDecoder::new(packed)).entries())?;
        if let Some(mut store) = lister.store.take() {
            store.file.flush().map_err(|error| store.no_room(error))?;
        }
        return lister.done(|| Map::of(&file, path));
    }
    lister.list(Archive::new(Cursor::new(packed)).entries_with_seek())?;
    // reading by seeking does not notice an end that is missing
    let end = lister.end.checked_next_multiple_of(TAR_BLOCK);
    let rest = end.and_then(|end| packed.get(end..)).unwrap_or_default();
    if rest.first_chunk() != Some(&[0; TAR_BLOCK]) {
        return Err(damaged(path, &"its end mark is missing"));
    }
    lister.done(|| Ok(map.clone()))
}

/// Where pictures are unpacked to.
struct Store<'a> {
    file: BufWriter<File>,
    scratch: &'a Path,
    written: u64,
    most: u64,
}

impl Store<'_> {
    fn no_room(&self, error: io::Error) -> DataError {
        DataError::io("unpack pictures in", self.scratch)(error)
    }
}

struct Lister<'a> {
    path: &'a Path,
    /// None where the archive's own bytes serve.
    store: Option<Store<'a>>,
    cifar: Vec<Records>,
    /// By name; a later entry replaces one of the same name, as on unpacking.
    pictures: BTreeMap<String, Range<usize>>,
    tally: Tally,
    /// Byte after the last entry.
    end: usize,
}

fn damaged(path: &Path, reason: &dyn Display) -> DataError {
    let got = format!("a tar archive that is damaged or cut off ({reason})");
    DataError::NotASource { path: path.to_owned(), got }
}

impl Lister<'_> {
    fn list<R: Read>(&mut self, entries: io::Result<Entries<'_, R>>) -> Result<(), DataError> {
        let path = self.path;
        let broken = |error: io::Error| damaged(path, &error);
        for entry in entries.map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let place =
                entry.raw_file_position() as usize..entry.raw_file_position().saturating_add(entry.size()) as usize;
            self.end = place.end;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() || self.tally.hides(&name) {
                continue;
            }
            if !kind.is_file() && !kind.is_contiguous() {
                self.tally.add("links or special files", &name);
            } else if is_cifar(&name) {
                let records = Records::of_entry(path, &name, &mut entry);
                self.cifar.push(records?);
            } else if self.tally.takes(&name) {
                let place = match &mut self.store {
                    None => place,
                    Some(store) => {
                        let start = store.written;
                        if entry.size() > store.most - start {
                            return Err(DataError::NotASource {
                                path: path.to_owned(),
                                got: format!(
                                    "a packed archive whose pictures take more than {} bytes, unpacked; unpack it (`tar xzf FILE`) and give the folder",
                                    store.most
                                ),
                            });
                        }
                        let copied = io::copy(&mut entry, &mut store.file);
                        store.written += copied.map_err(|error| match error.kind() {
                            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => store.no_room(error),
                            _ => broken(error),
                        })?;
                        start as usize..store.written as usize
                    }
                };
                if self.pictures.insert(name.clone(), place).is_some() {
                    self.tally.add("earlier entries of the same name", &name);
                }
            }
        }
        Ok(())
    }

    fn done(mut self, bytes: impl FnOnce() -> Result<Map, DataError>) -> Result<TarContent, DataError> {
        if !self.cifar.is_empty() {
            self.cifar.sort_by(|one, other| one.name().cmp(other.name()));
            return Ok(TarContent::Cifar(self.cifar));
        }
        Ok(TarContent::Pictures(bytes()?, self.pictures.into_iter().collect(), self.tally.list()))
    }
}

#[cfg(test)]
mod tests;
