//! Run Langevin chains on an energy of one's own over the plane, and compare them with the exact answer.
//!
//! `cargo run -p srm --example mixture_2d [picture.png]`

#![allow(clippy::print_stdout)]

use srm::prelude::*;

/// f(x) = log ½ Σ exp(−‖x ∓ m‖²/(2s²)): two Gaussians at ±m = (±1, 0), s = ½. One method is all that a chain asks for.
struct TwoHills;

const S2: f64 = 0.25;

impl Energy for TwoHills {
    fn f_and_grad(&self, x: &Tensor) -> srm::energy::Result<(Tensor, Tensor)> {
        let m = Tensor::from_slice(&[1.0f32, 0.0]);
        let log_share =
            |m: Tensor| (x - m).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float) / (-2.0 * S2);
        let (right, left) = (log_share(m.shallow_clone()), log_share(-&m)); // [b]
        let towards = (&right - &left).sigmoid().unsqueeze(1) * 2.0 - 1.0; // the share of the right hill, −1 to 1
        Ok((right.logaddexp(&left), (towards * m - x) / S2))
    }
}

fn main() -> anyhow::Result<()> {
    let picture = std::env::args().nth(1).unwrap_or("mixture_2d.png".into());
    let (chains, delta_tau) = (4000, 0.02);
    let (key, ids) = (ChainKey { seed: 1, attempt: 0, update: 0 }, (0..chains).collect::<Vec<u64>>());
    let z = start(&Start::Uniform, &key, &ids, &[2], Device::Cpu)?;
    let mut path = Path::new(200);
    let mut noise = KeyedNoise::new(key, ids);
    let outcome = short_run(&TwoHills, &Kernel::eq4(delta_tau).steps(1000), &z, &mut noise, &mut path)?;
    let Outcome::Finished(Samples { x }) = outcome else { anyhow::bail!("the chains blew up") };

    // The exact mean is 0 and the variances are 1 + s² and s². A step of Δτ widens a Gaussian of variance s² to
    // s²/(1 − Δτ/(4s²)), which bounds what it does to the two of them.
    let bias = S2 / (1.0 - delta_tau / (4.0 * S2)) - S2;
    for (axis, exact) in [(0, 1.0 + S2), (1, S2)] {
        let x = x.select(1, axis).to_kind(Kind::Double);
        let (mean, square) = (x.mean(Kind::Double).double_value(&[]), x.square());
        let variance = square.mean(Kind::Double).double_value(&[]) - mean * mean;
        let error = |x: &Tensor| 4.0 * x.std(true).double_value(&[]) / (chains as f64).sqrt();
        println!("axis {axis}: mean {mean:.4} (0), variance {variance:.4} ({exact})");
        anyhow::ensure!(mean.abs() < error(&x), "the mean is off by {mean}");
        anyhow::ensure!((variance - exact).abs() < error(&square) + 2.0 * bias, "the variance is off");
    }
    Plane::new(2.5)
        .energy(&TwoHills)?
        .points(&path.states()[0], [200, 80, 0])?
        .beside()
        .energy(&TwoHills)?
        .points(&x, [0, 0, 0])?
        .write(picture.as_ref())?;
    println!("starts and ends of {chains} chains: {picture}");
    Ok(())
}
