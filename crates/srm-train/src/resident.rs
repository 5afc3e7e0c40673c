//! Keep the whole image set on the GPU, so that no batch crosses the bus.

use crate::Result;
use srm_data::{ImageSet, Pick};
use tch::{Device, Kind, Tensor};

/// Largest set that is kept on the device, bytes: CelebA's 162,770 training photos at 64 px are 2.0 GB.
const LARGEST: usize = 4 << 30;
/// Images that are sent at a time.
const CHUNK: usize = 4096;

/// The images as bytes on the device.
pub(crate) struct Resident {
    bytes: Tensor, // u8 [n, h, w, c]
}

impl Resident {
    /// `None` on the CPU, which reads the file's pages, and for a set that is too large.
    pub(crate) fn new(images: &ImageSet, device: Device) -> Result<Option<Self>> {
        let len = images.len() * images.height() * images.width() * images.channels();
        (device.is_cuda() && len <= LARGEST).then(|| Self::upload(images, device)).transpose()
    }

    fn upload(images: &ImageSet, device: Device) -> Result<Self> {
        let shape = [images.height() as i64, images.width() as i64, images.channels() as i64];
        let all = [images.len() as i64, shape[0], shape[1], shape[2]];
        let bytes = Tensor::f_zeros(all, (Kind::Uint8, device))?;
        for first in (0..images.len()).step_by(CHUNK) {
            let count = CHUNK.min(images.len() - first);
            let chunk: Vec<u8> = (first..first + count).flat_map(|i| images.image(i)).copied().collect();
            let chunk = Tensor::f_from_slice(&chunk)?.f_reshape([count as i64, shape[0], shape[1], shape[2]])?;
            bytes.f_narrow(0, first as i64, count as i64)?.f_copy_(&chunk)?;
        }
        Ok(Self { bytes })
    }

    /// What `srm_data::fill_batch` gives: f32 `[picks, c, h, w]`, each pixel p as p/127.5 − 1.
    pub(crate) fn batch(&self, picks: &[Pick]) -> Result<Tensor> {
        let device = self.bytes.device();
        let indices: Vec<i64> = picks.iter().map(|pick| pick.index as i64).collect();
        let flips: Vec<bool> = picks.iter().map(|pick| pick.flip).collect();
        let indices = Tensor::f_from_slice(&indices)?.f_to_device(device)?;
        let flips = Tensor::f_from_slice(&flips)?.f_reshape([-1, 1, 1, 1])?.f_to_device(device)?;
        let x = self.bytes.f_index_select(0, &indices)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
        let x = x.f_div_scalar(127.5)?.f_sub_scalar(1)?;
        Ok(x.f_flip([3])?.f_where_self(&flips, &x)?.f_contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_data::{fill_batch, synthetic, write_npy};

    #[test]
    fn a_batch_has_the_bits_that_the_file_gives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let pixels = synthetic::blobs(9, 32, 3, 1);
        write_npy(&path, &ndarray::ArrayView4::from_shape((9, 32, 32, 3), &pixels).unwrap()).unwrap();
        let images = ImageSet::open(&path).unwrap();
        assert!(Resident::new(&images, Device::Cpu).unwrap().is_none());
        let picks = [(3, false), (8, true), (0, true), (3, true)].map(|(index, flip)| Pick { index, flip });
        let mut expected = Vec::new();
        fill_batch(&images, &picks, &mut expected).unwrap();
        let batch = Resident::upload(&images, Device::Cpu).unwrap().batch(&picks).unwrap();
        assert_eq!(batch.size(), [4, 3, 32, 32]);
        assert_eq!(Vec::<f32>::try_from(batch.flatten(0, -1)).unwrap(), expected);
    }
}
