//! Serve the page of `srm explore`: watch a run, walk through the latent space, bring a picture.
//!
//! - [`Page`] is the server, on a thread of its own. What has to be computed by a net it hands out as [`Job`]s, one after the
//!   other, to whoever has libtorch; a [`Reply`] takes the answer line by line and says when nobody reads it any more.
//! - [`Source`]s are runs, read from their folders while another process may write them, and weights.
//! - Who is let in, `access` decides: nobody but a browser that was given the printed URL.
//!
//! ```
//! use std::time::Duration;
//!
//! let pictures = std::env::temp_dir().join("srm-explore-example");
//! let page = srm_explore::Page::open("127.0.0.1:0".parse()?, vec![], pictures, serde_json::json!({ "device": "cpu" }))?;
//! assert!(page.url().starts_with("http://127.0.0.1:"));
//! assert!(page.next(Duration::from_millis(1)).is_none(), "nobody has asked for anything");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod access;
mod answer;
mod ask;
mod assets;
mod live;
mod pictures;
mod queue;
mod routes;
mod source;

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::Array4;
use tokio::runtime::{Builder, Runtime};

use crate::{access::Access, pictures::Pictures, queue::Queue, routes::House};

pub use answer::Reply;
pub use ask::{Ask, Code, Draw, End, Job, MOST_CODES, MOST_ITERATIONS, Neighbours, Reconstruct, States, Target};
pub use source::{Grid, Net, Source};

/// The server of the page. It ends when this is dropped.
pub struct Page {
    url: String,
    jobs: Arc<Queue>,
    runtime: Option<Runtime>,
}

impl Page {
    /// Serve `sources` at an address, port 0 being any free one. Pictures that are brought are saved in `pictures`; `facts` tells
    /// the page of the machine.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn open(
        address: SocketAddr,
        sources: Vec<Source>,
        pictures: PathBuf,
        facts: serde_json::Value,
    ) -> io::Result<Page> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let access = Arc::new(Access::new(listener.local_addr()?)?);
        let url = access.url();
        let jobs: Arc<Queue> = Arc::default();
        let house = Arc::new(House { sources, pictures: Pictures::new(pictures), jobs: jobs.clone(), facts });
        let routes = routes::routes(house).layer(axum::middleware::from_fn_with_state(access, access::door));
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(8).enable_all().build()?;
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) })?;
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Ok(Page { url, jobs, runtime: Some(runtime) })
    }

    /// What to open: it carries the token that lets in.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file that leads a browser to the page, for its owner alone, in a folder that is made where it is not there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn redirect(&self, folder: &Path) -> io::Result<PathBuf> {
        pictures::private(folder)?;
        let file = folder.join("open.html");
        let _ = fs::remove_file(&file); // one that is there may be open to others
        let mut page = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        write!(page, "<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={}\">", self.url)?;
        Ok(file)
    }

    /// The next job that somebody still waits for, if one comes in time.
    pub fn next(&self, patience: Duration) -> Option<Job> {
        self.jobs.next(patience)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Pixels u8 `[n, h, w, c]` as the page takes them.
pub fn answer64(pixels: &Array4<u8>) -> String {
    STANDARD.encode(pixels.as_standard_layout().as_slice().unwrap_or_default())
}
