//! Sweep K, σ and n as the paper's tables do: one training run a value, each scored alike, as a table and as charts.

mod preset;

use crate::{setup, workspace};
use anyhow::{Context, Result, bail, ensure};
use preset::{Preset, Sweep};
use serde_json::{Value, json};
use srm_files::write_whole;
use srm_run::{Metrics, layout::METRICS};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Options of `cargo xtask ablate`.
#[derive(clap::Args)]
pub struct Args {
    /// cpu: Fashion-MNIST, under an hour on two cores; gpu: CelebA at 64 px
    #[arg(long, value_enum, default_value = "cpu")]
    preset: preset::Name,
    /// Only the sweep of this key, such as langevin.steps
    #[arg(long, value_name = "KEY")]
    only: Option<String>,
    /// Updates of each run [default: the preset's]; the schedules are stretched to it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..))]
    updates: Option<u64>,
    /// Where the runs, the table and the charts go [default: runs/ablation-PRESET]; points that are there are not made again
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Make every point that is not there yet, then write table and charts.
pub fn run(args: Args) -> Result<()> {
    let preset = Preset::named(args.preset);
    let updates = args.updates.unwrap_or(preset.updates);
    let sweeps: Vec<&Sweep> =
        preset.sweeps.iter().filter(|sweep| args.only.as_ref().is_none_or(|key| *key == sweep.key)).collect();
    if sweeps.is_empty() {
        let keys: Vec<&str> = preset.sweeps.iter().map(|sweep| sweep.key).collect();
        bail!("--only {}: no such sweep; there are {}", args.only.unwrap_or_default(), keys.join(", "));
    }
    setup::ensure_done()?;
    let srm = workspace::build_srm()?;
    // a program of its own, so that no other task waits for the plotting library to be built
    let drawer = workspace::build(
        &mut workspace::cargo(["build", "--package", "srm-report"]),
        &["--example", "chart"],
        "chart",
    )?;
    let root = workspace::root();
    let data = root.join(preset.data);
    ensure!(data.exists(), "{} is not there; `{}` makes it", preset.data, preset.fetch);
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("runs/ablation-{}", preset.name)));
    let folder = root.join(&out);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let table = folder.join("ablation.json");
    let mut points = read(&table)?;
    for sweep in &sweeps {
        for value in sweep.values {
            let name = format!("{}-{value}", sweep.key.replace('.', "-"));
            let settings = preset.settings(updates, sweep, *value);
            // a point that shares all settings with one that is there, as the middle of every sweep does, is that one
            let made = points.iter().find(|point| point["settings"] == json!(settings)).cloned();
            let mut point = match made {
                Some(point) => point,
                None => measure(&srm, &preset, &out.join(&name), &settings)?,
            };
            (point["key"], point["value"]) = (json!(sweep.key), json!(value));
            points.retain(|one| (&one["key"], &one["value"]) != (&point["key"], &point["value"]));
            points.push(point);
            // after each point: a stop loses one at most
            let object = json!({ "preset": preset.name, "points": points });
            write_whole(&table, |file| writeln!(file, "{object:#}"))
                .with_context(|| format!("cannot write {}", table.display()))?;
        }
    }
    for sweep in sweeps {
        let mut mine: Vec<&Value> = points.iter().filter(|point| point["key"] == sweep.key).collect();
        mine.sort_by(|a, b| a["value"].as_f64().unwrap_or(0.0).total_cmp(&b["value"].as_f64().unwrap_or(0.0)));
        println!("\n{}", text(sweep, &mine));
        charts(&drawer, &folder, sweep, &mine)?;
    }
    println!("\nThe runs, ablation.json and the charts are in {}", out.display());
    Ok(())
}

/// The points made so far.
fn read(table: &Path) -> Result<Vec<Value>> {
    let Ok(text) = fs::read_to_string(table) else { return Ok(Vec::new()) };
    let object: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; delete it, and the points are made again", table.display()))?;
    Ok(object["points"].as_array().cloned().unwrap_or_default())
}

/// Train one point, or go on where a stop has left it, and score it.
fn measure(srm: &Path, preset: &Preset, run: &Path, settings: &[String]) -> Result<Value> {
    let folder = run.display().to_string();
    let overrides = settings.iter().flat_map(|setting| ["--set", setting]);
    // a run that is there goes on with its own settings; those of another preset would be another run
    let arguments = ["train", "--config", preset.config, "--run", &folder, "--resume", "--json"];
    let begun = Instant::now();
    let trained = workspace::srm_json(srm, arguments.into_iter().chain(overrides), &[0, 3])?;
    let seconds = begun.elapsed().as_secs_f64();
    let outcome = trained.as_ref().map_or("diverged".into(), |said| said["outcome"].clone());
    let rollbacks = trained.as_ref().map_or(Value::Null, |said| said["rollbacks"].clone());
    let r = late_gradient(&workspace::root().join(run).join(METRICS));
    let count = preset.count.to_string();
    let real = preset.real.to_string();
    let arguments = ["evaluate", "--weights", &folder, "--newest", "--data", preset.data, "--json"];
    let counts = ["--count", &count, "--data-count", &real];
    // the chains of a run that has diverged may blow up: then there is no score, and that is the result
    let scored = workspace::srm_json(srm, arguments.into_iter().chain(counts), &[0, 3])?;
    let result = scored.as_ref().map_or(Value::Null, |said| said["results"][0].clone());
    Ok(json!({
        "run": folder, "settings": settings, "outcome": outcome, "rollbacks": rollbacks, "seconds": seconds, "r": r,
        "count": preset.count, "frechet": result["frechet"], "kernel": result["kernel"]["mean"],
        "precision": result["precision"], "recall": result["recall"], "features": scored.map(|said| said["features"]["name"].clone()),
    }))
}

/// r, the mean ‖f'‖ along the chains: the median over the last tenth of a run's logged updates. What a rollback took
/// back does not count.
fn late_gradient(metrics: &Path) -> Option<f64> {
    let all: Vec<f64> =
        Metrics::read(metrics).ok()?.kept().map(|step| step.chain_grad_norm).filter(|r| !r.is_nan()).collect();
    let mut late = all[all.len() - all.len().div_ceil(10)..].to_vec();
    late.sort_by(f64::total_cmp);
    late.get(late.len() / 2).copied()
}

/// One sweep's table.
fn text(sweep: &Sweep, points: &[&Value]) -> String {
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
    let mut text = format!(
        "{:<26} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>12}",
        sweep.title, "Fréchet", "kernel", "precision", "recall", "r", "rollbacks", "seconds"
    );
    for point in points {
        text += &format!(
            "\n{:<26} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>12.0}{}",
            point["value"].as_f64().unwrap_or(f64::NAN),
            number(&point["frechet"]),
            number(&point["kernel"]),
            number(&point["precision"]),
            number(&point["recall"]),
            number(&point["r"]),
            point["rollbacks"].as_u64().map_or("-".to_owned(), |count| count.to_string()),
            point["seconds"].as_f64().unwrap_or(0.0),
            if point["outcome"] == "finished" { "" } else { "  diverged" },
        );
    }
    text
}

fn charts(drawer: &Path, folder: &Path, sweep: &Sweep, points: &[&Value]) -> Result<()> {
    let drawn = |title: &str, y: &str, key: &str| {
        let file = folder.join(format!("{}-{key}.svg", sweep.key.replace('.', "-")));
        let over: Vec<[f64; 2]> =
            points.iter().filter_map(|point| Some([point["value"].as_f64()?, point[key].as_f64()?])).collect();
        let chart = json!({ "title": title, "x": sweep.title, "y": y, "points": over });
        workspace::fed(Command::new(drawer).arg(file), chart.to_string().as_bytes())
    };
    drawn("Distance from real images (less is better)", "Fréchet distance", "frechet")?;
    drawn("Gradient norm along the chain", "r", "r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_late_gradient_is_the_median_of_the_last_tenth() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(METRICS);
        let line = |update: usize, attempt: u32, r: f64| {
            format!("{{\"update\":{update},\"gap\":0,\"chain_grad_norm\":{r},\"attempt\":{attempt}}}\n")
        };
        let lines: String = (1..=30).map(|i| line(i, 0, if i == 30 { 1e9 } else { i as f64 })).collect();
        fs::write(&file, lines.clone() + "{\"upd").unwrap();
        assert_eq!(late_gradient(&file), Some(29.0));
        // back to update 20: 10 updates that blew up do not count, the two after them do
        let rollback = "{\"event\":\"rollback\",\"update\":31,\"to\":20,\"attempt\":1}\n";
        fs::write(&file, lines + rollback + &line(21, 1, 5.0) + &line(22, 1, 6.0)).unwrap();
        assert_eq!(late_gradient(&file), Some(6.0));
        assert_eq!(late_gradient(&folder.path().join("none")), None);
    }

    #[test]
    fn a_table_says_what_diverged() {
        let sweep = &Preset::named(preset::Name::Cpu).sweeps[0];
        let point =
            json!({ "value": 5, "frechet": null, "r": 1.5, "outcome": "diverged", "rollbacks": 5, "seconds": 61.2 });
        let text = text(sweep, &[&point]);
        assert!(text.ends_with("diverged") && text.contains("1.5000"), "{text}");
    }
}
