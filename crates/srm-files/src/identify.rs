//! Say what a file or folder is that came where something else was expected, and the one line that helps.

mod marks;
#[cfg(all(test, feature = "archives"))]
mod tests;

use flate2::read::MultiGzDecoder;
use marks::{FIXED, FOREIGN};
use std::{
    fmt,
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Bytes of a file's beginning that [`identify_bytes`] wants to see.
pub const BEGINNING: usize = 4096;
/// Bytes of a tar archive's header.
const TAR_HEADER: usize = 512;

/// What a file or folder is. Its text is what it is and the line that helps: `a GIF picture: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A folder that is nothing more special.
    Folder,
    /// A file of 0 bytes.
    Empty,
    /// HTML, as servers send it in a file's place.
    WebPage,
    /// What Git LFS keeps in a repository in place of the file.
    LfsPointer,
    /// A picture of a format that is read, by its name.
    Picture(&'static str),
    /// A picture of a format that is not read, by its name.
    ForeignPicture(&'static str),
    /// A film of any format.
    Video,
    /// A PDF document.
    Pdf,
    /// One numpy array.
    Npy,
    /// Numpy arrays by name.
    Npz,
    /// Tensors as safetensors.
    Safetensors,
    /// What `torch.save` writes, in its zip form or the older one.
    Torch,
    /// A module saved by `torch.jit.save`.
    TorchScript,
    /// Python objects.
    Pickle,
    /// CIFAR-10 or CIFAR-100 in its Python version: the archive or one of its batches.
    CifarPython,
    /// Raw images as MNIST has them, packed or not.
    Idx,
    /// A table of Parquet.
    Parquet,
    /// A table of Arrow.
    Arrow,
    /// A file of HDF5.
    Hdf5,
    /// A file of MATLAB.
    Matlab,
    /// A database of LMDB: its folder or file.
    Lmdb,
    /// Records of TensorFlow.
    TfRecord,
    /// A zip archive that is nothing more special.
    Zip,
    /// A tar archive, packed with gzip or not.
    Tar,
    /// An archive or packed file that is not read: its name and the command that unpacks it.
    Packed(&'static str, &'static str),
    /// A file of JSON.
    Json,
    /// Words.
    Text,
}

impl Kind {
    /// What it is, with its article: `a Parquet table`.
    pub fn what(self) -> String {
        let text = match self {
            Self::Folder => "a folder",
            Self::Empty => "an empty file (0 bytes)",
            Self::WebPage => "a web page saved as a file",
            Self::LfsPointer => "a Git LFS pointer, not the file itself",
            Self::Picture(format) | Self::ForeignPicture(format) => return format!("a picture ({format})"),
            Self::Video => "a video",
            Self::Pdf => "a PDF document",
            Self::Npy => "a numpy array (.npy)",
            Self::Npz => "an archive of numpy arrays (.npz)",
            Self::Safetensors => "a file of weights (safetensors)",
            Self::Torch => "a file of torch.save (.pt, .pth)",
            Self::TorchScript => "a TorchScript module (torch.jit.save)",
            Self::Pickle => "a Python pickle",
            Self::CifarPython => "CIFAR in its Python version",
            Self::Idx => "an IDX file of images (MNIST)",
            Self::Parquet => "a Parquet table",
            Self::Arrow => "an Arrow table",
            Self::Hdf5 => "an HDF5 file",
            Self::Matlab => "a MATLAB file",
            Self::Lmdb => "an LMDB database",
            Self::TfRecord => "a TFRecord file",
            Self::Zip => "a zip archive",
            Self::Tar => "a tar archive",
            Self::Packed(format, _) => return format!("packed with {format}"),
            Self::Json => "a JSON file",
            Self::Text => "a text file",
        };
        text.to_owned()
    }

    /// The one line that helps.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Folder | Self::Zip | Self::Tar | Self::Idx | Self::Picture(_) => {
                "`cargo xtask preprocess --input PATH --size N --out X.npy` makes an image set of pictures"
            }
            Self::Empty => "write or download it again",
            Self::WebPage => "open it to see what the server said, and download the file itself",
            Self::LfsPointer => "`git lfs pull` in its repository brings the file",
            Self::ForeignPicture(_) => {
                "this format is not read; convert the pictures, e.g. `magick mogrify -format png *.ENDING`"
            }
            Self::Video => "`ffmpeg -i FILE FOLDER/%06d.png` makes pictures of it",
            Self::Pdf => "`pdfimages -png FILE FOLDER/x` takes its pictures out",
            Self::Npy => "image sets, u8 [n, h, w, c], are given as --data, --samples, --images or data.images",
            Self::Npz => {
                "save the array of the images alone: numpy.save('x.npy', numpy.load('x.npz')['arr_0']) (numpy.load('x.npz').files lists the names)"
            }
            Self::Safetensors => "weights are given as --weights",
            Self::Torch => {
                "weights are given as --weights; a tensor becomes an array by numpy.save('x.npy', torch.load('x.pt').numpy())"
            }
            Self::TorchScript => "a feature network is given as --features",
            Self::Pickle => "load it in Python and save the array: numpy.save('x.npy', array)",
            Self::CifarPython => {
                "take the binary version (cifar-10-binary.tar.gz); `cargo xtask fetch-cifar10` gets it"
            }
            Self::Parquet | Self::Arrow => {
                "write its pictures to files in Python: for i, row in enumerate(pandas.read_parquet(FILE)['image']): open(f'{i:06}.png', 'wb').write(row['bytes'])"
            }
            Self::Hdf5 => "save its array in Python: numpy.save('x.npy', h5py.File(FILE)[KEY][:])",
            Self::Matlab => "save its array in Python: numpy.save('x.npy', scipy.io.loadmat(FILE)[KEY])",
            Self::Lmdb => {
                "write its pictures to files in Python: for i, (_, value) in enumerate(lmdb.open(FOLDER).begin().cursor()): open(f'{i:06}.png', 'wb').write(value)"
            }
            Self::TfRecord => "write its pictures to files in Python, with tf.data.TFRecordDataset(FILE)",
            Self::Packed(_, command) => command,
            Self::Json => "a config is given as --config",
            Self::Text => "look into it; it holds words, not data",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}

/// What lies at `path`, by its content, and only where that says nothing by its name; `None` where neither does, or
/// where it cannot be read.
pub fn identify(path: &Path) -> Option<Kind> {
    let found = fs::metadata(path).ok()?;
    if found.is_dir() {
        let lmdb = path.join("data.mdb").is_file();
        return Some(if lmdb { Kind::Lmdb } else { Kind::Folder });
    }
    if !found.is_file() {
        return None; // a pipe or a device: reading would take what it gives, or wait
    }
    let mut beginning = Vec::with_capacity(BEGINNING);
    File::open(path).ok()?.take(BEGINNING as u64).read_to_end(&mut beginning).ok()?;
    let known = identify_bytes(&beginning);
    match known {
        Some(_) if beginning.starts_with(b"PK") => of_archive(path).or(known),
        None | Some(Kind::Text) => identify_name(path).or(known),
        _ => known,
    }
}

/// What a file is that begins so; [`BEGINNING`] bytes, or all where it has fewer.
pub fn identify_bytes(beginning: &[u8]) -> Option<Kind> {
    let fixed = FIXED.iter().find(|(at, bytes, _)| beginning.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    if let Some((.., kind)) = fixed {
        return Some(*kind);
    }
    match beginning {
        [] => Some(Kind::Empty),
        [b'P', b'1'..=b'7', white, ..] if white.is_ascii_whitespace() => Some(Kind::Picture("PGM/PPM")),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(of_zip([first_name(beginning)].into_iter()).unwrap_or(Kind::Zip)),
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] if form.starts_with(b"WEBP") => Some(Kind::Picture("WebP")),
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] if form.starts_with(b"AVI ") => Some(Kind::Video),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => Some(of_brand(brand)),
        // the length of the second header, which every BMP has, tells one from a text that begins with BM
        [b'B', b'M', rest @ ..] if matches!(rest.get(12..16), Some([12..=124, 0, 0, 0])) => Some(Kind::Picture("BMP")),
        [0x80, 2..=5, ..] => Some(if is_cifar_batch(beginning) { Kind::CifarPython } else { Kind::Pickle }),
        [0x1F, 0x8B, ..] => Some(of_gzip(beginning)),
        [_, _, _, _, _, 0, 0, 0, b'{', b'"' | b'}' | b' ', ..] => Some(Kind::Safetensors),
        _ if is_tar_header(beginning) => Some(of_tar(beginning)),
        _ if is_record(beginning) => Some(Kind::TfRecord),
        _ => of_text(beginning),
    }
}

/// What a file of this name should be, by its ending or by its name where that is an ending alone (`.gif`); formats that
/// are read, and those whose content always tells them, are not among these.
pub fn identify_name(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let foreign = |ending: &str| FOREIGN.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format);
    match name.rsplit_once('.')?.1 {
        "tfrecord" | "tfrecords" => Some(Kind::TfRecord),
        "pkl" | "pickle" => Some(Kind::Pickle),
        "mdb" | "lmdb" => Some(Kind::Lmdb),
        "mp4" | "mov" | "avi" | "mkv" | "webm" | "mpg" => Some(Kind::Video),
        ending => foreign(ending).map(Kind::ForeignPicture),
    }
}

/// What the brand after `ftyp` says, ISO 14496-12.
fn of_brand(brand: &[u8]) -> Kind {
    match brand.get(..4) {
        Some(b"avif" | b"avis") => Kind::ForeignPicture("AVIF"),
        Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => Kind::ForeignPicture("HEIC"),
        Some(b"crx ") => Kind::ForeignPicture("CR3"),
        _ => Kind::Video,
    }
}

/// The name in the first local header of a zip.
fn first_name(beginning: &[u8]) -> String {
    let length = beginning.get(26..28).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let name = beginning.get(30..30 + length).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// What a zip is by all its names; `None` where it is damaged, or where nobody can look.
#[cfg(not(feature = "archives"))]
fn of_archive(_path: &Path) -> Option<Kind> {
    None
}

/// What a zip is by all its names; `None` where it is damaged, or where nobody can look.
#[cfg(feature = "archives")]
fn of_archive(path: &Path) -> Option<Kind> {
    let archive = zip::ZipArchive::new(std::io::BufReader::new(File::open(path).ok()?)).ok()?;
    Some(of_zip(archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()))).unwrap_or(Kind::Zip))
}

/// What a zip with entries of these names is, where it is more than a zip.
fn of_zip(names: impl Iterator<Item = String>) -> Option<Kind> {
    let (mut torch, mut numpy, mut all) = (false, 0, 0);
    for name in names {
        if name.ends_with("/constants.pkl") || name.contains("/code/__torch__") {
            return Some(Kind::TorchScript);
        }
        torch |= name.ends_with("/data.pkl");
        numpy += usize::from(name.ends_with(".npy"));
        all += 1;
    }
    match (torch, numpy) {
        (true, _) => Some(Kind::Torch),
        (false, numpy) if numpy > 0 && numpy == all => Some(Kind::Npz),
        _ => None,
    }
}

fn of_gzip(beginning: &[u8]) -> Kind {
    let mut unpacked = Vec::new();
    // the beginning ends somewhere in the stream, which is an error after what came before it
    let _ = MultiGzDecoder::new(beginning).take(BEGINNING as u64).read_to_end(&mut unpacked);
    match identify_bytes(&unpacked) {
        Some(kind @ (Kind::Tar | Kind::CifarPython | Kind::Idx)) => kind,
        _ => Kind::Packed("gzip", "unpack it: `gunzip FILE`"),
    }
}

fn of_tar(header: &[u8]) -> Kind {
    let python = [&b"cifar-10-batches-py"[..], b"cifar-100-python"].iter().any(|name| header.starts_with(name));
    if python { Kind::CifarPython } else { Kind::Tar }
}

/// Whether these bytes are the header of a tar archive's first file: its checksum is the sum of its bytes, the
/// checksum's own eight counted as spaces (POSIX, pax).
fn is_tar_header(beginning: &[u8]) -> bool {
    let Some(header) = beginning.get(..TAR_HEADER) else { return false };
    let (before, rest) = header.split_at(148);
    let (written, after) = rest.split_at(8);
    let written = std::str::from_utf8(written).unwrap_or_default().trim_matches(['\0', ' ']);
    let sum = before.iter().chain(&[b' '; 8]).chain(after).map(|&byte| u32::from(byte)).sum::<u32>();
    header[0] != 0 && u32::from_str_radix(written, 8) == Ok(sum)
}

/// Whether a pickle begins as the batches of CIFAR's Python version do.
fn is_cifar_batch(beginning: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&beginning[..beginning.len().min(64)]);
    ["batch_label", "num_cases_per_batch", "fine_label", "filenames"].iter().any(|key| head.contains(key))
}

/// Whether a length of eight bytes and its masked CRC stand at the beginning (TensorFlow's record format).
fn is_record(beginning: &[u8]) -> bool {
    let (Some(length), Some(written)) = (beginning.get(..8), beginning.get(8..12)) else { return false };
    let masked = crc32c::crc32c(length).rotate_right(15).wrapping_add(0xA282_EAD8);
    written == masked.to_le_bytes()
}

/// Kinds of text; also where the beginning ends within a letter.
fn of_text(beginning: &[u8]) -> Option<Kind> {
    let text = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&beginning[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.contains(|letter: char| letter.is_ascii_control() && !letter.is_ascii_whitespace() && letter != '\x1B') {
        return None;
    }
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let head: String = text.chars().take(1024).collect::<String>().to_ascii_lowercase();
    match head.as_str() {
        _ if head.starts_with("<!doctype html") || head.starts_with("<html") => Some(Kind::WebPage),
        _ if head.starts_with("<svg") || (head.starts_with("<?xml") && head.contains("<svg")) => {
            Some(Kind::ForeignPicture("SVG"))
        }
        _ if head.starts_with('{') || head.starts_with('[') => Some(Kind::Json),
        _ => Some(Kind::Text),
    }
}
