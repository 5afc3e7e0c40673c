//! Change an input: in the terms of its format, or byte by byte, with checksums and lengths made right again.

use crate::{Dice, Door};

/// Numbers at which readers go wrong.
pub(crate) const ODD: [u64; 16] = [
    0,
    1,
    2,
    4,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    65_536,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// Make another input of a valid one, or of one that was made here. `engine` changes bytes by what it knows of the code;
/// without an engine it does nothing and returns false.
pub fn mutate(door: &Door, bytes: &mut Vec<u8>, dice: &mut Dice, engine: &mut dyn FnMut(&mut Vec<u8>) -> bool) {
    let before = bytes.clone();
    for _ in 0..1 + dice.below(3) {
        if dice.one_in(2) {
            (door.change)(bytes, dice);
        } else if dice.one_in(2) || !engine(bytes) {
            change_bytes(bytes, dice);
        }
    }
    // what the first look at a file refuses says little about the rest of its reader
    if !dice.one_in(8) {
        (door.mend)(bytes);
        let tries = if dice.one_in(8) { 0 } else { 4 };
        for _ in 0..tries {
            if (door.header)(bytes) {
                break;
            }
            bytes.clone_from(&before);
            (door.change)(bytes, dice);
            (door.mend)(bytes);
        }
    }
    bytes.truncate(door.longest);
}

/// One change that knows nothing of the format.
pub(crate) fn change_bytes(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return bytes.push(dice.bits() as u8);
    }
    let at = dice.below(bytes.len());
    match dice.below(10) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.bits() as u8,
        2 => bytes[at] = bytes[at].wrapping_add(dice.one_of(&[1, 255, 16, 240])),
        3 | 4 => {
            let (width, odd) = (dice.one_of(&[1, 2, 4, 8]), dice.one_of(&ODD));
            let number = if dice.one_in(2) { odd.to_le_bytes() } else { (odd << (64 - 8 * width)).to_be_bytes() };
            let end = (at + width).min(bytes.len());
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        5 => change_digits(bytes, at, dice),
        6 => {
            let end = at + 1 + dice.below((bytes.len() - at).min(64));
            bytes.drain(at..end);
        }
        7 => {
            let end = at + 1 + dice.below((bytes.len() - at).min(64));
            let twice = bytes[at..end].to_vec();
            let place = dice.below(bytes.len() + 1);
            bytes.splice(place..place, twice);
        }
        8 => {
            let other = dice.below(bytes.len());
            bytes.swap(at, other);
        }
        _ if dice.one_in(4) => bytes.truncate(at),
        _ => bytes.insert(at, dice.bits() as u8),
    }
}

/// Write another number where one stands in text, at or after `at`.
pub(crate) fn change_digits(bytes: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = if dice.one_in(8) { "-" } else { "" };
    let text = format!("{sign}{}", dice.one_of(&ODD));
    bytes.splice(start..start + length, text.into_bytes());
}
