//! Draw the observed samples of an update: from images on the disk, on the GPU, or from an array in memory.

use crate::{Result, TrainError, tensor_file};
use sha2::{Digest, Sha256};
use srm_data::{Batcher, ImageSet, Pick, fill_batch};
use srm_files::hex;
use srm_langevin::{LangevinError, per_sample};
use tch::{Device, Kind, Tensor};

/// What a run learns from.
#[derive(Debug)]
pub enum Data {
    /// Images, whose pixels become numbers in [-1, 1].
    Images(ImageSet),
    /// An array `[n, …]` of samples, taken as it is.
    Rows(Tensor),
}

impl From<ImageSet> for Data {
    fn from(images: ImageSet) -> Self {
        Data::Images(images)
    }
}

impl From<Tensor> for Data {
    fn from(rows: Tensor) -> Self {
        Data::Rows(rows)
    }
}

impl Data {
    /// Samples.
    pub fn len(&self) -> usize {
        match self {
            Data::Images(images) => images.len(),
            Data::Rows(rows) => rows.size().first().map_or(0, |&n| n as usize),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of a sample: `[c, h, w]` of images.
    pub fn shape(&self) -> Vec<i64> {
        match self {
            Data::Images(images) => {
                [images.channels(), images.height(), images.width()].map(|side| side as i64).to_vec()
            }
            Data::Rows(rows) => rows.size().split_off(1.min(rows.dim())),
        }
    }

    /// Some samples as the net takes them, on the CPU: images as numbers in [-1, 1].
    ///
    /// # Shapes
    /// f32 `[range, …]`.
    ///
    /// # Errors
    /// [`TrainError::Data`] past the end, [`TrainError::Torch`].
    pub fn rows(&self, range: std::ops::Range<usize>) -> Result<Tensor> {
        let count = range.len() as i64;
        match self {
            Data::Images(images) => {
                let picks: Vec<Pick> = range.map(|index| Pick { index, flip: false }).collect();
                read(images, &picks, &self.shape(), &mut Vec::new())
            }
            Data::Rows(rows) => {
                Ok(rows.f_narrow(0, range.start as i64, count)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?)
            }
        }
    }

    /// A short name of the content, 16 hex digits.
    ///
    /// # Errors
    /// [`TrainError::Torch`].
    pub fn fingerprint(&self) -> Result<String> {
        let rows = match self {
            Data::Images(images) => return Ok(images.fingerprint()),
            Data::Rows(rows) => rows.f_to_kind(Kind::Float)?,
        };
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?}", rows.size()));
        hasher.update(tensor_file::numbers(&rows)?);
        Ok(hex(&hasher.finalize()[..8]))
    }
}

/// The data with what turns it into batches.
pub(crate) struct Feed {
    data: Data,
    on_device: Option<DeviceImages>,
    batcher: Batcher,
    buffer: Vec<f32>,
    device: Device,
}

impl Feed {
    /// Batches of `batch` samples on `device`; with `flip` each is mirrored along its last axis with probability ½.
    pub(crate) fn new(data: Data, batch: usize, seed: u64, flip: bool, device: Device) -> Result<Self> {
        let data = match data {
            Data::Rows(rows) if rows.dim() < 2 => return Err(LangevinError::NoRows { got: rows.size() }.into()),
            Data::Rows(rows) => Data::Rows(rows.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(device)?),
            images => images,
        };
        if data.len() < batch.max(1) {
            return Err(TrainError::TooFewImages { got: data.len(), batch: batch.max(1) });
        }
        let on_device = match &data {
            Data::Images(images) => DeviceImages::new(images, device)?,
            Data::Rows(_) => None,
        };
        let batcher = Batcher::new(data.len(), batch, seed, flip);
        Ok(Self { data, on_device, batcher, buffer: Vec::new(), device })
    }

    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    /// The first sample, as a batch.
    pub(crate) fn first(&mut self) -> Result<Tensor> {
        self.numbers(&[Pick { index: 0, flip: false }])
    }

    /// The samples `mine` of the batch of `update`, after `seen` samples have been used.
    ///
    /// # Shapes
    /// f32 `[mine, …]`, on the device.
    pub(crate) fn batch(&mut self, update: u64, seen: u64, mine: &std::ops::Range<usize>) -> Result<Tensor> {
        let picks = self.batcher.batch_at(update, seen);
        self.numbers(&picks[mine.clone()])
    }

    fn numbers(&mut self, picks: &[Pick]) -> Result<Tensor> {
        match (&self.data, &self.on_device) {
            (Data::Images(_), Some(on_device)) => on_device.batch(picks),
            (Data::Images(images), None) => {
                Ok(read(images, picks, &self.data.shape(), &mut self.buffer)?.f_to_device(self.device)?)
            }
            (Data::Rows(rows), _) => mirrored(&rows.f_index_select(0, &indices(picks, self.device)?)?, picks),
        }
    }
}

/// The picked images as numbers, f32 `[picks, …]` on the CPU, by way of `buffer`.
fn read(images: &ImageSet, picks: &[Pick], shape: &[i64], buffer: &mut Vec<f32>) -> Result<Tensor> {
    fill_batch(images, picks, buffer)?;
    Ok(Tensor::f_from_slice(buffer)?.f_reshape([&[picks.len() as i64], shape].concat())?)
}

/// Where in the set the picks are.
fn indices(picks: &[Pick], device: Device) -> Result<Tensor> {
    let indices: Vec<i64> = picks.iter().map(|pick| pick.index as i64).collect();
    Ok(Tensor::f_from_slice(&indices)?.f_to_device(device)?)
}

/// The samples x of the picks, mirrored along their last axis where a pick says so.
fn mirrored(x: &Tensor, picks: &[Pick]) -> Result<Tensor> {
    let flips: Vec<bool> = picks.iter().map(|pick| pick.flip).collect();
    let flips = per_sample(&Tensor::f_from_slice(&flips)?, x)?.f_to_device(x.device())?;
    Ok(x.f_flip([-1])?.f_where_self(&flips, x)?)
}

/// Largest set that is kept on the device, bytes: CelebA's 162,770 training photos at 64 px are 2.0 GB.
const LARGEST: usize = 4 << 30;
/// Images that are sent at a time.
const CHUNK: usize = 4096;

/// The images as bytes on the device.
pub(crate) struct DeviceImages {
    bytes: Tensor, // u8 [n, h, w, c]
}

impl DeviceImages {
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
        let picked = self.bytes.f_index_select(0, &indices(picks, self.bytes.device())?)?;
        let x = picked.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?.f_div_scalar(127.5)?.f_sub_scalar(1)?;
        Ok(mirrored(&x, picks)?.f_contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use srm_data::{synthetic, write_npy};

    #[test]
    fn a_batch_has_the_bits_that_the_file_gives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let pixels = synthetic::blobs(9, 32, 3, 1);
        write_npy(&path, &ndarray::ArrayView4::from_shape((9, 32, 32, 3), &pixels).unwrap()).unwrap();
        let images = ImageSet::open(&path).unwrap();
        assert!(DeviceImages::new(&images, Device::Cpu).unwrap().is_none());
        let picks = [(3, false), (8, true), (0, true), (3, true)].map(|(index, flip)| Pick { index, flip });
        let mut expected = Vec::new();
        fill_batch(&images, &picks, &mut expected).unwrap();
        let batch = DeviceImages::upload(&images, Device::Cpu).unwrap().batch(&picks).unwrap();
        assert_eq!(batch.size(), [4, 3, 32, 32]);
        assert_eq!(Vec::<f32>::try_from(batch.flatten(0, -1)).unwrap(), expected);
    }

    #[test]
    fn an_array_gives_its_rows_and_refuses_to_be_too_short() {
        let rows = Tensor::arange(12, (Kind::Double, Device::Cpu)).reshape([6, 2]);
        let mut feed = Feed::new(rows.shallow_clone().into(), 4, 1, false, Device::Cpu).unwrap();
        let batch = feed.batch(1, 0, &(1..4)).unwrap();
        assert_eq!((batch.size(), batch.kind()), (vec![3, 2], Kind::Float));
        for row in 0..3 {
            let at = batch.double_value(&[row, 0]);
            assert_eq!((at % 2.0, batch.double_value(&[row, 1])), (0.0, at + 1.0));
        }
        assert_eq!(feed.data().shape(), [2]);
        let mut mirrored = Feed::new(rows.shallow_clone().into(), 6, 1, true, Device::Cpu).unwrap();
        // a mirrored row begins with its odd number
        let x = mirrored.batch(1, 0, &(0..6)).unwrap();
        let odd = (0..6).filter(|&row| x.double_value(&[row, 0]) % 2.0 == 1.0).count();
        assert!((1..6).contains(&odd), "{odd} of 6 rows are mirrored");
        let error = Feed::new(rows.shallow_clone().into(), 7, 1, false, Device::Cpu).map(drop).unwrap_err();
        assert!(error.to_string().contains("6 images are fewer than a batch of 7"), "{error}");
        let flat = Feed::new(rows.flatten(0, -1).into(), 4, 1, false, Device::Cpu).map(drop).unwrap_err();
        assert!(flat.to_string().contains("[12]"), "{flat}");
        let name = Data::from(rows.shallow_clone()).fingerprint().unwrap();
        assert_eq!(name.len(), 16);
        assert_ne!(name, Data::from(rows + 1).fingerprint().unwrap());
    }
}
