//! Run `srm interpolate`: rows of images on the way between two start noises, as in the paper's figure.

use std::time::Instant;

use anyhow::Result;
use ndarray::Array4;
use serde_json::json;
use srm_data::{write_grid, write_npy};
use srm_latent::rhos;
use srm_ranks::SingleProcess;
use srm_train::to_bytes;
use tch::Tensor;

use crate::{
    animation, arguments::InterpolateArguments, failure::usage, generator::Generator, images::prepare_output,
    output::Output, shown::Shown, status,
};

/// Pixels between two images.
const PADDING: usize = 2;
/// States of the animation.
const FRAMES: usize = 50;

/// Interpolate, write the rows, and print how smooth they are.
///
/// # Errors
/// Bad usage, weights that cannot be used, chains that blow up, outputs that cannot be written.
pub fn run(arguments: &InterpolateArguments, output: &Output) -> Result<()> {
    if arguments.points < 2 {
        return Err(usage("--points must be at least 2: the two ends"));
    }
    for path in [Some(&arguments.out), arguments.npy.as_ref(), arguments.animate.as_ref()].into_iter().flatten() {
        prepare_output(path)?;
    }
    let generator = Generator::open(&arguments.model, arguments.seed, &SingleProcess)?;
    let _guard = tch::no_grad_guard();
    let begun = Instant::now();
    let (pairs, points) = (usize::from(arguments.pairs), usize::from(arguments.points));
    generator.check_chains(pairs * points, "--pairs or --points")?;
    let rhos = rhos(points);
    let ids: Vec<u64> = (0..2 * pairs as u64).collect();
    let z = generator.run.start(arguments.seed, &ids, &generator.image)?;
    let bar = output.bar(pairs as u64, "rows");
    let (mut rows, mut steps, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let mut states: Vec<Vec<Tensor>> = Vec::new();
    for pair in 0..pairs as i64 {
        let (z1, z2) = (z.f_get(2 * pair)?, z.f_get(2 * pair + 1)?);
        // the noise of the first end's chain: with --noise fixed it is image 2·pair of `srm sample --seed`
        let row = generator.run.interpolate(&z1, &z2, &rhos, 2 * pair as u64)?;
        if arguments.animate.is_some() {
            let every = generator.run.dynamics().steps.div_ceil(FRAMES);
            let codes =
                rhos.iter().map(|&rho| srm_latent::mix(&z1, &z2, rho)).collect::<srm_latent::Result<Vec<_>>>()?;
            states.push(generator.run.path(&Tensor::f_stack(&codes, 0)?, &vec![2 * pair as u64; points], every)?);
        }
        rows.push(row.x);
        steps.push(row.steps);
        ends.push(row.ends);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let images: Array4<u8> = to_bytes(&Tensor::f_cat(&rows, 0)?)?;
    write_grid(&arguments.out, &images.view(), points, PADDING)?;
    if let Some(path) = &arguments.npy {
        write_npy(path, &images.view())?;
    }
    if let Some(path) = &arguments.animate {
        animation::write(path, &animation::side_by_side(&states)?, points, PADDING)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let all: Vec<f64> = steps.iter().flatten().copied().collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let largest = all.iter().copied().fold(0.0, f64::max);
    let object = json!({
        "command": "interpolate", "weights": Shown(&generator.file), "pairs": pairs, "points": points, "rho": rhos,
        "seed": arguments.seed, "noise": generator.noise_name(), "steps": generator.run.dynamics().steps,
        "device": generator.machine.device_name(), "seconds": seconds, "out": Shown(&arguments.out),
        "npy": arguments.npy.as_deref().map(Shown),
        "animate": arguments.animate.as_deref().map(Shown), "shape": images.shape(),
        "smoothness": { "neighbours": steps, "mean": mean(&all), "largest": largest, "ends": ends },
    });
    let text = format!(
        "{pairs} rows of {points} images between start noises of seed {} in {}\nrms distance of neighbours {:.4} (largest {:.4}), of the two ends {:.4}, on the [-1, 1] scale\npictures  {}",
        arguments.seed,
        status::duration(seconds),
        mean(&all),
        largest,
        mean(&ends),
        arguments.out.display()
    );
    output.result(&object, &text)
}
