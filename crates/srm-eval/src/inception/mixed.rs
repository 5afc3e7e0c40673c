//! Build the mixed blocks: branches that read the same input and are joined along the channels.
//!
//! Widths, kernels and names follow torchvision's `models/inception.py` (`InceptionA` to `InceptionE`), the poolings
//! pytorch-fid's patches of it.

use super::conv::{Conv, Source, Step};
use crate::Result;
use tch::Tensor;

/// A pooling over 3 × 3 places.
#[derive(Clone, Copy)]
pub(super) enum Pool {
    /// The mean of the places inside the image. TensorFlow divides by their number at the border, where PyTorch's layer
    /// would divide by 9.
    Average,
    /// The largest, at every place. The last block has it where the paper (arXiv 1512.00567) and torchvision have the
    /// mean: a slip of the file of 2015, and the distance is defined by that file.
    Largest,
    /// The largest, at every second place and without padding.
    Halving,
}

impl Pool {
    pub(super) fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Pool::Average => x.f_avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None)?,
            Pool::Largest => x.f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?,
            Pool::Halving => x.f_max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)?,
        })
    }
}

/// The kinds of block.
#[derive(Clone, Copy)]
pub(super) enum Plan {
    /// At 35 × 35.
    A { pooled: i64 },
    /// From 35 × 35 to 17 × 17.
    B,
    /// At 17 × 17, with kernels of 1 × 7 and 7 × 1.
    C { inner: i64 },
    /// From 17 × 17 to 8 × 8.
    D,
    /// At 8 × 8, with branches that fork at their end.
    E { pool: Pool },
}

type NamedStep = (&'static str, Step);

/// One branch: a pooling or none, then convolutions one after the other, then none or two side by side.
struct BranchPlan {
    pool: Option<Pool>,
    chain: Vec<NamedStep>,
    fork: Vec<NamedStep>,
}

fn chain<const N: usize>(steps: [NamedStep; N]) -> BranchPlan {
    BranchPlan { pool: None, chain: steps.into(), fork: Vec::new() }
}

impl BranchPlan {
    fn after(self, pool: Pool) -> Self {
        Self { pool: Some(pool), ..self }
    }

    fn forked(self, fork: [NamedStep; 2]) -> Self {
        Self { fork: fork.into(), ..self }
    }
}

impl Plan {
    /// The branches in the order in which their channels are joined.
    fn branches(self) -> Vec<BranchPlan> {
        let same = |name: &'static str, width: i64, kernel: [i64; 2]| (name, Step::same(width, kernel));
        match self {
            Plan::A { pooled } => vec![
                chain([same("branch1x1", 64, [1, 1])]),
                chain([same("branch5x5_1", 48, [1, 1]), same("branch5x5_2", 64, [5, 5])]),
                chain([
                    same("branch3x3dbl_1", 64, [1, 1]),
                    same("branch3x3dbl_2", 96, [3, 3]),
                    same("branch3x3dbl_3", 96, [3, 3]),
                ]),
                chain([same("branch_pool", pooled, [1, 1])]).after(Pool::Average),
            ],
            Plan::B => vec![
                chain([("branch3x3", Step::halving(384))]),
                chain([
                    same("branch3x3dbl_1", 64, [1, 1]),
                    same("branch3x3dbl_2", 96, [3, 3]),
                    ("branch3x3dbl_3", Step::halving(96)),
                ]),
                chain([]).after(Pool::Halving),
            ],
            Plan::C { inner } => vec![
                chain([same("branch1x1", 192, [1, 1])]),
                chain([
                    same("branch7x7_1", inner, [1, 1]),
                    same("branch7x7_2", inner, [1, 7]),
                    same("branch7x7_3", 192, [7, 1]),
                ]),
                chain([
                    same("branch7x7dbl_1", inner, [1, 1]),
                    same("branch7x7dbl_2", inner, [7, 1]),
                    same("branch7x7dbl_3", inner, [1, 7]),
                    same("branch7x7dbl_4", inner, [7, 1]),
                    same("branch7x7dbl_5", 192, [1, 7]),
                ]),
                chain([same("branch_pool", 192, [1, 1])]).after(Pool::Average),
            ],
            Plan::D => vec![
                chain([same("branch3x3_1", 192, [1, 1]), ("branch3x3_2", Step::halving(320))]),
                chain([
                    same("branch7x7x3_1", 192, [1, 1]),
                    same("branch7x7x3_2", 192, [1, 7]),
                    same("branch7x7x3_3", 192, [7, 1]),
                    ("branch7x7x3_4", Step::halving(192)),
                ]),
                chain([]).after(Pool::Halving),
            ],
            Plan::E { pool } => vec![
                chain([same("branch1x1", 320, [1, 1])]),
                chain([same("branch3x3_1", 384, [1, 1])])
                    .forked([same("branch3x3_2a", 384, [1, 3]), same("branch3x3_2b", 384, [3, 1])]),
                chain([same("branch3x3dbl_1", 448, [1, 1]), same("branch3x3dbl_2", 384, [3, 3])])
                    .forked([same("branch3x3dbl_3a", 384, [1, 3]), same("branch3x3dbl_3b", 384, [3, 1])]),
                chain([same("branch_pool", 192, [1, 1])]).after(pool),
            ],
        }
    }
}

struct Branch {
    pool: Option<Pool>,
    chain: Vec<Conv>,
    fork: Vec<Conv>,
}

/// A mixed block.
pub(super) struct Mixed {
    branches: Vec<Branch>,
}

impl Mixed {
    /// The block whose tensors are called `name.branch….conv.weight`, and its output channels.
    pub(super) fn new(source: &Source, name: &str, inputs: i64, plan: Plan) -> Result<(Self, i64)> {
        let conv =
            |inputs: i64, (branch, step): &NamedStep| Conv::new(source, &format!("{name}.{branch}"), inputs, step);
        let (mut branches, mut outputs) = (Vec::new(), 0);
        for plan in plan.branches() {
            let (mut built, mut width) = (Vec::new(), inputs);
            for step in &plan.chain {
                built.push(conv(width, step)?);
                width = step.1.width();
            }
            let fork = plan.fork.iter().map(|step| conv(width, step)).collect::<Result<Vec<_>>>()?;
            outputs += match plan.fork.is_empty() {
                true => width,
                false => plan.fork.iter().map(|(_, step)| step.width()).sum(),
            };
            branches.push(Branch { pool: plan.pool, chain: built, fork });
        }
        Ok((Self { branches }, outputs))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut outputs = Vec::new();
        for branch in &self.branches {
            let mut y = match branch.pool {
                Some(pool) => pool.forward(x)?,
                None => x.shallow_clone(),
            };
            for conv in &branch.chain {
                y = conv.forward(&y)?;
            }
            for conv in &branch.fork {
                outputs.push(conv.forward(&y)?);
            }
            if branch.fork.is_empty() {
                outputs.push(y);
            }
        }
        Ok(Tensor::f_cat(&outputs, 1)?)
    }
}
