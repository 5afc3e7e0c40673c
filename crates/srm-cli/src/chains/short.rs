//! Show short chains step by step, to K and beyond.

use anyhow::Result;
use serde_json::json;
use srm_eval::{ChainLog, ChainTable, Plan, StepStatistics};

use super::{
    Found,
    bench::Bench,
    charts::{Charts, blown_up, number},
};

/// Run the chains and draw their numbers. Beside what was found: the last step at which a chain blew up, where none has
/// reached K.
///
/// # Errors
/// What the net returns, charts that cannot be written, Ctrl-C.
pub fn diagnose(bench: &Bench<'_>) -> Result<(Found, Option<usize>)> {
    let (chains, trained, beyond) = (bench.flags.chains as usize, bench.model.langevin.steps, bench.beyond);
    let data = bench.numbers.as_ref();
    let logs = bench.logs(None, 0..chains as u64, Plan::every_step(beyond, &[]), "chains step by step")?;
    let table = ChainTable::new(&logs.iter().collect::<Vec<&ChainLog>>(), chains)?;
    let (statistics, lost) = (table.statistics(), table.blown_up());
    let charts = Charts {
        out: &bench.flags.out,
        prefix: "",
        title: &format!("{chains} short chains"),
        logarithmic: false,
        data,
    };
    let files = charts.write(&statistics, trained)?;
    let line = |name: &str, one: &StepStatistics| {
        format!(
            "{name:<10} f {}{}, ‖f'‖ {}, std {}{}, max |x| {}, rms distance from z {}",
            number(one.f),
            data.map_or(String::new(), |data| format!(" (data {})", number(data.f))),
            number(one.gradient_norm),
            number(one.std),
            data.map_or(String::new(), |data| format!(" (data {})", number(data.std))),
            number(one.largest),
            number(one.distance),
        )
    };
    let mut text = format!("short run  {chains} chains, K = {trained}, to step {beyond}{}", blown_up(&lost, chains));
    for step in [trained, beyond] {
        if let Some(one) = statistics.iter().find(|one| one.step == step) {
            text += &format!("\n{}", line(&format!("  step {step}"), one));
        }
    }
    let none_reaches = lost.len() == chains && lost.iter().all(|(_, step)| *step <= trained);
    let last = none_reaches.then(|| lost.iter().map(|(_, step)| *step).max()).flatten();
    let object = json!({
        "chains": chains, "beyond": beyond, "blown_up": steps(&lost), "largest": table.largest(), "statistics": statistics,
    });
    Ok((Found { object, text, files }, last))
}

/// Chains that blew up, as JSON.
pub fn steps(lost: &[(usize, usize)]) -> serde_json::Value {
    lost.iter().map(|(chain, step)| json!({ "chain": chain, "step": step })).collect()
}
