//! Write arrays in numpy's format. Reading is [`crate::npy_header`]'s; the crate that does both compiles a parser generator first.

use ndarray::{ArrayView, Dimension};
use std::io::{self, Write};

/// A number that a `.npy` can hold.
pub trait NpyNumber: Copy {
    /// Its type as numpy names it: `|u1`, `<f4`.
    const KIND: &'static str;

    /// Append its bytes, the lowest first.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! npy_numbers {
    ($($number:ty: $kind:literal),*) => {
        $(impl NpyNumber for $number {
            const KIND: &'static str = $kind;

            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

npy_numbers!(u8: "|u1", u64: "<u8", f32: "<f4", f64: "<f8");

/// Write an array of any shape as `.npy` in C order, format version 1.0 (numpy.lib.format).
///
/// # Errors
/// Of the writer alone.
pub fn npy<A: NpyNumber, D: Dimension>(mut out: impl Write, array: &ArrayView<'_, A, D>) -> io::Result<()> {
    // numpy wants the numbers to begin at a multiple of this
    const ALIGNMENT: usize = 64;
    const BEFORE: usize = 10;
    let shape: String = match array.shape() {
        [only] => format!("{only},"),
        axes => axes.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({shape})}}", A::KIND);
    let length = (BEFORE + header.len() + 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT - BEFORE;
    header.extend(std::iter::repeat_n(' ', length - 1 - header.len()));
    header.push('\n');
    let length = u16::try_from(length).map_err(io::Error::other)?;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    const AT_ONCE: usize = 1 << 16;
    let mut bytes = Vec::with_capacity(AT_ONCE + 8);
    for &number in array {
        number.append(&mut bytes);
        if bytes.len() >= AT_ONCE {
            out.write_all(&bytes)?;
            bytes.clear();
        }
    }
    out.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array, Array0, Array4, ArrayD, IxDyn};
    use ndarray_npy::{WritableElement, WriteNpyExt};

    fn same<A: NpyNumber + WritableElement, D: Dimension>(array: &Array<A, D>) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        npy(&mut ours, &array.view()).unwrap();
        array.write_npy(&mut theirs).unwrap();
        let heads = [&ours, &theirs].map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(140)]).into_owned());
        assert!(ours == theirs, "{heads:?}");
    }

    #[test]
    fn bytes_are_those_of_another_writer() {
        same(&Array4::from_shape_fn((3, 40, 50, 3), |(n, y, x, c)| (n + y * x + c) as u8));
        same(&ArrayD::from_shape_fn(IxDyn(&[7, 2]), |at| at[0] as f32 - 0.5 * at[1] as f32));
        same(&ArrayD::from_shape_fn(IxDyn(&[5]), |at| at[0] as f64 / 3.0));
        same(&ArrayD::<f32>::zeros(IxDyn(&[0, 4])));
        same(&Array0::from_elem((), 1_u64 << 40));
        same(&ArrayD::<u8>::zeros(IxDyn(&[1; 30]))); // a header of two lines
    }

    #[test]
    fn a_view_is_written_as_it_is_seen() {
        let array = Array4::from_shape_fn((2, 3, 4, 5), |(a, b, c, d)| (((a * 3 + b) * 4 + c) * 5 + d) as u8);
        let turned = array.view().permuted_axes([0, 3, 2, 1]);
        let (mut seen, mut copied) = (Vec::new(), Vec::new());
        npy(&mut seen, &turned).unwrap();
        npy(&mut copied, &turned.as_standard_layout().view()).unwrap();
        assert!(seen == copied);
    }
}
