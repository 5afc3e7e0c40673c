//! Compare the moments of a trained net's samples with those of the data, layer by layer and checkpoint by checkpoint.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use srm_data::ImageSet;
use srm_eval::moment_matching::{GroupedMean, LayerMoments, Observed, relative_error};
use srm_langevin::{ChainKey, Chains, Outcome, Samples};
use srm_report::Chart;

use crate::{
    arguments::MomentsArguments,
    diagnose_moments::{Subject, in_parts, observed, warnings},
    failure::Failure,
    machine::Machine,
    output::Output,
    shown::Shown,
    status, weights,
};

/// Measure each checkpoint; the JSON object and the text.
///
/// # Errors
/// Images or weights that cannot be used, chains that blow up, Ctrl-C.
pub fn run(arguments: &MomentsArguments, output: &Output) -> Result<(Value, String)> {
    let images = observed(arguments)?;
    let machine = Machine::open(&arguments.compute)?;
    tch::set_num_threads(1); // the workers do the work
    let begun = Instant::now();
    let warnings = warnings(arguments);
    let path = arguments.weights.as_deref().unwrap_or(&arguments.out);
    let results = weights::checkpoints(path, arguments.newest)?
        .iter()
        .map(|file| measured(arguments, &Subject::open(arguments, file, &images, &machine)?, &images, output))
        .collect::<Result<Vec<Value>>>()?;
    chart(&results).write(&arguments.out.join("moments.svg"))?;
    let (floor, reference) = sizes(arguments, &images);
    let object = json!({
        "command": "diagnose moments", "experiment": "trained",
        "data": { "file": arguments.data.as_deref().map(Shown), "images": images.len(), "reference": reference, "floor": floor },
        "count": arguments.count, "seed": arguments.seed, "results": results, "warnings": warnings,
        "seconds": begun.elapsed().as_secs_f64(), "out": Shown(&arguments.out),
    });
    let text = text(&object);
    Ok((object, text))
}

/// Images of each of the two disjoint sets that make the floor, and of the set that samples are compared with: one of the
/// two where there are enough images, else both.
fn sizes(arguments: &MomentsArguments, images: &ImageSet) -> (usize, usize) {
    let count = arguments.count as usize;
    match images.len() >= 2 * count {
        true => (count, count),
        false => (images.len() / 2, images.len() / 2 * 2),
    }
}

/// One line of the table.
fn measured(arguments: &MomentsArguments, subject: &Subject, images: &ImageSet, output: &Output) -> Result<Value> {
    let (begun, count) = (Instant::now(), arguments.count as usize);
    let (half, reference) = sizes(arguments, images);
    let data = Observed::new(images, arguments.seed, subject.sigma, subject.flip);
    let (sampler, net) = (&subject.sampler, &subject.loaded.net);
    let (workers, block) = (sampler.workers(), sampler.block());
    let bar = output.bar((count + 2 * half) as u64, "images");
    let gather = |skip: usize| {
        let mut moments = LayerMoments::new(net, half);
        in_parts(half, block, |first, count| {
            moments.add(workers, &data.batch(skip + first, count)?.f_to_device(subject.device())?)?;
            bar.inc(count as u64);
            Ok(())
        })?;
        Ok::<_, anyhow::Error>(moments)
    };
    let (one, other) = (gather(0)?, gather(half)?);
    let mut sampled = LayerMoments::new(net, count);
    in_parts(count, block, |first, count| {
        let key = ChainKey { seed: arguments.seed, attempt: 0, update: 0 };
        let (outcome, _) = sampler.run(&Chains { key, ids: first as u64..(first + count) as u64 }, |_| ())?;
        let Outcome::Finished(Samples { x }) = outcome else {
            let text = format!("the chains of {} blew up; nothing was compared", subject.loaded.file.display());
            return Err(Failure::Diverged(text).into());
        };
        sampled.add(workers, &x)?;
        bar.inc(count as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    let both = (reference > half).then(|| one.and(&other));
    let target = both.as_ref().unwrap_or(&one);
    let compared = |q: &GroupedMean, data: &GroupedMean, floor: [&GroupedMean; 2]| {
        let mut error = serde_json::to_value(relative_error(q, data)?)?;
        let floor = relative_error(floor[1], floor[0])?;
        (error["floor"], error["floor_by_chance"]) = (json!(floor.relative), json!(floor.noise));
        Ok::<Value, anyhow::Error>(error)
    };
    let mut layers = Vec::new();
    for (i, (name, q)) in sampled.layers.iter().enumerate() {
        let mut error = compared(q, &target.layers[i].1, [&one.layers[i].1, &other.layers[i].1])?;
        error["layer"] = json!(name);
        layers.push(error);
    }
    let mut about = subject.about();
    about["top"] = compared(sampled.top()?, target.top()?, [one.top()?, other.top()?])?;
    about["layers"] = json!(layers);
    about["f_data"] = json!(target.f.mean()?.f_double_value(&[0])?);
    about["f_sample"] = json!(sampled.f.mean()?.f_double_value(&[0])?);
    about["seconds"] = json!(begun.elapsed().as_secs_f64());
    Ok(about)
}

/// Errors over training; of a single file over the layers.
fn chart(results: &[Value]) -> Chart {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let layers = |result: &Value| result["layers"].as_array().cloned().unwrap_or_default();
    if let [result] = results {
        let layers = layers(result);
        let values = |key: &str| -> Vec<(f64, f64)> {
            layers.iter().enumerate().map(|(i, layer)| (i as f64 + 1.0, number(&layer[key]))).collect()
        };
        return Chart::new("Moments of samples against data", "layer, the last is h", "relative error")
            .log_y()
            .line("E[∂f/∂θ]", values("relative"))
            .dots("", values("relative"))
            .dashed("data against data", values("floor"));
    }
    let over = |value: &dyn Fn(&Value) -> f64| -> Vec<(f64, f64)> {
        results.iter().map(|result| (number(&result["update"]), value(result))).collect()
    };
    let mut chart = Chart::new("Moments of samples against data over training", "update", "relative error").log_y();
    for i in 0..results.first().map_or(0, |result| layers(result).len()) {
        let name = match results[0]["layers"].get(i + 1) {
            Some(_) => results[0]["layers"][i]["layer"].as_str().unwrap_or_default().to_owned(),
            None => "h (top)".to_owned(),
        };
        chart = chart.line(&name, over(&|result| number(&result["layers"][i]["relative"])));
    }
    chart.dashed("h, data against data", over(&|result| number(&result["top"]["floor"])))
}

/// The table for people.
fn text(object: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
    let results = || object["results"].as_array().into_iter().flatten();
    let mut text =
        format!("{:<26} {:>5} {:>6}  {:>16} {:>7}", "relative error of E[.]", "K", "sigma", "h (top)", "floor");
    for layer in results().next().and_then(|result| result["layers"].as_array()).into_iter().flatten() {
        text += &format!(" {:>7}", layer["layer"].as_str().unwrap_or_default());
    }
    for result in results() {
        let name = match result["update"].as_u64() {
            Some(update) => format!("update {update}"),
            None => result["weights"].as_str().unwrap_or_default().to_owned(),
        };
        let top = &result["top"];
        let error = format!("{} ± {}", number(&top["relative"]), number(&top["standard_error"]));
        let sigma = result["data_noise"].as_f64().unwrap_or(f64::NAN);
        text += &format!("\n{name:<26} {:>5} {sigma:>6.3}  {error:>16} {:>7}", result["steps"], number(&top["floor"]));
        for layer in result["layers"].as_array().into_iter().flatten() {
            text += &format!(" {:>7}", number(&layer["relative"]));
        }
        text += &format!("\n{:<26} {:>5} {:>6}  {:>16} {:>7}", "  data against data", "", "", "", "");
        for layer in result["layers"].as_array().into_iter().flatten() {
            text += &format!(" {:>7}", number(&layer["floor"]));
        }
    }
    let data = &object["data"];
    text += &format!(
        "\nimages     {} samples against {} of {} observed; data against data: {} and {}\nmade       {} in {}",
        object["count"],
        data["reference"],
        data["images"],
        data["floor"],
        data["floor"],
        object["out"].as_str().unwrap_or_default(),
        status::duration(object["seconds"].as_f64().unwrap_or(0.0)),
    );
    text
}
