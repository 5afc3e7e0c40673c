//! Add up what blocks of images gave in one fixed order, whoever computed which block.
//!
//! Floating-point addition depends on its order, so the order is a binary tree over the block numbers: node (level, i) is the
//! sum over the blocks i·2^level to (i + 1)·2^level − 1, left half plus right half; a half without blocks adds nothing. Whoever
//! holds some blocks adds up the nodes that lie wholly in them, and what two hold together gives the nodes above. The root is
//! the same bits for any number of holders.

use crate::{RanksError, Result};
use std::collections::BTreeMap;
use tch::Tensor;

/// A node's first block and level.
pub(crate) type Place = (u64, u32);

/// Sums over the nodes of the tree whose blocks are all there; none of them lies in another.
pub struct PartialSum {
    /// Blocks of the whole tree, at least 1.
    blocks: u64,
    nodes: BTreeMap<Place, Tensor>,
}

impl PartialSum {
    /// Nothing yet of a tree over so many blocks.
    pub fn new(blocks: usize) -> Self {
        Self { blocks: blocks.max(1) as u64, nodes: BTreeMap::new() }
    }

    /// Whether the tree has such a node: a message of another rank may say anything.
    pub(crate) fn has_place(&self, (first, level): Place) -> bool {
        let whole = 1u64.checked_shl(level).is_some_and(|blocks| first.is_multiple_of(blocks));
        whole && first < self.blocks && level <= self.root_level()
    }

    /// The level of the root, which holds all blocks.
    fn root_level(&self) -> u32 {
        self.blocks.next_power_of_two().trailing_zeros()
    }

    /// Whether a node holds this block.
    fn holds(&self, block: u64) -> bool {
        (0..=self.root_level()).any(|level| self.nodes.contains_key(&(block >> level << level, level)))
    }

    /// Add what a block gave, once.
    ///
    /// # Shapes
    /// The same of every block.
    ///
    /// # Errors
    /// [`RanksError::Block`] where the tree has no such block or holds it already: either would give a wrong sum.
    /// [`RanksError::Torch`].
    pub fn add_block(&mut self, block: usize, terms: Tensor) -> Result<()> {
        if block as u64 >= self.blocks || self.holds(block as u64) {
            return Err(RanksError::Block { block, blocks: self.blocks as usize });
        }
        self.add((block as u64, 0), terms)
    }

    /// Add a node, whose tensor is then the tree's own, and the nodes above it that it completes.
    pub(crate) fn add(&mut self, (mut first, mut level): Place, mut terms: Tensor) -> Result<()> {
        while (1u64 << level) < self.blocks {
            let sibling = first ^ (1 << level);
            if sibling < self.blocks {
                let Some(other) = self.nodes.remove(&(sibling, level)) else { break };
                let (mut left, right) = if first < sibling { (terms, other) } else { (other, terms) };
                terms = left.f_add_(&right)?;
            }
            first &= !(1 << level);
            level += 1;
        }
        self.nodes.insert((first, level), terms);
        Ok(())
    }

    /// The nodes, to be sent to another holder.
    pub(crate) fn nodes(&self) -> &BTreeMap<Place, Tensor> {
        &self.nodes
    }

    /// The sum over all blocks, once they are all there.
    pub(crate) fn into_root(mut self) -> Option<Tensor> {
        let level = self.root_level();
        self.nodes.remove(&(0, level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_random::{Key, Purpose, normal};

    fn block(i: usize) -> Tensor {
        let mut values = [0.0f32; 5];
        normal(&Key { id: i as u64, ..Key::new(1, Purpose::DataNoise) }, &mut values);
        // sizes far apart, so that another order of addition would show
        values.iter_mut().for_each(|value| *value *= 10f32.powi(i as i32 % 7));
        Tensor::from_slice(&values)
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        Vec::<f32>::try_from(tensor).unwrap().into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn holders_and_their_order_change_no_bit() {
        for blocks in 1..20 {
            let mut alone = PartialSum::new(blocks);
            for i in 0..blocks {
                alone.add_block(i, block(i)).unwrap();
            }
            let expected = bits(&alone.into_root().unwrap());
            for holders in 1..6 {
                let mut parts: Vec<PartialSum> = (0..holders).map(|_| PartialSum::new(blocks)).collect();
                for i in (0..blocks).rev() {
                    parts[i * holders / blocks].add_block(i, block(i)).unwrap();
                }
                let mut whole = PartialSum::new(blocks);
                for part in parts.into_iter().rev() {
                    for (place, terms) in part.nodes() {
                        whole.add(*place, terms.shallow_clone()).unwrap();
                    }
                }
                assert_eq!(bits(&whole.into_root().unwrap()), expected, "{blocks} blocks, {holders} holders");
            }
        }
    }

    #[test]
    fn only_nodes_of_the_tree_have_a_place() {
        let sum = PartialSum::new(5);
        for place in [(0, 0), (4, 0), (2, 1), (4, 1), (0, 2), (4, 2), (0, 3)] {
            assert!(sum.has_place(place), "{place:?}");
        }
        for place in [(5, 0), (1, 1), (2, 2), (4, 3), (0, 4), (0, 64), (0, u32::MAX), (u64::MAX, 0)] {
            assert!(!sum.has_place(place), "{place:?}");
        }
    }

    #[test]
    fn the_tree_is_the_sum_and_a_missing_block_leaves_no_root() {
        let mut sum = PartialSum::new(3);
        for i in [2, 0] {
            sum.add_block(i, Tensor::from_slice(&[i as f32 + 1.0])).unwrap();
        }
        assert_eq!(sum.nodes().keys().copied().collect::<Vec<_>>(), [(0, 0), (2, 1)]);
        sum.add_block(1, Tensor::from_slice(&[2.0f32])).unwrap();
        assert_eq!(bits(&sum.into_root().unwrap()), [6.0f32.to_bits()]);
        assert!(PartialSum::new(2).into_root().is_none());
    }

    #[test]
    fn a_block_beyond_the_last_or_a_second_time_is_refused_and_changes_nothing() {
        let one = || Tensor::from_slice(&[1.0f32]);
        let refused = |sum: &mut PartialSum, block| sum.add_block(block, one()).unwrap_err().to_string();
        let mut sum = PartialSum::new(3);
        for block in [3, 4, 8, usize::MAX] {
            assert_eq!(refused(&mut sum, block), format!("block {block} of a sum over 3 blocks is beyond the last"));
        }
        for block in [1, 0, 2] {
            sum.add_block(block, one()).unwrap();
            // alone, then as part of the nodes above
            assert_eq!(refused(&mut sum, block), format!("block {block} of a sum over 3 blocks is there already"));
        }
        assert_eq!(bits(&sum.into_root().unwrap()), [3.0f32.to_bits()]);
    }
}
