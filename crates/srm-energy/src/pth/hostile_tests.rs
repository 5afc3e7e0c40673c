//! Check that files made to break the reader are refused: no panic, and no memory far above the file's size.

use super::tests::{bare_stream, message, read_pth, stream};

/// A text as the pickle writes it.
fn text(content: &str) -> Vec<u8> {
    [b"X", &(content.len() as u32).to_le_bytes()[..], content.as_bytes()].concat()
}

/// Storage `s` of a class, with a number of elements.
fn storage(class: &str, elements: &[u8]) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n");
    [b"(", &text("storage")[..], class.as_bytes(), &text("s"), &text("cpu"), elements, b"NtQ"].concat()
}

/// A tensor over a storage with offset, one size and one stride, each the bytes of an opcode.
fn tensor(storage: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, offset, size, b"\x85", stride, b"\x85\x89}tR"].concat()
}

#[track_caller]
fn refused(bytes: &[u8], part: &str) {
    let text = message(bytes);
    assert!(text.len() < 3000, "a message of {} bytes", text.len());
    assert!(text.contains(part), "expected `{part}` in: {text}");
}

#[test]
fn every_mention_of_a_storage_is_held_to_its_bytes() {
    let honest = tensor(&storage("FloatStorage", b"K\x08"), b"K\x00", b"K\x08", b"K\x01");
    let both =
        |first: &[u8], second: &[u8]| stream(&[b"}", &text("a")[..], first, b"s", &text("b"), second, b"s"].concat());
    let longer = tensor(&storage("FloatStorage", b"K\x10"), b"K\x00", b"K\x10", b"K\x01");
    refused(&both(&honest, &longer), "32 bytes for 16 elements");
    // The older format's storages carry no kind: the last mention decides their bytes.
    let wider = tensor(&storage("LongStorage", b"K\x08"), b"K\x00", b"K\x08", b"K\x01");
    refused(&both(&wider, &honest), "32 bytes for 8 elements");
    refused(&both(&honest, &wider), "cut off");
}

#[test]
fn strides_that_overflow_are_harmless() {
    // One element: the stride is never taken, whatever it is.
    let most = b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00";
    let one = tensor(&storage("FloatStorage", b"K\x08"), b"K\x05", b"K\x01", most);
    let read = read_pth(&stream(&[b"}", &text("w")[..], &one, b"s"].concat()));
    assert_eq!(read.unwrap()[0].1.double_value(&[0]), 5.0);
}

#[test]
fn copies_do_not_multiply() {
    const TIMES: usize = 100_000;
    // A list of 50,000 numbers, and torch.Size of it again and again: 40 GB of copies from 600 kB.
    let list = [&b"]q\x00("[..], &b"K\x01".repeat(50_000), b"e0ctorch\nSize\nq\x01h\x00\x85q\x020"].concat();
    refused(&bare_stream(&[&list[..], b"0", &b"h\x01h\x02R0".repeat(TIMES), b"N"].concat()), "holds nothing");
    // The same with OrderedDict of pairs.
    let pairs =
        [&b"]q\x00("[..], &b"NN\x86".repeat(20_000), b"e0ccollections\nOrderedDict\nq\x01h\x00\x85q\x020"].concat();
    refused(
        &bare_stream(&[&pairs[..], b"0", &b"h\x01h\x02R0".repeat(TIMES), b"N"].concat()),
        "16 times the file's size",
    );
    // A storage whose name is 500 kB long, 100,000 times: 50 GB.
    let long = text(&"k".repeat(500_000));
    let id = [b"(", &text("storage")[..], b"ctorch\nFloatStorage\n", &long, &text("cpu"), b"K\x08tq\x000"].concat();
    refused(&bare_stream(&[&id[..], &b"h\x00Q0".repeat(TIMES), b"N"].concat()), "a name of 500000 bytes");
    // A tensor whose name is 500 kB long, in one dict 100,000 times: 50 GB.
    let made = tensor(&storage("FloatStorage", b"K\x08"), b"K\x00", b"K\x01", b"K\x01");
    let items = [&b"}"[..], &long, b"q\x000", &made, b"q\x010", &b"h\x00h\x01s".repeat(TIMES)].concat();
    refused(&stream(&items), "a name of 500000 bytes");
    let short = [&b"}"[..], &text("w"), b"q\x000", &made, b"q\x010", &b"h\x00h\x01s".repeat(TIMES)].concat();
    refused(&stream(&short), "more than 10000 tensors");
    // A global with a name of 500 kB does not fill the screen.
    refused(&bare_stream(&[&text("os")[..], &long, b"\x93"].concat()), "a name of 500000 bytes");
}

#[test]
fn ways_through_shared_dicts_do_not_multiply() {
    // Eight levels of dicts, each a hundred times in the one above: 10^16 ways to one tensor from 4 kB.
    let made = tensor(&storage("FloatStorage", b"K\x08"), b"K\x00", b"K\x08", b"K\x01");
    let mut program = [&b"}"[..], &text("w"), &made, b"sq\x00"].concat();
    for _ in 0..7 {
        let members: Vec<u8> = (0..100u8).flat_map(|key| [b'K', key, b'h', 0]).collect();
        program = [&program[..], b"0}(", &members, b"uq\x00"].concat();
    }
    let file = stream(&program);
    assert!(file.len() < 4096);
    let begun = std::time::Instant::now();
    refused(&file, "16 times the file's size");
    assert!(begun.elapsed().as_secs() < 10);
}

#[test]
fn calls_that_hold_themselves_end() {
    // _rebuild_from_type_v2(f, t, l, s) where the list l is its own arguments: never followed into itself.
    let program =
        b"]q\x00(ctorch._tensor\n_rebuild_from_type_v2\nNh\x00Ne0ctorch._tensor\n_rebuild_from_type_v2\nh\x00R";
    refused(&bare_stream(program), "an object of torch._tensor._rebuild_from_type_v2");
}

#[test]
fn names_of_strangers_do_not_multiply() {
    let name = text(&"n".repeat(200));
    let program = [&name[..], b"q\x000", &b"h\x00h\x00\x930".repeat(100_000), b"N"].concat();
    refused(&bare_stream(&program), "16 times the file's size");
}
