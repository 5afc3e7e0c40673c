//! Hold nets and chains on a GPU against those on the CPU, on the stand-in for one: what it cannot show is a GPU's own rounding.
//!
//! One test, for a process opens its devices once.

#![allow(unsafe_code)] // the variables of this process, before anything reads them

#[path = "../../../tests/stand_in.rs"]
mod stand_in;

use srm::config::{Activation, EnergyConfig};
use srm::energy::{
    Autograd, ConvNet, Curved, Energy, Ladder, Precision, Quadratic, Trainable, check, cuda, fresh_weights, libtorch,
};
use srm::langevin::{
    ChainKey, Chains, Dynamics, GradientNorm, Kernel, KeyedNoise, NoNoise, Noise, Observer, Outcome, Path, Rise,
    Sampler, Spread, Start, Stop, short_run, start,
};
use srm::train::{End, MemoryStore, Settings, Trainer};
use tch::{Device, Kind, Tensor};

const GPU: Device = Device::Cuda(0);
const KEY: ChainKey = ChainKey { seed: 1, attempt: 0, update: 0 };
const CHAINS: [u64; 5] = [3, 4, 5, 6, 7];

fn config(activation: Activation) -> EnergyConfig {
    EnergyConfig::new(16, 3, 4, activation)
}

fn net(config: &EnergyConfig, device: Device) -> ConvNet {
    ConvNet::new(config, 1, device).unwrap()
}

fn images(size: i64) -> Tensor {
    start(&Start::Uniform, &KEY, &CHAINS, &[3, size, size], Device::Cpu).unwrap()
}

/// The largest difference of two tensors, as a share of the largest number of the first.
fn apart(ours: &Tensor, theirs: &Tensor) -> f64 {
    let largest = |t: &Tensor| t.abs().max().to_kind(Kind::Double).double_value(&[]);
    let (ours, theirs) = (ours.to_device(Device::Cpu), theirs.to_device(Device::Cpu));
    assert_eq!((ours.size(), ours.kind()), (theirs.size(), theirs.kind()));
    largest(&(&ours - &theirs)) / largest(&ours).max(1e-30)
}

fn open() {
    let library = stand_in::library(&libtorch::loaded_from().unwrap());
    // SAFETY: this test's thread is the only one that reads or writes the environment.
    unsafe {
        std::env::set_var("SRM_LIBTORCH_CUDA", &library);
        std::env::set_var("SRM_CUDA_SHIM", &library);
        std::env::set_var(cuda::SWITCH, "graph,pad,fuse,same");
    }
    let opened = libtorch::open_cuda(true).unwrap();
    assert_eq!(opened, library);
    assert!(tch::Cuda::is_available() && tch::Cuda::device_count() == 2);
    assert_eq!(cuda::switch_on(&opened).unwrap().names(), "graph,pad,fuse,same");
}

fn two_devices_in_one_operation_are_refused() {
    let (here, there) = (Tensor::ones([2], (Kind::Float, Device::Cpu)), Tensor::ones([2], (Kind::Float, GPU)));
    let elsewhere = Tensor::ones([2], (Kind::Float, Device::Cuda(1)));
    for mixed in [
        there.f_add(&here),
        here.f_add(&there),
        there.f_mul(&elsewhere),
        there.f_index_select(0, &here.to_kind(Kind::Int64)),
    ] {
        let refused = mixed.unwrap_err().to_string();
        assert!(refused.contains("Expected all tensors to be on the same device"), "{refused}");
    }
    assert_eq!(there.f_add(&Tensor::from(1.0f32)).unwrap().double_value(&[1]), 2.0); // a single number may come from the CPU
}

fn nets_give_what_the_cpu_gives() {
    let smooth = EnergyConfig { reference_std: Some(0.5), ..config(Activation::Silu) };
    for config in [config(Activation::LeakyRelu(0.2)), config(Activation::Relu), config(Activation::Gelu), smooth] {
        let (cpu, gpu, x) = (net(&config, Device::Cpu), net(&config, GPU), images(16));
        let (v, weights) = (x.flip([2]), Tensor::linspace(-1, 1, 5, (Kind::Float, Device::Cpu)));
        let on_gpu = |t: &Tensor| t.to_device(GPU);
        let ((f, slope), (gpu_f, gpu_slope)) = (cpu.f_and_grad(&x).unwrap(), gpu.f_and_grad(&on_gpu(&x)).unwrap());
        assert_eq!((gpu_f.device(), gpu_slope.device()), (GPU, GPU));
        let off = [apart(&f, &gpu_f), apart(&slope, &gpu_slope)];
        assert!(off.iter().all(|off| *off < 1e-5), "{:?}: {off:?}", config.activation);
        assert!(apart(&f, &gpu.f(&on_gpu(&x)).unwrap()) < 1e-5);
        let (product, gpu_product) = (cpu.hvp(&x, &v).unwrap(), gpu.hvp(&on_gpu(&x), &on_gpu(&v)).unwrap());
        assert!(apart(&product, &gpu_product) < 1e-5);
        assert!(apart(&cpu.top_features(&x).unwrap(), &gpu.top_features(&on_gpu(&x)).unwrap()) < 1e-5);
        let theta = cpu.f_and_parameter_grad(&x, &weights).unwrap().1;
        let gpu_theta = gpu.f_and_parameter_grad(&on_gpu(&x), &on_gpu(&weights)).unwrap().1;
        assert!(theta.iter().zip(&gpu_theta).all(|(cpu, gpu)| apart(cpu, gpu) < 1e-4));
        let low = |net: &ConvNet| net.fork().unwrap().in_precision(Precision::Bf16).unwrap();
        let (rough, gpu_rough) = (low(&cpu).f_and_grad(&x).unwrap(), low(&gpu).f_and_grad(&on_gpu(&x)).unwrap());
        // eight bits of a number are 0.4 %; masks that flip move single pixels further
        let norm = |t: &Tensor| t.norm().double_value(&[]);
        let off = norm(&(&rough.1 - gpu_rough.1.to_device(Device::Cpu))) / norm(&rough.1);
        assert!(apart(&rough.0, &gpu_rough.0) < 0.05 && off < 0.1, "{:?}: {off}", config.activation);
    }
    let any_size = EnergyConfig { any_size: true, ..config(Activation::LeakyRelu(0.2)) };
    let (mut cpu, mut gpu, x) = (net(&any_size, Device::Cpu), net(&any_size, GPU), images(32));
    cpu.close_borders();
    gpu.close_borders();
    let (slope, gpu_slope) = (cpu.f_and_grad(&x).unwrap().1, gpu.f_and_grad(&x.to_device(GPU)).unwrap().1);
    assert!(apart(&slope, &gpu_slope) < 1e-5);
}

/// The same energy, which nobody may record.
struct Plain<'a, E>(&'a E);

impl<E: Energy> Energy for Plain<'_, E> {
    fn f_and_grad(&self, x: &Tensor) -> srm::energy::Result<(Tensor, Tensor)> {
        self.0.f_and_grad(x)
    }
}

/// Keeps every state, and r.
#[derive(Default)]
struct Seen {
    path: Option<Path>,
    norm: GradientNorm,
    steps: Vec<usize>,
}

impl Observer for Seen {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, gradient: &Tensor) -> srm::langevin::Result<()> {
        self.steps.push(step);
        self.path.get_or_insert_with(|| Path::new(1)).step(step, x, f, gradient)?;
        self.norm.step(step, x, f, gradient)
    }
}

/// Where the noise comes from: the device, the CPU, nowhere.
const SOURCES: [fn() -> Box<dyn Noise>; 3] = [
    || Box::new(KeyedNoise::new(KEY, CHAINS.to_vec())),
    || Box::new(KeyedNoise::shared(KEY, CHAINS.to_vec())),
    || Box::new(NoNoise),
];

fn run(
    energy: &dyn Energy,
    dynamics: &Dynamics,
    z: &Tensor,
    mut noise: Box<dyn Noise>,
) -> (Option<usize>, Tensor, Seen) {
    let mut seen = Seen::default();
    match short_run(energy, dynamics, z, &mut *noise, &mut seen).unwrap() {
        Outcome::Finished(samples) => (None, samples.x, seen),
        Outcome::Diverged { step, x } => (Some(step), x, seen),
    }
}

/// The chains of an energy to the same bits, recorded and not, and twice the same when they are replayed.
fn same_chains<E: Energy>(energy: &E, dynamics: &Dynamics, z: &Tensor, what: &str) {
    for (source, again) in [0, 1, 2, 1, 0, 2].into_iter().zip(0..) {
        let (diverged, x, seen) = run(&Plain(energy), dynamics, z, SOURCES[source]());
        let (other, its_x, its_seen) = run(energy, dynamics, z, SOURCES[source]());
        assert_eq!((other, &its_seen.steps), (diverged, &seen.steps), "{what} {again}");
        assert!(diverged.is_some() || its_x == x, "{what} {again}: x_K");
        let states = seen.path.iter().flat_map(Path::states).zip(its_seen.path.iter().flat_map(Path::states));
        let finite = diverged.unwrap_or(dynamics.steps);
        assert!(states.take(finite).all(|(one, other)| one == other), "{what} {again}: states");
        assert!(diverged.is_some() || its_seen.norm.mean().unwrap() == seen.norm.mean().unwrap(), "{what} {again}: r");
    }
}

fn recorded_chains_are_those_of_the_loop() {
    let z = images(16).to_device(GPU);
    let plain = Kernel { gradient_scale: 1.0, noise_std: 0.01, clip: None };
    for precision in [Precision::F32, Precision::Bf16] {
        let net = net(&config(Activation::LeakyRelu(0.2)), GPU).in_precision(precision).unwrap();
        let what = format!("{precision:?}");
        same_chains(&net, &plain.steps(9), &z, &what);
        let of = format!("{:?} {:?} Float {plain:?} OnDevice", z.size(), z.stride());
        assert!(net.recordings(&z).unwrap().unwrap().find(&of).is_some(), "it was recorded");
        let mut weights: Vec<Tensor> = net.named_parameters().into_iter().map(|(_, t)| t).collect();
        weights.iter_mut().for_each(|t| drop(t.f_mul_scalar_(1.7).unwrap())); // as training changes them
        same_chains(&net, &plain.steps(9), &z, &format!("{what}, other weights"));
        same_chains(
            &net,
            &Kernel { clip: Some(0.01), gradient_scale: 0.5, ..plain }.steps(6),
            &z,
            &format!("{what}, clipped"),
        );
        same_chains(&net, &Kernel { noise_std: 0.0, ..plain }.steps(6), &z, &format!("{what}, without noise"));
        // pulled to 0 so hard that each step overshoots a thousandfold
        let wild = EnergyConfig { reference_std: Some(0.03), ..config(Activation::Relu) };
        let wild = ConvNet::new(&wild, 1, GPU).unwrap().in_precision(precision).unwrap();
        assert!(
            run(&wild, &plain.steps(20), &z, SOURCES[0]()).0.is_some_and(|step| step > 2),
            "it blows up on the way"
        );
        same_chains(&wild, &plain.steps(20), &z, &format!("{what}, blowing up"));
    }
    let nets = [8, 16].map(|size| EnergyConfig { size, ..config(Activation::LeakyRelu(0.2)) });
    let ladder = Ladder::fresh(&nets, 1, GPU).unwrap();
    let mut dynamics = plain.steps(12);
    dynamics.course.rises = vec![Rise { step: 5, factor: 2 }];
    same_chains(&ladder, &dynamics, &images(8).to_device(GPU), "ladder");
}

fn a_net_of_ones_own_learns_there() {
    let weights = fresh_weights(1, &[("a", &[16, 2]), ("b", &[1, 16])]).unwrap();
    let there = weights.into_iter().map(|(name, tensor)| (name, tensor.to_device(GPU))).collect();
    let net = Autograd::new(there, |w, x| {
        let h = (x * 5.0).linear(&w["a.weight"], Some(&w["a.bias"])).silu();
        h.linear(&w["b.weight"], Some(&w["b.bias"]))
    });
    let (net, data) = (net.unwrap(), Tensor::linspace(-1, 1, 128, (Kind::Float, Device::Cpu)).reshape([64, 2]));
    let on_gpu = data.to_device(GPU);
    check::training(&net, &on_gpu.narrow(0, 0, 8)).unwrap();
    assert!(net.recordings(&on_gpu).unwrap().is_none(), "nobody knows what such a net does on the host");
    let dynamics = Dynamics::new(Kernel { gradient_scale: 0.005, noise_std: 0.02, clip: None }, 10, Start::Gaussian);
    let mut settings = Settings::new(dynamics, 6, 32, 5e-3);
    settings.train.ema = Some(0.9);
    let mut trainer = Trainer::new(net, data, settings, Spread { threads: 2, block: 16 }).unwrap();
    let end = trainer.run(&mut MemoryStore::default(), &mut (), &Stop::default()).unwrap();
    assert_eq!((end, trainer.samples(1, 5).unwrap().device()), (End::Finished, GPU));
    let quadratic = Quadratic::new(Tensor::from_slice(&[1.0f32, -1.0]).to_device(GPU), 1.0);
    let spread = Spread { threads: 1, block: 64 };
    let sampler = Sampler::new(&quadratic, Kernel::eq4(0.1).steps(60), &[2], spread);
    let (outcome, _) = sampler.run(&Chains::samples(1, 600), |_| ()).unwrap();
    let Outcome::Finished(samples) = outcome else { panic!("it blew up") };
    let mean = samples.x.mean_dim([0i64].as_slice(), false, Kind::Double).to_device(Device::Cpu);
    assert!((mean.double_value(&[0]) - 1.0).abs() < 0.2 && (mean.double_value(&[1]) + 1.0).abs() < 0.2, "{mean:?}");
}

fn what_a_graph_cannot_hold_is_refused() {
    let x = Tensor::ones([3], (Kind::Float, GPU));
    let record = |work: &mut dyn FnMut() -> Result<(), srm::energy::EnergyError>| {
        cuda::Graph::record(GPU, work).err().map(|e| e.to_string())
    };
    let read = record(&mut || {
        let _ = x.f_double_value(&[1])?;
        Ok(())
    });
    assert!(read.is_some_and(|said| said.contains("capturing")), "a host that reads");
    let moved = record(&mut || {
        let _ = x.f_to_device(Device::Cpu)?;
        Ok(())
    });
    assert!(moved.is_some_and(|said| said.contains("capturing")), "a copy to the host");
    let mut times = 0;
    let panicked = record(&mut || {
        times += 1;
        assert!(times < 2, "the second time");
        Ok(())
    });
    assert!(panicked.is_some_and(|said| said.contains("panicked")));
    let on_cpu = cuda::Graph::record(Device::Cpu, &mut || Ok::<_, srm::energy::EnergyError>(()));
    assert!(on_cpu.is_err());
    // and a good one after all of them
    let mut y = Tensor::zeros([3], (Kind::Float, GPU));
    let graph = cuda::Graph::record(GPU, &mut || -> srm::energy::Result<()> {
        let _ = y.f_add_(&x)?;
        Ok(())
    });
    let graph = graph.unwrap();
    assert_eq!(y.double_value(&[0]), 1.0, "done once, recorded once");
    graph.replay().unwrap();
    graph.replay().unwrap();
    assert_eq!(y.double_value(&[0]), 3.0);
}

#[test]
fn a_gpu_computes_what_the_cpu_computes() {
    let _guard = tch::no_grad_guard();
    open();
    two_devices_in_one_operation_are_refused();
    nets_give_what_the_cpu_gives();
    recorded_chains_are_those_of_the_loop();
    a_net_of_ones_own_learns_there();
    what_a_graph_cannot_hold_is_refused();
}
