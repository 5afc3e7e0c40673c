//! Run a set of images through a feature network once, and keep what every score needs.

use crate::network::FeatureNetwork;
use crate::{EvalError, MomentSums, Moments, Result, Rows};
use tch::{Kind, Tensor};

/// Images a batch.
const BATCH: usize = 64;

/// Features of a set: on disk, with mean and covariance.
pub struct FeatureSet {
    /// Mean and covariance.
    pub moments: Moments,
    /// Every image's features.
    pub rows: Rows,
    /// Every image's class logits, where the net has classes.
    pub logits: Option<Rows>,
}

impl FeatureSet {
    /// Features of `count` images; `image(i)` gives the bytes of image i, `[h, w, c]`. `seen` hears how many are done and may stop
    /// the work by returning false: then `None`.
    ///
    /// # Errors
    /// What the net, the disk or libtorch return; [`EvalError::TooFewImages`].
    pub fn new<'a>(
        net: &FeatureNetwork,
        count: usize,
        [h, w, c]: [usize; 3],
        image: impl Fn(usize) -> &'a [u8],
        seen: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>> {
        let dimension = net.identity().dimension;
        let (mut sums, mut rows, mut logits) = (MomentSums::new(dimension), Rows::new(dimension)?, None);
        for first in (0..count).step_by(BATCH) {
            let size = BATCH.min(count - first);
            let bytes: Vec<u8> = (first..first + size).flat_map(&image).copied().collect();
            let bytes = Tensor::f_from_slice(&bytes)?.f_reshape([size, h, w, c].map(|n| n as i64))?;
            let output = net.run(&bytes.f_to_kind(Kind::Uint8)?)?;
            sums.add(&output.features)?;
            rows.add(&output.features)?;
            if let Some(batch) = &output.logits {
                let classes = batch.size()[1] as usize;
                let kept = match &mut logits {
                    Some(kept) => kept,
                    None => logits.insert(Rows::new(classes)?),
                };
                kept.add(batch)?;
            }
            if !seen(first + size) {
                return Ok(None);
            }
        }
        rows.finish()?;
        if let Some(logits) = &mut logits {
            logits.finish()?;
        }
        let moments = sums.finish().map_err(|error| match error {
            EvalError::TooFewImages { needed, got, .. } => {
                EvalError::TooFewImages { what: "a distance between sets", needed, got }
            }
            other => other,
        })?;
        Ok(Some(Self { moments, rows, logits }))
    }
}
