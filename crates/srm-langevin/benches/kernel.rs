//! Time one Langevin step and its parts, per image, on one CPU thread. Run with `cargo xtask bench`.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use srm_config::{Activation, EnergyConfig};
use srm_energy::{ConvNet, Energy};
use srm_langevin::{ChainKey, Kernel, KeyedNoise, Noise, Start, short_run, start};
use tch::Device;

const KEY: ChainKey = ChainKey { seed: 1, attempt: 0, update: 0 };

fn kernel(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let _guard = tch::no_grad_guard();
    for (size, features, activation) in [
        (32, 16, Activation::LeakyRelu(0.2)),
        (32, 32, Activation::LeakyRelu(0.2)),
        (32, 16, Activation::Silu),
        (64, 16, Activation::LeakyRelu(0.2)),
    ] {
        for block in [4usize, 8, 16] {
            let net = ConvNet::new(&EnergyConfig::new(size, 3, features, activation), 1, Device::Cpu)
                .expect("the CPU holds a small net");
            let name = format!("cpu 1 thread, {size} px, n {features}, {activation:?}, block {block}");
            let mut group = criterion.benchmark_group(name);
            group.throughput(Throughput::Elements(block as u64)).sample_size(20);
            let ids: Vec<u64> = (0..block as u64).collect();
            let image = [3, size as i64, size as i64];
            let z = start(&Start::Uniform, &KEY, &ids, &image, Device::Cpu).expect("start");
            group.bench_function("f", |b| b.iter(|| net.f(&z).expect("f")));
            group.bench_function("f_and_grad", |b| b.iter(|| net.f_and_grad(&z).expect("gradient")));
            let mut noise = KeyedNoise::new(KEY, ids.clone());
            group.bench_function("noise", |b| b.iter(|| noise.draw(1, &z).expect("noise")));
            group.throughput(Throughput::Elements(10 * block as u64));
            group.bench_function("10 steps", |b| {
                b.iter(|| {
                    short_run(&net, &Kernel::default().steps(10), &z, &mut KeyedNoise::new(KEY, ids.clone()), &mut ())
                        .expect("run")
                })
            });
        }
    }
}

criterion_group!(benches, kernel);
criterion_main!(benches);
