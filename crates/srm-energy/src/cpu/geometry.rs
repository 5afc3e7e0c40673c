//! Say how large a 4×4 stride-2 convolution is, which tile suits it, and where its numbers lie.

use super::memory::LINE;
use super::scheme::{F2, F4, Scheme};

/// The most that F(4×4, 2×2) may make of a layer's weights for them to be kept, in bytes per direction: larger ones would be read
/// from memory at every step.
const LARGE: usize = 16 << 20;
/// The same where an image is one such tile: few rows then share what is read, and F(2×2, 2×2) needs 9/25 of it.
const LARGE_ALONE: usize = 4 << 20;

/// Outputs of a tile in a row and in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tile {
    /// F(2×2, 2×2).
    Two,
    /// F(4×4, 2×2).
    Four,
}

/// Height and width in pixels.
pub(super) type Sides = [usize; 2];

/// Pixels of an image of these sides with one of padding on each side.
pub(super) fn padded([height, width]: Sides) -> usize {
    (height + 2) * (width + 2)
}

/// Places of the last layer, 4×4 pixels, on a map of these sides; on a torus it is laid over the border, too.
pub(super) fn places(size: Sides, torus: bool) -> Sides {
    if torus { size } else { size.map(|side| side - 3) }
}

/// Make the padding of an image `[height + 2, width + 2, channels]` what lies at the opposite border.
pub(super) fn wrap([height, width]: Sides, channels: usize, image: &mut [f32]) {
    let row = (width + 2) * channels;
    for line in image.chunks_exact_mut(row).skip(1).take(height) {
        line.copy_within(width * channels..(width + 1) * channels, 0);
        line.copy_within(channels..2 * channels, (width + 1) * channels);
    }
    image.copy_within(height * row..(height + 1) * row, 0);
    image.copy_within(row..2 * row, (height + 1) * row);
}

/// The transpose of [`wrap`] in the inner pixels: what the padding holds is added to the pixels that it stood for.
pub(super) fn unwrap([height, width]: Sides, channels: usize, image: &mut [f32]) {
    let row = (width + 2) * channels;
    let mut add = |from: usize, to: usize| image[to] += image[from];
    for i in 0..row {
        add(i, height * row + i);
        add((height + 1) * row + i, row + i);
    }
    for y in 1..=height {
        for c in 0..channels {
            add(y * row + c, y * row + width * channels + c);
            add(y * row + (width + 1) * channels + c, y * row + channels + c);
        }
    }
}

/// One 4×4 stride-2 convolution: `[height, width, channels]` to `[height/2, width/2, outputs]`. In memory an image is channels-last
/// with one pixel of padding on each side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub size: Sides,
    pub channels: usize,
    pub outputs: usize,
    pub tile: Tile,
    /// Whether U = G w Gᵀ is kept, rather than made from the taps in every product.
    pub kept: bool,
    /// Whether the padding is what lies at the opposite border, and not zeros.
    pub torus: bool,
}

impl Geometry {
    /// The convolution on the tile that suits it; both sides are multiples of 4.
    pub(super) fn new(size: Sides, channels: usize, outputs: usize) -> Self {
        let on = |tile| Self { size, channels, outputs, tile, kept: true, torus: false };
        let (two, four) = (on(Tile::Two), on(Tile::Four));
        let bytes = |g: &Self| g.weights() * size_of::<f32>();
        if size.iter().any(|side| side % 8 != 0) {
            return Self { kept: bytes(&two) <= LARGE, ..two };
        }
        match four.tiles() {
            1 if bytes(&four) > LARGE_ALONE => two,
            _ => Self { kept: bytes(&four) <= LARGE, ..four },
        }
    }

    /// On the tile for the sums of the gradient in the weights, which are kept: F(2×2, 2×2) needs fewer.
    pub(super) fn of_sums(&self) -> Self {
        Self { tile: if self.kept { self.tile } else { Tile::Two }, ..*self }
    }

    /// Numbers per padded input image.
    pub(super) fn input_len(&self) -> usize {
        padded(self.size) * self.channels
    }

    /// Numbers per padded output image.
    pub(super) fn output_len(&self) -> usize {
        padded(self.halved()) * self.outputs
    }

    /// Sides of the output.
    pub(super) fn halved(&self) -> Sides {
        self.size.map(|side| side / 2)
    }

    /// Products per tile.
    pub(super) fn points(&self) -> usize {
        match self.tile {
            Tile::Two => 9,
            Tile::Four => 25,
        }
    }

    /// Tiles in a column and in a row of an image.
    pub(super) fn sides(&self) -> Sides {
        let pixels = if self.tile == Tile::Two { 4 } else { 8 };
        self.size.map(|side| side / pixels)
    }

    /// Tiles per image.
    pub(super) fn tiles(&self) -> usize {
        self.sides().iter().product()
    }

    /// Channels of P: the depth of the products.
    pub(super) fn depth(&self) -> usize {
        4 * self.channels
    }

    /// Numbers from one point's weights to the next point's: an odd number of cache lines, like [`plane`].
    pub(super) fn weights_apart(&self) -> usize {
        stride(self.depth() * self.outputs)
    }

    /// Numbers of the weights as they are laid out: U or the taps.
    pub(super) fn packed_len(&self) -> usize {
        if self.kept { self.weights() } else { 4 * self.depth() * self.outputs }
    }

    /// Numbers of U = G w Gᵀ.
    pub(super) fn weights(&self) -> usize {
        self.points() * self.weights_apart()
    }

    /// G, row by row.
    pub(super) fn scheme(&self) -> &'static [[f32; 2]] {
        match self.tile {
            Tile::Two => &F2::WEIGHTS,
            Tile::Four => &F4::WEIGHTS,
        }
    }
}

/// Where tap (i, j) of a phase lies among the sixteen elements of a kernel: at (2i + ry, 2j + rx).
pub(super) fn element(phase: usize, i: usize, j: usize) -> usize {
    (2 * i + phase / 2) * 4 + 2 * j + phase % 2
}

/// Numbers from one tile's row of `width` numbers to the next tile's. An odd number of cache lines: rows that are read together
/// would else fall into few sets of the cache and drive each other out.
pub(super) fn stride(width: usize) -> usize {
    (width.div_ceil(LINE) | 1) * LINE
}

/// Numbers from one point's rows `[images · tiles, width]` to the next point's, an odd number of cache lines, too.
pub(super) fn plane(g: &Geometry, images: usize, width: usize) -> usize {
    stride(images * g.tiles() * stride(width))
}
