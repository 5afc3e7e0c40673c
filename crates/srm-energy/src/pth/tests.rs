//! Check the reader against files of torch.save, and that no damaged or hostile file makes it panic or take memory.
//!
//! The fixtures are made by scripts/make_pth_fixtures.py; every one holds the same values by a formula.

use super::*;
use crate::weights::load_bytes;
use crate::{Energy, Trainable, load_weights, read_state_dict};
use srm_config::{Activation, EnergyConfig};
use std::io::{Cursor, Read as _, Write as _};
use std::path::PathBuf;
use tch::{Device, Kind};

const NAMES: [&str; 10] = [
    "f.0.weight",
    "f.0.bias",
    "f.2.weight",
    "f.2.bias",
    "f.4.weight",
    "f.4.bias",
    "f.6.weight",
    "f.6.bias",
    "f.8.weight",
    "f.8.bias",
];
const SHAPES: [&[i64]; 10] =
    [&[1, 1, 3, 3], &[1], &[2, 1, 4, 4], &[2], &[4, 2, 4, 4], &[4], &[8, 4, 4, 4], &[8], &[1, 8, 4, 4], &[1]];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/pth").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Element i of tensor t: (t + i) mod 97 / 64 - 3/4.
fn expected(number: usize) -> Vec<f32> {
    let count: i64 = SHAPES[number].iter().product();
    (0..count).map(|i| ((number as i64 + i) % 97) as f32 / 64.0 - 0.75).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).unwrap()
}

fn assert_expected(tensors: &[(String, Tensor)], context: &str) {
    assert_eq!(tensors.len(), NAMES.len(), "{context}");
    for (number, (name, tensor)) in tensors.iter().enumerate() {
        assert!(name.ends_with(NAMES[number].trim_start_matches("f.")), "{context}: {name}");
        assert_eq!(tensor.size(), SHAPES[number], "{context}: {name}");
        assert_eq!(tensor.kind(), Kind::Float, "{context}: {name}");
        assert_eq!(values(tensor), expected(number), "{context}: {name}");
    }
}

/// All tensors of a file, under all keys that lead to them.
pub(super) fn read_pth(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let (mut file, entries) = PthFile::open(Path::new("x.pth"), bytes)?;
    let tensors = entries.iter().filter(|entry| entry.tensor().is_ok());
    tensors.map(|entry| Ok((entry.name.clone(), file.float(entry)?))).collect()
}

/// Why a file gives no net.
pub(super) fn message(bytes: &[u8]) -> String {
    let loaded = read_pth(bytes).and_then(|_| load_bytes(Path::new("x.pth"), bytes, None, Device::Cpu));
    loaded.err().expect("the file is bad").to_string()
}

#[test]
fn every_form_of_torch_save_gives_the_same_net() {
    let kinds = [
        "plain",
        "nested",
        "optimizer",
        "parameters",
        "module",
        "sequential",
        "f16",
        "bf16",
        "f64",
        "strided",
        "shared",
        "protocol4",
        "counter",
        "stranger", // an object of a class of its maker's beside the weights
    ];
    for kind in kinds {
        for format in ["pth", "legacy.pth"] {
            let name = format!("{kind}.{format}");
            let weights = load_weights(&fixture(&name), Device::Cpu).unwrap();
            let config = EnergyConfig::new(32, 1, 1, Activation::LeakyRelu(0.2));
            assert_eq!(*weights.net.config(), config, "{name}");
            assert!(weights.langevin.is_none(), "{name}");
            let tensors = weights.net.named_parameters();
            assert_expected(&tensors, &name);
            let names: Vec<_> = tensors.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, NAMES, "{name}");
            let f = weights.net.f(&Tensor::zeros([2, 1, 32, 32], (Kind::Float, Device::Cpu))).unwrap();
            assert_eq!(f.size(), [2]);
        }
    }
}

#[test]
fn what_cannot_be_loaded_is_named() {
    for format in ["pth", "legacy.pth"] {
        let text = message(&bytes(&format!("two.{format}")));
        assert!(text.contains("several nets, at model, ema; choose one with --key NAME"), "{text}");
        let text = message(&bytes(&format!("integers.{format}")));
        assert!(text.contains("tensor `f.0.weight` holds i64"), "{text}");
    }
}

#[test]
fn a_key_chooses_among_several_nets() {
    for format in ["pth", "legacy.pth"] {
        let file = bytes(&format!("two.{format}"));
        let at = |key| load_bytes(Path::new("x.pth"), &file, Some(key), Device::Cpu);
        for key in ["model", "ema", "ema.f"] {
            assert_expected(&at(key).unwrap().net.named_parameters(), key);
        }
        for key in ["mod", "model.f.0", "emas", ""] {
            let text = at(key).err().expect("no such net").to_string();
            assert!(text.contains(&format!("no net at the key `{key}`; it has model, ema")), "{text}");
        }
    }
}

#[test]
fn a_state_dict_is_read_by_the_name_of_one_tensor() {
    let read = |name: &str, known| read_state_dict(&fixture(name), known);
    let tensors = read("optimizer.pth", "f.0.weight").unwrap();
    assert_eq!(tensors.len(), 10, "the optimizer's are left out");
    assert_eq!(values(&tensors[1].1), expected(0), "{}", tensors[1].0);
    let text = read("plain.pth", "fc.weight").unwrap_err().to_string();
    assert!(text.contains("no tensor `fc.weight`; it holds f.0.weight [1, 1, 3, 3], f.0.bias [1]"), "{text}");
    let text = read("two.pth", "f.0.weight").unwrap_err().to_string();
    assert!(text.contains("several times, after model., ema."), "{text}");
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for name in ["plain.pth", "plain.legacy.pth", "protocol4.legacy.pth"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            let read = read_pth(&whole[..length]);
            assert!(read.is_err(), "{name} cut to {length} of {} bytes was read", whole.len());
        }
    }
}

/// A small generator (SplitMix64) for positions and bytes of damage.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn flipped_bytes_never_panic_and_a_zip_notices_them() {
    let mut state = 1;
    let mut refused = 0;
    for name in ["nested.pth", "strided.pth", "nested.legacy.pth", "shared.legacy.pth", "protocol4.legacy.pth"] {
        let whole = bytes(name);
        for _ in 0..3000 {
            let mut damaged = whole.clone();
            for _ in 0..=random(&mut state) % 3 {
                let at = random(&mut state) as usize % damaged.len();
                damaged[at] = random(&mut state) as u8;
            }
            match read_pth(&damaged) {
                Err(_) => refused += 1,
                // Checksums cover program and storages: what is read is right.
                Ok(tensors) if !name.contains("legacy") => assert_expected(&tensors, name),
                Ok(_) => {}
            }
        }
    }
    assert!(refused > 5000, "{refused} of 15000 refused");
}

#[test]
fn flipped_bytes_of_the_program_never_panic() {
    // Only the pickle is damaged, behind the zip's checksums and before the older format's storages.
    let whole = bytes("nested.legacy.pth");
    let program = &whole[..whole.len() - 1500];
    let mut state = 2;
    for _ in 0..20_000 {
        let mut damaged = program.to_vec();
        let at = 15 + random(&mut state) as usize % (damaged.len() - 15);
        damaged[at] = random(&mut state) as u8;
        damaged.extend_from_slice(&whole[program.len()..]);
        let _ = read_pth(&damaged);
    }
}

/// A file of the older format with this program and no storage.
pub(super) fn bare_stream(program: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    bytes.extend(b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02");
    bytes.extend(program);
    bytes.extend(b".\x80\x02].");
    bytes
}

/// A file of the older format with this program, and one storage `s` of eight f32.
pub(super) fn stream(program: &[u8]) -> Vec<u8> {
    let mut bytes = bare_stream(program);
    bytes.pop();
    bytes.extend(b"X\x01\x00\x00\x00sa.");
    bytes.extend(8i64.to_le_bytes());
    bytes.extend((0..8).flat_map(|i| (i as f32).to_le_bytes()));
    bytes
}

/// `{'w': tensor}` over storage `s` with offset, one size and one stride, each the bytes of an opcode.
fn tensor_program(elements: &[u8], view: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut program = b"}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    program.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00sX\x03\x00\x00\x00cpu");
    for part in [elements, view, b"tQ", offset, size, b"\x85", stride, b"\x85\x89}tRs"] {
        program.extend(part);
    }
    program
}

#[test]
fn offsets_strides_and_views_of_the_older_format() {
    let read = |program: &[u8]| read_pth(&stream(program)).map(|tensors| values(&tensors[0].1));
    assert_eq!(read(&tensor_program(b"K\x08", b"N", b"K\x01", b"K\x03", b"K\x02")).unwrap(), [1.0, 3.0, 5.0]);
    // A view that begins at element 2 of the storage and has 4.
    let view = b"(X\x01\x00\x00\x00vK\x02K\x04t";
    assert_eq!(read(&tensor_program(b"K\x08", view, b"K\x01", b"K\x03", b"K\x01")).unwrap(), [3.0, 4.0, 5.0]);
    assert!(read(&tensor_program(b"K\x08", view, b"K\x01", b"K\x04", b"K\x01")).is_err());
    assert!(read(&tensor_program(b"K\x08", b"N", b"K\x00", b"K\x00", b"K\x01")).unwrap().is_empty());
}

#[test]
fn hostile_tensors_are_refused() {
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let refused = |program: Vec<u8>, part: &str| {
        let text = message(&stream(&program));
        assert!(text.contains(part), "expected `{part}` in: {text}");
    };
    let tensor = |offset: &[u8], size: &[u8], stride: &[u8]| tensor_program(b"K\x08", b"N", offset, size, stride);
    refused(tensor(b"K\x00", b"K\x09", b"K\x01"), "outside its storage");
    refused(tensor(b"K\x08", b"K\x01", b"K\x01"), "outside its storage");
    refused(tensor(huge, b"K\x02", huge), "outside its storage");
    refused(tensor(b"K\x00", huge, b"K\x00"), "16 times the file's size");
    refused(tensor(b"K\x00", b"J\xff\xff\xff\xff", b"K\x01"), "-1 is no size");
    refused(tensor_program(huge, b"N", b"K\x00", b"K\x01", b"K\x01"), "32 bytes for");
    refused(tensor_program(b"K\x09", b"N", b"K\x00", b"K\x01", b"K\x01"), "32 bytes for 9 elements");
}

#[test]
fn hostile_programs_are_refused() {
    let nested = [&[b')'][..], &vec![0x85; 500_000]].concat();
    let bombs: [(Vec<u8>, &str); 9] = [
        (nested, "holds nothing"),
        (vec![b'}'; 1_000_001], "more than 1000000 objects"),
        (b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R".to_vec(), "is an object of os.system, whose code is not run"),
        (b"X\x08\x00\x00\x00builtinsX\x04\x00\x00\x00eval\x93".to_vec(), "is an object of builtins.eval"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab".to_vec(), "the pickle is cut off"),
        (b"}q\x00X\x01\x00\x00\x00ah\x00s".to_vec(), "holds nothing"), // a dict that holds itself
        (b"0".to_vec(), "takes more than it has"),
        (b"(0".to_vec(), "takes more than it has"),
        (b"\x82\x01".to_vec(), "opcode 0x82"), // EXT1, a global by number
    ];
    for (program, part) in bombs {
        let text = message(&bare_stream(&program));
        assert!(text.contains(part), "expected `{part}` in: {text}");
    }
    assert!(message(b"\x80\x02K\x01.").contains("a pickle that torch.save did not write"));
    assert!(message(b"PK\x03\x04").contains("not a whole zip"));
}

/// The zip's entries packed anew with deflate, after `change` has seen each.
fn repacked(whole: &[u8], change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut source = zip::ZipArchive::new(Cursor::new(whole)).unwrap();
    let mut target = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for index in 0..source.len() {
        let mut entry = source.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        target.start_file(&*name, options).unwrap();
        target.write_all(&change(&name, content)).unwrap();
    }
    target.finish().unwrap().into_inner()
}

#[test]
fn a_compressed_zip_is_read_within_bounds() {
    let whole = bytes("plain.pth");
    let same = read_pth(&repacked(&whole, |_, content| content)).unwrap();
    assert_expected(&same, "deflated");
    let bomb = repacked(&whole, |name, content| if name.ends_with("data/0") { vec![0; 50_000_000] } else { content });
    assert!(bomb.len() < 1_000_000 && message(&bomb).contains("more than 16 times its size"));
    let swapped = |name: &str, content| if name.ends_with("byteorder") { b"big".to_vec() } else { content };
    assert!(message(&repacked(&whole, swapped)).contains("big-endian"));
}

#[test]
fn zips_of_others_are_named() {
    let zip = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let script = zip(&["net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"]);
    assert!(is_torch_script(&script) && !is_torch_script(&bytes("plain.pth")) && !is_torch_script(b"PK\x03\x04"));
    for (file, parts) in [
        (script, ["is a TorchScript program", "torch.jit.load(path).state_dict()"]),
        (zip(&["mu.npy", "sigma.npy"]), ["is a numpy archive (.npz)", "torch.save(dict"]),
        (zip(&["x.png"]), ["is a zip that torch.save did not write", "unpack it"]),
    ] {
        let text = message(&file);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn the_format_is_recognised_by_content() {
    assert!(
        is_pth(&bytes("plain.pth")) && is_pth(&bytes("plain.legacy.pth")) && is_pth(&bytes("protocol4.legacy.pth"))
    );
    // A safetensors file whose header length begins like a pickle of protocol 2.
    assert!(!is_pth(b"\x80\x02\x00\x00\x00\x00\x00\x00{\"a\""));
    assert!(!is_pth(b"") && !is_pth(b"{}"));
}
