//! Say which layers a net has as the kernels see them.

use super::edge::First;
use super::geometry::{Geometry, Sides};
use srm_config::EnergyConfig;

/// The layers of a net as the kernels see them: widths filled up to whole vectors.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(super) first: First,
    pub(super) layers: Vec<Geometry>,
    pub(super) last_channels: usize,
    /// Of the map that the last layer reads.
    pub(super) last_size: Sides,
}

impl Shape {
    /// Those of a net for images of its own size, on vectors of so many lanes.
    pub(super) fn new(config: &EnergyConfig, lanes: usize) -> Self {
        let n = config.features.next_multiple_of(lanes);
        let first = First { size: [config.size; 2], channels: config.channels, features: n, torus: false };
        let (mut layers, mut size, mut channels) = (Vec::new(), config.size, n);
        while size > 4 {
            let outputs = (2 * channels).min(8 * n);
            layers.push(Geometry::new([size; 2], channels, outputs));
            (size, channels) = (size / 2, outputs);
        }
        Self { first, layers, last_channels: channels, last_size: [size; 2] }
    }

    /// The same layers on images whose opposite borders touch.
    pub(super) fn on_torus(mut self) -> Self {
        self.layers.iter_mut().for_each(|g| g.torus = true);
        self.first.torus = true;
        self
    }

    /// The same layers for images of other sides; `None` where they do not halve to tiles and to a map of at least 4×4.
    pub(super) fn resized(&self, size: Sides) -> Option<Self> {
        let mut last_size = size;
        let mut resized = |g: &Geometry| {
            let fits = last_size.iter().all(|side| side % 4 == 0);
            let g = fits.then(|| Geometry { torus: g.torus, ..Geometry::new(last_size, g.channels, g.outputs) })?;
            last_size = g.halved();
            Some(g)
        };
        let layers = self.layers.iter().map(&mut resized).collect::<Option<Vec<_>>>()?;
        let first = First { size, ..self.first };
        last_size.iter().all(|&side| side >= 4).then_some(Self { first, layers, last_size, ..*self })
    }
}
