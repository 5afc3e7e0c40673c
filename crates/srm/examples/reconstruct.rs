//! Train the paper's ConvNet for a moment, then find the start noise of images that it has never seen.
//!
//! `cargo run -p srm --example reconstruct [weights.safetensors images.npy]`; without files, on built-in images.

#![allow(clippy::print_stdout)]

use anyhow::{Context, bail};
use ndarray::Array4;
use srm::{data::synthetic, prelude::*};

const SPREAD: Spread = Spread { threads: 2, block: 8 };

/// Images 0 to 255 of the built-in blobs are learned from, the next are held out.
fn blobs(count: usize) -> anyhow::Result<ImageSet> {
    let pixels = Array4::from_shape_vec((count, 32, 32, 1), synthetic::blobs(count, 32, 1, 1))?;
    Ok(ImageSet::from_array("blobs".as_ref(), pixels)?)
}

fn trained(dynamics: Dynamics) -> anyhow::Result<Ladder<ConvNet>> {
    let config = EnergyConfig::new(32, 1, 8, Activation::default());
    let net = ConvNet::new(&config, 1, Device::Cpu)?;
    let mut settings = Settings::new(dynamics, 400, 16, 2e-4);
    settings.train.data_noise = Schedule::constant(0.1);
    settings.train.betas = [0.5, 0.999];
    let mut trainer = Trainer::new(net, blobs(256)?, settings, SPREAD)?;
    trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default())?;
    Ok(trainer.net().fork()?.into())
}

fn main() -> anyhow::Result<()> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (net, dynamics, targets) = match &files[..] {
        [weights, images] => {
            let weights = load_weights(weights.as_ref(), Device::Cpu)?;
            let dynamics =
                Dynamics::from(&weights.langevin.context("give weights that `srm train` has written: they say K")?);
            (weights.net, dynamics, Data::from(ImageSet::open(images.as_ref())?).rows(0..8)?)
        }
        [] => {
            let dynamics = Dynamics::new(Kernel::default(), 20, Start::Uniform);
            (trained(dynamics.clone())?, dynamics, Data::from(blobs(264)?).rows(256..264)?)
        }
        _ => bail!("give a file of weights and one of images, or nothing"),
    };
    // L(z) = ‖x − M(z)‖², descended in z from z₀ ~ p_0
    let run = ShortRun::new(&net, dynamics, ShortRunOptions { noise: ChainNoise::Off, spread: SPREAD, keep_every: 1 });
    let options = ReconstructOptions::new(Method::best_for(run.has_curvature()), 100, 1);
    let found = run.reconstruct(&targets, None, &options, &mut |_| true)?;
    let mse = found.mse.iter().sum::<f64>() / found.mse.len() as f64;
    println!("mean squared error {mse:.5}, root mean square of M(z) − z {:.3}", found.mean_displacement());
    anyhow::ensure!(mse < 0.02, "the images are not found: {mse}");
    let both = to_bytes(&Tensor::cat(&[targets, found.x], 0))?;
    write_grid("reconstruct.png".as_ref(), &both.view(), 8, 2)?;
    println!("targets above what was found: reconstruct.png");
    Ok(())
}
