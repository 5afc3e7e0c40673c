//! Check that texts as editors save them are taken, and that others are called what they are, where they stand.

use serde_json::json;

use super::*;

const TEXT: &str = "{\r\n  \"name\": \"Müller\",\r\n  \"list\": [1, -2, 0.5, true, null]\r\n}\r\n";

fn utf16(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

#[test]
fn every_form_in_which_editors_save_a_text_gives_the_same_tree() {
    let wanted = json!({ "name": "Müller", "list": [1, -2, 0.5, true, null] });
    let marked = [b"\xef\xbb\xbf", TEXT.as_bytes()].concat();
    let forms = [
        TEXT.as_bytes().to_vec(),
        marked,
        utf16(TEXT, true, u16::to_le_bytes),
        utf16(TEXT, true, u16::to_be_bytes),
        utf16(TEXT, false, u16::to_le_bytes),
        utf16(TEXT, false, u16::to_be_bytes),
    ];
    for bytes in forms {
        assert_eq!(parse_json(&bytes), Ok(wanted.clone()), "{bytes:x?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_called_so() {
    assert_eq!(parse_json(b""), Err(JsonError::Empty));
    assert_eq!(parse_json("\u{feff} \r\n".as_bytes()), Err(JsonError::Empty));
    for (bytes, what) in [
        (&b"\x93NUMPY\x01\0v\0{'descr'"[..], "a binary file"),
        (b"PK\x03\x04", "a binary file"),
        (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
        (b"\xff\xfe{", "begins as UTF-16"),
        (b"{\n\"a\": \"M\xfcller\"}", "line 2 holds bytes that are no UTF-8"),
        (b"{\"a\": \"\0\"}", "a binary file"),
    ] {
        let said = parse_json(bytes).unwrap_err().to_string();
        assert!(said.contains(what), "{what}: {said}");
    }
}

#[test]
fn what_people_write_instead_of_json_is_named_where_it_stands() {
    for (text, place, words) in [
        ("{\n  // a remark\n  \"a\": 1\n}", (2, 3), "a comment"),
        ("{\"a\": 1, # one\n}", (1, 10), "a comment"),
        ("{\"ä\": 1,}", (1, 9), "a comma stands before this closing bracket"),
        ("{\"a\": [1, 2,]}", (1, 13), "a comma stands before this closing bracket"),
        ("{'a': 1}", (1, 2), "a single quote"),
        ("{\u{201c}a\u{201d}: 1}", (1, 2), "a typographic quote"),
        ("{\"a\": True}", (1, 7), "true, false and null"),
        ("{\"a\": NaN}", (1, 7), "no finite number"),
        ("{\"a\": -Infinity}", (1, 8), "no finite number"),
        ("{\"a\": .5}", (1, 7), "such as 0.5"),
        ("{\"a\": 5.}", (1, 9), "such as 0.5"),
        ("{\"a\": 1e999}", (1, 11), "number out of range"),
        ("{a: 1}", (1, 2), "a key in double quotes"),
        ("{\"a\": 1", (1, 7), "is it cut off"),
        ("{\"a\": 1}\n{}", (2, 1), "one { ... } is the whole"),
        ("{\"a\": 1\n\"b\": 2}", (2, 1), "a comma is missing"),
        ("{\"a\": \"b\nc\"}", (1, 9), "close it with"),
        ("{\"a\": \"C:\\data\"}", (1, 11), "write / in paths"),
        ("{\n  \"a\": { \"b\": 1, \"b\": 2 }\n}", (2, 20), "the key \"b\" stands here twice"),
        ("{\"a\":\u{a0}1}", (1, 6), "in strings alone"),
    ] {
        match parse_json(text.as_bytes()) {
            Err(JsonError::Syntax { line, column, message }) => {
                assert!(message.contains(words), "{text}: {message}");
                assert_eq!((line, column), place, "{text}: {message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn configs_of_other_programs_are_called_by_their_language() {
    for (text, words) in [
        ("# ours\ndata:\n  images: a.npy\n", "this is YAML"),
        ("---\ndata: 1\n", "this is YAML"),
        ("[data]\nimages = \"a.npy\"\n", "this is TOML"),
        ("title = \"x\"\n", "this is TOML"),
        ("import os\nconfig = 1\n", "this is Python"),
        ("config = {\n  'a': 1,\n}\n", "this is Python"),
        ("config = dict(a=1)\n", "this is Python"),
        ("<!DOCTYPE html>\n", "a web page"),
    ] {
        let said = parse_json(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(words), "{text}: {said}");
    }
}
