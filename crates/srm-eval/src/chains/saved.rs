//! Save a long run whole or not at all, and go on with it under the same settings only.

use crate::chains::{LongRun, LongRunSettings, Plan, log::NUMBERS};
use crate::{EvalError, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use srm_files::write_whole;
use srm_langevin::{Course, Dynamics};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::{fs, io::Write, path::Path};
use tch::{Device, Kind, Tensor};

/// Name of the metadata: settings, step, and the steps of the numbers and pictures.
const METADATA: &str = "srm-chains";
/// What changes along the chains; files of before say nothing of it, and had nothing.
const ALONG: &str = "along";
const REMEDY: &str = "it is no saved run, or damaged; delete it to begin anew";

impl LongRunSettings {
    /// Every setting with its name, for comparison.
    fn named(&self) -> Value {
        let langevin = &self.langevin;
        let dynamics = Dynamics::from(langevin);
        let along = (dynamics.course != Course::default())
            .then(|| json!({ "drift": langevin.drift, "grids": langevin.grids, "steps": langevin.steps }));
        json!({
            "variant": self.variant, "weights": self.weights, "seed": self.seed, "chains": self.chains, "block": self.block,
            "image": self.image, "init": langevin.init, "gradient_scale": langevin.gradient_scale(),
            "noise_std": langevin.noise_std(), "clip_gradient": langevin.clip_gradient, "device": self.device,
            ALONG: along,
        })
    }
}

impl LongRun {
    /// Write the run whole: a kill leaves the old file or the new one.
    ///
    /// # Errors
    /// [`EvalError::File`], [`EvalError::Torch`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let logs = || self.blocks.iter().map(|block| &block.log);
        let steps = |kept: &[(usize, Tensor)]| kept.iter().map(|(step, _)| *step).collect::<Vec<_>>();
        let join = |parts: Vec<Tensor>| Tensor::f_cat(&parts, 0);
        let stack = |kept: Vec<&[(usize, Tensor)]>| -> Result<Option<Tensor>> {
            let blocks: Vec<Tensor> = kept
                .iter()
                .map(|kept| Tensor::f_stack(&kept.iter().map(|(_, tensor)| tensor).collect::<Vec<_>>(), 1))
                .collect::<std::result::Result<_, _>>()?;
            Ok(Some(join(blocks)?)) // [chains, kept, …]
        };
        let first = self.blocks.first().map(|block| &block.log);
        let (numbers, pictures) = first.map_or((vec![], vec![]), |log| (steps(&log.numbers), steps(&log.pictures)));
        let mut tensors = vec![
            ("x", join(self.blocks.iter().map(|block| block.x.shallow_clone()).collect())?),
            ("finite_steps", join(logs().map(|log| log.finite_steps.shallow_clone()).collect())?),
            ("largest", join(logs().map(|log| log.largest.shallow_clone()).collect())?),
            ("accepted", join(logs().map(|log| log.accepted.shallow_clone()).collect())?),
        ];
        if !numbers.is_empty() {
            tensors.extend(stack(logs().map(|log| &log.numbers[..]).collect())?.map(|all| ("numbers", all)));
        }
        if !pictures.is_empty() {
            tensors.extend(stack(logs().map(|log| &log.pictures[..]).collect())?.map(|all| ("pictures", all)));
        }
        let about =
            json!({ "settings": self.settings.named(), "step": self.step, "numbers": numbers, "pictures": pictures });
        let metadata = HashMap::from([(METADATA.to_owned(), about.to_string())]);
        let parts = tensors.iter().map(|(name, tensor)| Ok((*name, Part::new(tensor)?))).collect::<Result<Vec<_>>>()?;
        let mut views = BTreeMap::new();
        for (name, part) in &parts {
            let view = TensorView::new(part.kind, part.shape.clone(), &part.bytes);
            views.insert(*name, view.map_err(|error| wrong(format!("cannot be written: {error}")))?);
        }
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| wrong(error.to_string()))?;
        write_whole(path, |file| file.write_all(&bytes))
            .map_err(|error| wrong(format!("cannot be written: {error}; the run cannot be saved there")))
    }

    /// The run that `path` holds, ready to go on by `plan`.
    ///
    /// # Errors
    /// [`EvalError::OtherSettings`]; [`EvalError::File`] for a damaged file, and one that has gone past the plan's last step.
    pub fn load(path: &Path, settings: LongRunSettings, plan: Plan, device: Device) -> Result<Self> {
        let wrong =
            |reason: &dyn std::fmt::Display| EvalError::File { path: path.to_owned(), reason: reason.to_string() };
        let damaged = |what: &dyn std::fmt::Display| wrong(&format!("{what}: {REMEDY}"));
        let bytes = fs::read(path).map_err(|error| wrong(&format!("cannot read: {error}")))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
        let about: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        let named = settings.named();
        for (setting, now) in named.as_object().into_iter().flatten() {
            let found = about["settings"].get(setting).or((setting == ALONG).then_some(&Value::Null));
            let then = found.ok_or_else(|| damaged(&format!("it does not say {setting}")))?;
            if then != now {
                let (setting, expected, got) = (setting.clone(), then.to_string(), now.to_string());
                return Err(EvalError::OtherSettings { path: path.to_owned(), setting, expected, got });
            }
        }
        let numbers_of = |key: &str| -> Result<Vec<usize>> {
            serde_json::from_value(about[key].clone()).map_err(|error| damaged(&format!("{key}: {error}")))
        };
        let step: usize = serde_json::from_value(about["step"].clone()).map_err(|error| damaged(&error))?;
        if step > plan.last() {
            let last = plan.last();
            return Err(wrong(&format!(
                "these chains have gone {step} steps already, {last} are asked for; ask for at least {step}, or delete the file"
            )));
        }
        let mut run = Self::new(settings, plan, device)?;
        let archive = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error))?;
        let (chains, image) = ((run.blocks.len() * run.settings.block.max(1)) as i64, run.settings.image.clone());
        let take = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let tensor = read(&archive.tensor(name).map_err(|error| damaged(&error))?)?;
            match tensor {
                Some(tensor) if tensor.size() == shape => Ok(tensor.f_to_device(device)?),
                _ => Err(damaged(&format!("{name} has another shape than {shape:?}"))),
            }
        };
        let kept = |name: &str, steps: &[usize], shape: &[i64]| -> Result<Vec<(usize, Tensor)>> {
            if steps.is_empty() {
                return Ok(Vec::new());
            }
            let all = take(name, &[&[chains, steps.len() as i64], shape].concat())?;
            (0..).zip(steps).map(|(i, &step)| Ok((step, all.f_select(1, i)?))).collect()
        };
        let dynamics = Dynamics::from(&run.settings.langevin);
        let x = take("x", &[&[chains], &dynamics.shapes(&image)[dynamics.grid_at(step)][..]].concat())?;
        let (finite_steps, largest) = (take("finite_steps", &[chains])?, take("largest", &[chains])?);
        let accepted = take("accepted", &[chains])?;
        let numbers = kept("numbers", &numbers_of("numbers")?, &[NUMBERS])?;
        let pictures = kept("pictures", &numbers_of("pictures")?, &image)?;
        let (block, plan) = (run.settings.block.max(1) as i64, Arc::clone(&run.plan));
        for (first, part) in (0..).step_by(block as usize).zip(&mut run.blocks) {
            let cut = |tensor: &Tensor| tensor.f_narrow(0, first, block)?.f_contiguous();
            let cut_all = |kept: &[(usize, Tensor)]| -> Result<Vec<(usize, Tensor)>> {
                kept.iter().map(|(step, tensor)| Ok((*step, cut(tensor)?))).collect()
            };
            part.x = cut(&x)?;
            (part.log.finite_steps, part.log.largest) = (cut(&finite_steps)?, cut(&largest)?);
            part.log.accepted = cut(&accepted)?;
            (part.log.numbers, part.log.pictures) = (cut_all(&numbers)?, cut_all(&pictures)?);
            part.log.steps = step;
            part.log.follow(Arc::clone(&plan));
        }
        run.step = step;
        Ok(run)
    }
}

/// A tensor as bytes.
struct Part {
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Part {
    fn new(tensor: &Tensor) -> Result<Self> {
        let flat = tensor.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1i64])?;
        let (kind, bytes) = match tensor.kind() {
            Kind::Double => {
                (Dtype::F64, Vec::<f64>::try_from(flat)?.iter().flat_map(|one| one.to_le_bytes()).collect())
            }
            Kind::Int64 => (Dtype::I64, Vec::<i64>::try_from(flat)?.iter().flat_map(|one| one.to_le_bytes()).collect()),
            _ => {
                let values = Vec::<f32>::try_from(flat.f_to_kind(Kind::Float)?)?;
                (Dtype::F32, values.iter().flat_map(|one| one.to_le_bytes()).collect())
            }
        };
        Ok(Self { kind, shape: tensor.size().iter().map(|&side| side as usize).collect(), bytes })
    }
}

/// A tensor from bytes; `None` for a type that [`Part`] does not write.
fn read(view: &TensorView<'_>) -> Result<Option<Tensor>> {
    let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
    let (bytes8, bytes4) = (view.data().as_chunks::<8>().0, view.data().as_chunks::<4>().0);
    let flat = match view.dtype() {
        Dtype::F64 => Tensor::f_from_slice(&bytes8.iter().map(|one| f64::from_le_bytes(*one)).collect::<Vec<_>>())?,
        Dtype::I64 => Tensor::f_from_slice(&bytes8.iter().map(|one| i64::from_le_bytes(*one)).collect::<Vec<_>>())?,
        Dtype::F32 => Tensor::f_from_slice(&bytes4.iter().map(|one| f32::from_le_bytes(*one)).collect::<Vec<_>>())?,
        _ => return Ok(None),
    };
    Ok(Some(flat.f_reshape(&shape)?))
}
