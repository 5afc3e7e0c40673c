//! Choose the training, validation or test images of a source.

use crate::{
    DataError,
    preprocess::{
        listing::file_name,
        partition::PartitionList,
        source::{Items, Source},
    },
};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For training.
    Train,
    /// For choosing among trained nets.
    Valid,
    /// For the final numbers.
    Test,
}

/// CelebA's official partition, by the photo's number: the last training and the last validation photo, and the last
/// of all (list_eval_partition.txt).
const CELEBA_LAST: [(u32, Split); 3] = [(162_770, Split::Train), (182_637, Split::Valid), (202_599, Split::Test)];

impl FromStr for Split {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        [Self::Train, Self::Valid, Self::Test].into_iter().find(|split| split.to_string() == text).ok_or_else(|| {
            DataError::BadOption { option: "--split", value: text.to_owned(), expected: "train, valid or test" }
        })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

/// Keep the images of `split`.
///
/// CIFAR-10 and IDX go by file name. Photos go by `partition`, else by list_eval_partition.txt or .csv in or beside
/// `input`, else by CelebA's numbers.
pub(crate) fn choose(
    source: &mut Source,
    split: Split,
    input: &Path,
    partition: Option<&Path>,
) -> Result<(), DataError> {
    let no_split = |reason: &str| DataError::NoSplit { path: input.to_owned(), split, reason: reason.to_owned() };
    if let Items::Records(_) = &source.items {
        source.retain(|name| match split {
            Split::Train => name.starts_with("train") || name.starts_with("data_batch"),
            Split::Valid => false,
            Split::Test => name.starts_with("t10k") || name.starts_with("test"),
        });
        return if source.len() == 0 { Err(no_split("it has no such file")) } else { Ok(()) };
    }
    match find_list(input, partition) {
        Some(path) => {
            let list = PartitionList::read(&path)?;
            source.retain(|name| list.part_of(name) == Some(split));
        }
        None => source.retain(|name| number(file_name(name)).and_then(by_number) == Some(split)),
    }
    match source.len() {
        0 => Err(no_split("no photo is listed in list_eval_partition.txt or numbered as CelebA's are")),
        _ => Ok(()),
    }
}

/// The list given, else one in or beside the input: as the authors have it, or Kaggle.
fn find_list(input: &Path, partition: Option<&Path>) -> Option<PathBuf> {
    const LISTS: [&str; 2] = ["list_eval_partition.txt", "list_eval_partition.csv"];
    let beside = input.parent().unwrap_or(Path::new("."));
    let mut found = [input, beside].into_iter().flat_map(|folder| LISTS.map(|list| folder.join(list)));
    partition.map(Path::to_owned).or_else(|| found.find(|path| path.is_file()))
}

/// 7 for `000007.jpg`.
fn number(file: &str) -> Option<u32> {
    let (stem, _) = file.rsplit_once('.')?;
    stem.parse().ok().filter(|_| stem.len() == 6)
}

fn by_number(number: u32) -> Option<Split> {
    CELEBA_LAST.iter().find(|(last, _)| number > 0 && number <= *last).map(|(_, split)| *split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path, split: Split, partition: Option<&Path>) -> Result<Vec<String>, DataError> {
        let mut source = Source::open(folder, folder)?;
        choose(&mut source, split, folder, partition)?;
        Ok((0..source.len()).map(|i| source.name_of(i)).collect())
    }

    #[test]
    fn photos_go_by_the_list_else_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("img");
        fs::create_dir(&photos).unwrap();
        for name in ["000001.jpg", "162771.jpg", "182638.jpg", "mine.jpg"] {
            fs::write(photos.join(name), b"x").unwrap();
        }
        assert_eq!(names(&photos, Split::Train, None).unwrap(), ["000001.jpg"]);
        assert_eq!(names(&photos, Split::Valid, None).unwrap(), ["162771.jpg"]);
        assert_eq!(names(&photos, Split::Test, None).unwrap(), ["182638.jpg"]);
        let list = folder.path().join("list_eval_partition.txt");
        fs::write(&list, "000001.jpg 1\nmine.jpg 0\n\n").unwrap();
        assert_eq!(names(&photos, Split::Train, None).unwrap(), ["mine.jpg"]);
        let error = names(&photos, Split::Test, None).unwrap_err().to_string();
        assert!(error.contains("test") && error.contains("no photo is listed"), "{error}");
        fs::write(&list, "000001.jpg 1\nmine.jpg three\n").unwrap();
        let error = names(&photos, Split::Test, Some(&list)).unwrap_err().to_string();
        assert!(error.contains("list_eval_partition.txt:2"), "{error}");
    }

    #[test]
    fn records_go_by_file_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7];
        for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
            fs::write(folder.path().join(name), image).unwrap();
        }
        assert_eq!(names(folder.path(), Split::Train, None).unwrap(), ["train-images-idx3-ubyte image 0"]);
        assert_eq!(names(folder.path(), Split::Test, None).unwrap(), ["t10k-images-idx3-ubyte image 0"]);
        assert!(names(folder.path(), Split::Valid, None).is_err());
    }

    #[test]
    fn split_names_are_those_of_the_data_sets() {
        assert_eq!("valid".parse::<Split>().unwrap(), Split::Valid);
        assert!("dev".parse::<Split>().unwrap_err().to_string().contains("train, valid or test"));
    }
}
