//! Lay out the page: head, summary, list of contents, sections.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{RunFiles, facts};

/// The one style sheet; it stands in the page.
const STYLE: &str = include_str!("style.css");
/// Nothing may be loaded but the pictures in the page, and nothing may run.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A part of the page.
pub struct Section {
    /// Its anchor, and its name in --json.
    pub id: &'static str,
    pub title: &'static str,
    pub body: Markup,
}

/// The whole page.
pub fn page(files: &RunFiles, sections: &[Section]) -> String {
    let name = &files.name;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // a server would be asked for /favicon.ico otherwise
                link rel="icon" href="data:,";
                title { (name) " · srm report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kicker { "short-run MCMC · report of a run" }
                    h1 { (name) }
                    p.summary { (facts::summary(files)) }
                    (facts::about(files))
                    (facts::table(files))
                    @if !files.notes.is_empty() {
                        div.notes role="note" {
                            strong { "Not all is here" }
                            ul { @for note in &files.notes { li { (note) } } }
                        }
                    }
                    nav aria-label="Contents" {
                        @for section in sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                }
                main {
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    "Written by srm " (env!("CARGO_PKG_VERSION")) " from " code { (files.folder.display()) }
                    ". The page is whole: it asks for nothing and runs nothing."
                }
            }
        }
    };
    page.into_string()
}
