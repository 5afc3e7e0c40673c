//! Run pip for one plain download: settings that a user has for other work do not break it, mirrors, proxies and certificates count.

use super::{Wheel, folder_size};
use crate::workspace::{self, bar};
use anyhow::{Context, Result, bail, ensure};
use srm_fetch::{Proxy, Variables};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Every variable of the environment that pip is started in.
pub type Environment = Vec<(OsString, OsString)>;

/// Where pip is looked for; the last one helps in a virtual environment without pip.
pub const INTERPRETERS: [&str; 3] = ["python3", "python", "/usr/bin/python3"];
/// The first version that takes several `--platform`.
const OLDEST_PIP: (u32, u32) = (20, 3);
/// The platform whose wheels pip takes, whatever Python runs it.
const TARGET: &[&str] = &["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];
/// The glibc tags that the wheels carry.
const PLATFORMS: &[&str] = &["2_28", "2_27", "2_25", "2_18", "2_17", "2_12", "2_5"];
const REMEDY: &str =
    "install it (Debian, Ubuntu: apt-get install python3-pip) or give a libtorch of your own with --from DIR|ZIP";

/// Variables that win over the same setting in pip's own files, each with the value that lets a download through.
const NEUTRAL: [(&str, &str); 7] = [
    ("PIP_REQUIRE_VIRTUALENV", "0"), // nothing is installed
    ("PIP_NO_INDEX", "0"),
    ("PIP_CONSTRAINT", "/dev/null"), // an empty value would leave the file's in force
    ("PIP_QUIET", "0"),              // its errors are read
    ("PIP_VERBOSE", "0"),
    ("PIP_LOG", "/dev/null"),
    ("PYTHONSAFEPATH", "1"), // no module of the folder that the user happens to be in
];
/// Variables that would add to what is asked for, or hand the work to another program.
const LEFT_OUT: [&str; 13] = [
    "PIP_ABI",
    "PIP_BUILD_CONSTRAINT",
    "PIP_EDITABLE",
    "PIP_EXISTS_ACTION",
    "PIP_IMPLEMENTATION",
    "PIP_NO_BINARY",
    "PIP_ONLY_BINARY",
    "PIP_PLATFORM",
    "PIP_PYTHON",
    "PIP_PYTHON_VERSION",
    "PIP_REQUIREMENT",
    "PIP_UPLOADED_PRIOR_TO",
    "PYTHONWARNINGS",
];

/// The first of `candidates` that has a pip that is new enough.
///
/// # Errors
/// None has; the message says which of the three is missing: Python, pip, or a newer pip.
pub fn interpreter<'a>(candidates: &[&'a str]) -> Result<&'a str> {
    let (mut python, mut old) = (None, None);
    for &candidate in candidates {
        let asked = Command::new(candidate).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
        let Ok(output) = asked else { continue };
        python.get_or_insert(candidate);
        // "pip 23.2.1 from /usr/lib/python3/dist-packages/pip (python 3.11)"
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(version) = words.split_whitespace().nth(1).filter(|_| output.status.success()) else { continue };
        let mut numbers = version.split('.').map_while(|number| number.parse().ok());
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_PIP {
            return Ok(candidate);
        }
        old.get_or_insert(format!("{candidate} has pip {version}"));
    }
    let (major, minor) = OLDEST_PIP;
    match (python, old) {
        (_, Some(old)) => bail!(
            "{old}, but pip {major}.{minor} or newer must fetch libtorch: `python3 -m pip install --upgrade pip`, or give a libtorch of your own with --from DIR|ZIP"
        ),
        (Some(python), None) => bail!("{python} has no pip, which fetches libtorch: {REMEDY}"),
        (None, None) => bail!("python3 was not found; it fetches libtorch: {REMEDY}"),
    }
}

/// Download exactly these published wheels into `folder`, with a bar.
///
/// # Errors
/// pip fails; the message has its cause and the remedy.
pub fn download(python: &str, environment: Environment, wheels: &[&Wheel], folder: &Path) -> Result<()> {
    let total = wheels.iter().map(|wheel| wheel.bytes).sum();
    let names: Vec<String> = wheels.iter().map(|wheel| format!("{}=={}", wheel.package, wheel.version)).collect();
    eprintln!("downloading {} with pip: {}", workspace::size(total), names.join(" "));

    // pip's own temporary files go beside the result: /tmp may be small, and so the bar sees them grow.
    let (scratch, log, list) = (folder.join("pip"), folder.join("pip.log"), folder.join("requirements.txt"));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    fs::write(&list, requirements(wheels)).with_context(|| format!("cannot write {}", list.display()))?;
    let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = command(python, &environment, folder, &list);
    command.env("TMPDIR", &scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);

    let before = folder_size(folder);
    let bar = bar("libtorch", Some(total), 0);
    let mut child = command.spawn().with_context(|| format!("{python} did not start"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        bar.set_position(folder_size(folder).saturating_sub(before).min(total));
        thread::sleep(Duration::from_millis(100));
    };
    bar.finish_and_clear();
    let words = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    // Leftovers of pip only cost room until the wheels folder is removed as a whole.
    let _ = fs::remove_dir_all(&scratch);
    let _ = fs::remove_file(&list);
    let _ = fs::remove_file(&log);
    let of_errors = words.lines().find(|line| line.starts_with("ERROR:"));
    let cause = of_errors.or(words.lines().rfind(|line| !line.trim().is_empty())).unwrap_or("no message");
    ensure!(
        status.success(),
        "pip could not download {}: {cause}; {}, or give a libtorch of your own with --from DIR|ZIP",
        names.join(" "),
        remedy(&words, environment)
    );
    Ok(())
}

/// What pip is asked for. `===` leaves out local versions like 2.11.0+cpu, which `==` prefers, and by the checksum pip passes
/// over another build under the same name.
fn requirements(wheels: &[&Wheel]) -> String {
    let line = |wheel: &&Wheel| format!("{}==={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.sha256);
    wheels.iter().map(line).collect()
}

fn command(python: &str, environment: &Environment, folder: &Path, list: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]);
    command.args(["--quiet", "--disable-pip-version-check"]).args(TARGET).arg("--dest").arg(folder);
    for platform in PLATFORMS {
        command.arg("--platform").arg(format!("manylinux_{platform}_x86_64"));
    }
    command.args(["--platform", "manylinux2014_x86_64"]).arg("--requirement").arg(list);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value))).envs(NEUTRAL);
    for name in LEFT_OUT {
        command.env_remove(name);
    }
    // Before 24.2 pip does not know the variable that curl, openssl and newer pips share.
    if !["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].iter().any(|name| value(environment, name).is_some())
        && let Some(file) = value(environment, "SSL_CERT_FILE")
    {
        command.env("REQUESTS_CA_BUNDLE", file);
    }
    command
}

fn value<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_os_str())
}

/// What helps against the fault that pip's words tell of.
fn remedy(words: &str, environment: Environment) -> String {
    if words.contains("ProxyError") || words.contains("Cannot connect to proxy") {
        let variables: Variables = Box::new(move |name| value(&environment, name).map(OsStr::to_owned));
        return match Proxy::of("https://", &variables) {
            Ok(Some(proxy)) => format!("{proxy} does not answer: correct or unset {}", proxy.variable),
            _ => "its proxy does not answer: correct it in HTTPS_PROXY, PIP_PROXY or `pip config`".into(),
        };
    }
    let known = [
        ("SOCKS", "for a SOCKS proxy pip needs PySocks (Debian, Ubuntu: apt-get install python3-socks)"),
        ("CERTIFICATE_VERIFY_FAILED", "name your company's certificates in SSL_CERT_FILE"),
        (
            "DO NOT MATCH THE HASHES",
            "your package index has another file under this name: `pip config list` and PIP_INDEX_URL show it",
        ),
        ("No space left", "free space is needed (df -h)"),
        (
            "No matching distribution",
            "check the internet connection (a proxy goes into HTTPS_PROXY), and that the package index of `pip config list` or PIP_INDEX_URL has this version",
        ),
    ];
    let found = known.iter().find(|(sign, _)| words.contains(sign));
    found.map_or("check the internet connection (a proxy goes into HTTPS_PROXY)", |(_, help)| help).into()
}

#[cfg(test)]
mod tests;
