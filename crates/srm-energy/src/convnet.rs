//! Compute f, its input gradient, its Hessian-vector product and its weight gradient for the paper's ConvNet.
//!
//! Layers (published code): conv 3×3 s1 p1 c→n, then 4×4 s2 p1 n→2n→4n→8n(→8n…) down to 4×4 pixels,
//! then 4×4 s1 p0 →1, an activation after each but the last. With a_l the input of activation φ in layer l:
//!
//! ```text
//! forward    a_l = W_l h_{l-1} + b_l,   h_l = φ(a_l),   f = w·h_L + b
//! gradient   g_L = w,   g_{l-1} = W_lᵀ (g_l φ'(a_l)),   f' = g_0
//! curvature  ȧ_l = W_l ḣ_{l-1},  ḣ_l = φ'(a_l) ȧ_l,  ġ_{l-1} = W_lᵀ (ġ_l φ'(a_l) + g_l φ''(a_l) ȧ_l),  ∇²f v = ġ_0
//! ```
//!
//! Where [`EnergyConfig::any_size`] is on, images may be larger: f is the sum of the last layer at all its places, and g_L the sum of w
//! at all of them. A reference distribution N(0, s² I) adds −‖x‖²/(2 s²) to f, −x/s² to f' and −v/s² to ∇²f v.

use crate::activation::{is_piecewise_linear, times_first, times_second};
use crate::cuda::Recordings;
use crate::fast_path::FastPath;
use crate::pass::{Layer, Pass, layer_shapes};
use crate::precision::{Numbers, Precision, in_layout};
use crate::{Curved, Energy, EnergyError, Replicate, Result, StateDict, Trainable, fresh_weights};
use serde_json::{Value as Json, json};
use srm_config::{Activation, EnergyConfig};
use tch::{Device, Kind, Tensor};

/// Range of the images that the nets are made for.
pub(crate) const DATA_RANGE: [f64; 2] = [-1.0, 1.0];

/// The paper's ConvNet with closed-form derivatives.
///
/// On the CPU the weights lie in channels-last order, in which libtorch's convolutions are fastest for these nets.
pub struct ConvNet {
    pub(crate) config: EnergyConfig,
    pub(crate) layers: Vec<Layer>,
    /// Kernels of our own, where they serve this net.
    fast: Option<FastPath>,
    numbers: Numbers,
    /// Where this net's borders are closed, the same weights with borders open.
    open: Option<Box<ConvNet>>,
}

impl ConvNet {
    /// A net with fresh weights and biases, uniform in ±1/√fan_in (PyTorch's Conv2d default), keyed by (seed, name).
    ///
    /// # Errors
    /// [`EnergyError::Torch`] where the device refuses.
    pub fn new(config: &EnergyConfig, seed: u64, device: Device) -> Result<Self> {
        Self::fresh(config, "", seed, device)
    }

    /// [`ConvNet::new`] whose draws are keyed by names with `prefix` before them.
    pub(crate) fn fresh(config: &EnergyConfig, prefix: &str, seed: u64, device: Device) -> Result<Self> {
        let shapes = layer_shapes(config);
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("{prefix}f.{}", 2 * i)).collect();
        let layers: Vec<_> = names.iter().zip(&shapes).map(|(name, (shape, ..))| (&**name, &shape[..])).collect();
        let plain = |(name, tensor): (String, Tensor)| (name[prefix.len()..].to_owned(), tensor);
        let tensors: StateDict = fresh_weights(seed, &layers)?.into_iter().map(plain).collect();
        Self::from_tensors(config, &tensors, device)
    }

    /// A net with the given tensors, `f.0.weight`, `f.0.bias`, `f.2.weight`, …; their kind (f32 or f64) is kept.
    ///
    /// # Errors
    /// [`EnergyError::MissingTensor`], [`EnergyError::TensorShape`].
    pub fn from_tensors(config: &EnergyConfig, tensors: &[(String, Tensor)], device: Device) -> Result<Self> {
        let shapes = layer_shapes(config);
        let find = |name: String, expected: &[i64]| -> Result<Tensor> {
            let (_, tensor) = tensors.iter().find(|(other, _)| *other == name).ok_or(EnergyError::MissingTensor {
                name: name.clone(),
                size: config.size,
                expected: 2 * shapes.len(),
                last: 2 * (shapes.len() - 1),
            })?;
            if tensor.size() != expected {
                return Err(EnergyError::TensorShape { name, expected: expected.to_vec(), got: tensor.size() });
            }
            // A copy: the net's weights change in place.
            Ok(tensor.f_detach()?.f_to_device(device)?.f_detach_copy()?)
        };
        let mut layers = Vec::new();
        for (i, (shape, stride, padding)) in shapes.iter().enumerate() {
            let weight = in_layout(&find(format!("f.{}.weight", 2 * i), shape)?, !device.is_cuda())?;
            let bias = find(format!("f.{}.bias", 2 * i), &shape[..1])?;
            layers.push(Layer { weight, bias, stride: *stride, padding: *padding, torus: false });
        }
        let fast = FastPath::new(config, &layers);
        Ok(Self { config: config.clone(), layers, fast, numbers: Numbers::default(), open: None })
    }

    /// The same net computing in other numbers. On a GPU the weights of all but f32 lie channels-last, as tensor cores like
    /// them.
    ///
    /// # Errors
    /// [`EnergyError::Torch`].
    pub fn in_precision(mut self, precision: Precision) -> Result<Self> {
        self.numbers = Numbers::new(precision);
        let channels_last = self.numbers.channels_last(self.device());
        for layer in &mut self.layers {
            layer.weight = in_layout(&layer.weight, channels_last)?;
        }
        self.open = self.open.as_ref().map(|_| Box::new(self.opened()));
        Ok(self)
    }

    /// Compute images whose opposite borders touch from now on, as those of a tile do that is laid beside itself: what lies there stands
    /// in place of zeros around an image, the last layer is summed over the borders, too, and f is the same where an image is shifted
    /// by multiples of the net's stride. Whatever the net's size; only one of any size is likely to know what to make of it.
    ///
    /// The derivative in the weights, which takes crops of pictures too, and f beside it have open borders still.
    pub fn close_borders(&mut self) {
        self.open = Some(Box::new(self.opened()));
        self.layers.iter_mut().for_each(|layer| layer.torus = true);
        self.fast = self.fast.as_ref().map(FastPath::on_torus);
        self.numbers = Numbers::new(self.numbers.precision);
    }

    /// The same weights with borders open.
    fn opened(&self) -> Self {
        let mut open = Self { open: None, ..self.replica() };
        open.layers.iter_mut().for_each(|layer| layer.torus = false);
        open.fast = FastPath::new(&open.config, &open.layers);
        open
    }

    /// The shape of the net.
    pub fn config(&self) -> &EnergyConfig {
        &self.config
    }

    /// The shape of an image, `[c, h, w]`.
    pub fn image(&self) -> [i64; 3] {
        let EnergyConfig { channels, size, .. } = self.config;
        [channels, size, size].map(|side| side as i64)
    }

    /// h(x), what the top layer reads: f = ⟨w, h⟩ + b with its weight w and bias b. Of images that are larger the sum over the layer's
    /// places, as many as b is added.
    ///
    /// # Shapes
    /// `x`: `[b, c, h, w]`; h: `[b, 8n·4·4]`, in the order of w.
    ///
    /// # Errors
    /// As in [`Energy`].
    pub fn top_features(&self, x: &Tensor) -> Result<Tensor> {
        self.check(x)?;
        let kind = x.kind();
        self.with_pass(x, |pass, x| {
            let (_, inputs) = pass.forward(x)?;
            let top = inputs.last().expect("a net has hidden layers");
            let h = pass.activated(top)?;
            let h = match pass.layers[0].torus {
                true => h.f_pad([0, 3, 0, 3], "circular", None)?,
                false => h,
            };
            let at_places = h.f_im2col([4, 4], [1, 1], [0, 0], [1, 1])?;
            Ok(at_places.f_sum_dim_intlist([2i64].as_slice(), false, None)?.f_to_kind(kind)?)
        })
    }

    /// Whether ∇²f is zero almost everywhere (LeakyReLU, ReLU).
    pub fn is_piecewise_linear(&self) -> bool {
        is_piecewise_linear(self.activation())
    }

    /// A copy in another kind; f64 is for tests of derivatives.
    ///
    /// # Errors
    /// [`EnergyError::Torch`].
    pub fn to_kind(&self, kind: Kind) -> Result<Self> {
        let tensors: Vec<_> = self.named_parameters().into_iter().map(|(name, t)| (name, t.to_kind(kind))).collect();
        Self::from_tensors(&self.config, &tensors, self.device())
    }

    /// The same net on every path that this machine has: libtorch alone, and each set of kernels.
    #[cfg(test)]
    pub(crate) fn on_every_path(&self) -> Vec<(&'static str, Self)> {
        let mut paths = vec![("libtorch", Self { fast: None, ..self.replica() })];
        for kernels in crate::cpu::Kernels::available() {
            let net = self.replica();
            if let Some(fast) = FastPath::on(&net.config, &net.layers, kernels) {
                let fast = if net.layers[0].torus { fast.on_torus() } else { fast };
                paths.push((kernels.name, Self { fast: Some(fast), ..net }));
            }
        }
        paths
    }

    /// Whether kernels of our own compute x.
    #[cfg(test)]
    pub(crate) fn kernels_take(&self, x: &Tensor) -> bool {
        self.fast.as_ref().is_some_and(|fast| fast.takes(x))
    }

    fn activation(&self) -> Activation {
        self.config.activation
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        let (channels, size) = (self.config.channels, self.config.size);
        match x.size()[..] {
            [_, c, h, w] if c == channels as i64 && self.config.takes([h as usize, w as usize]) => Ok(()),
            _ => {
                let stride = self.config.any_size.then(|| self.config.stride());
                Err(EnergyError::ImageShape { channels, size, stride, got: x.size() })
            }
        }
    }

    /// f − ‖x‖²/(2 s²), where there is a reference distribution.
    fn with_reference(&self, f: Tensor, x: &Tensor) -> Result<Tensor> {
        let Some(s) = self.config.reference_std else { return Ok(f) };
        let squares = x.f_square()?.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, x.kind())?;
        Ok(f.f_sub(&squares.f_mul_scalar(0.5 / (s * s))?)?)
    }

    /// The derivative along x, or along a motion of x, of what [`ConvNet::with_reference`] takes away, taken from that of the net.
    fn toward_reference(&self, derivative: Tensor, x: &Tensor) -> Result<Tensor> {
        let Some(s) = self.config.reference_std else { return Ok(derivative) };
        Ok(derivative.f_sub(&x.f_mul_scalar(1.0 / (s * s))?)?)
    }

    fn in_layout(&self, x: &Tensor) -> Result<Tensor> {
        in_layout(x, self.numbers.channels_last(self.device()))
    }

    pub(crate) fn pass(&self) -> Pass<'_> {
        Pass { layers: &self.layers, activation: self.activation(), fused: false }
    }

    /// Call `compute` with the layers in the numbers of the net's precision and x in theirs.
    fn with_pass<T>(&self, x: &Tensor, compute: impl FnOnce(&Pass, &Tensor) -> Result<T>) -> Result<T> {
        self.numbers.with_pass(self.pass(), x, compute)
    }

    /// Kernels of our own for x, where they serve it and the net's numbers.
    fn fast_for(&self, x: &Tensor) -> Option<&FastPath> {
        self.fast.as_ref().filter(|fast| self.numbers.precision != Precision::Bf16 && fast.takes(x))
    }
}

impl Energy for ConvNet {
    fn f(&self, x: &Tensor) -> Result<Tensor> {
        self.check(x)?;
        let kind = x.kind();
        match self.fast_for(x) {
            Some(fast) => fast.f(&self.layers, x),
            None => self.with_pass(x, |pass, x| Ok(pass.forward(x)?.0.f_to_kind(kind)?)),
        }
        .and_then(|f| self.with_reference(f, x))
    }

    fn f_and_grad(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.check(x)?;
        let kind = x.kind();
        match self.fast_for(x) {
            Some(fast) => fast.f_and_grad(&self.layers, x),
            None => self.with_pass(x, |pass, x| {
                let (f, gradient) = pass.f_and_grad(x)?;
                let gradient = gradient.f_narrow(1, 0, self.config.channels as i64)?;
                Ok((f.f_to_kind(kind)?, gradient.f_to_kind(kind)?))
            }),
        }
        .and_then(|(f, gradient)| Ok((self.with_reference(f, x)?, self.toward_reference(gradient, x)?)))
    }

    fn recordings(&self, _x: &Tensor) -> Result<Option<&Recordings>> {
        self.numbers.recordings(&self.layers, self.device())
    }
}

impl Curved for ConvNet {
    fn hvp(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.check(x)?;
        self.check(v)?;
        if self.is_piecewise_linear() {
            return self.toward_reference(v.f_zeros_like()?, v);
        }
        if let Some(fast) = self.fast.as_ref().filter(|fast| fast.takes(x) && fast.takes(v) && x.size() == v.size()) {
            return self.toward_reference(fast.hvp(&self.layers, x, v)?, v);
        }
        let phi = self.activation();
        let pass = self.pass();
        let (_, inputs) = pass.forward(&self.in_layout(x)?)?;
        let mut tangents = Vec::with_capacity(inputs.len()); // ȧ_l
        let mut moved = self.in_layout(v)?;
        for (layer, a) in pass.hidden().iter().zip(&inputs) {
            let tangent = layer.tangent(&moved)?;
            moved = times_first(phi, &tangent, a)?;
            tangents.push(tangent);
        }
        let mut g = pass.top_gradient(inputs.last().expect("a net has hidden layers"))?;
        let mut g_dot: Option<Tensor> = None; // the top's is zero: f is linear in h_L
        for (l, ((layer, a), a_dot)) in pass.hidden().iter().zip(&inputs).zip(&tangents).enumerate().rev() {
            let mut inner = match times_second(phi, &g.f_mul(a_dot)?, a)? {
                Some(bent) => bent,
                None => g.f_zeros_like()?,
            };
            if let Some(g_dot) = &g_dot {
                inner = inner.f_add_(&times_first(phi, g_dot, a)?)?;
            }
            g_dot = Some(layer.backward(&inner)?);
            if l > 0 {
                g = layer.backward(&times_first(phi, &g, a)?)?; // below the first layer nobody asks for it
            }
        }
        self.toward_reference(g_dot.map_or_else(|| v.f_zeros_like(), Ok)?, v)
    }

    fn has_curvature(&self) -> bool {
        !self.is_piecewise_linear() || self.config.reference_std.is_some()
    }
}

impl Replicate for ConvNet {
    fn replica(&self) -> Self {
        let share = |layer: &Layer| Layer {
            weight: layer.weight.detach(),
            bias: layer.bias.detach(),
            stride: layer.stride,
            padding: layer.padding,
            torus: layer.torus,
        };
        let layers: Vec<Layer> = self.layers.iter().map(share).collect();
        let fast = self.fast.as_ref().map(FastPath::replica);
        let open = self.open.as_ref().map(|open| Box::new(open.replica()));
        Self { config: self.config.clone(), layers, fast, numbers: Numbers::new(self.numbers.precision), open }
    }

    fn device(&self) -> Device {
        self.layers[0].weight.device()
    }
}

impl Trainable for ConvNet {
    fn f_and_parameter_grad(&self, x: &Tensor, coefficients: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        if let Some(open) = &self.open {
            return open.f_and_parameter_grad(x, coefficients);
        }
        self.check(x)?;
        if let Some(fast) = self.fast.as_ref().filter(|fast| fast.takes(x) && coefficients.size() == x.size()[..1]) {
            let (f, gradients) = fast.f_and_parameter_grad(&self.layers, x, coefficients)?;
            return Ok((self.with_reference(f, x)?, gradients));
        }
        tch::with_grad(|| {
            let tracked = self.replica();
            let weights: Vec<Tensor> =
                tracked.named_parameters().into_iter().map(|(_, t)| t.set_requires_grad(true)).collect();
            let (f, _) = tracked.pass().forward(&tracked.in_layout(&x.detach())?)?;
            let grads = Tensor::f_run_backward(&[f.f_dot(coefficients)?], &weights, false, false)?;
            Ok((self.with_reference(f.detach(), x)?, grads))
        })
    }

    fn named_parameters(&self) -> StateDict {
        let named = |(i, layer): (usize, &Layer)| {
            [
                (format!("f.{}.weight", 2 * i), layer.weight.shallow_clone()),
                (format!("f.{}.bias", 2 * i), layer.bias.shallow_clone()),
            ]
        };
        self.layers.iter().enumerate().flat_map(named).collect()
    }

    fn fork(&self) -> Result<Self> {
        // in f32 numbers whatever this net computes in, as averages of weights are taken
        let mut fork = Self::from_tensors(&self.config, &self.named_parameters(), self.device())?;
        if self.open.is_some() {
            fork.close_borders();
        }
        Ok(fork)
    }

    fn places(&self, shape: &[i64]) -> f64 {
        match shape {
            [_, height, width] => self.config.places([*height as usize, *width as usize]).max(1) as f64,
            _ => 1.0,
        }
    }

    fn describe(&self) -> Json {
        json!({ "data_range": DATA_RANGE, "energy": self.config })
    }
}
