//! Let the compiler use the processor's wide vectors for normal numbers; their bits are the same without.

#![allow(unsafe_code)] // calls a function compiled for AVX2 after asking the processor for it

use super::sixteen_normals;

/// Fill `out` from 64 random bytes for each 16 numbers.
pub(super) fn normals(bytes: &[[u8; 64]], out: &mut [f32]) {
    #[cfg(all(target_arch = "x86_64", not(srm_portable)))]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { normals_avx2(bytes, out) };
    }
    fill(bytes, out);
}

/// AVX2 without FMA: a fused product would round differently from other processors.
#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
#[target_feature(enable = "avx2")]
fn normals_avx2(bytes: &[[u8; 64]], out: &mut [f32]) {
    fill(bytes, out);
}

#[inline(always)]
fn fill(bytes: &[[u8; 64]], out: &mut [f32]) {
    for (block, bytes) in out.chunks_mut(16).zip(bytes) {
        let normals = sixteen_normals(bytes);
        block.copy_from_slice(&normals[..block.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_vectors_give_the_same_bits() {
        let bytes: Vec<[u8; 64]> = (0..200u32)
            .map(|i| std::array::from_fn(|j| (i.wrapping_mul(2_654_435_761).rotate_left(j as u32) >> 7) as u8))
            .collect();
        let (mut wide, mut plain) = (vec![0.0; 3190], vec![0.0; 3190]);
        normals(&bytes, &mut wide);
        fill(&bytes, &mut plain);
        assert_eq!(wide, plain);
    }
}
