//! Tell of trouble: rollbacks, what was refused, and how its samples looked.

use std::path::Path;

use maud::{Markup, html};
use srm_run::{Evidence, Rollback, layout::DIVERGENCE};

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
    let taken = files.rollbacks();
    if taken.is_empty() && files.troubles.is_empty() {
        return None;
    }
    let body = html! {
        @if !taken.is_empty() { (rollbacks(&taken)) }
        div.grids { @for (path, seen) in files.troubles.iter().take(SHOWN) { (evidence(path, seen)) } }
        @if files.troubles.len() > SHOWN {
            p.remark { (SHOWN) " of " (files.troubles.len()) " refused updates; the others are in " (DIVERGENCE) "/." }
        }
    };
    Some(Section { id: "divergence", title: "Divergence", body })
}

/// Why, where the run's log says so.
pub(crate) fn reason(rollback: &Rollback) -> &str {
    if rollback.reason.is_empty() { "not recorded" } else { &rollback.reason }
}

fn rollbacks(taken: &[&Rollback]) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr { @for head in ["refused", "back to", "rate ×", "σ +", "why"] { th scope="col" { (head) } } }
                }
                tbody {
                    @for one in taken {
                        tr {
                            th scope="row" { @if one.update > 0 { "update " (thousands(one.update)) } @else { "–" } }
                            td { (thousands(one.to)) }
                            td { (number(one.rate_factor)) }
                            td { (number(one.extra_noise)) }
                            td.text { (reason(one)) }
                        }
                    }
                }
            }
        }
        p.remark { "Factor on the learning rate and addition to the data noise hold from there on." }
    }
}

/// The samples of a refused update, and why it was refused.
fn evidence(path: &Path, seen: &Evidence) -> Markup {
    let update = thousands(seen.update);
    let alt = format!("Samples of the refused update {update}");
    let caption = html! {
        "Refused update " (update) ", attempt " (seen.attempt) ": " (seen.text) "."
        @if let Some(refused) = &seen.refused {
            " Gap " (number(refused.gap)) ", r " (number(refused.chain_grad_norm)) ", std " (number(refused.sample_std)) "."
        }
    };
    figure(Picture::read(&path.with_extension("png")).map(|picture| picture.show(&alt, WIDTH)), caption)
}
