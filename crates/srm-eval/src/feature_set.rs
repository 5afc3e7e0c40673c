//! Run a set of images through a feature network once, and keep what every score needs.

use crate::{EvalError, FeatureNetwork, MomentSums, Moments, Output, Result, Rows};
use std::ops::Range;
use tch::{Kind, Tensor};

/// Images per batch.
const BATCH: usize = 64;

/// The batches in which a set of `count` images is run.
pub fn batches(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(BATCH).map(move |first| first..(first + BATCH).min(count))
}

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
    /// Features of `count` images, `dimension` each. `run` gives those of a batch ([`batches`], in their order), as
    /// [`FeatureNetwork::run_images`] does. `seen` hears how many images are done and may stop the work by returning false: then
    /// `None`.
    ///
    /// # Errors
    /// What `run`, the disk or libtorch return; [`EvalError::TooFewImages`].
    pub fn new<E: From<EvalError>>(
        dimension: usize,
        count: usize,
        mut run: impl FnMut(Range<usize>) -> std::result::Result<Output, E>,
        seen: &mut dyn FnMut(usize) -> bool,
    ) -> std::result::Result<Option<Self>, E> {
        let (mut sums, mut rows, mut logits) = (MomentSums::new(dimension), Rows::new(dimension)?, None);
        for batch in batches(count) {
            let last = batch.end;
            let output = run(batch)?;
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
            if !seen(last) {
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

impl FeatureNetwork {
    /// Features of the images of a batch; `image(i)` gives the bytes of image i, `[h, w, c]`.
    ///
    /// # Errors
    /// As in [`FeatureNetwork::run`].
    pub fn run_images<'a>(
        &self,
        batch: Range<usize>,
        [h, w, c]: [usize; 3],
        image: impl Fn(usize) -> &'a [u8],
    ) -> Result<Output> {
        let size = batch.len();
        let bytes: Vec<u8> = batch.flat_map(image).copied().collect();
        let bytes = Tensor::f_from_slice(&bytes)?.f_reshape([size, h, w, c].map(|n| n as i64))?;
        self.run(&bytes.f_to_kind(Kind::Uint8)?)
    }
}
