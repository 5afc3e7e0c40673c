//! Map images to the features and logits of the Inception v3 network that defines the Fréchet inception distance.
//!
//! The network is that of TensorFlow's file inception-2015-12-05, in the form that pytorch-fid 0.3.0
//! (github.com/mseitzer/pytorch-fid, `src/pytorch_fid/inception.py`) gives it on top of torchvision's layers. It is not
//! torchvision's own network: the weights are others, the classes 1008, two poolings differ ([`Pool`]). Each of these
//! moves a distance without any sign that something is wrong, so the test beside holds every block to pytorch-fid's.
//!
//! Letters: b images in a batch, h and w height and width.

mod conv;
mod mixed;
#[cfg(test)]
mod tests;

use crate::{EvalError, Result};
use conv::{Conv, Source, Step, in_layout};
use mixed::{Mixed, Plan, Pool};
use tch::{Device, Kind, Tensor};

/// Height and width of the images that the network was trained on.
const SIZE: i64 = 299;
/// From the second max pool to pool3. The names are those of the weights.
const MIXED: [(&str, Plan); 11] = [
    ("Mixed_5b", Plan::A { pooled: 32 }),
    ("Mixed_5c", Plan::A { pooled: 64 }),
    ("Mixed_5d", Plan::A { pooled: 64 }),
    ("Mixed_6a", Plan::B),
    ("Mixed_6b", Plan::C { inner: 128 }),
    ("Mixed_6c", Plan::C { inner: 160 }),
    ("Mixed_6d", Plan::C { inner: 160 }),
    ("Mixed_6e", Plan::C { inner: 192 }),
    ("Mixed_7a", Plan::D),
    ("Mixed_7b", Plan::E { pool: Pool::Average }),
    ("Mixed_7c", Plan::E { pool: Pool::Largest }),
];

/// The network, its weights folded and on one device. For evaluation only: it records no autograd history.
pub struct Inception {
    /// With the names of pytorch-fid's modules.
    blocks: Vec<(&'static str, Block)>,
    fc_weight: Tensor,
    fc_bias: Tensor,
    device: Device,
}

enum Block {
    Conv(Conv),
    Pool(Pool),
    Mixed(Mixed),
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Block::Conv(conv) => conv.forward(x),
            Block::Pool(pool) => pool.forward(x),
            Block::Mixed(mixed) => mixed.forward(x),
        }
    }
}

impl Inception {
    /// Numbers in the feature vector of one image.
    pub const DIMENSION: usize = 2048;
    /// Logits of one image. ImageNet has 1000 classes; the file of 2015 has a few outputs that stand for none.
    pub const CLASSES: usize = 1008;
    /// A tensor that its weights have and those of other networks do not.
    pub const KNOWN_BY: &str = "Conv2d_1a_3x3.conv.weight";

    /// The network with the tensors of `pt_inception-2015-12-05-6726825d.pth`, under the names that they have there:
    /// `Conv2d_1a_3x3.conv.weight`, `Conv2d_1a_3x3.bn.running_mean`, …, `fc.weight`, `fc.bias`. Others are ignored.
    ///
    /// # Errors
    /// [`EvalError::MissingTensor`] and [`EvalError::TensorShape`] with the tensor's name, [`EvalError::Torch`].
    pub fn from_tensors(tensors: &[(String, Tensor)], device: Device) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let source = Source::new(tensors, device);
        let conv = |name: &'static str, inputs: i64, step: Step| -> Result<_> {
            Ok((name, Block::Conv(Conv::new(&source, name, inputs, &step)?)))
        };
        let mut blocks = vec![
            conv("Conv2d_1a_3x3", 3, Step::halving(32))?,            // [b, 32, 149, 149]
            conv("Conv2d_2a_3x3", 32, Step::unpadded(32, [3, 3]))?,  // [b, 32, 147, 147]
            conv("Conv2d_2b_3x3", 32, Step::same(64, [3, 3]))?,      // [b, 64, 147, 147]
            ("maxpool1", Block::Pool(Pool::Halving)),                // [b, 64, 73, 73]
            conv("Conv2d_3b_1x1", 64, Step::same(80, [1, 1]))?,      // [b, 80, 73, 73]
            conv("Conv2d_4a_3x3", 80, Step::unpadded(192, [3, 3]))?, // [b, 192, 71, 71]
            ("maxpool2", Block::Pool(Pool::Halving)),                // [b, 192, 35, 35]
        ];
        let mut width = 192;
        for (name, plan) in MIXED {
            let block;
            (block, width) = Mixed::new(&source, name, width, plan)?;
            blocks.push((name, Block::Mixed(block)));
        }
        let (classes, dimension) = (Self::CLASSES as i64, Self::DIMENSION as i64);
        let fc_weight = source.f32("fc.weight", &[classes, dimension])?;
        let fc_bias = source.f32("fc.bias", &[classes])?;
        Ok(Self { blocks, fc_weight, fc_bias, device })
    }

    /// Features and logits of each image by itself.
    ///
    /// The images are prepared as pytorch-fid does: grey levels / 255, bilinear to 299 × 299 with outer edges aligned
    /// (`align_corners=False`) and without antialiasing, then 2x − 1. TensorFlow's own graph resizes on another grid,
    /// pixel i at i · h / 299, so compare numbers only with those of pytorch-fid's way.
    ///
    /// On a GPU, cuDNN rounds the convolutions' factors to TF32 unless its switch is off; pytorch-fid does the same.
    ///
    /// # Shapes
    /// `x`: `[b, 3, h, w]`, grey levels in [0, 255]; the features, the means of the last block over all places (pool3,
    /// at least 0): `[b, 2048]`; the logits, `fc` of the features WITH its bias: `[b, 1008]`. The published inception
    /// score takes the softmax of the logits without bias; subtract [`Inception::logit_bias`] for it. Both f32, on the
    /// network's device.
    ///
    /// # Errors
    /// [`EvalError::TensorShape`] where `x` is no batch of RGB images, [`EvalError::Torch`].
    pub fn features_and_logits(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.run(x, &mut |_, _| ())
    }

    /// The bias of the logits: `[1008]`.
    pub fn logit_bias(&self) -> &Tensor {
        &self.fc_bias
    }

    /// [`Inception::features_and_logits`], with each block's output shown to `seen` under the block's name.
    fn run(&self, x: &Tensor, seen: &mut dyn FnMut(&'static str, &Tensor)) -> Result<(Tensor, Tensor)> {
        let _guard = tch::no_grad_guard();
        let mut x = self.prepare(x)?;
        seen("input", &x);
        for (name, block) in &self.blocks {
            x = block.forward(&x)?;
            seen(name, &x);
        }
        let features = x.f_mean_dim(&[2i64, 3][..], false, Kind::Float)?; // [b, 2048]
        seen("features", &features);
        let logits = features.f_linear(&self.fc_weight, Some(&self.fc_bias))?; // [b, 1008]
        seen("logits", &logits);
        Ok((features, logits))
    }

    /// Images as the first convolution takes them: `[b, 3, 299, 299]` in [-1, 1].
    fn prepare(&self, x: &Tensor) -> Result<Tensor> {
        let got = x.size();
        if got.len() != 4 || got[1] != 3 {
            let axis = |number: usize, otherwise| got.get(number).copied().unwrap_or(otherwise);
            let expected = vec![axis(0, 1), 3, axis(2, SIZE), axis(3, SIZE)];
            return Err(EvalError::TensorShape { name: "input".to_owned(), expected, got });
        }
        let unit = x.f_to_device(self.device)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
        let resized = unit.f_upsample_bilinear2d([SIZE, SIZE], false, None, None)?;
        in_layout(&resized.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?, self.device)
    }
}
