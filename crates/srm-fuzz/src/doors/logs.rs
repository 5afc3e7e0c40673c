//! Hand in a run's `metrics.jsonl` to `srm diagnose chains`.

use super::{Door, file, no_mending};
use crate::tree::change_lines;
use srm_eval::History;

pub(super) const METRICS: Door = Door {
    name: "metrics",
    what: "metrics.jsonl, by way of `srm diagnose chains RUN`",
    sources: &["crates/srm-run/src/log.rs", "crates/srm-eval/src/chains/history.rs"],
    longest: 1 << 12,
    seeds: || {
        let line = |update: u64| format!("{{\"update\":{update},\"gap\":0.5,\"chain_grad_norm\":1.0,\"lr\":0.1}}\n");
        let rollback = "{\"event\":\"rollback\",\"update\":27,\"to\":20,\"reason\":\"gap\",\"attempt\":1}\n";
        vec![[line(10), line(20), line(25), rollback.to_owned(), line(30), line(40)].concat().into_bytes()]
    },
    header: |bytes| {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(line).is_ok()
    },
    change: |bytes, dice| *bytes = change_lines(bytes, dice),
    mend: no_mending,
    enter: |bytes, folder| {
        if let Ok(history) = History::read(&file(folder, "metrics.jsonl", bytes)) {
            for after in [0, 20, u64::MAX] {
                if let Some((spacing, stretch)) = history.even_stretch(after) {
                    assert!(spacing > 0 && stretch.len() > 1);
                }
            }
        }
    },
};
