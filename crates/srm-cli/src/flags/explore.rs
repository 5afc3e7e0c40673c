//! Define the command line of `srm explore`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use super::Compute;

#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  srm explore runs/demo                       # also while it is training, in another process
  srm explore runs/a runs/b                   # curves of both, one over the other
  srm explore fashion32 --open                # weights alone: what comes with srm, a file, hf:owner/name
The page opens by the printed URL alone, which carries a token; nothing on it asks another machine. On another computer:
  ssh -t -L 8765:127.0.0.1:8765 HOST srm explore runs/demo"#)]
pub struct ExploreFlags {
    /// Run folders and weights, as --weights of the other commands takes them.
    #[arg(required = true, value_name = "RUN|WEIGHTS")]
    pub what: Vec<PathBuf>,
    /// Port of the page; 0: any that is free.
    #[arg(long, default_value_t = 8765, value_name = "N")]
    pub port: u16,
    /// Address to listen at. Any other than this machine's own lets in whoever has the URL.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub bind: IpAddr,
    /// Open the page in a browser.
    #[arg(long)]
    pub open: bool,
    /// Where pictures that are brought and masks that are painted are saved, so that a command can name them.
    #[arg(long, default_value = "explored", value_name = "DIR")]
    pub pictures: PathBuf,
    #[command(flatten)]
    pub compute: Compute,
    /// Print one JSON object on stdout, {"command":"explore","url":…}, and nothing else there.
    #[arg(long)]
    pub json: bool,
}
