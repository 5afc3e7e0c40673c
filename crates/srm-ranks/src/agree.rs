//! Let rank 0 decide for all, and refuse ranks that were given different things.

use crate::{Ranks, RanksError};
use serde::{Serialize, de::DeserializeOwned};
use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// What rank 0 decides, for all.
///
/// # Errors
/// What rank 0's decision returns; the others then wait for the end of the job. [`RanksError::Talk`], [`RanksError::Decision`].
pub fn agree<T, E>(ranks: &dyn Ranks, decide: impl FnOnce() -> Result<T, E>) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    E: From<RanksError>,
{
    if ranks.rank() > 0 {
        return Ok(serde_json::from_slice(&ranks.broadcast(Vec::new())?).map_err(RanksError::Decision)?);
    }
    let decided = decide()?;
    ranks.broadcast(serde_json::to_vec(&decided).map_err(RanksError::Decision)?)?;
    Ok(decided)
}

/// The files that rank 0 decides on, for all; by their bytes, since a path need not be UTF-8.
///
/// # Errors
/// As [`agree`].
pub fn agree_on_files<E: From<RanksError>>(
    ranks: &dyn Ranks,
    decide: impl FnOnce() -> Result<Vec<PathBuf>, E>,
) -> Result<Vec<PathBuf>, E> {
    let bytes = |path: PathBuf| path.into_os_string().into_vec();
    let agreed: Vec<Vec<u8>> = agree(ranks, || Ok::<_, E>(decide()?.into_iter().map(bytes).collect()))?;
    Ok(agreed.into_iter().map(|bytes| OsString::from_vec(bytes).into()).collect())
}

/// [`agree_on_files`] for one file.
///
/// # Errors
/// As [`agree`].
pub fn agree_on_file<E: From<RanksError>>(
    ranks: &dyn Ranks,
    decide: impl FnOnce() -> Result<PathBuf, E>,
) -> Result<PathBuf, E> {
    agree_on_files(ranks, || Ok(vec![decide()?])).map(|mut files| files.pop().expect("one was decided on"))
}

/// Check that all ranks have the same of something, named by `what`, as `mine` tells it; a single process asks nothing.
///
/// # Errors
/// [`RanksError::Differs`] where this rank has another than rank 0; what `mine` returns.
pub fn same<E: From<RanksError>>(
    ranks: &dyn Ranks,
    what: &str,
    mine: impl FnOnce() -> Result<String, E>,
) -> Result<(), E> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let here = mine()?;
    let first = agree(ranks, || Ok::<_, E>(here.clone()))?;
    match first == here {
        true => Ok(()),
        false => Err(RanksError::Differs { what: what.to_owned(), here, first }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;

    #[test]
    fn rank_0_decides_and_another_rank_with_another_thing_says_so() {
        let ranks = threads(2);
        let same = |rank: usize, mine: &str| same(&ranks[rank], "images", || Ok::<_, RanksError>(mine.to_owned()));
        same(0, "a").unwrap();
        same(0, "a").unwrap();
        same(1, "a").unwrap();
        let error = same(1, "b").unwrap_err().to_string();
        assert_eq!(error, "not the images of rank 0: b here, a there; give all ranks the same");
        let file = |rank: usize, name: &str| agree_on_file(&ranks[rank], || Ok::<_, RanksError>(name.into())).unwrap();
        assert_eq!([file(0, "x"), file(1, "y")], [PathBuf::from("x"), PathBuf::from("x")]);
    }
}
