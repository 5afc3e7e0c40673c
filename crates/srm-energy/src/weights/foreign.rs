//! Say what a file is that holds no weights, where its first bytes tell, and what helps.

/// What the file is and what helps; `None` where its beginning does not say.
pub(super) fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const KNOWN: [(&[u8], &str, &str); 8] = [
        (b"version https://git-lfs", "a Git LFS pointer", "`git lfs pull` in its repository brings the file"),
        (b"\x93NUMPY", "a numpy array", "images are given as --data, --samples or --images"),
        (b"\x89HDF", "an HDF5 file, as Keras writes", "write the tensors by torch.save or safetensors"),
        (b"\x1f\x8b", "packed with gzip", "unpack it: gunzip"),
        (b"\xff\xd8\xff", "a picture", "pictures are given as --images or --samples"),
        (b"\x89PNG", "a picture", "pictures are given as --images or --samples"),
        (b"GGUF", "a GGUF file", "write the tensors by torch.save or safetensors"),
        (b"{", "JSON", "a config is given as --config"),
    ];
    if bytes.is_empty() {
        return Some(("an empty file (0 bytes)", "write or download it again"));
    }
    if bytes.get(8) == Some(&b'{') {
        return None; // safetensors, whatever its length before that looks like
    }
    let text = bytes.trim_ascii_start();
    if [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| text.len() >= tag.len() && text[..tag.len()].eq_ignore_ascii_case(tag))
    {
        return Some(("a web page", "open it to see what the server said, and download the file itself"));
    }
    KNOWN.iter().find(|(beginning, ..)| text.starts_with(beginning)).map(|&(_, what, remedy)| (what, remedy))
}
