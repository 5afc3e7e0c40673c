//! Choose the training, validation or test images of a source.

use crate::{
    DataError,
    preprocess::source::{Items, Source},
};
use std::{collections::HashMap, fmt, fs, path::Path, str::FromStr};

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
/// CIFAR-10 and IDX go by file name. Photos go by `partition`, else by list_eval_partition.txt in or beside `input`,
/// else by CelebA's numbers.
pub(crate) fn choose(
    source: &mut Source,
    split: Split,
    input: &Path,
    partition: Option<&Path>,
) -> Result<(), DataError> {
    let no_split = |reason: &str| DataError::NoSplit { path: input.to_owned(), split, reason: reason.to_owned() };
    match &mut source.items {
        Items::Records(parts) => {
            parts.retain(|part| match split {
                Split::Train => part.name().starts_with("train") || part.name().starts_with("data_batch"),
                Split::Valid => false,
                Split::Test => part.name().starts_with("t10k") || part.name().starts_with("test"),
            });
        }
        Items::Files(files) => {
            let belongs = membership(split, input, partition)?;
            files.retain(|(name, _)| belongs(name));
        }
        Items::Zip(_, entries) => {
            let belongs = membership(split, input, partition)?;
            entries.retain(|(name, _)| belongs(name));
        }
    }
    match source.len() {
        0 if source.kind == "folder" || source.kind == "zip" => {
            Err(no_split("no photo is listed in list_eval_partition.txt or numbered as CelebA's are"))
        }
        0 => Err(no_split("it has no such file")),
        _ => Ok(()),
    }
}

/// Whether an image of this name belongs to the split.
type Membership = Box<dyn Fn(&str) -> bool>;

fn membership(split: Split, input: &Path, partition: Option<&Path>) -> Result<Membership, DataError> {
    const LIST: &str = "list_eval_partition.txt";
    let beside = input.parent().unwrap_or(Path::new("."));
    let found = [input.join(LIST), beside.join(LIST)].into_iter().find(|path| path.is_file());
    let file_name = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let Some(path) = partition.or(found.as_deref()) else {
        return Ok(Box::new(move |name| {
            number(&file_name(name)).is_some_and(|number| by_number(number) == Some(split))
        }));
    };
    let text = fs::read_to_string(path).map_err(DataError::io("read", path))?;
    let mut members = HashMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = || DataError::BadPartition { path: path.to_owned(), line: i + 1 };
        let (name, part) = line.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let part = match part.trim() {
            "0" => Split::Train,
            "1" => Split::Valid,
            "2" => Split::Test,
            _ => return Err(wrong()),
        };
        members.insert(name.to_owned(), part);
    }
    Ok(Box::new(move |name| members.get(&file_name(name)) == Some(&split)))
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

    fn names(folder: &Path, split: Split, partition: Option<&Path>) -> Result<Vec<String>, DataError> {
        let mut source = Source::open(folder)?;
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
