//! Read arrays of numbers from a `.npz`, of any dtype and order, and believe no header: memory follows what is there.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use half::f16;
use zip::ZipArchive;

/// Bytes of a `.npy` header at most; numpy's own limit is 10,000.
const LONGEST_HEADER: usize = 1 << 16;

/// A `.npz`. Errors are reasons, which the caller puts behind the name of the file.
pub(crate) struct Npz(ZipArchive<BufReader<File>>);

/// What the header of an array says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Such as `<f8`.
    pub(crate) dtype: String,
    /// First axis fastest.
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
}

/// Numbers in C order.
pub(crate) struct Numbers {
    pub(crate) header: Header,
    pub(crate) values: Vec<f64>,
}

impl Npz {
    /// Whether a file begins as a zip archive does.
    pub(crate) fn is_file(path: &Path) -> bool {
        let mut begins = [0; 2];
        File::open(path).and_then(|mut file| file.read_exact(&mut begins)).is_ok_and(|()| begins == *b"PK")
    }

    pub(crate) fn open(path: &Path) -> Result<Npz, String> {
        let file = File::open(path).map_err(|error| format!("cannot read: {error}"))?;
        ZipArchive::new(BufReader::new(file)).map(Npz).map_err(|error| format!("is no .npz: {error}"))
    }

    /// Names of the arrays, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.file_names().filter_map(Result::ok);
        names.map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()).collect()
    }

    /// What the header of an array says.
    pub(crate) fn header(&mut self, name: &str) -> Result<Header, String> {
        self.array(name).map(|(header, _)| header)
    }

    /// The bytes of an array of u8.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let (header, reader) = self.array(name)?;
        match &*header.dtype {
            "|u1" => whole(name, &header, 1, reader),
            other => Err(format!("{name} is of dtype {other}, not |u1")),
        }
    }

    /// An array of real numbers as f64: f2, f4, f8 or whole numbers, of either byte order.
    pub(crate) fn numbers(&mut self, name: &str) -> Result<Numbers, String> {
        let (header, reader) = self.array(name)?;
        let (order, kind) = header.dtype.split_at(1.min(header.dtype.len()));
        let big = order == ">";
        /// Numbers of so many bytes each, turned to little-endian.
        fn each<const N: usize>(mut bytes: Vec<u8>, big: bool, read: fn([u8; N]) -> f64) -> Vec<f64> {
            let (numbers, _) = bytes.as_chunks_mut::<N>();
            if big {
                numbers.iter_mut().for_each(|number| number.reverse());
            }
            numbers.iter().map(|number| read(*number)).collect()
        }
        macro_rules! read {
            ($type:ty) => {
                each(whole(name, &header, size_of::<$type>(), reader)?, big, |bytes| {
                    <$type>::from_le_bytes(bytes) as f64
                })
            };
        }
        let values = match kind {
            "f2" => each(whole(name, &header, 2, reader)?, big, |bytes| f16::from_le_bytes(bytes).to_f64()),
            "f4" => read!(f32),
            "f8" => read!(f64),
            "i1" => read!(i8),
            "i2" => read!(i16),
            "i4" => read!(i32),
            "i8" => read!(i64),
            "u1" => read!(u8),
            "u2" => read!(u16),
            "u4" => read!(u32),
            "u8" => read!(u64),
            "O" => return Err(format!("{name} holds Python objects; save it as an array of numbers")),
            _ => return Err(format!("{name} is of dtype {}, which is no real number", header.dtype)),
        };
        let values = if header.fortran { in_c_order(&values, &header.shape) } else { values };
        Ok(Numbers { header, values })
    }

    fn array(&mut self, name: &str) -> Result<(Header, impl Read + '_), String> {
        let wrong = |error: zip::result::ZipError| format!("{name} cannot be read: {error}");
        let entry = format!("{name}.npy");
        let entry = if self.0.index_for_name(&entry).is_some() { entry } else { name.to_owned() };
        let mut reader = self.0.by_name(&entry).map_err(wrong)?;
        let header =
            header(&mut reader).ok_or_else(|| format!("{name} is no array: its header cannot be understood"))?;
        Ok((header, reader))
    }
}

/// The bytes of an array, read as they come: a header that promises more than there is costs nothing.
fn whole(name: &str, header: &Header, size: usize, reader: impl Read) -> Result<Vec<u8>, String> {
    let wanted = header.shape.iter().try_fold(size, |bytes, &side| bytes.checked_mul(side));
    let wanted = wanted.ok_or_else(|| format!("{name} has the shape {:?}, which no machine holds", header.shape))?;
    let mut bytes = Vec::new();
    reader.take(wanted as u64).read_to_end(&mut bytes).map_err(|error| format!("{name} is damaged: {error}"))?;
    match wanted - bytes.len() {
        0 => Ok(bytes),
        missing => Err(format!("{name} is cut off: {missing} bytes of its shape {:?} are missing", header.shape)),
    }
}

/// Values with the first axis fastest, in C order.
fn in_c_order(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut strides = Vec::with_capacity(shape.len());
    shape.iter().fold(1, |stride, side| {
        strides.push(stride);
        stride * side
    });
    let place = |mut index: usize| {
        shape.iter().zip(&strides).rev().fold(0, |place, (&side, &stride)| {
            let at = index % side;
            index /= side;
            place + at * stride
        })
    };
    (0..values.len()).map(|index| values[place(index)]).collect()
}

/// The header of a `.npy`, versions 1 to 3: a literal of Python, of which numpy writes three keys.
fn header(reader: &mut impl Read) -> Option<Header> {
    let mut start = [0; 8];
    reader.read_exact(&mut start).ok()?;
    let length = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).ok()?;
            usize::from(u16::from_le_bytes(length))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).ok()?;
            u32::from_le_bytes(length) as usize
        }
        _ => return None,
    };
    if length > LONGEST_HEADER {
        return None;
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let after = |key: &str| {
        let rest = ['\'', '"'].into_iter().find_map(|quote| text.split_once(&format!("{quote}{key}{quote}")))?.1;
        rest.trim_start().strip_prefix(':').map(str::trim_start)
    };
    let dtype = after("descr")?;
    let quote = dtype.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let dtype = dtype[1..].split_once(quote)?.0.to_owned();
    let fortran = match after("fortran_order")? {
        order if order.starts_with("True") => true,
        order if order.starts_with("False") => false,
        _ => return None,
    };
    let sides = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>()?;
    Some(Header { dtype, fortran, shape })
}
