//! The marks by which formats are known: bytes at fixed places, and endings of names.

use super::Kind;

/// Where in a file which bytes stand, and what it is then.
#[rustfmt::skip]
pub(super) const FIXED: [(usize, &[u8], Kind); 42] = [
    (0, b"\x89PNG\r\n\x1a\n", Kind::Picture("PNG")),
    (0, b"\xFF\xD8\xFF", Kind::Picture("JPEG")),
    (0, b"GIF8", Kind::ForeignPicture("GIF")),
    (0, b"II*\0", Kind::ForeignPicture("TIFF")),
    (0, b"MM\0*", Kind::ForeignPicture("TIFF")),
    (0, b"II+\0", Kind::ForeignPicture("TIFF")),
    (0, b"\0\0\0\x0CJXL ", Kind::ForeignPicture("JPEG XL")),
    (0, b"\xFF\x0A", Kind::ForeignPicture("JPEG XL")),
    (0, b"\0\0\0\x0CjP  ", Kind::ForeignPicture("JPEG 2000")),
    (0, b"\xFF\x4F\xFF\x51", Kind::ForeignPicture("JPEG 2000")),
    (0, b"8BPS", Kind::ForeignPicture("Photoshop")),
    (0, b"qoif", Kind::ForeignPicture("QOI")),
    (0, b"\x76\x2F\x31\x01", Kind::ForeignPicture("OpenEXR")),
    (0, b"#?RADIANCE", Kind::ForeignPicture("HDR")),
    (0, b"\0\0\x01\0", Kind::ForeignPicture("ICO")),
    (0, b"DDS ", Kind::ForeignPicture("DDS")),
    (0, b"Pf\n", Kind::ForeignPicture("PFM")),
    (0, b"PF\n", Kind::ForeignPicture("PFM")),
    (128, b"DICM", Kind::ForeignPicture("DICOM")),
    (0, b"%PDF", Kind::Pdf),
    (0, b"\x1A\x45\xDF\xA3", Kind::Video),
    (0, b"\0\0\x01\xBA", Kind::Video),
    (0, b"\0\0\x01\xB3", Kind::Video),
    (0, b"FLV\x01", Kind::Video),
    (0, b"\x93NUMPY", Kind::Npy),
    (0, b"\0\0\x08\x03", Kind::Idx),
    (0, b"PAR1", Kind::Parquet),
    (0, b"ARROW1", Kind::Arrow),
    (0, b"\xFF\xFF\xFF\xFF", Kind::Arrow), // a stream: as the files of Hugging Face's datasets begin
    (0, b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
    (0, b"MATLAB 7.3", Kind::Hdf5),
    (0, b"MATLAB 5.0", Kind::Matlab),
    (16, b"\xDE\xC0\xEF\xBE", Kind::Lmdb),
    // the magic number 0x1950a86a20f9469cfc6c as a pickle, before zip files came with torch 1.6
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", Kind::Torch),
    (0, b"7z\xBC\xAF\x27\x1C", Kind::Packed("7-Zip", "unpack it: `7z x FILE`")),
    (0, b"Rar!\x1A\x07", Kind::Packed("RAR", "unpack it: `unrar x FILE`")),
    (0, b"\xFD7zXZ\0", Kind::Packed("xz", "unpack it: `tar xf FILE`, or `xz -d FILE` where it is no archive")),
    (0, b"BZh", Kind::Packed("bzip2", "unpack it: `tar xf FILE`, or `bzip2 -d FILE` where it is no archive")),
    (0, b"\x28\xB5\x2F\xFD", Kind::Packed("zstd", "unpack it: `tar xf FILE`, or `zstd -d FILE` where it is no archive")),
    (0, b"\x1F\x9D", Kind::Packed("compress", "unpack it: `tar xf FILE`, or `uncompress FILE` where it is no archive")),
    (0, b"version https://git-lfs.github.com/spec/", Kind::LfsPointer),
    (0, b"/annex/objects/", Kind::Packed("git-annex", "`git annex get FILE` brings the file")),
];

/// Endings of picture files that are not read.
#[rustfmt::skip]
pub(super) const FOREIGN: [(&str, &str); 23] = [
    ("gif", "GIF"), ("tif", "TIFF"), ("tiff", "TIFF"), ("heic", "HEIC"), ("heif", "HEIC"), ("avif", "AVIF"),
    ("jxl", "JPEG XL"), ("jp2", "JPEG 2000"), ("j2k", "JPEG 2000"), ("psd", "Photoshop"), ("svg", "SVG"),
    ("svgz", "SVG"), ("tga", "TGA"), ("ico", "ICO"), ("qoi", "QOI"), ("exr", "OpenEXR"), ("hdr", "HDR"),
    ("dds", "DDS"), ("pfm", "PFM"), ("dcm", "DICOM"), ("dng", "DNG"), ("cr2", "CR2"), ("nef", "NEF"),
];
