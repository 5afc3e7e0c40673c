//! Find the pickle and the raw storages in a file: a zip (since PyTorch 1.6) or the older stream of pickles.

use super::pickle::{self, Object, Pickle, Storage};
use super::{Problem, Read, damaged};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read as _};
use zip::ZipArchive;

/// First number in the older format: torch/serialization.py, MAGIC_NUMBER.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The older format's version: torch/serialization.py, PROTOCOL_VERSION.
const VERSION: i128 = 1001;

/// An entry that `torch.jit.save` writes and `torch.save` does not.
const SCRIPT: &str = "constants.pkl";

/// An opened file: the program has run, the storages wait.
pub(super) struct Container<'a> {
    pub(super) pickle: Pickle,
    storages: Storages<'a>,
}

enum Storages<'a> {
    Zip { archive: ZipArchive<Cursor<&'a [u8]>>, prefix: String, budget: u64 },
    Stream(HashMap<String, &'a [u8]>),
}

/// Recognise the format and run the program.
pub(super) fn open(bytes: &[u8]) -> Read<Container<'_>> {
    if bytes.starts_with(b"PK") { open_zip(bytes) } else { open_stream(bytes) }
}

impl<'a> Container<'a> {
    /// All bytes of a storage, however many there are.
    pub(super) fn storage(&mut self, storage: &Storage) -> Read<Cow<'a, [u8]>> {
        match &mut self.storages {
            Storages::Zip { archive, prefix, budget } => {
                Ok(Cow::Owned(entry(archive, &format!("{prefix}data/{}", storage.key), budget)?))
            }
            Storages::Stream(map) => match map.get(&storage.key) {
                Some(bytes) => Ok(Cow::Borrowed(*bytes)),
                None => damaged(format!("storage {} is not in the file", storage.key)),
            },
        }
    }
}

fn open_zip(bytes: &[u8]) -> Read<Container<'_>> {
    let mut archive = match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(problem) => return damaged(format!("not a whole zip: {problem}")),
    };
    if find(&archive, SCRIPT).is_some() {
        return Err(Problem::Other(
            "a TorchScript program".to_owned(),
            "in PyTorch write its weights alone: torch.save(torch.jit.load(path).state_dict(), \"net.pth\")",
        ));
    }
    let Some(program) = find(&archive, "data.pkl") else {
        return Err(match archive.file_names().flatten().any(|name| name.ends_with(".npy")) {
            true => Problem::Other(
                "a numpy archive (.npz)".to_owned(),
                "write its arrays as tensors: torch.save(dict, \"net.pth\")",
            ),
            false => {
                Problem::Other("a zip that torch.save did not write".to_owned(), "unpack it and give the weights in it")
            }
        });
    };
    let prefix = program.trim_end_matches("data.pkl").to_owned();
    // Neither compression nor entries that overlap may blow a small file up.
    let mut budget = 16 * bytes.len() as u64;
    let order = format!("{prefix}byteorder");
    if archive.index_for_name(&order).is_some() && entry(&mut archive, &order, &mut budget)? != b"little" {
        return damaged("the numbers are big-endian, save the state_dict on a little-endian machine");
    }
    let pickle = pickle::run(&entry(&mut archive, &program, &mut budget)?)?;
    Ok(Container { pickle, storages: Storages::Zip { archive, prefix, budget } })
}

/// Whether a zip is an archive of `torch.jit.save`.
pub(super) fn is_torch_script(bytes: &[u8]) -> bool {
    ZipArchive::new(Cursor::new(bytes)).is_ok_and(|archive| find(&archive, SCRIPT).is_some())
}

/// The full name of the entry that is called `name` in whatever folder.
fn find(archive: &ZipArchive<Cursor<&[u8]>>, name: &str) -> Option<String> {
    let mut names = archive.file_names().flatten().map(|name| name.into_owned());
    names.find(|full| full.rsplit('/').next() == Some(name))
}

/// All bytes of an entry, its checksum verified.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, budget: &mut u64) -> Read<Vec<u8>> {
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(problem) => return damaged(format!("entry {name} of the zip: {problem}")),
    };
    let mut bytes = Vec::new();
    let read = file.take(*budget + 1).read_to_end(&mut bytes);
    match (read, budget.checked_sub(bytes.len() as u64)) {
        (Err(problem), _) => damaged(format!("entry {name} of the zip: {problem}")),
        (Ok(_), None) => damaged("the zip unpacks to more than 16 times its size"),
        (Ok(_), Some(left)) => {
            *budget = left;
            Ok(bytes)
        }
    }
}

/// Five pickles (magic number, version, machine, objects, storage names), then each storage: elements (i64) and bytes.
fn open_stream(bytes: &[u8]) -> Read<Container<'_>> {
    let mut rest = bytes;
    let mut next = || -> Read<Pickle> {
        let pickle = pickle::run(rest)?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    if !matches!(next()?.object(), Object::Int(MAGIC)) {
        return Err(Problem::Other(
            "a pickle that torch.save did not write".to_owned(),
            "write it by torch.save(state_dict, path)",
        ));
    }
    if !matches!(next()?.object(), Object::Int(VERSION)) {
        return damaged("an unknown version of PyTorch's older format");
    }
    let machine = next()?;
    if let Some(little) = machine.get(machine.top, "little_endian")
        && matches!(machine.objects[little], Object::Bool(false))
    {
        return damaged("the numbers are big-endian, save the state_dict on a little-endian machine");
    }
    let pickle = next()?;
    let names = next()?;
    let Object::Sequence(keys) = names.object() else { return damaged("the list of storages is no list") };

    let mut widths = HashMap::new();
    for object in &pickle.objects {
        if let Object::Storage(storage) = object {
            widths.insert(storage.key.as_str(), storage.number.width());
        }
    }
    let mut storages = HashMap::new();
    for &key in keys {
        let Object::Text(key) = &names.objects[key] else { return damaged("a storage's name is no text") };
        let Some(width) = widths.get(key.as_str()) else {
            return damaged(format!("storage {key} belongs to no tensor"));
        };
        let Some((count, after)) = rest.split_first_chunk::<8>() else { return damaged("the storages are cut off") };
        let length = usize::try_from(i64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(*width));
        let split = length.and_then(|length| after.split_at_checked(length));
        let Some((content, after)) = split else { return damaged(format!("storage {key} is cut off")) };
        storages.insert(key.clone(), content);
        rest = after;
    }
    Ok(Container { pickle, storages: Storages::Stream(storages) })
}
