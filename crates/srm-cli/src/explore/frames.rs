//! Send states of chains as soon as all of them are there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ndarray::{Array4, Axis, concatenate};
use serde::Serialize;
use srm_explore::{Reply, answer64};
use srm_langevin::{LangevinError, Observer};
use srm_train::to_bytes;
use tch::{Kind, Tensor};

/// Images of one state, as the page takes them.
#[derive(Serialize)]
pub struct Frame {
    k: usize,
    size: usize,
    channels: usize,
    /// u8 `[n, size, size, channels]`, base64.
    pixels: String,
    f: Vec<f32>,
}

impl Frame {
    /// The images of step k, u8 `[n, h, w, c]`, and f of each.
    pub fn new(k: usize, images: &Array4<u8>, f: Vec<f32>) -> Frame {
        let (_, size, _, channels) = images.dim();
        Frame { k, size, channels, pixels: answer64(images), f }
    }
}

/// Images of a block, and f of each; by the block's first row.
type Blocks = BTreeMap<usize, (Array4<u8>, Vec<f32>)>;

/// Gathers the blocks of each state.
pub struct Frames {
    /// Sorted.
    wanted: Vec<usize>,
    count: usize,
    block: usize,
    reply: Reply,
    /// Of each step the blocks that have come.
    here: Mutex<BTreeMap<usize, Blocks>>,
}

impl Frames {
    /// Those of `count` chains in blocks at the steps `wanted`.
    pub fn new(wanted: Vec<usize>, (count, block): (usize, usize), reply: Reply) -> Arc<Frames> {
        Arc::new(Frames { wanted, count, block, reply, here: Mutex::default() })
    }

    /// Sees the block that begins with a row.
    pub fn block(self: &Arc<Self>, first: usize) -> OfBlock {
        OfBlock { first, frames: self.clone() }
    }

    /// What a block is at step k, padding cut off; sent once all blocks are here.
    fn add(&self, first: usize, k: usize, x: &Tensor, f: &Tensor) -> srm_langevin::Result<()> {
        let rows = self.block.min(self.count - first) as i64;
        let images = to_bytes(&x.f_narrow(0, 0, rows)?).map_err(|error| tch::TchError::Kind(error.to_string()))?;
        let f = numbers(&f.f_narrow(0, 0, rows)?)?;
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = here.entry(k).or_default();
        blocks.insert(first, (images, f));
        if blocks.len() < self.count.div_ceil(self.block) {
            return Ok(());
        }
        let blocks = here.remove(&k).unwrap_or_default();
        let views: Vec<_> = blocks.values().map(|(images, _)| images.view()).collect();
        let images = concatenate(Axis(0), &views).expect("blocks of one step have one shape");
        let f = blocks.values().flat_map(|(_, f)| f.iter().copied()).collect();
        drop(here); // a reader may be slow, the other blocks need not be
        self.reply.send(&Frame::new(k, &images, f));
        Ok(())
    }
}

/// The values of f.
///
/// # Errors
/// libtorch refuses.
pub fn numbers(f: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    Vec::try_from(f.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?)
}

/// The observer of one block.
pub struct OfBlock {
    first: usize,
    frames: Arc<Frames>,
}

impl Observer for OfBlock {
    fn step(&mut self, step: usize, x: &Tensor, f: &Tensor, _gradient: &Tensor) -> srm_langevin::Result<()> {
        if self.frames.reply.is_over() {
            return Err(LangevinError::Stopped); // the block ends now, not after its last step
        }
        match self.frames.wanted.binary_search(&step) {
            Ok(_) => self.frames.add(self.first, step, x, f),
            Err(_) => Ok(()),
        }
    }
}
