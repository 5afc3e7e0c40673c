//! Write the published loop plainly with libtorch's autograd: the baseline of every row.
//!
//! In our own words after arXiv 1904.09770 and the constants of enijkamp/short_run: weights that carry gradients, the graph
//! retained, x + f'(x) + 0.01 u. scripts/published_loop.py is the same loop in PyTorch; `cargo xtask bench --peer` times both.

use srm_config::Activation;
use srm_energy::{ConvNet, Trainable, layer_shapes};
use tch::nn::{Adam, Optimizer, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

/// Std of the noise of one step (enijkamp/short_run, train_cifar10_minimal.py).
const NOISE_STD: f64 = 0.01;

/// The published net, its weights tracked by autograd.
pub struct Published {
    store: VarStore,
    layers: Vec<(Tensor, Tensor, i64, i64)>,
    activation: Activation,
}

impl Published {
    /// The same weights as `net`, which has libtorch's own LeakyReLU.
    pub fn of(net: &ConvNet, device: Device) -> Self {
        let store = VarStore::new(device);
        let tensors: Vec<Tensor> = net
            .named_parameters()
            .iter()
            .map(|(name, t)| store.root().var_copy(&name.replace('.', "_"), &t.contiguous()))
            .collect();
        let layers = layer_shapes(net.config()).into_iter().enumerate().map(|(i, (_, stride, padding))| {
            (tensors[2 * i].shallow_clone(), tensors[2 * i + 1].shallow_clone(), stride, padding)
        });
        let layers = layers.collect();
        Self { layers, activation: net.config().activation, store }
    }

    /// f of each image.
    pub fn f(&self, x: &Tensor) -> Tensor {
        let mut h = x.shallow_clone();
        for (i, (weight, bias, stride, padding)) in self.layers.iter().enumerate() {
            h = h.conv2d(weight, Some(bias), [*stride; 2], [*padding; 2], [1, 1], 1);
            if i + 1 < self.layers.len() {
                h = match self.activation {
                    Activation::LeakyRelu(_) => h.leaky_relu(),
                    Activation::Relu => h.relu(),
                    Activation::Silu => h.silu(),
                    Activation::Softplus => h.softplus(),
                    Activation::Gelu => h.gelu("none"),
                };
            }
        }
        h.reshape([-1])
    }

    /// f'(x), the graph retained as published.
    pub fn gradient(&self, x: &Tensor) -> Tensor {
        let x = x.detach().set_requires_grad(true);
        let f = self.f(&x).sum(Kind::Float);
        Tensor::run_backward(&[f], &[&x], true, false).remove(0)
    }

    /// K steps from z.
    pub fn short_run(&self, z: &Tensor, steps: usize) -> Tensor {
        let mut x = z.shallow_clone();
        for _ in 0..steps {
            let gradient = self.gradient(&x);
            x = x.detach() + gradient + x.randn_like() * NOISE_STD;
        }
        x
    }

    /// ADAM at the published rate.
    pub fn adam(&self) -> Optimizer {
        Adam::default().build(&self.store, 1e-4).expect("ADAM takes a store of tensors")
    }

    /// One update of Algorithm 1.
    pub fn update(&self, adam: &mut Optimizer, images: &Tensor, steps: usize) {
        let observed = images + images.randn_like() * 0.03;
        let samples = self.short_run(&(images.rand_like() * 2 - 1), steps);
        let gap = self.f(&observed).mean(Kind::Float) - self.f(&samples).mean(Kind::Float);
        adam.backward_step(&(-gap));
    }

    /// z after gradient descent on ‖x − M(z)‖², autograd through the noise-free chain.
    pub fn reconstruct(&self, target: &Tensor, z: &Tensor, steps: usize, iterations: usize, rate: f64) -> Tensor {
        let mut z = z.shallow_clone();
        for _ in 0..iterations {
            let start = z.detach().set_requires_grad(true);
            let mut x = start.shallow_clone();
            for _ in 0..steps {
                let f = self.f(&x).sum(Kind::Float);
                x = &x + Tensor::run_backward(&[f], &[&x], true, true).remove(0);
            }
            let loss = (x - target).square().sum(Kind::Float);
            z = start.detach() - Tensor::run_backward(&[loss], &[&start], false, false).remove(0) * rate;
        }
        z
    }
}
