//! Turn images into features: Inception, any TorchScript file, or a small random ConvNet that needs no download.

use crate::random_conv::RandomConv;
use crate::{EvalError, Inception, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use srm_config::parse_json;
use srm_energy::{is_torch_script, read_state_dict};
use srm_files::hex;
use std::path::{Path, PathBuf};
use tch::{CModule, Device, IValue, Kind, Tensor};

/// What a TorchScript file takes and gives: the file of the same name with `.json` instead of `.pt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What black and white become, for example `[-1, 1]` or `[0, 255]`.
    pub input: [f64; 2],
    /// Side to which images are resized (bilinear, antialiased), 1 to 1024; absent where the net takes any.
    #[serde(default)]
    pub size: Option<i64>,
    /// Arguments after the images, booleans, as NVIDIA's net takes `return_features`.
    #[serde(default)]
    pub arguments: Vec<bool>,
    /// d, the numbers per image. Another number than the net gives is an error.
    pub dimension: usize,
}

/// A network of features.
pub struct FeatureNetwork {
    kind: Net,
    device: Device,
    identity: Identity,
}

/// What moves a number, said beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// `random-conv`, `inception` or `torchscript`.
    pub name: &'static str,
    /// Whether its Fréchet distance is the FID: the weights of 2015-12-05.
    pub is_fid: bool,
    /// d.
    pub dimension: usize,
    /// The weights file.
    pub file: Option<PathBuf>,
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// Black and white at the input, and the side that images are resized to.
    pub input: ([f64; 2], Option<i64>),
}

enum Net {
    Random(RandomConv),
    Inception(Box<Inception>),
    Script(CModule, Manifest),
}

/// Features of a batch, and class logits where the net has classes.
pub struct Output {
    /// f32 `[b, d]`
    pub features: Tensor,
    /// f32 `[b, classes]`, without bias, as the inception score takes them.
    pub logits: Option<Tensor>,
}

impl FeatureNetwork {
    /// `random-conv`, Inception's weights as torch.save or safetensors has them, under whatever prefix, or a TorchScript file
    /// with its manifest. Which of them a file is, its content says, not its ending.
    ///
    /// # Errors
    /// [`EvalError::File`] for a file of another kind, [`EvalError::MissingTensor`], [`EvalError::TensorShape`].
    pub fn open(name: &str, device: Device) -> Result<Self> {
        if name == "random-conv" {
            let kind = Net::Random(RandomConv::new(device)?);
            let (dimension, input) = (RandomConv::DIMENSION, ([-1.0, 1.0], None));
            let identity = Identity { name: "random-conv", is_fid: false, dimension, file: None, sha256: None, input };
            return Ok(Self { kind, device, identity });
        }
        let path = Path::new(name);
        let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|error| {
            wrong(format!(
                "cannot read the feature network: {error}; `cargo xtask fetch-inception` gets one, random-conv needs no file"
            ))
        })?;
        let sha256 = Some(hex(&Sha256::digest(&bytes)));
        let file = Some(path.to_owned());
        if is_torch_script(&bytes) {
            let manifest = manifest(path)?;
            let module = CModule::load_data_on_device(&mut bytes.as_slice(), device)
                .map_err(|error| wrong(format!("is no TorchScript file: {}", first_line(&error.to_string()))))?;
            let is_fid = path.file_name().is_some_and(|name| name == NVIDIA);
            let (dimension, input) = (manifest.dimension, (manifest.input, manifest.size));
            let identity = Identity { name: "torchscript", is_fid, dimension, file, sha256, input };
            return Ok(Self { kind: Net::Script(module, manifest), device, identity });
        }
        let tensors = read_state_dict(path, Inception::KNOWN_BY).map_err(|error| {
            wrong(format!("cannot be a feature network: {error}; give Inception's weights (`cargo xtask fetch-inception`), or a TorchScript file with its manifest"))
        })?;
        let net = Inception::from_tensors(&tensors, device)?;
        let (dimension, input) = (Inception::DIMENSION, ([-1.0, 1.0], Some(299)));
        let identity = Identity { name: "inception", is_fid: true, dimension, file, sha256, input };
        Ok(Self { kind: Net::Inception(Box::new(net)), device, identity })
    }

    /// What it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Features of images.
    ///
    /// # Shapes
    /// `bytes`: u8 `[b, h, w, c]` with 1 or 3 channels; grey becomes three equal ones.
    ///
    /// # Errors
    /// [`EvalError::File`] where a TorchScript net gives another shape than its manifest says.
    pub fn run(&self, bytes: &Tensor) -> Result<Output> {
        let _guard = tch::no_grad_guard();
        let x = bytes.f_to_device(self.device)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?; // [b, c, h, w]
        let x = if x.size()[1] == 1 { x.f_expand([-1, 3, -1, -1], false)?.f_contiguous()? } else { x.f_contiguous()? };
        match &self.kind {
            Net::Random(net) => Ok(Output { features: net.run(&x)?, logits: None }),
            Net::Inception(net) => {
                let (features, logits) = net.features_and_logits(&x)?;
                // The published score leaves the last layer's bias out (Salimans et al. 2016, their code's softmax of x W).
                let logits = logits.f_sub(net.logit_bias())?;
                Ok(Output { features, logits: Some(logits) })
            }
            Net::Script(module, manifest) => Ok(Output { features: self.script(module, manifest, &x)?, logits: None }),
        }
    }

    fn script(&self, module: &CModule, manifest: &Manifest, x: &Tensor) -> Result<Tensor> {
        let wrong = |reason| EvalError::File { path: self.identity.file.clone().unwrap_or_default(), reason };
        let [black, white] = manifest.input;
        let x = x.f_mul_scalar((white - black) / 255.0)?.f_add_scalar(black)?;
        let x = match manifest.size {
            Some(side) if x.size()[2..] != [side, side] => {
                x.f_internal_upsample_bilinear2d_aa([side, side], false, None, None)?
            }
            _ => x,
        };
        let b = x.size()[0];
        let mut inputs = vec![IValue::Tensor(x)];
        inputs.extend(manifest.arguments.iter().map(|&argument| IValue::Bool(argument)));
        let output = module.forward_is(&inputs).map_err(|error| {
            let error = error.to_string();
            let line = first_line(&error);
            wrong(format!("the net refuses images [{b}, 3, h, w]: {line}; its manifest says size and arguments"))
        })?;
        let features = match output {
            IValue::Tensor(features) => features,
            _ => {
                return Err(wrong(
                    "the net returns no tensor; choose arguments in its manifest that make it".to_owned(),
                ));
            }
        };
        let expected = [b, manifest.dimension as i64];
        match features.size() == expected {
            true => Ok(features.f_to_kind(Kind::Float)?),
            false => Err(wrong(format!(
                "the net gives features {:?}, its manifest says {expected:?}; correct its dimension, or take the net that it describes",
                features.size()
            ))),
        }
    }
}

/// Largest side of a net's input: a batch of 64 such images is 0.8 GB, and published nets take at most 518.
const LARGEST_SIDE: i64 = 1024;

/// NVIDIA's TorchScript file of the FID weights.
const NVIDIA: &str = "inception-2015-12-05.pt";

/// The manifest beside a TorchScript file; NVIDIA's net is known.
fn manifest(path: &Path) -> Result<Manifest> {
    let file = path.with_extension("json");
    let wrong = |reason: String| EvalError::File { path: file.clone(), reason };
    if !file.exists() && path.file_name().is_some_and(|name| name == NVIDIA) {
        // forward(x, return_features): x in 0…255, resized inside
        return Ok(Manifest { input: [0.0, 255.0], size: None, arguments: vec![true], dimension: 2048 });
    }
    let text = std::fs::read(&file).map_err(|error| {
        wrong(format!(
            r#"cannot read the manifest of the TorchScript net: {error}; write one, for example {{"input": [-1, 1], "size": 224, "dimension": 1280}}"#
        ))
    })?;
    let tree = parse_json(&text).map_err(|error| wrong(error.to_string()))?;
    let manifest: Manifest = serde_json::from_value(tree).map_err(|error| wrong(error.to_string()))?;
    let bounds = manifest.input.iter().all(|bound| bound.is_finite()) && manifest.input[0] != manifest.input[1];
    let side = manifest.size.is_none_or(|side| (1..=LARGEST_SIDE).contains(&side));
    match bounds && manifest.dimension > 0 && side {
        true => Ok(manifest),
        false => Err(wrong(format!(
            "input must be two different finite numbers, size 1 to {LARGEST_SIDE}, dimension above 0"
        ))),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_asks_for_more_memory_than_a_machine_has_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.pt");
        let read = |size: i64| {
            let text = format!(r#"{{"input": [-1, 1], "size": {size}, "dimension": 3}}"#);
            std::fs::write(path.with_extension("json"), text).unwrap();
            manifest(&path)
        };
        assert_eq!(read(1024).unwrap().size, Some(1024));
        for size in [0, -1, 1025, i64::MAX] {
            let error = read(size).unwrap_err().to_string();
            assert!(error.contains("net.json") && error.contains("size 1 to 1024"), "{error}");
        }
    }
}
