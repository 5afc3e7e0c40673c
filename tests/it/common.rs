//! Run the srm binary and look at what it leaves behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

/// What one run of the program gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The one JSON object on stdout.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.trim_end().lines().count(), 1, "stdout is not one line: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// This run, which must have ended well.
    pub fn done(self) -> Run {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Check exit code and that one error line holds every given part.
    pub fn failed_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "the error must be printed once: {}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// The program, in the repository's folder, on the CPU's two cores, blind to any CUDA of this machine.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_srm"));
    command
        .args(arguments)
        .current_dir(root())
        .env_remove("SRM_LIBTORCH_CUDA")
        .env_remove("RUST_LOG")
        .env("XDG_CACHE_HOME", "/nonexistent-cache");
    if let Some(library) = std::env::var_os("SRM_TEST_CUDA") {
        command.env("SRM_LIBTORCH_CUDA", library);
    }
    command
}

/// Run the program to its end.
pub fn srm(arguments: &[&str]) -> Run {
    run(&mut command(arguments))
}

/// Run a command made by [`command`] to its end.
pub fn run(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().expect("the binary was built for this test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A fresh folder, deleted at the end of the test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a writable temporary folder")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// A trained run of configs/smoke.json, made once for all tests: its folder and what `train --json` said.
pub fn smoke() -> &'static (PathBuf, Value) {
    static RUN: OnceLock<(TempDir, (PathBuf, Value))> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let parent = folder();
        let path = parent.path().join("smoke");
        let run = srm(&["train", "--config", "configs/smoke.json", "--run", text(&path), "--json"]).done();
        (parent, (path, run.json()))
    });
    run
}

/// The header of a .npy file as text, and its data.
pub fn read_npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).expect("the program wrote it");
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let (start, length) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
    };
    let header = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
    (header, bytes[start + length..].to_vec())
}

/// Write a .npy file, format 1.0, of any dtype and shape, all bytes 7.
pub fn write_npy(path: &Path, dtype: &str, shape: &str, bytes: usize) {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).expect("a short header").to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(vec![7; bytes]);
    fs::write(path, file).expect("a writable temporary folder");
}

/// Width and height of a PNG file.
pub fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).expect("the program wrote it");
    assert_eq!(&bytes[1..4], b"PNG", "{}", path.display());
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (number(16), number(20))
}

/// Width, height and pixels of a PNG.
pub fn png_pixels(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    let frame = reader.next_frame(&mut pixels).expect("a whole PNG");
    pixels.truncate(frame.buffer_size());
    (frame.width, frame.height, pixels)
}
