//! Time a forward short run, its adjoint, and autograd through the chain, on one CPU thread. Run with
//! `cargo xtask bench 'K 20'`.

#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use srm_config::{Activation, EnergyConfig};
use srm_energy::{ConvNet, Energy};
use srm_langevin::{Dynamics, Kernel, Spread, Start};
use srm_latent::{ChainNoise, ShortRun, ShortRunOptions};
use tch::{Device, Tensor};

const STEPS: usize = 20;
const BLOCK: usize = 4;

fn adjoint(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    for activation in [Activation::Silu, Activation::LeakyRelu(0.2)] {
        let energy = EnergyConfig::new(32, 3, 16, activation);
        let net = ConvNet::new(&energy, 1, Device::Cpu).expect("the CPU holds a small net");
        let dynamics = Dynamics::new(Kernel::default(), STEPS, Start::Uniform);
        let spread = Spread { threads: 1, block: BLOCK };
        let run = ShortRun::new(&net, dynamics, ShortRunOptions { noise: ChainNoise::Off, spread, keep_every: 1 });
        let ids: Vec<u64> = (0..BLOCK as u64).collect();
        let z = run.start(1, &ids, &[3, 32, 32]).expect("start");
        let mut group =
            criterion.benchmark_group(format!("cpu 1 thread, 32 px, n 16, K {STEPS}, {activation:?}, block {BLOCK}"));
        group.sample_size(10);
        group.bench_function("forward", |bench| bench.iter(|| run.generate(&z, &ids).expect("finite")));
        group.bench_function("adjoint", |bench| bench.iter(|| run.vjp(&z, &z, &ids).expect("finite")));
        group.bench_function("autograd through the chain", |bench| bench.iter(|| through_the_chain(&net, &z)));
        group.finish();
    }
}

fn through_the_chain(net: &ConvNet, z: &Tensor) -> Tensor {
    let start = z.detach().set_requires_grad(true);
    let mut x = start.shallow_clone();
    for _ in 0..STEPS {
        let f = net.f(&x).expect("fits").sum(tch::Kind::Float);
        x = &x + Tensor::run_backward(&[f], &[&x], true, true).remove(0);
    }
    Tensor::run_backward(&[(&x * z).sum(tch::Kind::Float)], &[&start], false, false).remove(0)
}

criterion_group!(benches, adjoint);
criterion_main!(benches);
