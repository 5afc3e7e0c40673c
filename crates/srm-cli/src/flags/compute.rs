//! Define the flags that say where and on how many threads to compute.

use anyhow::Result;
use clap::Args;
use srm_energy::Precision;
use srm_ranks::neighbours;

use crate::session::{DeviceChoice, Machine, environment::cores};

/// Where and on how many threads to compute.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// auto, cpu, cuda or cuda:N; auto takes CUDA where it works. Of several processes auto and cuda give each a GPU of its own.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Worker threads on the CPU [default: all cores, shared by the processes of a machine]. Changes no bit at one block size.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// f32, tf32 or bf16: the numbers inside the net on a GPU [default: tf32, as PyTorch]. Images, noise and weights are f32.
    #[arg(long, value_name = "NUMBERS")]
    pub precision: Option<Precision>,
}

impl Compute {
    /// Open the device, before any other call of libtorch.
    ///
    /// # Errors
    /// A device that is not there, or numbers that it does not serve.
    pub fn open(&self) -> Result<Machine> {
        Machine::open(self.device, self.precision, || self.threads())
    }

    /// Threads asked for, else one for each core; of several processes on a machine each takes its part of the cores.
    pub fn threads(&self) -> usize {
        // a launcher may have bound this process to few cores already
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        if let Some(asked) = self.threads.map(usize::from) {
            // beyond that threads cost time, and in the end the system starts no more and ends the process
            let most = MOST_THREADS.max(4 * cores().unwrap_or(own));
            if asked > most {
                tracing::warn!("--threads {asked}: taking {most}; more than one per core gives nothing");
            }
            return asked.min(most);
        }
        match neighbours() {
            1 => own,
            processes => own.min((cores().unwrap_or(own) / processes).max(1)),
        }
    }
}

/// Threads that may be asked for on any machine.
const MOST_THREADS: usize = 64;
