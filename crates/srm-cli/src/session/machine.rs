//! Resolve what a command computes on: device, numbers, threads and blocks.

use anyhow::Result;
use srm_config::{EnergyConfig, LangevinConfig};
use srm_energy::{
    Precision,
    cuda::{self, Switches},
};
use srm_langevin::DEFAULT_CPU_BLOCK;
use tch::{Cuda, Device};

use super::{
    DeviceChoice,
    memory::{self, Spread},
    usage,
};

/// Chains per block on a GPU: the published batches of 64 and 100 are then one block.
const DEFAULT_CUDA_BLOCK: usize = 128;

/// Where and how a command computes.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub device: Device,
    pub precision: Precision,
    /// Worker threads; one drives a GPU.
    pub threads: usize,
    /// Threads for what the CPU does in any case, such as covariances.
    pub host_threads: usize,
}

impl Machine {
    /// Open the device that was asked for, with so many workers on the CPU. The first libtorch call of a command.
    ///
    /// # Errors
    /// A device that is not there, or numbers that it does not serve.
    pub fn open(device: DeviceChoice, asked: Option<Precision>, threads: impl FnOnce() -> usize) -> Result<Machine> {
        // CUDA's libraries read their switch for TF32 when they are loaded, so it is set before.
        let device = device.open(asked == Some(Precision::F32))?;
        let host_threads = threads();
        if !device.is_cuda() {
            if let Some(Precision::Tf32 | Precision::Bf16) = asked {
                return Err(usage(
                    "--precision tf32 and bf16 are a GPU's; on the CPU leave --precision out, or add --device cuda",
                ));
            }
            return Ok(Machine { device, precision: Precision::F32, threads: host_threads, host_threads });
        }
        // Every block has the same shape, so the search for the fastest convolution is made once. It may end elsewhere in each process.
        Cuda::cudnn_set_benchmark(!cuda::switches().same);
        Ok(Machine { device, precision: asked.unwrap_or(Precision::Tf32), threads: 1, host_threads })
    }

    /// Chains per block where nobody has asked for a number.
    pub fn default_block(&self) -> usize {
        if self.device.is_cuda() { DEFAULT_CUDA_BLOCK } else { DEFAULT_CPU_BLOCK }
    }

    /// Chains per block: as asked, as trained, or the default.
    pub fn block(&self, asked: Option<usize>, trained: &LangevinConfig) -> usize {
        asked.or(trained.block).unwrap_or(self.default_block())
    }

    /// Refuse chains that this machine cannot hold; `flag` asked for their number. A GPU says so by itself.
    ///
    /// # Errors
    /// They need more memory than there is.
    pub fn check_chains(&self, energy: &EnergyConfig, block: usize, count: usize, flag: &str) -> Result<()> {
        let spread = Spread { threads: self.threads, block, count };
        let need =
            if self.device.is_cuda() { memory::of_images(energy, count) } else { memory::of_chains(energy, spread) };
        let what = format!("{count} chains in blocks of {block}");
        memory::check(need, what, &format!("lower {flag} or --block, or take fewer --threads"))
    }

    /// The numbers inside the net, and what else of SRM_CUDA_TRY changes their bits.
    pub fn numbers(&self) -> String {
        let (name, tried) = (self.precision.name(), Switches { graph: false, ..cuda::switches() }.names());
        if tried.is_empty() { name.to_owned() } else { format!("{name} with {}={tried}", cuda::SWITCH) }
    }

    /// The device as --device takes it.
    pub fn device_name(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_one_kind_of_numbers() {
        assert!("f16".parse::<Precision>().is_err());
        let cpu = |precision| Machine::open(DeviceChoice::Cpu, precision, || 3);
        let machine = cpu(None).unwrap();
        assert_eq!((machine.threads, machine.precision, &*machine.device_name()), (3, Precision::F32, "cpu"));
        assert!(cpu(Some(Precision::F32)).is_ok());
        let refused = cpu("bf16".parse().ok()).unwrap_err().to_string();
        assert!(refused.contains("--device cuda"), "{refused}");
    }
}
