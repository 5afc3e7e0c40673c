//! Tell what a text that is no JSON is instead, and what would make JSON of it.

/// What stands at byte `at`, where the parser stopped and `said` why, and what JSON has instead.
pub(crate) fn explain(text: &str, at: usize, said: &str) -> String {
    if let Some(kind) = whole(text) {
        return kind.to_owned();
    }
    let rest = &text[at..];
    let starts = |words: &[&str]| words.iter().any(|word| rest.starts_with(word));
    let sentence = if starts(&["//", "/*", "#"]) {
        "here stands a comment, which JSON has none of; delete it, or say it in \"about\""
    } else if said.starts_with("trailing comma") {
        "a comma stands before this closing bracket; delete it"
    } else if starts(&["'"]) {
        "here stands a single quote; JSON has double quotes"
    } else if starts(&["\u{201c}", "\u{201d}", "\u{201e}", "\u{2018}", "\u{2019}", "\u{ab}"]) {
        "here stands a typographic quote, as word processors write it; JSON has the plain \""
    } else if starts(&["True", "False", "None"]) {
        "here stands a word of Python; JSON has true, false and null"
    } else if starts(&["NaN", "nan", "Inf", "inf"]) {
        "here stands no finite number, and JSON has no other; every setting is finite"
    } else if starts(&[".", "+"]) || said.starts_with("invalid number") {
        "a number of JSON begins with a digit or -, and has digits on both sides of the point, such as 0.5"
    } else if said.starts_with("key must be a string") {
        "here must stand a key in double quotes; write \"key\": value"
    } else if said.starts_with("EOF") {
        "the text ends in the midst of an object, a list or a string; is it cut off, or is a bracket missing?"
    } else if said.starts_with("trailing characters") {
        "text goes on after the end of the object; one { ... } is the whole"
    } else if said.starts_with("expected `,`") {
        "a comma is missing before this, or a closing bracket"
    } else if said.starts_with("control character") {
        "the line ends in the midst of a string; close it with \", or write \\n for a new line"
    } else if said.starts_with("invalid escape") {
        "a string has a backslash that stands for nothing; write / in paths, or \\\\"
    } else if rest.starts_with(|letter: char| !letter.is_ascii()) {
        "here stands a character that JSON has in strings alone; type the space or sign anew"
    } else {
        return said.to_owned();
    };
    sentence.to_owned()
}

/// Languages that configs of other programs are written in, told by the first line that is neither empty nor a comment.
fn whole(text: &str) -> Option<&'static str> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines().next().unwrap_or_default();
    let name = |text: &str| {
        let text = text.trim();
        let word = |letter: char| letter.is_alphanumeric() || "_-. ".contains(letter);
        text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_') && text.chars().all(word)
    };
    let python = |line: &str| {
        ["import ", "from ", "def ", "class "].iter().any(|word| line.starts_with(word))
            || line.split_once('=').is_some_and(|(key, value)| {
                name(key) && ["{", "dict("].iter().any(|sign| value.trim_start().starts_with(sign))
            })
    };
    let table = first.strip_prefix('[').and_then(|line| line.split_once(']')).is_some_and(|(inside, _)| name(inside));
    if first.starts_with('<') {
        Some("this is XML or a web page; give a JSON file such as configs/smoke.json")
    } else if lines().take(40).any(python) {
        Some("this is Python; write the settings as JSON, as configs/smoke.json does, or let json.dump do so")
    } else if table || first.split_once('=').is_some_and(|(key, _)| name(key)) {
        Some(
            "this is TOML; `python3 -c 'import tomllib, json, sys; json.dump(tomllib.load(sys.stdin.buffer), sys.stdout)' \
             <FILE >FILE.json` makes JSON of it",
        )
    } else if first.starts_with("---") || first.split_once(':').is_some_and(|(key, _)| name(key)) {
        Some(
            "this is YAML; `python3 -c 'import yaml, json, sys; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' <FILE \
             >FILE.json` makes JSON of it",
        )
    } else {
        None
    }
}
