//! Run `srm explore`: serve the page, and compute what it asks for, one thing after the other, until Ctrl-C.

mod commands;
mod frames;
mod studio;

use std::{io, net::SocketAddr, path::Path, process, time::Duration};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use srm_explore::{Page, Source};
use srm_run::Run;

use crate::{
    flags::{Compute, ExploreFlags},
    model::{Choice, Model, remote},
    session::{DeviceChoice, Machine, Session, interrupt, usage},
};
use studio::Studio;

/// Between two looks whether somebody asked to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Serve the page until Ctrl-C.
///
/// # Errors
/// Weights that cannot be used, a port that is taken.
pub fn run(flags: &ExploreFlags, session: &Session) -> Result<()> {
    let machine = flags.compute.open()?;
    srm_energy::cuda::never_record(); // an answer that nobody waits for any more is drawn on, beside the next
    tch::set_num_threads(1); // the workers do the work
    let sources = flags.what.iter().map(|what| source(what, machine, session)).collect::<Result<Vec<_>>>()?;
    interrupt::watch_saying(session.output().clone(), "stopping")?;
    let facts = json!({
        "device": machine.device_name(), "threads": machine.threads, "version": env!("CARGO_PKG_VERSION"),
    });
    let page = Page::open(SocketAddr::new(flags.bind, flags.port), sources.clone(), flags.pictures.clone(), facts)
        .map_err(|error| unreachable(flags, error))?;
    if !flags.bind.is_loopback() {
        tracing::warn!("--bind {}: whoever has the URL and reaches this machine can look", flags.bind);
    }
    session.output().result(&Report { command: "explore", url: page.url() }, &said(&page))?;
    if flags.open {
        open(&page, &flags.pictures);
    }
    let mut studio = Studio::new(sources, machine, session, compute_flags(&flags.compute, machine));
    while !interrupt::asked() {
        if let Some(job) = page.next(PATIENCE) {
            studio.work(job);
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    url: &'a str,
}

fn said(page: &Page) -> String {
    format!("page  {}\nIt opens by this URL alone. Ctrl-C ends it.", page.url())
}

/// A run that is read from its folder, or weights that are opened now, so that an error comes before the page.
fn source(what: &Path, machine: Machine, session: &Session) -> Result<Source> {
    let name = what.display().to_string();
    if what.is_dir() && Run::open(what).is_ok() {
        return Ok(Source { name, weights: what.to_owned(), run: Some(what.to_owned()), net: None });
    }
    let weights = remote::brought(what, session.output())?;
    let model = Model::load(&weights, &Choice::default(), machine, session)?;
    Ok(Source { name, weights, run: None, net: Some(studio::described(&model)) })
}

fn unreachable(flags: &ExploreFlags, error: io::Error) -> anyhow::Error {
    let ExploreFlags { bind, port, .. } = flags;
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            usage(format!("port {port} is in use; take --port {}, or --port 0 for any", port.wrapping_add(1)))
        }
        io::ErrorKind::AddrNotAvailable => usage(format!("--bind {bind}: this machine has no such address")),
        _ => anyhow::Error::new(error).context(format!("cannot listen at {bind}, port {port}")),
    }
}

/// The flags that a command needs to compute as this one does.
fn compute_flags(compute: &Compute, machine: Machine) -> String {
    let device = match compute.device {
        DeviceChoice::Auto => String::new(),
        _ => format!(" --device {}", machine.device_name()),
    };
    let precision =
        compute.precision.map_or_else(String::new, |precision| format!(" --precision {}", precision.name()));
    device + &precision
}

/// Ask the desktop for a browser; a machine without one says so. The token goes by a file of one's own: everybody sees what
/// programs are started with.
fn open(page: &Page, folder: &Path) {
    let started = page.redirect(folder).and_then(|file| {
        let quiet = process::Stdio::null;
        process::Command::new("xdg-open").arg(file).stdout(quiet()).stderr(quiet()).spawn()
    });
    if let Err(error) = started {
        tracing::warn!("--open: no browser could be started ({error}); open the URL by hand");
    }
}
