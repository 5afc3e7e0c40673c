//! Read the header of a `.npy`, and write the line of numpy that makes an image set of an array that is none.

use std::path::Path;

/// What stands before the numbers of a `.npy` (numpy.lib.format).
#[derive(Debug, PartialEq)]
pub(crate) struct NpyHeader {
    /// Type of the numbers as numpy names it: `|u1`, `<f4`.
    pub(crate) kind: String,
    /// Whether the first axis runs fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes before the first number.
    pub(crate) offset: usize,
}

impl NpyHeader {
    /// Read the header at the beginning of a file; `None` where it is damaged or another file's.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (length, before) = match bytes.strip_prefix(b"\x93NUMPY")? {
            [1, _, low, high, ..] => (u16::from_le_bytes([*low, *high]).into(), 10),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
            _ => return None,
        };
        let offset = before + length;
        let text = std::str::from_utf8(bytes.get(before..offset)?).ok()?;
        let after = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}'"))?;
            rest.trim_start().strip_prefix(':').map(str::trim_start)
        };
        let kind = match after("descr")?.strip_prefix('\'') {
            Some(rest) => rest.split_once('\'')?.0.to_owned(),
            None => "of several fields".to_owned(), // a list of names and types
        };
        let shape = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        let shape = axes.map(|axis| axis.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?;
        Some(Self { kind, fortran_order: after("fortran_order")?.starts_with("True"), shape, offset })
    }

    /// Whether the numbers are bytes from 0 to 255.
    pub(crate) fn is_bytes(&self) -> bool {
        self.kind.len() == 3 && self.kind.ends_with("u1")
    }

    /// Why this is no image set u8 `[n, h, w, c]` in C order, and the line of numpy that makes one; `None` where it is
    /// one. `numbers` are the file's bytes from `offset` on, of which the first tell the range of floats.
    pub(crate) fn fault(&self, path: &Path, numbers: &[u8]) -> Option<String> {
        let channels = |axis: &usize| matches!(axis, 1 | 3 | 4);
        let axes = match self.shape[..] {
            [_, c, _, w] if !channels(&w) && channels(&c) => Some(".transpose(0, 2, 3, 1)"), // channels first
            [_, _, _, c] if channels(&c) => Some(""),
            [c, _, w] if !channels(&w) && channels(&c) => Some(".transpose(1, 2, 0)[None]"), // one image, channels first
            [_, _, c] if channels(&c) => Some("[None]"),                                     // one image
            [_, _, _] => Some("[..., None]"),                                                // grey
            _ => None,
        };
        let range = self.range(numbers);
        if axes == Some("") && self.is_bytes() && !self.fortran_order {
            return None;
        }
        let order = if self.fortran_order { ", in Fortran order" } else { "" };
        let got = format!("{} {:?}{order}", if self.is_bytes() { "u8" } else { &self.kind }, self.shape);
        let (Some(axes), Some(range)) = (axes, range) else {
            return Some(format!("{got}, which numpy must bring into that form (reshape, transpose, astype('u1'))"));
        };
        let array = format!("numpy.load('{}'){axes}", path.file_name().unwrap_or_default().to_string_lossy());
        let bytes = match range {
            Range::Bytes if self.is_bytes() => array,
            Range::Bytes => format!("{array}.round().clip(0, 255).astype('u1')"),
            Range::Unit => format!("({array} * 255.0).round().astype('u1')"),
            Range::Signed => format!("(({array} + 1) * 127.5).round().clip(0, 255).astype('u1')"),
            Range::Truth => format!("{array}.astype('u1') * 255"),
        };
        Some(format!("{got}; in Python: numpy.save('images.npy', numpy.ascontiguousarray({bytes}))"))
    }

    /// What the numbers mean, as far as the first of them tell.
    fn range(&self, numbers: &[u8]) -> Option<Range> {
        const LOOKED_AT: usize = 1 << 16;
        let big = self.kind.starts_with('>');
        let values: Vec<f64> = match self.kind.get(1..)? {
            "b1" => return Some(Range::Truth),
            "u1" | "i1" | "u2" | "i2" | "u4" | "i4" | "u8" | "i8" => return Some(Range::Bytes),
            // of float16 the exponent's sign suffices: 1.0 is 0x3C00
            "f2" => values(numbers, LOOKED_AT, big, |bytes: [u8; 2]| {
                let bits = u16::from_le_bytes(bytes);
                let size = f64::from(u8::from(bits & 0x7FFF > 0)) + f64::from(u8::from(bits & 0x7FFF > 0x3C00));
                if bits & 0x8000 == 0 { size } else { -size }
            }),
            "f4" => values(numbers, LOOKED_AT, big, |bytes| f64::from(f32::from_le_bytes(bytes))),
            "f8" => values(numbers, LOOKED_AT, big, f64::from_le_bytes),
            _ => return None,
        };
        let (least, most) =
            values.iter().fold((0.0_f64, 0.0_f64), |(least, most), &value| (least.min(value), most.max(value)));
        Some(match (least < 0.0, most <= 1.0) {
            (true, _) => Range::Signed,
            (false, true) => Range::Unit,
            (false, false) => Range::Bytes,
        })
    }
}

/// Where pixels lie.
enum Range {
    /// 0 to 255.
    Bytes,
    /// 0 to 1.
    Unit,
    /// −1 to 1.
    Signed,
    /// Black or white.
    Truth,
}

fn values<const N: usize>(numbers: &[u8], count: usize, big: bool, value: fn([u8; N]) -> f64) -> Vec<f64> {
    let (numbers, _) = numbers.as_chunks::<N>();
    let little = |mut bytes: [u8; N]| {
        if big {
            bytes.reverse();
        }
        bytes
    };
    numbers.iter().take(count).map(|&bytes| value(little(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, IxDyn, ShapeBuilder};
    use ndarray_npy::{WritableElement, WriteNpyExt};

    fn fault_of<A: WritableElement + Clone>(
        shape: &[usize],
        fortran: bool,
        value: impl Fn(usize) -> A,
    ) -> Option<String> {
        let mut count = 0..;
        let array = ArrayD::from_shape_simple_fn(IxDyn(shape).set_f(fortran), || value(count.next().unwrap_or(0)));
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        let header = NpyHeader::read(&bytes).unwrap();
        assert_eq!((&header.shape[..], header.fortran_order), (shape, fortran));
        header.fault(Path::new("some/x.npy"), &bytes[header.offset..])
    }

    #[test]
    fn each_kind_of_array_has_its_line_of_numpy() {
        let byte = |i: usize| i as u8;
        assert_eq!(fault_of(&[2, 5, 7, 3], false, byte), None);
        assert_eq!(fault_of(&[2, 3, 3, 3], false, byte), None);
        for (fault, expected) in [
            (fault_of(&[2, 3, 5, 7], false, byte), "numpy.load('x.npy').transpose(0, 2, 3, 1)))"),
            (fault_of(&[2, 1, 5, 7], false, byte), "numpy.load('x.npy').transpose(0, 2, 3, 1)))"),
            (fault_of(&[3, 5, 7], false, byte), "numpy.load('x.npy').transpose(1, 2, 0)[None]))"),
            (fault_of(&[5, 7, 3], false, byte), "numpy.load('x.npy')[None]))"),
            (fault_of(&[9, 5, 7], false, byte), "numpy.load('x.npy')[..., None]))"),
            (fault_of(&[2, 5, 7, 3], true, byte), "u8 [2, 5, 7, 3], in Fortran order; in Python"),
            (
                fault_of(&[2, 5, 7, 3], false, |i| i as f32 / 209.0),
                "((numpy.load('x.npy') * 255.0).round().astype('u1')))",
            ),
            (
                fault_of(&[2, 3, 5, 7], false, |i| i as f64 / 104.5 - 1.0),
                "(((numpy.load('x.npy').transpose(0, 2, 3, 1) + 1) * 127.5).round().clip(0, 255).astype('u1')))",
            ),
            (fault_of(&[2, 5, 7, 3], false, |i| i as f32), "(numpy.load('x.npy').round().clip(0, 255).astype('u1')))"),
            (fault_of(&[2, 5, 7, 3], false, |i| i as i64), "(numpy.load('x.npy').round().clip(0, 255).astype('u1')))"),
            (fault_of(&[2, 5, 7, 1], false, |i| i > 3), "(numpy.load('x.npy').astype('u1') * 255))"),
            (fault_of(&[9, 3072], false, byte), "u8 [9, 3072], which numpy must bring into that form"),
            (fault_of(&[2, 5, 7, 9], false, byte), "u8 [2, 5, 7, 9], which numpy must bring"),
        ] {
            let fault = fault.unwrap();
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn floats_of_any_width_and_order_tell_their_range() {
        let header =
            |kind: &str| NpyHeader { kind: kind.into(), fortran_order: false, shape: vec![1, 1, 2, 1], offset: 0 };
        for (kind, numbers, expected) in [
            (">f4", [0.5_f32, 1.0].map(f32::to_be_bytes).concat(), "* 255.0"),
            (">f8", [0.5_f64, -1.0].map(f64::to_be_bytes).concat(), "* 127.5"),
            ("<f2", vec![0, 0x3C, 0, 0xBC], "* 127.5"),
            ("<f2", vec![0, 0x3C, 0, 0x38], "* 255.0"),
            ("<f2", vec![0, 0x3C, 1, 0x3C], ".clip(0, 255)"),
        ] {
            let fault = header(kind).fault(Path::new("x.npy"), &numbers).unwrap();
            assert!(fault.contains(expected), "{kind}: {fault}");
        }
        let objects = header("|O").fault(Path::new("x.npy"), &[]).unwrap();
        assert!(objects.starts_with("|O [1, 1, 2, 1], which numpy must bring"), "{objects}");
    }
}
