//! Write the lines of PyTorch that load an exported net and draw from it, at most twelve.

use std::ops::Range;

use srm_config::{Activation, ColourStart, Drift, EnergyConfig, Init, LangevinConfig, Schedule};
use srm_energy::{grid_prefix, layer_shapes};
use srm_langevin::Dynamics;

/// Images that the lines draw.
const IMAGES: usize = 64;

/// The lines for these nets, coarse to fine, and their chain.
pub fn lines(nets: &[EnergyConfig], langevin: &LangevinConfig) -> String {
    let step = step(langevin);
    let start = start(&langevin.init, &nets[0]);
    let needs = |module: &str| step.contains(module) || start.contains(module);
    let modules = [("json, ", "json."), ("numpy, ", "numpy.")].into_iter().filter(|(_, used)| needs(used));
    let modules: String = modules.map(|(module, _)| module).collect();
    let body = match nets {
        [net] => plain(net, langevin.steps, &start, &step),
        nets => ladder(nets, langevin, &start, &step),
    };
    format!("import {modules}safetensors.torch, torch, torch.nn as nn\n{body}")
}

/// The published class's net and loop.
fn plain(net: &EnergyConfig, steps: usize, start: &str, step: &str) -> String {
    let (phi, widths) = (activation(net.activation), widths(net));
    let top = widths[widths.len() - 1];
    let pairs: Vec<String> = widths.windows(2).map(|pair| format!("({}, {})", pair[0], pair[1])).collect();
    let strided = match pairs.is_empty() {
        true => String::new(),
        false => format!(
            "for n_in, n_out in [{}]:\n    layers += [nn.{phi}, nn.Conv2d(n_in, n_out, 4, 2, 1)]\n",
            pairs.join(", ")
        ),
    };
    format!(
        "layers = [nn.Conv2d({channels}, {first}, 3, 1, 1)]\n{strided}\
         f = nn.Sequential(*layers, nn.{phi}, nn.Conv2d({top}, 1, 4, 1, 0))\n\
         f.load_state_dict({{name[2:]: w for name, w in safetensors.torch.load_file(\"model.safetensors\").items()}})\n\
         {start}\n\
         for k in range({steps}):\n    {GRADIENT}\n    {step}\n\
         pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)  # u8 [n, h, w, c]\n",
        channels = net.channels,
        first = widths[0],
        GRADIENT = GRADIENT,
    )
}

/// A net a grid, and the climb from grid to grid.
fn ladder(nets: &[EnergyConfig], langevin: &LangevinConfig, start: &str, step: &str) -> String {
    let is_one = nets.iter().all(|net| net.activation == nets[0].activation);
    let (names, phi) = match is_one {
        true => ("size, n, steps", format!("nn.{}", activation(nets[0].activation))),
        false => ("size, n, steps, phi", "phi".to_owned()),
    };
    let grid = |(net, Range { start: first, end }): (&EnergyConfig, Range<usize>)| {
        let own = if is_one { String::new() } else { format!(", nn.{}", activation(net.activation)) };
        format!("({}, {:?}, range({first}, {end}){own})", net.size, widths(net))
    };
    let grids: Vec<String> = nets.iter().zip(Dynamics::from(langevin).grids()).map(grid).collect();
    let (channels, prefix) = (nets[0].channels, grid_prefix(0).replace('0', "{size}"));
    format!(
        "weights = safetensors.torch.load_file(\"model.safetensors\")\n\
         {start}\n\
         for {names} in [{}]:\n\
        \x20   x = nn.functional.interpolate(x, size=size)  # up to this grid, each pixel repeated\n\
        \x20   layers = [layer for a, b in zip(n, n[1:]) for layer in ({phi}, nn.Conv2d(a, b, 4, 2, 1))]\n\
        \x20   f = nn.Sequential(nn.Conv2d({channels}, n[0], 3, 1, 1), *layers, {phi}, nn.Conv2d(n[-1], 1, 4, 1, 0))\n\
        \x20   f.load_state_dict({{name.split(\".f.\")[1]: w for name, w in weights.items() \
         if name.startswith(f\"{prefix}\")}})\n\
        \x20   for k in steps:\n        {GRADIENT}\n        {step}\n",
        grids.join(", ")
    )
}

/// f'(x), with a fresh graph at every step; x is no part of it afterwards.
const GRADIENT: &str = "g = torch.autograd.grad(f(x.requires_grad_()).sum(), x)[0]";

/// x + a f'(x) + b u at step k.
fn step(langevin: &LangevinConfig) -> String {
    let (scale, noise) = match &langevin.drift {
        Drift::Tempered { gradient_scale, noise_std } => {
            (along(gradient_scale, langevin.steps), along(noise_std, langevin.steps))
        }
        Drift::DeltaTau { .. } => (number(langevin.gradient_scale()), number(langevin.noise_std())),
    };
    let gradient = match langevin.clip_gradient {
        None => "g".to_owned(),
        // each image's gradient is shortened to this norm
        Some(longest) => format!("g.renorm(2, 0, {})", number(longest)),
    };
    match &*noise {
        "0.0" => format!("x = x.detach() + {scale} * {gradient}"),
        noise => format!("x = x.detach() + {scale} * {gradient} + {noise} * torch.randn_like(x)"),
    }
}

/// A number along the chain as an expression in k.
fn along(schedule: &Schedule, steps: usize) -> String {
    let first = schedule.at(0);
    if (1..steps as u64).all(|k| schedule.at(k) == first) {
        return number(first);
    }
    // numpy wants knots that rise: of two at one step, a jump, the former stands a step earlier
    let mut knots: Vec<(u64, f64)> = Vec::new();
    for (i, &(knot, value)) in schedule.knots().iter().enumerate() {
        let is_jump = schedule.knots().get(i + 1).is_some_and(|next| next.0 == knot);
        let point =
            if is_jump { knot.checked_sub(1).map(|before| (before, schedule.at(before))) } else { Some((knot, value)) };
        knots.extend(point.filter(|point| knots.last().is_none_or(|last| last.0 < point.0)));
    }
    let places: Vec<u64> = knots.iter().map(|knot| knot.0).collect();
    let values: Vec<String> = knots.iter().map(|knot| number(knot.1)).collect();
    format!("float(numpy.interp(k, {places:?}, [{}]))", values.join(", "))
}

/// z ~ p_0 on the first grid.
fn start(init: &Init, net: &EnergyConfig) -> String {
    let EnergyConfig { channels: c, size: s, .. } = net;
    match init {
        Init::Gaussian => format!("x = torch.randn({IMAGES}, {c}, {s}, {s})"),
        Init::Colours(ColourStart::Law(law)) => {
            let size = law.size();
            format!(
                "law = json.load(open(\"config.json\"))[\"langevin\"][\"init\"][\"colours\"]\n\
                 x = torch.tensor(numpy.random.multivariate_normal(law[\"mean\"], law[\"covariance\"], {IMAGES})).float()\
                 .view({IMAGES}, {c}, {size}, {size}).repeat_interleave({repeats}, 2).repeat_interleave({repeats}, 3)",
                repeats = s / size
            )
        }
        init if init.is_zeros() => format!("x = torch.zeros({IMAGES}, {c}, {s}, {s})"),
        _ => format!("x = torch.rand({IMAGES}, {c}, {s}, {s}) * 2 - 1"),
    }
}

/// Features after each convolution but the last.
fn widths(net: &EnergyConfig) -> Vec<i64> {
    let shapes = layer_shapes(net);
    shapes[..shapes.len() - 1].iter().map(|(shape, ..)| shape[0]).collect()
}

/// The activation as a module of `torch.nn`.
pub fn activation(activation: Activation) -> String {
    match activation {
        Activation::LeakyRelu(slope) => format!("LeakyReLU({})", number(slope)),
        Activation::Relu => "ReLU()".to_owned(),
        Activation::Silu => "SiLU()".to_owned(),
        Activation::Softplus => "Softplus()".to_owned(),
        Activation::Gelu => "GELU()".to_owned(),
    }
}

/// A number as Python reads it back.
fn number(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn of(energy: Value, langevin: Value) -> String {
        let (energy, langevin): (EnergyConfig, LangevinConfig) =
            (from_value(energy).unwrap(), from_value(langevin).unwrap());
        let lines = lines(&langevin.nets(&energy), &langevin);
        assert!(lines.lines().count() <= 12, "{lines}");
        lines
    }

    #[test]
    fn the_published_loop_has_the_published_constants() {
        let energy = json!({ "size": 32, "channels": 3, "features": 64 });
        let lines = of(energy.clone(), json!({ "gradient_scale": 1.0, "noise_std": 0.01 }));
        for line in [
            "layers = [nn.Conv2d(3, 64, 3, 1, 1)]",
            "for n_in, n_out in [(64, 128), (128, 256), (256, 512)]:",
            "f = nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(512, 1, 4, 1, 0))",
            "x = torch.rand(64, 3, 32, 32) * 2 - 1",
            "for k in range(100):",
            "    x = x.detach() + 1.0 * g + 0.01 * torch.randn_like(x)",
        ] {
            assert!(lines.contains(&format!("{line}\n")), "{line}\n{lines}");
        }
        let lines = of(energy.clone(), json!({ "delta_tau": 1e-4, "init": "gaussian", "clip_gradient": 0.5 }));
        assert!(lines.contains("x.detach() + 5e-5 * g.renorm(2, 0, 0.5) + 0.01 * torch.randn_like(x)"), "{lines}");
        assert!(lines.contains("x = torch.randn(64, 3, 32, 32)\n"));
        let quiet = of(energy, json!({ "gradient_scale": 2.0, "noise_std": 0 }));
        assert!(quiet.contains("x = x.detach() + 2.0 * g\n"), "{quiet}");
        let small = of(
            json!({ "size": 4, "channels": 1, "features": 8, "activation": "silu" }),
            json!({ "gradient_scale": 1, "noise_std": 0 }),
        );
        assert!(!small.contains("n_in") && small.contains("nn.SiLU(), nn.Conv2d(8, 1, 4, 1, 0)"), "{small}");
    }

    #[test]
    fn what_changes_along_the_chain_is_interpolated_and_jumps_stay_jumps() {
        let schedule = |knots: Value| from_value::<Schedule>(knots).unwrap();
        assert_eq!(
            along(&schedule(json!([[0, 0.015], [44, 0.0]])), 45),
            "float(numpy.interp(k, [0, 44], [0.015, 0.0]))"
        );
        assert_eq!(along(&schedule(json!([[0, 0.5], [90, 0.1]])), 1), "0.5");
        let jump = schedule(json!([[0, 0.2], [10, 0.4], [10, 0.1], [20, 0.0]]));
        let before = jump.at(9);
        assert_eq!(along(&jump, 30), format!("float(numpy.interp(k, [0, 9, 10, 20], [0.2, {before:?}, 0.1, 0.0]))"));
        assert_eq!(along(&schedule(json!([[3, 0.2], [3, 0.0]])), 9), "float(numpy.interp(k, [2, 3], [0.2, 0.0]))");
        assert_eq!(
            along(&schedule(json!([[0, 0.2], [0, 0.1], [5, 0.0]])), 9),
            "float(numpy.interp(k, [0, 5], [0.1, 0.0]))"
        );
    }

    #[test]
    fn a_ladder_climbs() {
        let grids = json!([{ "size": 4, "steps": 3, "features": 6, "activation": "relu" }, { "size": 16, "steps": 5 }]);
        let init = json!({ "colours": { "mean": [0.5], "covariance": [[0.25]] } });
        let lines = of(
            json!({ "size": 16, "channels": 1, "features": 8 }),
            json!({ "grids": grids, "gradient_scale": 1.0, "noise_std": [[0, 0.02], [7, 0.0]], "init": init }),
        );
        for part in [
            "for size, n, steps, phi in [(4, [6], range(0, 3), nn.ReLU()), \
             (16, [8, 16, 32], range(3, 8), nn.LeakyReLU(0.2))]:",
            "import json, numpy,",
            "startswith(f\"grid{size}.\")",
            "multivariate_normal(law[\"mean\"], law[\"covariance\"], 64)).float()\
             .view(64, 1, 1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)",
            "float(numpy.interp(k, [0, 7], [0.02, 0.0])) * torch.randn_like(x)",
        ] {
            assert!(lines.contains(part), "{part}\n{lines}");
        }
    }
}
