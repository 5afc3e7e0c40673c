//! Learn two moons from an array of points with an MLP of one's own, and draw data, samples and energy.
//!
//! `cargo run -p srm --example train_2d [picture.png]`

#![allow(clippy::print_stdout)]

use srm::prelude::*;

/// Two half circles of radius 0.6 that reach into each other, with noise of 0.05.
fn moons(count: i64) -> Tensor {
    let angle = Tensor::rand([count], (Kind::Float, Device::Cpu)) * std::f64::consts::PI;
    let side = Tensor::randint(2, [count], (Kind::Float, Device::Cpu)) * 2 - 1; // −1 or 1
    let x = (angle.cos() * 0.6 - 0.3) * &side;
    let y = (angle.sin() * 0.6 - 0.15) * &side;
    Tensor::stack(&[x, y], 1) + Tensor::randn([count, 2], (Kind::Float, Device::Cpu)) * 0.05
}

fn main() -> anyhow::Result<()> {
    let picture = std::env::args().nth(1).unwrap_or("train_2d.png".into());
    tch::manual_seed(1);
    let data = moons(4000);
    let weights = fresh_weights(1, &[("a", &[64, 2]), ("b", &[64, 64]), ("c", &[1, 64])])?;
    let net = Autograd::new(weights, |w, x| {
        let h = (x * 5.0).linear(&w["a.weight"], Some(&w["a.bias"])).silu();
        let h = h.linear(&w["b.weight"], Some(&w["b.bias"])).silu();
        h.linear(&w["c.weight"], Some(&w["c.bias"]))
    })?;
    check::training(&net, &data.narrow(0, 0, 8))?;

    let kernel = Kernel { gradient_scale: 0.005, noise_std: 0.02, clip: None };
    let dynamics = Dynamics::new(kernel, 40, Start::Uniform);
    let mut settings = Settings::new(dynamics, 1000, 128, 5e-3);
    settings.train.data_noise = Schedule::constant(0.0);
    let mut trainer = Trainer::new(net, data.shallow_clone(), settings, Spread { threads: 2, block: 64 })?;
    let end = trainer.run(&mut MemoryStore::default(), &mut Log, &Stop::default())?;
    anyhow::ensure!(end == End::Finished, "{end:?}");

    Plane::new(1.2)
        .points(&data.narrow(0, 0, 2000), [0, 90, 160])?
        .beside()
        .points(&trainer.samples(1, 2000)?, [200, 80, 0])?
        .beside()
        .energy(trainer.net())?
        .write(picture.as_ref())?;
    println!("data, samples and energy: {picture}");
    Ok(())
}

/// Prints a line at every logged update.
struct Log;

impl Sink for Log {
    fn record(&mut self, record: &StepRecord, _: &PerImage) -> srm::train::Result<()> {
        let StepRecord { update, gap, chain_grad_norm, .. } = record;
        println!("update {update:>4}  gap {gap:>7.3}  r {chain_grad_norm:>7.3}");
        Ok(())
    }
}
