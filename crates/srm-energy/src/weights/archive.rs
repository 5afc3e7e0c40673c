//! Open a file of tensors, whatever its format, and read from it those that are asked for.

use super::number::{Number, float_tensor};
use crate::pth::{PthFile, is_pth};
use crate::{EnergyError, Result};
use safetensors::{Dtype, SafeTensors};
use srm_files::{BEGINNING, Kind, identify_bytes};
use std::path::Path;
use std::rc::Rc;
use tch::Tensor;

/// Names that a message shows at most.
const SHOWN: usize = 6;
/// Letters of a name that a message shows at most.
const LONGEST: usize = 80;

/// Something that a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// All keys that lead to it, joined by dots: `state_dict.ebm.f.0.weight`.
    pub(crate) name: String,
    /// Where in the name the key of the innermost dict begins.
    pub(crate) own: usize,
    pub(crate) value: Value,
    /// Equal for two names of one tensor.
    pub(crate) object: usize,
}

/// What it is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Tensor {
        shape: Vec<usize>,
        number: Number,
    },
    /// A value of a class that is not made from a file, by the class' name.
    Stranger(Rc<str>),
}

impl Entry {
    /// Shape and kind.
    ///
    /// # Errors
    /// [`EnergyError::Stranger`].
    pub(crate) fn tensor(&self) -> Result<(&[usize], Number)> {
        match &self.value {
            Value::Tensor { shape, number } => Ok((shape, *number)),
            Value::Stranger(class) => Err(EnergyError::Stranger { name: self.name.clone(), class: class.to_string() }),
        }
    }

    /// Whether it is batch normalisation's count of batches, an average's of updates or the like: an integer beside the
    /// weights that no evaluation uses.
    pub(super) fn is_counter(&self) -> bool {
        matches!(&self.value, Value::Tensor { shape, number: Number::Other(..) } if shape.is_empty())
            || self.name.ends_with(".num_batches_tracked")
    }
}

/// An opened file.
pub(super) struct Archive<'a> {
    pub(super) path: &'a Path,
    pub(super) entries: Vec<Entry>,
    /// The text of our metadata, where the file has it.
    pub(super) metadata: Option<String>,
    content: Content<'a>,
}

enum Content<'a> {
    Safetensors(SafeTensors<'a>),
    Torch(Box<PthFile<'a>>),
}

impl<'a> Archive<'a> {
    /// The file in these bytes, recognised by them.
    ///
    /// # Errors
    /// [`EnergyError::DamagedFile`], [`EnergyError::OtherFile`].
    pub(super) fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        if is_pth(bytes) {
            let (file, entries) = PthFile::open(path, bytes)?;
            return Ok(Self { path, entries, metadata: None, content: Content::Torch(Box::new(file)) });
        }
        let damaged = |source: safetensors::SafeTensorError| match identify_bytes(&bytes[..bytes.len().min(BEGINNING)])
        {
            Some(kind) if !matches!(kind, Kind::Safetensors | Kind::Text) => EnergyError::OtherFile {
                path: path.to_owned(),
                what: kind.what(),
                remedy: match kind {
                    Kind::Hdf5 => "write its tensors by torch.save or safetensors",
                    kind => kind.remedy(),
                }
                .to_owned(),
            },
            _ => EnergyError::DamagedFile {
                path: path.to_owned(),
                reason: format!("neither a whole safetensors nor a .pth file: {source}"),
            },
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().as_ref().and_then(|map| map.get(super::KEY).cloned());
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut names = tensors.names();
        names.sort_unstable(); // they come in no order
        let entry = |(object, name): (usize, &str)| {
            let view = tensors.tensor(name).expect("the names are its own");
            let value = Value::Tensor { shape: view.shape().to_vec(), number: number(view.dtype()) };
            Entry { name: name.to_owned(), own: 0, value, object }
        };
        let entries = names.into_iter().enumerate().map(entry).collect();
        Ok(Self { path, entries, metadata, content: Content::Safetensors(tensors) })
    }

    /// The values of an entry as f32.
    ///
    /// # Errors
    /// [`EnergyError::InFile`] around [`EnergyError::Stranger`] and [`EnergyError::TensorKind`], [`EnergyError::DamagedFile`].
    pub(super) fn float(&mut self, index: usize) -> Result<Tensor> {
        let entry = &self.entries[index];
        let in_file = |source| EnergyError::InFile { path: self.path.to_owned(), source: Box::new(source) };
        let (shape, number) = entry.tensor().map_err(in_file)?;
        match &mut self.content {
            Content::Torch(file) => file.float(entry),
            Content::Safetensors(tensors) => {
                let view = tensors.tensor(&entry.name).expect("the entries are its names");
                float_tensor(&entry.name, number, shape, view.data()).map_err(in_file)
            }
        }
    }
}

/// What a file holds, in words: its first names with their shapes.
pub(super) fn summary(entries: &[Entry]) -> String {
    let described = |entry: &Entry| match &entry.value {
        Value::Tensor { shape, .. } => format!("{} {shape:?}", shown(&entry.name)),
        Value::Stranger(class) => format!("{} ({class})", shown(&entry.name)),
    };
    let more = match entries.len() {
        0 => return "nothing".to_owned(),
        count if count > SHOWN => format!(" and {} more", count - SHOWN),
        _ => String::new(),
    };
    let first: Vec<_> = entries.iter().take(SHOWN).map(described).collect();
    format!("{}{more}", first.join(", "))
}

/// A name in a message: the end of a long one.
pub(super) fn shown(name: &str) -> String {
    match name.chars().count().checked_sub(LONGEST) {
        None | Some(0) => name.to_owned(),
        Some(more) => format!("…{}", name.chars().skip(more).collect::<String>()),
    }
}

fn number(kind: Dtype) -> Number {
    match kind {
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::BF16,
        Dtype::I64 => Number::Other("i64", 8),
        Dtype::I32 => Number::Other("i32", 4),
        Dtype::U8 => Number::Other("u8", 1),
        Dtype::BOOL => Number::Other("bool", 1),
        Dtype::F8_E4M3 | Dtype::F8_E5M2 => Number::Other("f8", 1),
        _ => Number::Other("another kind of number", 0),
    }
}
