//! Every kind of file is named by what it holds, whatever its name says.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    builder.append_data(&mut header, name, &b"x"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn zip(names: &[&str]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in names {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn content_decides_whatever_the_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.png");
    let record = {
        let length = 5_u64.to_le_bytes();
        let masked = crc32c::crc32c(&length).rotate_right(15).wrapping_add(0xA282_EAD8);
        [&length[..], &masked.to_le_bytes(), b"hello"].concat()
    };
    let lmdb = [&[0; 16][..], b"\xDE\xC0\xEF\xBE\x01\0\0\0"].concat();
    let bmp = [b"BM", &[0; 12][..], &[40, 0, 0, 0], &[0; 8]].concat();
    for (bytes, expected) in [
        (&b""[..], Kind::Empty),
        (b"\x89PNG\r\n\x1a\nrest", Kind::Picture("PNG")),
        (b"\xFF\xD8\xFF\xE1", Kind::Picture("JPEG")),
        (b"P6\n2 2\n255\n", Kind::Picture("PGM/PPM")),
        (b"RIFF1234WEBPVP8L", Kind::Picture("WebP")),
        (&bmp, Kind::Picture("BMP")),
        (b"GIF89a", Kind::ForeignPicture("GIF")),
        (b"MM\0*", Kind::ForeignPicture("TIFF")),
        (b"\0\0\0\x18ftypheic", Kind::ForeignPicture("HEIC")),
        (b"\0\0\0\x20ftypavif", Kind::ForeignPicture("AVIF")),
        (b"<?xml version=\"1.0\"?>\n<svg>", Kind::ForeignPicture("SVG")),
        (b"\0\0\0\x18ftypmp42", Kind::Video),
        (b"\x1A\x45\xDF\xA3", Kind::Video),
        (b"%PDF-1.7", Kind::Pdf),
        (b"\xEF\xBB\xBF\n<!DOCTYPE HTML>", Kind::WebPage),
        (b"<html lang=en>", Kind::WebPage),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", Kind::LfsPointer),
        (b"\x93NUMPY\x01\0", Kind::Npy),
        (b"\x40\0\0\0\0\0\0\0{\"w\":", Kind::Safetensors),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", Kind::Torch),
        (b"\x80\x04\x95", Kind::Pickle),
        (b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U", Kind::CifarPython),
        (b"\0\0\x08\x03\0\0\0\x01", Kind::Idx),
        (b"PAR1", Kind::Parquet),
        (b"ARROW1\0\0", Kind::Arrow),
        (b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
        (b"MATLAB 5.0 MAT-file", Kind::Matlab),
        (&lmdb, Kind::Lmdb),
        (&record, Kind::TfRecord),
        (&zip(&["b/x.png"]), Kind::Zip),
        (&zip(&["mu.npy", "sigma.npy"]), Kind::Npz),
        (&zip(&["mu.npy", "sigma.txt"]), Kind::Zip),
        (&zip(&["net/data.pkl", "net/version"]), Kind::Torch),
        (&zip(&["net/data/0", "net/data.pkl", "net/constants.pkl"]), Kind::TorchScript),
        (&tar("img/1.png"), Kind::Tar),
        (&gzip(&tar("img/1.png")), Kind::Tar),
        (&gzip(&tar("cifar-10-batches-py/data_batch_4")), Kind::CifarPython),
        (&gzip(b"\0\0\x08\x03\0\0\0\x01"), Kind::Idx),
        (b"{\"data\": 1}", Kind::Json),
        ("ein paar Wörter".as_bytes(), Kind::Text),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(identify(&path), Some(expected), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
    }
    for (bytes, expected) in [
        (&b"7z\xBC\xAF\x27\x1C"[..], "packed with 7-Zip: unpack it: `7z x FILE`"),
        (b"Rar!\x1A\x07\x01\0", "packed with RAR: unpack it: `unrar x FILE`"),
        (b"\xFD7zXZ\0", "packed with xz"),
        (b"BZh91AY", "packed with bzip2"),
        (&gzip(b"\x07\x00"), "packed with gzip: unpack it: `gunzip FILE`"),
    ] {
        let text = identify_bytes(bytes).unwrap().to_string();
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(identify_bytes(&[7; 600]), None);
    assert_eq!(identify_bytes(b"BM"), Some(Kind::Text));
}

#[test]
fn the_name_helps_where_the_content_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("x.tga", Some(Kind::ForeignPicture("TGA"))),
        ("x.TFRecord", Some(Kind::TfRecord)),
        ("x.pkl", Some(Kind::Pickle)),
        ("x.dat", None),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, [7; 600]).unwrap();
        assert_eq!(identify(&path), expected);
    }
    assert_eq!(identify(folder.path()), Some(Kind::Folder));
    assert_eq!(identify(&folder.path().join("gone")), None);
    fs::write(folder.path().join("data.mdb"), "").unwrap();
    assert_eq!(identify(folder.path()), Some(Kind::Lmdb));
}

#[test]
fn each_text_says_what_it_is_and_what_helps() {
    let text = Kind::ForeignPicture("GIF").to_string();
    assert!(text.starts_with("a picture (GIF): ") && text.contains("`magick mogrify -format png"), "{text}");
    assert!(Kind::CifarPython.to_string().contains("cifar-10-binary.tar.gz"));
    assert!(Kind::LfsPointer.to_string().contains("git lfs pull"));
    assert!(Kind::Folder.to_string().contains("cargo xtask preprocess --input"));
}
