//! Keep the containers of formats in order after a change: lengths, checksums, signatures.

use crate::{Dice, mutate::change_bytes};
use flate2::Crc;

/// PNG's signature.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(crate) fn u32_be(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(|four| u32::from_be_bytes(four) as usize)
}

pub(crate) fn u32_le(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(|four| u32::from_le_bytes(four) as usize)
}

pub(crate) fn u16_le(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2).map(|two| usize::from(two[0]) | usize::from(two[1]) << 8)
}

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Write `what` at the beginning.
pub(crate) fn begin_with(bytes: &mut Vec<u8>, what: &[u8]) {
    bytes.resize(bytes.len().max(what.len()), 0);
    bytes[..what.len()].copy_from_slice(what);
}

/// Make the CRC of every chunk of a PNG right, as far as the lengths lead.
pub(crate) fn mend_png(bytes: &mut [u8]) {
    let mut at = PNG.len();
    while let Some(length) = u32_be(bytes, at) {
        let end = at.saturating_add(8).saturating_add(length);
        let Some(data) = bytes.get(at + 4..end) else { break };
        let sum = crc32(data).to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&sum);
        at = end + 4;
    }
}

/// Where a zip's end record lies.
pub(crate) fn zip_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).rposition(|four| four == b"PK\x05\x06").filter(|at| at + 22 <= bytes.len())
}

/// Make the CRC of every entry that is stored as it is right, in both of its headers.
pub(crate) fn mend_zip(bytes: &mut Vec<u8>) {
    begin_with(bytes, b"PK\x03\x04");
    let mut at = zip_end(bytes).and_then(|end| u32_le(bytes, end + 16)).unwrap_or(usize::MAX);
    while bytes.get(at..at.saturating_add(46)).is_some_and(|header| header.starts_with(b"PK\x01\x02")) {
        let field = |offset| u16_le(bytes, at + offset).unwrap_or(0);
        let (method, next) = (field(10), at + 46 + field(28) + field(30) + field(32));
        let (size, local) = (u32_le(bytes, at + 20).unwrap_or(0), u32_le(bytes, at + 42).unwrap_or(0));
        let names = |offset| u16_le(bytes, local + offset).unwrap_or(0);
        let data = local + 30 + names(26) + names(28);
        if let (0, Some(stored)) = (method, bytes.get(data..data.saturating_add(size))) {
            let sum = crc32(stored).to_le_bytes();
            bytes[at + 16..at + 20].copy_from_slice(&sum);
            bytes[local + 14..local + 18].copy_from_slice(&sum);
        }
        at = next;
    }
}

/// Make the sum of every header of a tar right, as far as the sizes lead.
pub(crate) fn mend_tar(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + 512).filter(|header| header.iter().any(|byte| *byte != 0)) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).ok().and_then(|text| usize::from_str_radix(text, 8).ok());
        at += 512 + size.unwrap_or(0).next_multiple_of(512);
    }
}

/// Split a safetensors file into its header and its data, where the length of the header leads inside.
pub(crate) fn split_safetensors(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// A safetensors file of a header and data.
pub(crate) fn join_safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// Change the header of a safetensors file as JSON, or a byte of the data.
pub(crate) fn change_safetensors(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let Some((header, data)) = split_safetensors(bytes) else { return change_bytes(bytes, dice) };
    let (mut header, mut data) = (header.to_vec(), data.to_vec());
    match dice.below(4) {
        0 => change_bytes(&mut data, dice),
        _ => header = crate::tree::change_json(&header, dice),
    }
    *bytes = join_safetensors(&header, &data);
}

/// Whether the header of a safetensors file is where its length says, and JSON.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    split_safetensors(bytes).is_some_and(|(header, _)| serde_json::from_slice::<serde_json::Value>(header).is_ok())
}

/// Let the length of a safetensors header lead to the end of the JSON that stands there.
pub(crate) fn mend_safetensors(bytes: &mut [u8]) {
    if is_safetensors(bytes) || bytes.len() < 8 {
        return;
    }
    let mut values = serde_json::Deserializer::from_slice(&bytes[8..]).into_iter::<serde_json::Value>();
    if let Some(Ok(_)) = values.next() {
        let length = values.byte_offset() as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
    }
}

/// The parts of an input of several files: a number, four bytes of length, the content; half a part at the end is left out.
pub(crate) fn split_parts(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut parts = Vec::new();
    while let (Some(number), Some(length)) = (bytes.first(), u32_le(bytes, 1)) {
        let Some((content, rest)) = bytes[5..].split_at_checked(length) else { break };
        parts.push((*number, content));
        bytes = rest;
    }
    parts
}

/// An input of several files.
pub(crate) fn join_parts<T: AsRef<[u8]>>(parts: &[(u8, T)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, content) in parts {
        bytes.push(*number);
        bytes.extend((content.as_ref().len() as u32).to_le_bytes());
        bytes.extend(content.as_ref());
    }
    bytes
}

/// Change one part by `change`, or drop or double one.
pub(crate) fn change_parts(bytes: &mut Vec<u8>, dice: &mut Dice, change: fn(u8, &[u8], &mut Dice) -> Vec<u8>) {
    let mut parts: Vec<(u8, Vec<u8>)> =
        split_parts(bytes).into_iter().map(|(number, content)| (number, content.to_vec())).collect();
    if parts.is_empty() {
        return change_bytes(bytes, dice);
    }
    let at = dice.below(parts.len());
    match dice.below(16) {
        0 => drop(parts.remove(at)),
        1 => parts.push(parts[at].clone()),
        _ => parts[at].1 = change(parts[at].0, &parts[at].1, dice),
    }
    *bytes = join_parts(&parts);
}
