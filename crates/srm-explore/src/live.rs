//! Read a run's folder while another process may write it: what there is, and then each new line.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use srm_run::{
    Run,
    layout::{HISTORY, LOCK, METRICS, SCORES},
};

/// A log that is followed: whole lines, each once.
struct Log {
    path: PathBuf,
    /// Which file it was.
    inode: u64,
    read: u64,
}

/// What a look at a log found.
enum Look {
    Lines(Vec<Value>),
    /// It is another file, or shorter than it was: the run was begun anew or cut back.
    Replaced,
}

impl Log {
    fn new(path: PathBuf) -> Log {
        Log { path, inode: 0, read: 0 }
    }

    fn look(&mut self) -> io::Result<Look> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.read == 0 => {
                return Ok(Look::Lines(Vec::new()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Replaced),
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        if about.len() < self.read || (self.read > 0 && about.ino() != self.inode) {
            return Ok(Look::Replaced);
        }
        self.inode = about.ino();
        file.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        file.take(about.len() - self.read).read_to_end(&mut new)?;
        // what comes after the last line feed is still being written
        let whole = new.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        let lines = new[..whole].split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(Look::Lines(lines.collect()))
    }
}

/// A run that is followed.
pub struct Feed {
    folder: PathBuf,
    logs: [(&'static str, Log); 3],
    updates: Vec<u64>,
    state: &'static str,
}

impl Feed {
    /// The run in a folder, from its first line.
    pub fn new(folder: &Path) -> Feed {
        let log = |name: &'static str, file: &str| (name, Log::new(folder.join(file)));
        let logs = [log("line", METRICS), log("event", HISTORY), log("score", SCORES)];
        Feed { folder: folder.to_owned(), logs, updates: updates(folder), state: state(folder) }
    }

    /// Pass over what the page has: so many lines of metrics, of history and of scores, or all of now.
    pub fn skip(&mut self, had: [Option<usize>; 3]) -> Vec<(&'static str, Value)> {
        let mut new = Vec::new();
        for ((name, log), had) in self.logs.iter_mut().zip(had) {
            match log.look() {
                Ok(Look::Lines(found)) if had.is_none_or(|had| found.len() >= had) => {
                    new.extend(found.into_iter().skip(had.unwrap_or(usize::MAX)).map(|line| (*name, line)));
                }
                _ => return vec![("reset", Value::Null)],
            }
        }
        new
    }

    /// What is new since the last look.
    pub fn look(&mut self) -> Vec<(&'static str, Value)> {
        let mut new = Vec::new();
        if !self.folder.is_dir() {
            let told = self.state == "gone";
            self.state = "gone";
            return if told { new } else { vec![("state", json!({ "state": "gone", "message": meaning("gone") }))] };
        }
        for (name, log) in &mut self.logs {
            match log.look() {
                Ok(Look::Lines(found)) => new.extend(found.into_iter().map(|line| (*name, line))),
                Ok(Look::Replaced) => {
                    *self = Feed::new(&self.folder);
                    return vec![("reset", Value::Null)];
                }
                Err(_) => {} // the next look may be luckier
            }
        }
        let (updates, state) = (updates(&self.folder), state(&self.folder));
        if updates != self.updates {
            new.push(("updates", json!(updates)));
            self.updates = updates;
        }
        if state != self.state {
            new.push(("state", json!({ "state": state, "message": meaning(state) })));
            self.state = state;
        }
        new
    }
}

/// All that the page shows of a run.
pub fn snapshot(folder: &Path) -> Value {
    let all = |file: &str| match Log::new(folder.join(file)).look() {
        Ok(Look::Lines(lines)) => lines,
        _ => Vec::new(),
    };
    let config = Run::open(folder).ok().and_then(|run| run.config_text().ok().flatten());
    let config: Value = config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    json!({
        "state": state(folder), "config": config, "lines": all(METRICS), "events": all(HISTORY), "scores": all(SCORES),
    })
}

/// The updates of the checkpoints there are.
pub fn updates(folder: &Path) -> Vec<u64> {
    let found = Run::open(folder).and_then(|run| run.checkpoints()).unwrap_or_default();
    found.into_iter().map(|(update, _)| update).collect()
}

/// What the run does at the moment.
fn state(folder: &Path) -> &'static str {
    if !folder.is_dir() {
        return "gone";
    }
    if is_locked(&folder.join(LOCK)) {
        return "training";
    }
    let last = match Log::new(folder.join(HISTORY)).look() {
        Ok(Look::Lines(lines)) => lines.last().and_then(|line| Some(line["event"].as_str()? == "finished")),
        _ => None,
    };
    if last == Some(true) { "finished" } else { "stopped" }
}

fn meaning(state: &str) -> &'static str {
    match state {
        "gone" => "the folder of this run is gone; what was read of it stays here",
        "training" => "the run goes on",
        "finished" => "the run has finished",
        _ => "no process of this machine seems to train this run; srm train --resume goes on with it",
    }
}

/// Whether a process holds a lock on a file, as the kernel lists them: to try it would keep a run from starting just then.
fn is_locked(path: &Path) -> bool {
    let (Ok(about), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) else { return false };
    let device = about.dev();
    let file = format!("{:02x}:{:02x}:{}", rustix::fs::major(device), rustix::fs::minor(device), about.ino());
    locks.lines().any(|line| line.split_whitespace().any(|word| word == file))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use srm_run::Lock;

    use super::*;

    fn names(found: &[(&'static str, Value)]) -> Vec<&'static str> {
        found.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn each_whole_line_comes_once_and_a_run_begun_anew_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS);
        fs::write(&path, "{\"update\":1}\n{\"update\":2}\n{\"upd").unwrap();
        let mut feed = Feed::new(folder.path());
        assert_eq!(feed.skip([Some(1), None, None]), [("line", json!({ "update": 2 }))]);
        assert!(feed.look().is_empty());
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "ate\":3}}").unwrap();
        assert_eq!(feed.look(), [("line", json!({ "update": 3 }))]);
        fs::write(&path, "{\"update\":1}\n").unwrap();
        assert_eq!(names(&feed.look()), ["reset"]);
        assert_eq!(feed.skip([Some(5), None, None]), [("reset", Value::Null)], "the page has lines that are gone");
    }

    #[test]
    fn who_trains_is_seen_by_the_lock_and_a_folder_that_is_gone_is_told() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let lock = Lock::take(&folder).unwrap();
        assert_eq!(state(&folder), "training");
        let mut feed = Feed::new(&folder);
        drop(lock);
        assert_eq!(feed.look(), [("state", json!({ "state": "stopped", "message": meaning("stopped") }))]);
        fs::write(folder.join(HISTORY), "{\"event\":\"finished\"}\n").unwrap();
        assert_eq!(names(&feed.look()), ["event", "state"]);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names(&feed.look()), ["state"]);
        assert!(feed.look().is_empty(), "said once");
        assert_eq!(snapshot(&folder)["state"], "gone");
    }
}
