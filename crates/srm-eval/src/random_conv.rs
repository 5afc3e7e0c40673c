//! Give features by a small ConvNet of fixed random weights: no download, and no FID.
//!
//! Distances between such features order sets of images by how alike their colours, edges and textures are. They compare runs of
//! this program with one another and with nothing else.

use crate::Result;
use srm_random::{Key, Purpose, normal};
use tch::{Device, Kind, Tensor};

/// Widths of the layers; the first takes three channels.
const WIDTHS: [i64; 4] = [3, 24, 32, 40];
/// Seed of the weights: part of the name `random-conv`, never to change.
const SEED: u64 = 0x5eed_c0de;

/// Three 3×3 convolutions with ReLU, averaging to half the side between them; features are the mean and the standard deviation
/// of each of the last two layers' channels over the image.
pub(crate) struct RandomConv {
    layers: Vec<(Tensor, Tensor)>,
}

impl RandomConv {
    /// d: two numbers per channel of the last two layers.
    pub(crate) const DIMENSION: usize = 2 * (WIDTHS[2] + WIDTHS[3]) as usize;

    pub(crate) fn new(device: Device) -> Result<Self> {
        let layer = |(i, widths): (usize, &[i64])| -> Result<(Tensor, Tensor)> {
            let (from, to) = (widths[0], widths[1]);
            let draw = |id: u64, shape: &[i64], std: f64| -> Result<Tensor> {
                let mut values = vec![0.0; shape.iter().product::<i64>() as usize];
                normal(&Key { id, ..Key::new(SEED, Purpose::Weights) }, &mut values);
                Ok(Tensor::f_from_slice(&values)?.f_mul_scalar(std)?.f_reshape(shape)?.f_to_device(device)?)
            };
            // He's scale keeps the spread of the activations from layer to layer.
            let weight = draw(2 * i as u64, &[to, from, 3, 3], (2.0 / (9 * from) as f64).sqrt())?;
            Ok((weight, draw(2 * i as u64 + 1, &[to], 0.1)?))
        };
        Ok(Self { layers: WIDTHS.windows(2).enumerate().map(layer).collect::<Result<_>>()? })
    }

    /// x: f32 `[b, 3, h, w]` in 0…255; features `[b, d]`.
    pub(crate) fn run(&self, x: &Tensor) -> Result<Tensor> {
        let mut h = x.f_div_scalar(127.5)?.f_sub_scalar(1)?;
        let mut features = Vec::new();
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            if i > 0 {
                h = h.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?;
            }
            h = h.f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?.f_relu()?;
            if i > 0 {
                let pixels = h.f_flatten(2, 3)?;
                features.push(pixels.f_mean_dim([2i64].as_slice(), false, Kind::Float)?);
                features.push(pixels.f_std_dim([2i64].as_slice(), false, false)?);
            }
        }
        Ok(Tensor::f_cat(&features, 1)?)
    }
}
