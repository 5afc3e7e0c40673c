//! Draw the paper's Figure 1 for Gaussians on the plane.

use std::{fmt, time::Instant};

use anyhow::Result;
use serde::Serialize;
use srm_eval::moment_matching::{PlaneFamily, PlaneUpdate};
use srm_langevin::{Dynamics, Kernel, Start};
use srm_report::Chart;

use super::subject::stop_if_asked;
use crate::{
    flags::MomentsFlags,
    session::{Shown, status},
};

/// c, v₀ and the data's variances, and the run's K, a and ν = √(2a), so that T = 1: chosen by us so that the data, the two
/// estimates and the curves lie well apart.
const STIFFNESS: f64 = 4.0;
const START: f64 = 0.1;
const DATA: [f64; 2] = [2.2, 0.2];
const STEPS: usize = 10;
const GRADIENT_SCALE: f64 = 0.05;
/// Where learning begins, and its chains per update.
const FIRST_THETA: f64 = 1.5;
const CHAINS: usize = 1000;

/// Learn, and draw the figure.
///
/// # Errors
/// The chart cannot be written, Ctrl-C.
pub fn run(flags: &MomentsFlags) -> Result<Report<'_>> {
    let begun = Instant::now();
    let (kernel, seed) = (Kernel::eq4(2.0 * GRADIENT_SCALE), flags.common.seed);
    let steps = flags.common.model.steps.map_or(STEPS, |steps| steps as usize);
    let dynamics = Dynamics::new(kernel, steps, Start::Gaussian);
    let family = PlaneFamily { stiffness: STIFFNESS, start: START, data: DATA, dynamics };
    let (likely, matching) = (family.maximum_likelihood(), family.moment_matching()?);
    let (path, learned) = family.learn(FIRST_THETA, u64::from(flags.updates), CHAINS, seed)?;
    stop_if_asked()?;
    figure(&family, &path.iter().map(|update| update.variances).collect::<Vec<_>>(), learned, matching)
        .write(&flags.out.join("figure1.svg"))?;
    Ok(Report {
        command: "diagnose moments",
        experiment: "toy",
        stiffness: STIFFNESS,
        start: START,
        data: DATA,
        steps,
        gradient_scale: GRADIENT_SCALE,
        noise_std: (2.0 * GRADIENT_SCALE).sqrt(),
        chains: CHAINS,
        updates: flags.updates,
        seed,
        first_theta: FIRST_THETA,
        maximum_likelihood: Estimate { theta: likely, variances: family.model(likely) },
        moment_matching: Estimate { theta: matching, variances: family.run(matching) },
        learned: Estimate { theta: learned, variances: family.run(learned) },
        path,
        seconds: begun.elapsed().as_secs_f64(),
        out: Shown(&flags.out),
        family,
    })
}

/// What was learned, and what it should be.
#[derive(Serialize)]
pub struct Report<'a> {
    command: &'static str,
    experiment: &'static str,
    stiffness: f64,
    start: f64,
    data: [f64; 2],
    steps: usize,
    gradient_scale: f64,
    noise_std: f64,
    chains: usize,
    updates: u32,
    seed: u64,
    first_theta: f64,
    maximum_likelihood: Estimate,
    moment_matching: Estimate,
    learned: Estimate,
    path: Vec<PlaneUpdate>,
    seconds: f64,
    out: Shown<'a>,
    #[serde(skip)]
    family: PlaneFamily,
}

#[derive(Serialize)]
struct Estimate {
    theta: f64,
    variances: [f64; 2],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (moment, [v1, v2]) = (|variances| self.family.moment(variances), self.data);
        writeln!(out, "{:<34} {:>7} {:>7} {:>7} {:>8}", "", "theta", "v1", "v2", "E[h]")?;
        writeln!(out, "{:<34} {:>7} {v1:>7.4} {v2:>7.4} {:>8.4}", "data", "", moment(self.data))?;
        for (name, Estimate { theta, variances }) in [
            ("maximum likelihood, p", &self.maximum_likelihood),
            ("moment matching, q (root)", &self.moment_matching),
            ("learned by the short run, q", &self.learned),
        ] {
            let ([v1, v2], moment) = (variances, moment(*variances));
            writeln!(out, "{name:<34} {theta:>7.4} {v1:>7.4} {v2:>7.4} {moment:>8.4}")?;
        }
        let (figure, seconds) = (self.out.0.join("figure1.svg"), status::duration(self.seconds));
        write!(out, "figure     {} ({} updates of {CHAINS} chains in {seconds})", figure.display(), self.updates)
    }
}

/// The three curves, the data, both estimates and the way of learning.
fn figure(family: &PlaneFamily, path: &[[f64; 2]], learned: f64, matching: f64) -> Chart {
    let point = |[v1, v2]: [f64; 2]| (v1, v2);
    let theta = |i: i32, low: f64, high: f64| low + (high - low) * f64::from(i) / 200.0;
    let sum = -2.0 * family.moment(family.data);
    let likely = family.maximum_likelihood();
    let title = "Figure 1 on the plane: the short run matches the moment, not the likelihood";
    Chart::new(title, "variance of x1", "variance of x2")
        .line("Θ: the model p_θ", (0..=200).map(|i| point(family.model(theta(i, 0.42, 12.0)))))
        .dashed(
            "Ω: E[h] as the data's",
            (0..=200).map(|i| {
                let v1 = theta(i, 0.25, 2.5);
                (v1, (sum - v1) / family.stiffness)
            }),
        )
        .line("q_θ, the K-step run", (0..=200).map(|i| point(family.run(theta(i, 0.0, family.largest_theta())))))
        .dots("the chains while θ is learned", path.iter().step_by((path.len() / 40).max(1)).map(|&v| point(v)))
        .dots("moment matching, the root", [point(family.run(matching))])
        .dots("learned, over the root", [point(family.run(learned))])
        .dots("data", [point(family.data)])
        .dots("maximum likelihood", [point(family.model(likely))])
}
