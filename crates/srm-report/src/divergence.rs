//! Tell of trouble: rollbacks, what was refused, and how its samples looked.

use std::path::Path;

use maud::{Markup, html};
use serde_json::Value;

use crate::{
    RunFiles,
    facts::{number, thousands},
    page::Section,
    pictures::{Picture, figure},
};

/// CSS pixels that the samples of a refused update fill at most.
const WIDTH: u32 = 274;
/// Refused updates whose samples are shown; each run has at most `watch.rollbacks` + 1, a run often resumed more.
const SHOWN: usize = 8;

/// The section; none where nothing went wrong.
pub fn section(files: &RunFiles) -> Option<Section> {
    let events = files.rollback_events();
    if events.is_empty() && files.troubles.is_empty() {
        return None;
    }
    let body = html! {
        @if !events.is_empty() { (rollbacks(&events)) }
        div.grids { @for (path, trouble) in files.troubles.iter().take(SHOWN) { (evidence(path, trouble)) } }
        @if files.troubles.len() > SHOWN {
            p.remark { (SHOWN) " of " (files.troubles.len()) " refused updates; the others are in divergence/." }
        }
    };
    Some(Section { id: "divergence", title: "Divergence", body })
}

fn rollbacks(lines: &[&Value]) -> Markup {
    let update = |value: &Value| value.as_u64().map_or("–".to_owned(), thousands);
    html! {
        div.scroll {
            table {
                thead {
                    tr { @for head in ["refused", "back to", "rate ×", "σ +", "why"] { th scope="col" { (head) } } }
                }
                tbody {
                    @for line in lines {
                        tr {
                            th scope="row" { "update " (update(&line["update"])) }
                            td { (update(&line["to"])) }
                            td { (number(&line["rate_factor"])) }
                            td { (number(&line["extra_noise"])) }
                            td.text { (line["reason"].as_str().unwrap_or("not recorded")) }
                        }
                    }
                }
            }
        }
        p.remark { "Factor on the learning rate and addition to the data noise hold from there on." }
    }
}

/// The samples of a refused update, and why it was refused.
fn evidence(path: &Path, trouble: &Value) -> Markup {
    let update = trouble["update"].as_u64().map_or("unknown".to_owned(), thousands);
    let alt = format!("Samples of the refused update {update}");
    let caption = html! {
        "Refused update " (update) ", attempt " (number(&trouble["attempt"])) ": "
        (trouble["text"].as_str().unwrap_or("no reason recorded")) "."
        @let refused = &trouble["refused"];
        @if refused.is_object() {
            " Gap " (number(&refused["gap"])) ", r " (number(&refused["chain_grad_norm"])) ", std "
            (number(&refused["sample_std"])) "."
        }
    };
    figure(Picture::read(&path.with_extension("png")).map(|picture| picture.show(&alt, WIDTH)), caption)
}
