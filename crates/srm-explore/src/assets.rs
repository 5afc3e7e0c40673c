//! Hold the page's files.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use crate::answer::problem;

const INDEX: &str = include_str!("../assets/index.html");

macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../assets/", $name)))),+] };
}

/// By name; nothing of a request is ever part of a path.
const FILES: [(&str, &str); 21] = files![
    "api.js",
    "app.js",
    "chart.js",
    "crop.js",
    "files.js",
    "frames.js",
    "mask.js",
    "picture.js",
    "plane.js",
    "run.js",
    "samples.js",
    "scores.js",
    "series.js",
    "state.js",
    "style.css",
    "tables.js",
    "training.js",
    "uplot.css",
    "uplot.js",
    "walk.js",
    "widgets.js",
];

/// The page.
pub async fn index() -> Html<&'static str> {
    Html(INDEX)
}

/// One of its files.
pub async fn file(Path(name): Path<String>) -> Response {
    let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return problem(StatusCode::NOT_FOUND, "there is no such file");
    };
    let kind = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    ([(header::CONTENT_TYPE, kind)], *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_asks_no_other_machine() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html" && name != "uplot.LICENSE")
            .collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name.to_owned()));
        let all = FILES.iter().chain(&[("index.html", INDEX)]);
        for (name, text) in all.filter(|(name, _)| !name.starts_with("uplot")) {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"), "{name}");
        }
    }
}
