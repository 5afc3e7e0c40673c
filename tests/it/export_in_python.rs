//! Run the PyTorch lines of a model card, and hold their chain and their f to srm's.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use ndarray::{Array1, Array4, ArrayD};
use ndarray_npy::{read_npy, write_npy};
use srm_config::{ColourStart, Init};
use srm_energy::{Energy, load_weights};
use srm_langevin::{Dynamics, NoNoise, Outcome, Samples, short_run, up_to};
use tch::{Device, Tensor};

use crate::{
    common::{folder, smoke, srm, text},
    ladder::ladder,
};

/// What stands around the lines: given numbers in the place of drawn ones, no noise, and x and f(x) written to files.
const BEFORE: &str = "import numpy, torch
drawn = torch.from_numpy(numpy.load('drawn.npy'))
torch.rand = lambda *shape: (drawn.view(shape) + 1) / 2
torch.randn = lambda *shape: drawn.view(shape)
factor = lambda covariance: numpy.linalg.cholesky(numpy.array(covariance) + 1e-12 * numpy.eye(len(covariance)))
numpy.random.multivariate_normal = lambda mean, law, n: mean + drawn.view(n, -1).numpy() @ factor(law).T
torch.randn_like = torch.zeros_like
";
const AFTER: &str = "
numpy.save('x.npy', x.detach().numpy())
numpy.save('f.npy', f(x).detach().reshape(-1).numpy())
";

/// The Python that has torch and safetensors; `None` where there is none.
fn python() -> Option<OsString> {
    let python = std::env::var_os("SRM_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python)
        .args(["-c", "import torch, numpy, safetensors.torch"])
        .env_remove("LD_LIBRARY_PATH") // the libtorch of the tests is none of its own
        .stderr(Stdio::null())
        .status();
    has.is_ok_and(|status| status.success()).then_some(python)
}

/// Numbers in [-1, 1] that repeat nowhere soon.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f32 * 0.754_877_7).fract() * 2.0 - 1.0) * 0.99).collect()
}

fn to_tensor(array: &ArrayD<f32>) -> Tensor {
    let shape: Vec<i64> = array.shape().iter().map(|&side| side as i64).collect();
    Tensor::from_slice(array.as_slice().expect("in order")).reshape(shape)
}

/// The largest difference of two tensors of one shape.
fn apart(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one - other).abs().max().double_value(&[])
}

/// Export, run the card's lines, and compare.
fn lines_do_as_srm_does(run: &Path) {
    let Some(python) = python() else {
        // straight to the stream, which the harness does not hold back
        let _ = writeln!(std::io::stderr(), "passed over: no Python with torch and safetensors; SRM_PYTHON names one");
        return;
    };
    let place = folder();
    let hub = place.path().join("hub");
    srm(&["export", "--hub", text(&hub), text(run)]).done();
    let card = fs::read_to_string(hub.join("README.md")).expect("a card");
    let lines = card.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).expect("lines").0;
    assert!(lines.lines().count() <= 12, "{lines}");

    let weights = load_weights(&hub.join("model.safetensors"), Device::Cpu).expect("weights of ours");
    let chain = weights.langevin.expect("a chain");
    let mut dynamics = Dynamics::from(&chain);
    (dynamics.kernel.noise_std, dynamics.course.noise_std) = (0.0, None);
    let shape: Vec<usize> = dynamics.start_shape(&weights.net.image()).iter().map(|&side| side as usize).collect();
    let z = match chain.init {
        Init::Colours(ColourStart::Law(law)) => {
            let (length, size) = (law.mean().len(), law.size());
            let normals = numbers(64 * length);
            write_npy(hub.join("drawn.npy"), &Array1::from(normals.clone())).expect("a writable folder");
            let image = |of: &[f32]| law.colour(&of.iter().map(|&n| n.into()).collect::<Vec<f64>>());
            let images: Vec<Vec<f64>> = normals.chunks(length).map(image).collect();
            let block = (shape[1] / size, shape[2] / size);
            Array4::from_shape_fn((64, shape[0], shape[1], shape[2]), |(i, c, row, column)| {
                images[i][(c * size + row / block.0) * size + column / block.1] as f32
            })
        }
        _ => {
            let drawn = numbers(64 * shape.iter().product::<usize>());
            write_npy(hub.join("drawn.npy"), &Array1::from(drawn.clone())).expect("a writable folder");
            Array4::from_shape_vec((64, shape[0], shape[1], shape[2]), drawn).expect("as many as asked for")
        }
    };
    let output = Command::new(python)
        .args(["-c", &format!("{BEFORE}{lines}{AFTER}")])
        .current_dir(&hub)
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .expect("it ran before");
    assert!(output.status.success(), "{lines}\n{}", String::from_utf8_lossy(&output.stderr));
    let (theirs, f): (ArrayD<f32>, ArrayD<f32>) =
        (read_npy(hub.join("x.npy")).expect("x"), read_npy(hub.join("f.npy")).expect("f"));
    let z = to_tensor(&z.into_dyn());
    let outcome = short_run(&weights.net, &dynamics, &z, &mut NoNoise, &mut ()).expect("a chain of images");
    let Outcome::Finished(Samples { x }) = outcome else { panic!("the chain diverged") };
    // ten steps of small nets: rounding has not moved a mask that matters
    assert!(apart(&x, &to_tensor(&theirs)) < 1e-4);
    let ours = weights.net.f(&x).expect("images of the net");
    assert!(apart(&ours, &to_tensor(&f)) < 1e-4);
    // the chain goes somewhere, or nothing has been compared
    let start = up_to(&z, &weights.net.image()).expect("sides that are multiples");
    assert!(apart(&x, &start) > 1e-3);
}

#[test]
fn the_lines_of_a_plain_net_run_its_chain() {
    lines_do_as_srm_does(&smoke().0);
}

#[test]
fn the_lines_of_a_ladder_climb_as_it_does() {
    lines_do_as_srm_does(ladder());
}
