//! Check that statistics are read in every form that programs write, and that what is none is called what it is.

use std::{io::Write, path::PathBuf};

use half::f16;
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::FeatureNetwork;

const D: usize = 144;

/// A `.npy` with this header and these bytes.
fn npy(dtype: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.npz");
    let mut file = ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in arrays {
        file.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        file.write_all(bytes).unwrap();
    }
    file.finish().unwrap();
    (folder, path)
}

/// Mean i/8 and covariance 2 on the diagonal, 1/2 beside it: exact in every dtype.
fn mean() -> Vec<f64> {
    (0..D).map(|i| i as f64 / 8.0).collect()
}

fn covariance() -> Vec<f64> {
    let entry = |i: usize, j: usize| {
        if i == j {
            2.0
        } else if i.abs_diff(j) == 1 {
            0.5
        } else {
            0.0
        }
    };
    (0..D * D).map(|at| entry(at / D, at % D)).collect()
}

fn bytes<const N: usize>(values: &[f64], write: fn(f64) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| write(*value)).collect()
}

fn load(arrays: &[(&str, Vec<u8>)]) -> Result<Moments> {
    let (_folder, path) = npz(arrays);
    let network = FeatureNetwork::open("random-conv", tch::Device::Cpu).unwrap();
    Moments::load(&path, network.identity())
}

fn refused(arrays: &[(&str, Vec<u8>)], words: &[&str]) {
    let said = load(arrays).unwrap_err().to_string();
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn every_form_of_the_same_statistics_gives_the_same_numbers() {
    let f8 = |values: &[f64]| bytes(values, f64::to_le_bytes);
    let (line, square) = (format!("({D},)"), format!("({D}, {D})"));
    let plain = |names: [&'static str; 2]| {
        vec![
            (names[0], npy("<f8", false, &line, &f8(&mean()))),
            (names[1], npy("<f8", false, &square, &f8(&covariance()))),
        ]
    };
    let f4 = |value: f64| (value as f32).to_be_bytes();
    let f2 = |value: f64| f16::from_f64(value).to_le_bytes();
    let mut forms = vec![plain(["mu", "sigma"]), plain(["m", "C"]), plain(["mean", "cov"])];
    forms.push(vec![
        ("mu", npy("<f8", false, &format!("(1, {D})"), &f8(&mean()))),
        ("sigma", npy("<f8", true, &square, &f8(&covariance()))),
    ]);
    forms.push(vec![
        ("mu", npy(">f4", false, &line, &bytes(&mean(), f4))),
        ("sigma", npy(">f4", true, &square, &bytes(&covariance(), f4))),
    ]);
    forms.push(vec![
        ("mu", npy("<f2", false, &line, &bytes(&mean(), f2))),
        ("sigma", npy("<f2", false, &square, &bytes(&covariance(), f2))),
    ]);
    // as the ADM has them: samples beside the statistics of a larger set
    forms.push([vec![("arr_0", npy("|u1", false, "(1, 2, 2, 3)", &[7; 12]))], plain(["mu", "sigma"])].concat());
    for form in forms {
        let found = load(&form).unwrap();
        assert_eq!(numbers(&found.mean).unwrap(), mean());
        assert_eq!(numbers(&found.covariance).unwrap(), covariance());
        assert_eq!(found.count, None);
    }
    let counted = [plain(["mu", "sigma"]), vec![("count", npy("<i8", false, "()", &50_000u64.to_le_bytes()))]].concat();
    assert_eq!(load(&counted).unwrap().count, Some(50_000));
    refused(
        &[plain(["mu", "sigma"]), vec![("count", npy("<f8", false, "()", &0.5f64.to_le_bytes()))]].concat(),
        &["count", "whole number"],
    );
}

#[test]
fn what_is_no_mean_and_covariance_is_named() {
    let f8 = |values: &[f64]| bytes(values, f64::to_le_bytes);
    let (line, square) = (format!("({D},)"), format!("({D}, {D})"));
    let with = |change: &dyn Fn(&mut Vec<f64>)| {
        let mut sigma = covariance();
        change(&mut sigma);
        vec![("mu", npy("<f8", false, &line, &f8(&mean()))), ("sigma", npy("<f8", false, &square, &f8(&sigma)))]
    };
    refused(&with(&|sigma| sigma[1] = 0.75), &["stats.npz", "not symmetric", "2.5"]);
    refused(&with(&|sigma| sigma[0] = -3.0), &["negative eigenvalue"]);
    refused(&with(&|sigma| sigma[9] = f64::NAN), &["not finite"]);
    refused(&with(&|sigma| sigma.truncate(D * D - 1)), &["sigma is cut off: 8 bytes"]);
    let mu =
        |dtype: &str, shape: &str, bytes: &[u8]| vec![("mu", npy(dtype, false, shape, bytes)), ("sigma", Vec::new())];
    // a header may promise anything: it costs nothing
    refused(&mu("<f8", "(137438953472,)", &[0; 64]), &["cut off"]);
    refused(&mu("<f8", "(4294967296, 4294967296)", &[0; 64]), &["which no machine holds"]);
    refused(&mu("<f8", "(2, 72)", &[0; 8 * D]), &["mu has the shape [2, 72]"]);
    refused(&mu("|O", "(3,)", b"pickle"), &["Python objects"]);
    refused(&mu("<c16", "(3,)", &[0; 48]), &["no real number"]);
    refused(&mu("<f8", "(2048,)", &[0; 8 * 2048]), &["dimension 2048", "dimension 144", "fetch-inception"]);
    refused(&[("arr_0", npy("|u1", false, "(5, 64, 64, 3)", &[]))], &["the images themselves", "numpy.save", "arr_0"]);
    refused(&[("x", npy("<f4", false, "(3,)", &[0; 12]))], &["mu [d]", "x [3]"]);
    refused(&[("x", b"text".to_vec())], &["x, which is no array"]);
    refused(&[], &["is empty"]);
    let theirs = br#"{"name":"inception","dimension":2048,"sha256":"00112233445566","input":[[-1.0,1.0],299]}"#;
    let features = npy("|u1", false, &format!("({},)", theirs.len()), theirs);
    let other = [with(&|_| ()), vec![("features", features)]].concat();
    refused(&other, &["inception (sha256 001122334455", "--features is random-conv", "--save-stats"]);
}
