//! Check that what lies in a folder is whole, file by file, and that two folders hold the same.

use serde_json::Value;
use srm_data::{ImageSet, read_gallery};
use srm_fetch::Checksum;
use srm_run::layout::{CHECKPOINTS, HISTORY, LATEST, LOCK, SUMS};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// All files below a folder by their path in it, sorted; links and folders are not followed or listed.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for path in fs::read_dir(inside).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match fs::symlink_metadata(&path) {
                Ok(data) if data.is_dir() => folders.push(path),
                Ok(data) if data.is_file() => {
                    found.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned(), path.clone());
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether a file or a folder above it is one that is being made, replaced or deleted: half a file may stand there.
fn is_temporary(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.ends_with(".part") || [".writing", ".replaced-", ".discarded-"].iter().any(|start| name.starts_with(start))
    })
}

/// What is not whole below a folder. `ended`: the program ended by itself, so that nothing temporary may be left.
pub fn faults(folder: &Path, ended: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, path) in files(folder) {
        let fault = match is_temporary(&name) {
            true if ended => Some("is left behind".to_owned()),
            true => None,
            false => fault(&path, ended),
        };
        faults.extend(fault.map(|fault| format!("{} {fault}", name.display())));
    }
    faults.extend(checkpoints(&folder.join(CHECKPOINTS)));
    faults
}

/// What is wrong with a file of a known kind.
fn fault(path: &Path, ended: bool) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).err().map(|error| format!("is no JSON: {error}"));
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None, // another process has deleted it
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    match path.extension().and_then(OsStr::to_str) {
        Some("json") => json(&bytes),
        Some("jsonl") => {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            // a line that was being written; whoever goes on cuts it off
            lines.pop_if(|line| !ended && !line.ends_with(b"\n"));
            lines.into_iter().find_map(json)
        }
        Some("safetensors") => safetensors(&bytes),
        Some("png") => read_gallery(path, 32, 3, 1).err().map(|error| error.to_string()),
        Some("npy") => ImageSet::open(path).err().map(|error| error.to_string()),
        _ if name.contains("tfevents") => events(&bytes, ended),
        _ => None,
    }
}

/// A safetensors file: the length of its header, the header, and as many bytes as that says.
fn safetensors(bytes: &[u8]) -> Option<String> {
    let cut = || Some("is cut off".to_owned());
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return cut() };
    let Some((header, data)) = rest.split_at_checked(u64::from_le_bytes(*length) as usize) else { return cut() };
    let Ok(header) = serde_json::from_slice::<Value>(header) else { return Some("has no header".to_owned()) };
    let tensors = header.as_object().into_iter().flatten();
    let end = tensors.filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64()).max().unwrap_or(0);
    if end == data.len() as u64 { None } else { cut() }
}

/// A TensorBoard file: length, checksum, message, checksum, again and again.
fn events(mut bytes: &[u8], ended: bool) -> Option<String> {
    while let Some((length, _)) = bytes.split_first_chunk::<8>() {
        let size = u64::from_le_bytes(*length).saturating_add(16);
        match bytes.split_at_checked(size as usize) {
            Some((_, rest)) => bytes = rest,
            None => break,
        }
    }
    (ended && !bytes.is_empty()).then(|| "is cut off".to_owned())
}

/// Checkpoints that stand under their names must be whole, and the pointer to the newest must name one.
fn checkpoints(folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for checkpoint in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !checkpoint.is_dir() || is_temporary(checkpoint.strip_prefix(folder).unwrap_or(&checkpoint)) {
            continue;
        }
        let sums = fs::read_to_string(checkpoint.join(SUMS)).unwrap_or_default();
        let listed: Vec<_> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
        let whole = |(sum, name): &(&str, &str)| Checksum::sha256(sum).matches(&checkpoint.join(name)).unwrap_or(false);
        if listed.len() < 3 || listed.len() + 1 != files(&checkpoint).len() || !listed.iter().all(whole) {
            faults.push(format!("{} is damaged", checkpoint.display()));
        }
    }
    if let Ok(latest) = fs::read_to_string(folder.join(LATEST))
        && (latest.trim().is_empty() || !folder.join(latest.trim()).is_dir())
    {
        faults.push(format!("checkpoints/latest names {latest:?}, which is not there"));
    }
    faults
}

/// How a run's folder differs from the unbroken run's, but for the wall clock and where it was resumed.
pub fn differences(whole: &Path, broken: &Path) -> Vec<String> {
    let (expected, found) = (files(whole), files(broken));
    let kept = |name: &Path| {
        let text = name.to_string_lossy();
        !(text == HISTORY || text == LOCK || text.ends_with(SUMS) || text.contains("tfevents"))
    };
    let mut faults = Vec::new();
    for name in expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name))) {
        if !kept(name) {
            continue;
        }
        match (expected.get(name), found.get(name)) {
            (Some(one), Some(other)) if content(one) == content(other) => {}
            (Some(_), Some(_)) => faults.push(format!("{} differs from the unbroken run's", name.display())),
            (None, _) => faults.push(format!("{} is one too many", name.display())),
            (_, None) => faults.push(format!("{} is missing", name.display())),
        }
    }
    // all numbers in events have fixed widths, so that a double or missing one shows
    let size = |files: &BTreeMap<PathBuf, PathBuf>| -> Vec<u64> {
        let events = files.iter().filter(|(name, _)| name.to_string_lossy().contains("tfevents"));
        events.map(|(_, path)| fs::metadata(path).map_or(0, |data| data.len())).collect()
    };
    if size(&expected) != size(&found) {
        faults.push(format!("the event files have {:?} bytes instead of {:?}", size(&found), size(&expected)));
    }
    faults
}

/// The bytes of a file; of JSON what does not depend on the time or on where the run was resumed.
fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut values: Vec<Value> = match path.extension().and_then(OsStr::to_str) {
        Some("json") => serde_json::from_slice(&bytes).into_iter().collect(),
        Some("jsonl") => bytes.split(|byte| *byte == b'\n').flat_map(serde_json::from_slice).collect(),
        _ => return bytes,
    };
    values.iter_mut().for_each(strip);
    serde_json::to_vec(&values).unwrap_or_default()
}

/// Take out wall-clock seconds, the lengths of logs that hold them, and the lines before trouble that this process has seen.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["seconds", "logs", "last"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_run::layout::{CONFIG, METRICS};

    #[test]
    fn half_files_are_seen_and_what_is_being_written_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(METRICS, b"{\"update\":1}\n{\"upd");
        put(".x.png.part", b"half");
        put("checkpoints/.writing/weights.safetensors", b"half");
        assert_eq!(faults(folder.path(), false), Vec::<String>::new());
        assert_eq!(faults(folder.path(), true).len(), 3);
        put(CONFIG, b"{");
        put("x.safetensors", b"\x02\0\0\0\0\0\0\0{}more");
        put("x.png", b"\x89PNG");
        put("x.npy", b"\x93NUMPY");
        put("checkpoints/000005/state.json", b"{}");
        put("checkpoints/latest", b"000010\n");
        assert_eq!(faults(folder.path(), false).len(), 6, "{:?}", faults(folder.path(), false));
    }

    #[test]
    fn folders_differ_by_content_and_not_by_time() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join(METRICS), "{\"update\":1,\"seconds\":1}\n").unwrap();
        fs::write(other.path().join(METRICS), "{\"update\":1,\"seconds\":2}\n").unwrap();
        assert_eq!(differences(one.path(), other.path()), Vec::<String>::new());
        fs::write(other.path().join(METRICS), "{\"update\":2,\"seconds\":1}\n").unwrap();
        fs::write(other.path().join("more.png"), "").unwrap();
        assert_eq!(differences(one.path(), other.path()).len(), 2);
    }
}
