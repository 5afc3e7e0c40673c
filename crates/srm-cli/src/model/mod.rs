//! Open a net by one call: which file, how its chains run, where they are computed; the same at every rank.

mod choice;
mod code;
pub mod remote;
pub mod shared;
pub mod shipped;
pub mod weights;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ndarray::{Array4, s};
use srm_config::{EnergyConfig, Init, LangevinConfig};
use srm_data::ImageSet;
use srm_energy::{ConvNet, Ladder, Replicate};
use srm_langevin::{Sampler, Spread};
use srm_latent::{ChainNoise, ShortRun, ShortRunOptions};

use crate::{
    flags::Compute,
    session::{Machine, Session, interrupt, usage},
};

pub use choice::Choice;
pub use code::Code;

/// The nets of srm's files: the paper's ConvNet, or a ladder of them.
pub type Net = Ladder<ConvNet>;

/// A net with the settings of its short run, on a machine.
pub struct Model {
    /// The weights file, or the name of weights that come with the program.
    pub file: PathBuf,
    pub net: Net,
    pub langevin: LangevinConfig,
    pub machine: Machine,
    /// Chains per block.
    pub block: usize,
    /// The last so many steps run without noise, beyond what training did.
    pub quiet_tail: usize,
    /// How far from the mean of the data's law its chains start; `None`: as far as training's.
    pub truncation: Option<f64>,
    /// Height and width of its images.
    sides: [usize; 2],
    /// By how much its chains' are larger, half of it on each side.
    margin: usize,
}

impl Model {
    /// Open the net that flags name.
    ///
    /// # Errors
    /// A device that is not there, weights that cannot be used or are not the same at every rank.
    pub fn open(weights: &Path, choice: &Choice, compute: &Compute, session: &Session) -> Result<Model> {
        let machine = compute.open()?;
        tch::set_num_threads(1); // the workers do the work
        Self::load(weights, choice, machine, session)
    }

    /// Open a net on a machine that is open.
    ///
    /// # Errors
    /// As in [`Model::open`].
    pub fn load(weights: &Path, choice: &Choice, machine: Machine, session: &Session) -> Result<Model> {
        let find = || weights::locate_at(&remote::brought(weights, session.output())?, choice.update);
        let file = srm_ranks::agree_on_file(&**session.ranks(), find)?;
        let (mut net, langevin) = weights::load(&file, choice, machine)?;
        if net.config().any_size {
            net.close_borders(); // as in training: its chains have never seen a border
        }
        session.same("weights", || weights::sha256(&file))?;
        let block = session.agree(|| Ok(machine.block(choice.block, &langevin)))?;
        let sides = [net.config().size; 2];
        let &Choice { quiet_tail, truncation, .. } = choice;
        Ok(Model { file, net, langevin, machine, block, quiet_tail, truncation, sides, margin: 0 })
    }

    /// Make images of this height and width from now on.
    ///
    /// # Errors
    /// The net takes others.
    pub fn resize(&mut self, sides: [usize; 2]) -> Result<()> {
        let energy = self.net.config();
        let (size, [height, width]) = (energy.size, sides);
        if !energy.takes(sides) {
            let takes = match energy.any_size {
                true => format!("sides of {size} px or more, in multiples of {}", energy.stride()),
                false => format!("images of {size}x{size} px alone (energy.any_size makes a net for any)"),
            };
            return Err(usage(format!("--size {width}x{height}: this net makes {takes}")));
        }
        self.net.resize(width as i64)?;
        (self.sides, self.margin) = (sides, 0);
        Ok(())
    }

    /// Cut images out of larger ones from now on: those of nets for any size are tiles, and nobody shall see how they go on.
    ///
    /// # Errors
    /// [`EnergyError::NoGrid`](srm_energy::EnergyError::NoGrid), never for sides that the net takes.
    pub fn hide_borders(&mut self) -> Result<()> {
        self.margin = self.net.config().size;
        Ok(self.net.resize((self.sides[1] + self.margin) as i64)?)
    }

    /// `[c, h, w]` of its chains' images.
    pub fn image(&self) -> [i64; 3] {
        let [height, width, channels] = self.drawn_shape();
        [channels, height, width].map(|side| side as i64)
    }

    /// `[h, w, c]` of its chains' images.
    pub fn drawn_shape(&self) -> [usize; 3] {
        let [height, width] = self.sides.map(|side| side + self.margin);
        [height, width, self.net.config().channels]
    }

    /// What is shown of its chains' images, `[n, h, w, c]`.
    pub fn shown(&self, drawn: Array4<u8>) -> Array4<u8> {
        let [height, width] = self.sides;
        let from = self.margin / 2;
        match self.margin {
            0 => drawn,
            _ => drawn.slice(s![.., from..from + height, from..from + width, ..]).as_standard_layout().into_owned(),
        }
    }

    /// The one net of a model that is no ladder, for what is not made for several; `what`: its name.
    ///
    /// # Errors
    /// It is a ladder.
    pub fn only_net(&self, what: &str) -> Result<&ConvNet> {
        match self.net.grids() {
            1 => Ok(self.net.finest()),
            grids => bail!("{} holds a ladder of {grids} grids; {what} works on nets of one grid", self.file.display()),
        }
    }

    /// How its chains are spread.
    pub fn spread(&self) -> Spread {
        Spread { threads: self.machine.threads, block: self.block }
    }

    /// Runs its chains; Ctrl-C, where it is watched, ends them.
    pub fn sampler(&self) -> Sampler<Net> {
        self.sampler_of(&self.net)
    }

    /// The same for a form of its net.
    pub fn sampler_of<E: Replicate>(&self, net: &E) -> Sampler<E> {
        let mut sampler = Sampler::new(net, &self.langevin, &self.image(), self.spread());
        sampler.stop_when(interrupt::stop());
        sampler
    }

    /// Runs chains by other settings, for work that asks for Ctrl-C between its parts: what is in hand is not lost.
    pub fn unstoppable_sampler(&self, langevin: &LangevinConfig) -> Sampler<Net> {
        Sampler::new(&self.net, langevin, &self.image(), self.spread())
    }

    /// The generator M(z, u); Ctrl-C, where it is watched, ends its chains.
    pub fn generator(&self, noise: ChainNoise, keep_every: usize) -> ShortRun<Net> {
        let options = ShortRunOptions { noise, spread: self.spread(), keep_every };
        let mut run = ShortRun::new(&self.net, &self.langevin, options);
        run.stop_when(interrupt::stop());
        run
    }

    /// `[h, w, c]` of its images.
    pub fn shape(&self) -> [usize; 3] {
        [self.sides[0], self.sides[1], self.net.config().channels]
    }

    /// Refuse images of another shape.
    ///
    /// # Errors
    /// They are of another shape.
    pub fn require(&self, images: &ImageSet) -> Result<()> {
        Ok(images.require(self.shape())?)
    }

    /// Refuse chains that this machine cannot hold; `flag` asked for their number.
    ///
    /// # Errors
    /// As in [`Machine::check_chains`].
    pub fn check_chains(&self, count: usize, flag: &str) -> Result<()> {
        // by as many pixels: which side is longer makes no difference to the memory
        let [height, width, _] = self.drawn_shape();
        let size = (height * width).isqrt();
        self.machine.check_chains(&EnergyConfig { size, ..self.net.config().clone() }, self.block, count, flag)
    }

    /// Say that chains start at p_0 where training's did not.
    pub fn mention_start(&self) {
        if matches!(self.langevin.init, Init::Data | Init::Persistent(_)) {
            tracing::info!("this net was trained with chains from data or a bank; these start from uniform noise");
        }
    }
}
