//! Drive a browser without a window: Chromium by Debian's chromium-driver.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction},
    wd::WebDriverCompatibleCommand,
};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use crate::explore::Served;

/// How long a page may take for anything: other tests share the cores.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page open.
pub struct Browser {
    driver: Child,
    client: Option<Client>,
    runtime: Runtime,
    /// Where the page is.
    address: String,
}

/// What ChromeDriver understands besides the standard.
#[derive(Debug)]
struct Extension(&'static str, Value);

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// The page of a server; `None` where this machine has no browser to drive.
    pub fn open(served: &Served) -> Option<Browser> {
        let chrome = ["chromium", "google-chrome"].into_iter().find_map(program);
        let (Some(chrome), Some(driver)) = (chrome, program("chromedriver")) else {
            assert!(env::var_os("SRM_NEEDS_BROWSER").is_none(), "there is no chromium with its chromedriver");
            let _ = writeln!(std::io::stderr(), "passed over: no chromium with its chromedriver");
            return None;
        };
        let mut driver = Command::new(driver).arg("--port=0").stdout(Stdio::piped()).spawn().expect("chromedriver");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()));
        thread::spawn(move || lines.for_each(drop)); // a full pipe would stop it
        let runtime = Runtime::new().expect("threads");
        let options = json!({
            "goog:chromeOptions": {
                "binary": chrome,
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1600"],
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let Value::Object(options) = options else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(options);
        let place = format!("http://127.0.0.1:{}", port.expect("ChromeDriver tells its port"));
        let client = runtime.block_on(builder.connect(&place)).expect("a session");
        let browser = Browser { driver, client: Some(client), runtime, address: served.address.clone() };
        browser.runtime.block_on(browser.client().goto(&served.url)).expect("the page");
        Some(browser)
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is closed at the end")
    }

    /// What a script of the page returns.
    pub fn run(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, vec![])).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What an expression becomes, once it is neither null nor false nor "".
    pub fn wait(&self, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.run(&format!("return ({expression})"));
            if !matches!(found, Value::Null | Value::Bool(false)) && found != json!("") {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let words =
                    self.run("return ['error', 'status', 'view'].map((id) => document.getElementById(id).innerText)");
                panic!("{expression} does not come about: {words}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn click(&self, css: &str) {
        let found = self.runtime.block_on(async { self.client().find(Locator::Css(css)).await?.click().await });
        found.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Keys, or the path of a file to choose.
    pub fn keys(&self, css: &str, keys: &str) {
        let found = self.runtime.block_on(async { self.client().find(Locator::Css(css)).await?.send_keys(keys).await });
        found.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Drag from one point of an element to others, in parts of its width and height.
    pub fn drag(&self, css: &str, points: &[(f64, f64)]) {
        self.run(&format!("document.querySelector('{css}').scrollIntoView({{ block: 'center' }})"));
        let place = self.run(&format!(
            "const box = document.querySelector('{css}').getBoundingClientRect(); return [box.left, box.top, box.width, box.height]"
        ));
        let [left, top, width, height] = [0, 1, 2, 3].map(|i| place[i].as_f64().expect("a number"));
        let to = |&(x, y): &(f64, f64)| PointerAction::MoveTo {
            duration: Some(Duration::from_millis(100)),
            x: (left + x * width).round(),
            y: (top + y * height).round(),
        };
        let mut actions = MouseActions::new("mouse".to_owned()).then(to(&points[0]));
        actions = actions.then(PointerAction::Down { button: MOUSE_BUTTON_LEFT });
        actions = points[1..].iter().fold(actions, |actions, point| actions.then(to(point)));
        let actions = actions.then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.runtime.block_on(self.client().perform_actions(actions)).expect("a drag");
    }

    /// Go to a view by its tab.
    pub fn view(&self, name: &str) {
        self.click(&format!("#tab-{name}"));
    }

    /// The words of the first command below an element, once it is there.
    pub fn command(&self, below: &str) -> Value {
        self.wait(&format!("(document.querySelector('{below} .command:not([hidden]) code') ?? {{}}).textContent"))
    }

    /// The pixels of canvases, u8 `[n, h, w, c]`, with one number a pixel where `grey`.
    pub fn pixels(&self, css: &str, grey: bool) -> Vec<u8> {
        // read from a copy: Chromium warns where a canvas of the page is read often
        let script = format!(
            "return [...document.querySelectorAll('{css}')].flatMap((at) => {{
                 const copy = new OffscreenCanvas(at.width, at.height).getContext('2d', {{ willReadFrequently: true }});
                 copy.drawImage(at, 0, 0);
                 return [...copy.getImageData(0, 0, at.width, at.height).data];
             }})"
        );
        let all = self.run(&script);
        let all: Vec<u8> =
            all.as_array().expect("numbers").iter().map(|byte| byte.as_u64().expect("one") as u8).collect();
        all.chunks(4).flat_map(|rgba| &rgba[..if grey { 1 } else { 3 }]).copied().collect()
    }

    /// The lines of one of the browser's logs since the last look.
    fn log(&self, kind: &str) -> Vec<Value> {
        let found = self.runtime.block_on(self.client().issue_cmd(Extension("se/log", json!({ "type": kind }))));
        found.expect("a log").as_array().expect("lines").clone()
    }

    /// Nothing was wrong in the console, and nothing was asked of another host.
    pub fn is_clean(&self) {
        let console = self.log("browser");
        assert!(console.is_empty(), "{console:?}");
        let mut hosts = BTreeSet::new();
        for line in self.log("performance") {
            let message: Value = serde_json::from_str(line["message"].as_str().expect("a message")).expect("JSON");
            let message = &message["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = message["params"]["request"]["url"].as_str().expect("a URL");
            if !url.starts_with("data:") && !url.starts_with("blob:") && !url.starts_with("chrome") {
                hosts.insert(url.split('/').take(3).collect::<Vec<_>>().join("/"));
            }
        }
        assert_eq!(hosts.into_iter().collect::<Vec<_>>(), [format!("http://{}", self.address)]);
    }

    /// Whoever hears the page instead of seeing it hears a name for each thing that is there to be used or looked at.
    pub fn is_named(&self) {
        let asked = Extension("goog/cdp/execute", json!({ "cmd": "Accessibility.getFullAXTree", "params": {} }));
        let tree = self.runtime.block_on(self.client().issue_cmd(asked)).expect("a tree");
        let nodes = tree["nodes"].as_array().expect("nodes");
        let has = |node: &&Value| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            node["ignored"] == false
                && ["button", "checkbox", "combobox", "image", "slider", "spinbutton", "tab", "textbox"].contains(&role)
        };
        let all: Vec<&Value> = nodes.iter().filter(has).collect();
        assert!(all.len() > 6, "{} things, and five are the tabs", all.len());
        let nameless: Vec<&&Value> = all
            .iter()
            .filter(|node| node["name"]["value"].as_str().is_none_or(|name| name.trim().is_empty()))
            .collect();
        assert!(nameless.is_empty(), "{nameless:?}");
    }

    /// Pictures of the view for whoever wants to look: light, dark and as on a phone, in the folder that `SRM_SCREENSHOTS` names.
    pub fn shoot(&self, name: &str) {
        let Some(folder) = env::var_os("SRM_SCREENSHOTS").map(PathBuf::from) else { return };
        fs::create_dir_all(&folder).expect("a folder for pictures");
        for (kind, scheme, (width, height)) in
            [("dark", "dark", (1280, 1600)), ("phone", "light", (390, 844)), ("light", "light", (1280, 1600))]
        {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            let emulated =
                Extension("goog/cdp/execute", json!({ "cmd": "Emulation.setEmulatedMedia", "params": media }));
            let taken = self.runtime.block_on(async {
                self.client().issue_cmd(emulated).await?;
                self.client().set_window_size(width, height).await?;
                tokio::time::sleep(Duration::from_millis(400)).await; // charts follow the width in the next frames
                self.client().screenshot().await
            });
            fs::write(folder.join(format!("{name}-{kind}.png")), taken.expect("a picture")).expect("a disk");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where a program lies.
fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}
