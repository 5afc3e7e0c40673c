//! Find what a config names by a relative path: in the working folder, else beside the config or above it.
//!
//! The order: the working folder, the config's own folder, the folders above it up to the repository's, which holds `.git`; where
//! there is no repository, the one above the config's. So a run started from anywhere finds the data beside its config.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Result, bail};
use srm_config::Config;
use srm_run::layout::CONFIG;

use super::synthetic::is_synthetic;

/// The feature network that needs no file.
const BUILT_IN: &str = "random-conv";

/// Turn the paths of a config read from `source` into such as lead to their files from here and, kept in `run`'s config.json, from
/// anywhere: as typed where both the working folder and the run folder lead there, else absolute. What is found nowhere stays as
/// it is, for whoever opens it to name.
///
/// # Errors
/// The absolute path is not UTF-8, so that no config can hold it.
pub fn resolve(config: &mut Config, source: &Path, run: &Path) -> Result<()> {
    let places = Places::of(source);
    let home = Places::of(&run.join(CONFIG));
    let settle = |key: &str, typed: &Path| -> Result<Option<PathBuf>> {
        if typed.is_absolute() {
            return Ok(None);
        }
        let Some((found, elsewhere)) = places.find(typed) else { return Ok(None) };
        if elsewhere {
            tracing::info!("{key}: {} is not in the working folder, taking {}", typed.display(), found.display());
        }
        let same = |other: PathBuf| other.canonicalize().ok() == found.canonicalize().ok();
        if !elsewhere && home.find_beside(typed).is_some_and(same) {
            return Ok(None);
        }
        match (found.to_str(), elsewhere) {
            (Some(_), _) => Ok(Some(found)),
            (None, false) => Ok(None),
            (None, true) => bail!(
                "{key}: {} cannot stand in a config, its name is not UTF-8; run srm in the folder that {} leads from",
                found.display(),
                typed.display()
            ),
        }
    };
    if !is_synthetic(config)
        && let Some(found) = settle("data.images", &config.data.images)?
    {
        config.data.images = found;
    }
    if let Some(images) = &config.evaluate.images
        && let Some(found) = settle("evaluate.images", images)?
    {
        config.evaluate.images = Some(found);
    }
    if config.evaluate.features != BUILT_IN
        && let Some(found) = settle("evaluate.features", Path::new(&config.evaluate.features))?
    {
        config.evaluate.features = found.to_string_lossy().into_owned();
    }
    Ok(())
}

/// Where a relative path of a config is looked for, besides the working folder.
pub struct Places(Vec<PathBuf>);

impl Places {
    /// The folders of a config file.
    pub fn of(source: &Path) -> Places {
        let whole = absolute(source).unwrap_or_else(|_| source.to_owned());
        Places(up_to_the_repository(whole.parent().unwrap_or(&whole)))
    }

    /// The file, absolute, and whether it is elsewhere than in the working folder.
    pub fn find(&self, typed: &Path) -> Option<(PathBuf, bool)> {
        if typed.exists() {
            return Some((absolute(typed).ok()?, false));
        }
        Some((self.find_beside(typed)?, true))
    }

    fn find_beside(&self, typed: &Path) -> Option<PathBuf> {
        self.0.iter().map(|folder| folder.join(typed)).find(|path| path.exists())
    }

    /// All places where a path was looked for.
    pub fn tried(&self, typed: &Path) -> Vec<PathBuf> {
        let here = absolute(typed).unwrap_or_else(|_| typed.to_owned());
        let mut tried = vec![here];
        for path in self.0.iter().map(|folder| folder.join(typed)) {
            if !tried.contains(&path) {
                tried.push(path);
            }
        }
        tried
    }
}

/// A config that comes with the program: in the working folder or one above it in its repository, or above the program itself.
///
/// # Errors
/// The places where it is not.
pub fn shipped(name: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    if name.is_file() {
        return Ok(name.to_owned());
    }
    let here = absolute(".").unwrap_or_default();
    let program = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let mut folders = up_to_the_repository(&here);
    folders.extend(program.iter().flat_map(|folder| up_to_the_repository(folder)));
    let places = Places(folders);
    places.0.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| places.tried(name))
}

/// A folder and those above it up to the repository's; without a repository the folder and the one above it.
fn up_to_the_repository(folder: &Path) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
    let repository = all.iter().position(|folder| folder.join(".git").exists());
    let last = repository.unwrap_or(1);
    all.into_iter().take(last + 1).collect()
}

/// Paths as a list in a sentence.
pub fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_looked_for_beside_the_config_and_above_it_up_to_the_repository() {
        let place = tempfile::tempdir().unwrap();
        let (root, configs) = (place.path().join("repository"), place.path().join("repository/deep/configs"));
        fs::create_dir_all(&configs).unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        for outside in [place.path().join("x.npy"), root.join("y.npy"), configs.join("z.npy")] {
            fs::write(outside, "").unwrap();
        }
        let places = Places::of(&configs.join("mine.json"));
        assert_eq!(places.find(Path::new("x.npy")), None, "not above the repository");
        assert_eq!(places.find(Path::new("y.npy")), Some((root.join("y.npy"), true)));
        assert_eq!(places.find(Path::new("z.npy")), Some((configs.join("z.npy"), true)));
        let tried = places.tried(Path::new("none.npy"));
        assert_eq!(tried.len(), 4, "{tried:?}");
        assert_eq!((&tried[1], &tried[3]), (&configs.join("none.npy"), &root.join("none.npy")));
        // without a repository: beside the config and one above
        fs::remove_dir(root.join(".git")).unwrap();
        let places = Places::of(&configs.join("mine.json"));
        assert_eq!((places.find(Path::new("y.npy")), places.0.len()), (None, 2));
    }
}
