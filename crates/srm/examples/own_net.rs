//! Train a residual net of one's own on images, then sample from it and reconstruct with it as with the ConvNet.
//!
//! `cargo run -p srm --example own_net`

#![allow(clippy::print_stdout)]

use srm::{data::synthetic, prelude::*};

/// 16 px to 8 px, a residual block there, one number: all smooth.
fn net() -> anyhow::Result<Autograd> {
    let layers: [(&str, &[i64]); 5] = [
        ("stem", &[16, 1, 3, 3]),
        ("down", &[32, 16, 4, 4]),
        ("one", &[32, 32, 3, 3]),
        ("two", &[32, 32, 3, 3]),
        ("out", &[1, 2048]),
    ];
    let net = Autograd::new(fresh_weights(1, &layers)?, |w, x| {
        let conv = |x: &Tensor, name: &str, stride: i64| {
            let (weight, bias) = (&w[&*format!("{name}.weight")], &w[&*format!("{name}.bias")]);
            x.conv2d(weight, Some(bias), [stride; 2], [1; 2], [1; 2], 1)
        };
        let h = conv(&conv(x, "stem", 1).silu(), "down", 2).silu(); // [b, 32, 8, 8]
        let h = &h + conv(&conv(&h, "one", 1).silu(), "two", 1);
        h.silu().flatten(1, -1).linear(&w["out.weight"], Some(&w["out.bias"]))
    })?;
    Ok(net.described("a residual net with SiLU, 16 and 32 features"))
}

fn main() -> anyhow::Result<()> {
    let pixels = ndarray::Array4::from_shape_vec((256, 16, 16, 1), synthetic::blobs(256, 16, 1, 1))?;
    let images = ImageSet::from_array("blobs".as_ref(), pixels)?;
    let dynamics = Dynamics::new(Kernel::default(), 20, Start::Uniform);
    let mut settings = Settings::new(&dynamics, 500, 16, 1e-3);
    settings.train.data_noise = Schedule::constant(0.1);
    settings.train.betas = [0.5, 0.999];
    let spread = Spread { threads: 2, block: 8 };
    let mut trainer = Trainer::new(net()?, images, settings, spread)?;
    trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default())?;
    save_weights("own_net.safetensors".as_ref(), trainer.net(), None)?;

    write_grid("own_net.png".as_ref(), &to_bytes(&trainer.samples(1, 32)?)?.view(), 8, 2)?;
    let run = ShortRun::new(trainer.net(), dynamics, ShortRunOptions { noise: ChainNoise::Off, spread, keep_every: 1 });
    let targets = trainer.data().rows(0..8)?;
    let options = ReconstructOptions::new(Method::best_for(run.has_curvature()), 20, 1);
    let found = run.reconstruct(&targets, None, &options, &mut |_| true)?;
    let both = to_bytes(&Tensor::cat(&[targets, found.x], 0))?;
    write_grid("own_net_reconstructed.png".as_ref(), &both.view(), 8, 2)?;
    println!("own_net.png, own_net_reconstructed.png, own_net.safetensors");
    Ok(())
}
