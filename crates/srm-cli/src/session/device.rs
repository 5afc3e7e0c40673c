//! Choose the device: what was asked for, or an error that says what is missing; never a silent CPU run.

use std::{path::Path, str::FromStr};

use anyhow::{Result, anyhow, bail};
use srm_energy::{cuda, libtorch::open_cuda};
use tch::{Cuda, Device};

const REMEDY: &str = "`cargo xtask setup --cuda` gets it; --device cpu runs without";

/// The value of --device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA where it works, else the CPU.
    Auto,
    /// The CPU; CUDA is not even looked for.
    Cpu,
    /// CUDA device N, or an error; without N the first, or of several processes on a machine each one of its own.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(None)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(|index| DeviceChoice::Cuda(Some(index)))
                .ok_or_else(|| "must be auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

impl DeviceChoice {
    /// The device to compute on; `true_f32` forbids CUDA's libraries TF32. The first libtorch call of a command.
    ///
    /// # Errors
    /// CUDA was asked for and is not there: what is missing and the remedy.
    pub fn open(self, true_f32: bool) -> Result<Device> {
        match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Auto => match open_cuda(true_f32) {
                Ok(file) if Cuda::is_available() => gpu(own_gpu(), &file),
                Ok(file) => {
                    tracing::info!("{} is there but finds no usable GPU: computing on the CPU", file.display());
                    Ok(Device::Cpu)
                }
                Err(missing) => {
                    tracing::debug!("{missing}");
                    Ok(Device::Cpu)
                }
            },
            DeviceChoice::Cuda(index) => {
                let file = open_cuda(true_f32).map_err(|missing| anyhow!("--device cuda: {missing}; {REMEDY}"))?;
                if !Cuda::is_available() {
                    bail!(
                        "--device cuda: {} was opened but finds no usable GPU; check that `nvidia-smi` lists one and that \
                         its driver serves CUDA 13, or take --device cpu",
                        file.display()
                    );
                }
                let Some(index) = index else { return gpu(own_gpu(), &file) };
                let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
                if index >= count {
                    bail!(
                        "--device cuda:{index}: there are {count} CUDA devices, counted from 0; take a smaller number"
                    );
                }
                gpu(index, &file)
            }
        }
    }
}

/// A GPU, with what the environment wants tried on it; `file`: the libtorch_cuda that serves it.
fn gpu(index: usize, file: &Path) -> Result<Device> {
    cuda::switch_on(file).map_err(|problem| anyhow!(problem))?;
    Ok(Device::Cuda(index))
}

/// Of several processes on a machine each takes a GPU of its own.
fn own_gpu() -> usize {
    srm_ranks::local_rank() % usize::try_from(Cuda::device_count()).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(None)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(Some(3))));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
