//! The programs that are tortured, each in a folder of its own: what starts them, and what must hold after a kill and at the end.

use super::{
    check,
    program::{Counts, Fault, Faults, Job},
};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use srm_data::{Crop, PreprocessOptions, synthetic, write_pngs};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Updates between two scores in training.json.
const SCORED: u64 = 10;
/// Photos of a set.
const PHOTOS: usize = 40;

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `srm train` with two rollbacks on its way.
    Train,
    /// `srm train` without them: a checkpoint that a full disk kept from being written changes where a rollback goes.
    Calm,
    /// `cargo xtask preprocess` of a zip, over an earlier set.
    Preprocess,
    /// `cargo xtask setup --from ZIP`.
    Unpack,
    /// A download from a server on 127.0.0.1.
    Fetch,
    /// `cargo xtask fetch-celeba --from FOLDER`.
    FetchFrom,
}

impl Kind {
    /// Those that are killed.
    pub const KILLED: [Kind; 5] = [Kind::Train, Kind::Preprocess, Kind::Unpack, Kind::Fetch, Kind::FetchFrom];

    /// The phases of it that a call can be in.
    pub fn phases(self) -> &'static [&'static str] {
        match self {
            Kind::Train => &["checkpoint", "metrics", "rollback", "scoring"],
            Kind::Calm => &["checkpoint", "metrics", "scoring"],
            Kind::Preprocess => &["preprocess"],
            Kind::Unpack => &["unpacking"],
            Kind::Fetch => &["fetch"],
            Kind::FetchFrom => &["fetch-from"],
        }
    }

    /// How a kill at a random moment, wherever the program is, is called in the report.
    pub fn any_moment(self) -> &'static str {
        match self {
            Kind::Train | Kind::Calm => "training, any moment",
            _ => "the others, any moment",
        }
    }
}

/// Programs and inputs that all workers share.
pub struct Bench {
    pub faults: Faults,
    srm: PathBuf,
    root: PathBuf,
    server: String,
    served: Vec<u8>,
}

/// How one kind of program ends when nothing disturbs it.
pub struct Unbroken {
    /// Its folder.
    pub folder: PathBuf,
    pub counts: Counts,
    pub duration: Duration,
}

impl Bench {
    /// Compile what is needed, make the inputs below `root`, and start the server.
    ///
    /// # Errors
    /// No compiler, no room.
    pub fn new(root: &Path, srm: PathBuf) -> Result<Self> {
        let served: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let server = super::server::start(served.clone())?;
        let bench = Self { faults: Faults::compile(root)?, srm, root: root.to_owned(), server, served };
        bench.make_photos()?;
        bench.make_libtorch()?;
        fs::write(root.join("training.json"), include_str!("training.json"))?;
        // the sets that a run of preprocess finds in its place
        let earlier = PreprocessOptions::new(&root.join("photos"), Crop::None, 16, &root.join("earlier/x.npy"));
        srm_data::preprocess(&earlier, &|_, _| true)?;
        Ok(bench)
    }

    /// Photos of blobs, as a folder and as a zip; the bytes of a PNG are welcome under any picture's name.
    fn make_photos(&self) -> Result<()> {
        let (folder, side) = (self.root.join("photos"), 192);
        let pixels = synthetic::blobs(PHOTOS, side, 3, 1);
        write_pngs(&folder, &ndarray::ArrayView4::from_shape((PHOTOS, side, side, 3), &pixels)?)?;
        let mut zip = ZipWriter::new(fs::File::create(self.root.join("photos.zip"))?);
        for number in 0..PHOTOS {
            let (png, jpg) = (folder.join(format!("{number:06}.png")), folder.join(format!("{number:06}.jpg")));
            fs::rename(&png, &jpg)?;
            zip.start_file(format!("photos/{number:06}.png"), SimpleFileOptions::default())?;
            zip.write_all(&fs::read(&jpg)?)?;
        }
        zip.finish()?;
        Ok(())
    }

    /// What the set-up takes for a libtorch: its files' names with a few bytes in each.
    fn make_libtorch(&self) -> Result<()> {
        let mut zip = ZipWriter::new(fs::File::create(self.root.join("libtorch.zip"))?);
        let more = (0..20).map(|number| format!("include/torch/{number}.h"));
        for name in crate::libtorch::folder::FILES.map(str::to_owned).into_iter().chain(more) {
            zip.start_file(format!("libtorch/{name}"), SimpleFileOptions::default())?;
            zip.write_all(name.repeat(100).as_bytes())?;
        }
        zip.start_file("libtorch/build-version", SimpleFileOptions::default())?;
        zip.write_all(format!("{}\n", crate::libtorch::VERSION).as_bytes())?;
        zip.finish()?;
        Ok(())
    }

    /// The command of one kind in its folder.
    ///
    /// # Errors
    /// This program cannot find itself.
    pub fn command(&self, kind: Kind, folder: &Path) -> Result<Command> {
        let mut command = match kind {
            Kind::Train | Kind::Calm => {
                let mut command = Command::new(&self.srm);
                let config = self.root.join("training.json");
                command.args(["train", "--threads", "1", "--resume", "--config"]).arg(config).arg("--run").arg(folder);
                if kind == Kind::Calm {
                    command.args(["--set", "train.learning_rate=1e-4"]);
                }
                command
            }
            _ => Command::new(std::env::current_exe().context("this program has no name")?),
        };
        match kind {
            Kind::Train | Kind::Calm => {}
            Kind::Preprocess => {
                command.args(["preprocess", "--crop", "square", "--size", "32", "--filter", "bilinear", "--input"]);
                command.arg(self.root.join("photos.zip")).arg("--out").arg(folder.join("x.npy"));
            }
            Kind::Unpack => {
                command.args(["setup", "--from"]).arg(self.root.join("libtorch.zip")).env_remove("LIBTORCH");
            }
            Kind::Fetch => {
                command.args(["torture", "--fetch", &self.server, "--into"]).arg(folder);
            }
            Kind::FetchFrom => {
                command.args(["fetch-celeba", "--from"]).arg(self.root.join("photos"));
                command.env("LIBTORCH", crate::libtorch::in_use());
            }
        }
        if !matches!(kind, Kind::Train | Kind::Calm) {
            // a workspace and a cache of its own
            command
                .env("CARGO_MANIFEST_DIR", folder.join("workspace/xtask"))
                .env("XDG_CACHE_HOME", folder.join("cache"));
        }
        command.current_dir(workspace::root());
        Ok(command)
    }

    /// What the shim needs to know of one kind.
    pub fn job<'a>(&self, kind: Kind, folder: &'a Path) -> Job<'a> {
        let phase = if matches!(kind, Kind::Train | Kind::Calm) { "" } else { kind.phases()[0] };
        Job { folder, phase, scored: SCORED }
    }

    /// Make an empty place for one kind, with what it finds there.
    ///
    /// # Errors
    /// No room.
    pub fn prepare(&self, kind: Kind, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        match kind {
            Kind::Train | Kind::Calm => {}
            Kind::Preprocess => {
                for name in ["x.npy", "x.json"] {
                    fs::copy(self.root.join("earlier").join(name), folder.join(name))?;
                }
            }
            _ => {
                // what marks a workspace
                let source = folder.join("workspace/xtask/src");
                fs::create_dir_all(&source)?;
                fs::write(source.join("workspace.rs"), "")?;
            }
        }
        Ok(())
    }

    /// Run one kind undisturbed.
    ///
    /// # Errors
    /// It fails, or leaves what is not whole.
    pub fn unbroken(&self, kind: Kind) -> Result<Unbroken> {
        let folder = self.root.join(format!("whole-{kind:?}"));
        self.prepare(kind, &folder)?;
        let begun = Instant::now();
        let (ending, said, counts) =
            self.faults.run(&mut self.command(kind, &folder)?, &self.job(kind, &folder), &Fault::None)?;
        ensure!(ending == super::program::Ending::Exit(0), "{kind:?}, undisturbed, ended with {ending:?}: {said}");
        let faults = check::faults(&folder, true);
        ensure!(faults.is_empty(), "{kind:?}, undisturbed, leaves what is not whole: {}", faults.join("; "));
        for phase in kind.phases() {
            let there = counts.get(*phase).is_some_and(|count| *count > 0);
            ensure!(there, "{kind:?}, undisturbed, does not come to the phase {phase}: {counts:?}");
        }
        Ok(Unbroken { folder, counts, duration: begun.elapsed() })
    }

    /// What is wrong in the folder: after a kill, or where the program has `ended` by itself.
    pub fn faults(&self, kind: Kind, folder: &Path, whole: &Unbroken, ended: bool) -> Vec<String> {
        let mut faults = check::faults(folder, ended);
        let read = |folder: &Path, name: &str| fs::read(folder.join(name)).ok();
        match kind {
            Kind::Preprocess => {
                let earlier = self.root.join("earlier");
                let npy = read(folder, "x.npy");
                let origin = [&earlier, &whole.folder].into_iter().find(|one| read(one, "x.npy") == npy);
                let manifest = read(folder, "x.json");
                match origin {
                    None => faults.push("x.npy is neither the earlier set nor the new one".to_owned()),
                    Some(origin) if manifest.is_some() && manifest != read(origin, "x.json") => {
                        faults.push("x.json describes another set than x.npy".to_owned());
                    }
                    Some(_) => {}
                }
            }
            Kind::Fetch => {
                if read(folder, "file.bin").is_some_and(|found| found != self.served) {
                    faults.push("file.bin is not what was served".to_owned());
                }
            }
            Kind::Unpack => {
                if let Ok(target) = fs::canonicalize(folder.join("workspace/.libtorch")) {
                    let fault = crate::libtorch::usable(&target).err();
                    faults.extend(fault.map(|fault| format!(".libtorch names what cannot be used: {fault:#}")));
                }
            }
            Kind::Train | Kind::Calm | Kind::FetchFrom => {}
        }
        if ended {
            faults.extend(check::differences(&whole.folder, folder));
        }
        faults
    }
}
