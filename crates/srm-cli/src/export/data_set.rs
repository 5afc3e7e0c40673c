//! Know data sets by their files, and the terms that they and nets made of them stand under.

use std::path::Path;

use crate::images::SYNTHETIC;

/// The images that a net was trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// Photos of famous people; Liu et al., ICCV 2015.
    CelebA,
    /// Pictures of garments; Xiao, Rasul and Vollgraf 2017.
    FashionMnist,
    /// Small photos of ten classes; Krizhevsky 2009.
    Cifar10,
    /// What the program draws itself.
    Synthetic,
    /// The user's own, in a file of this name.
    Own(String),
    /// Nothing says which.
    Unknown,
}

/// What is known of a data set.
pub struct Facts {
    /// For people.
    pub name: &'static str,
    /// Its identifier on the hub, where it has one.
    pub hub: Option<&'static str>,
    /// The licence that a net made of it takes where nobody says another, by the hub's identifier.
    pub license: &'static str,
    /// Name and address of that licence, where the identifier is `other`.
    pub named: Option<(&'static str, &'static str)>,
    /// Where it is from and what its terms say.
    pub terms: &'static str,
}

const CELEBA: Facts = Facts {
    name: "CelebA",
    hub: Some("celeba"),
    license: "other",
    named: Some(("celeba-agreement", "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html")),
    terms: "[CelebA](http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html) (Liu, Luo, Wang and Tang, ICCV 2015), aligned \
            and cropped. CelebA's agreement: non-commercial research only; the photos belong to their owners. None of \
            them is in this folder: the pictures here are samples of the net.",
};

const FASHION_MNIST: Facts = Facts {
    name: "Fashion-MNIST",
    hub: Some("zalando-datasets/fashion_mnist"),
    license: "mit",
    named: None,
    terms: "[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist) (Xiao, Rasul and Vollgraf, arXiv \
            1708.07747), which is under the MIT licence.",
};

const CIFAR10: Facts = Facts {
    name: "CIFAR-10",
    hub: Some("uoft-cs/cifar10"),
    license: "unknown",
    named: None,
    terms: "[CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html) (Krizhevsky 2009), which names no licence: its \
            photos were gathered from the web and belong to their owners.",
};

const BLOBS: Facts = Facts {
    name: "synthetic blobs",
    hub: None,
    license: "mit",
    named: None,
    terms: "Coloured blobs that srm draws itself: nobody's pictures.",
};

impl DataSet {
    /// The set that `data.images` names; `source` is what its manifest says it was made of, which knows renamed files.
    pub fn of(images: &Path, source: Option<&str>) -> DataSet {
        let lower = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().to_lowercase();
        let name = lower(images.file_name());
        if images.to_str().is_some_and(|typed| typed.starts_with(SYNTHETIC)) {
            return DataSet::Synthetic;
        }
        let folder = lower(images.parent().and_then(Path::file_name));
        let source = source.unwrap_or_default().to_lowercase();
        // the strictest terms first, and by the least hint
        if [&name, &folder, &source].iter().any(|part| part.contains("celeba")) {
            return DataSet::CelebA;
        }
        if ["fashion_mnist", "fashion-mnist"].iter().any(|known| name.starts_with(known)) {
            return DataSet::FashionMnist;
        }
        if ["cifar10", "cifar-10"].iter().any(|known| name.starts_with(known) || source.starts_with(known)) {
            return DataSet::Cifar10;
        }
        DataSet::Own(images.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// What is known of it.
    pub fn facts(&self) -> Option<&'static Facts> {
        match self {
            DataSet::CelebA => Some(&CELEBA),
            DataSet::FashionMnist => Some(&FASHION_MNIST),
            DataSet::Cifar10 => Some(&CIFAR10),
            DataSet::Synthetic => Some(&BLOBS),
            DataSet::Own(_) | DataSet::Unknown => None,
        }
    }

    /// In a word or two.
    pub fn name(&self) -> &str {
        match self {
            DataSet::Own(file) => file,
            DataSet::Unknown => "not known",
            known => known.facts().map_or("", |facts| facts.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_known_by_file_folder_and_manifest() {
        let of = |path: &str| DataSet::of(Path::new(path), None);
        assert_eq!(of("data/celeba/celeba_64_center178_train.npy"), DataSet::CelebA);
        assert_eq!(of("celeba_32_center178_train.npy"), DataSet::CelebA);
        assert_eq!(of("/srv/CelebA/faces.npy"), DataSet::CelebA);
        assert_eq!(of("data/fashion-mnist/fashion_mnist_32_train.npy"), DataSet::FashionMnist);
        assert_eq!(of("data/cifar10/cifar10_32_train.npy"), DataSet::Cifar10);
        assert_eq!(of("synthetic:blobs"), DataSet::Synthetic);
        assert_eq!(of("data/photos.npy"), DataSet::Own("photos.npy".to_owned()));
        // others' licences are not given to what only sounds like their sets
        assert_eq!(of("data/my-fashion.npy"), DataSet::Own("my-fashion.npy".to_owned()));
        let renamed = Path::new("data/x.npy");
        assert_eq!(DataSet::of(renamed, Some("img_align_celeba.zip")), DataSet::CelebA);
        assert_eq!(DataSet::of(renamed, Some("cifar-10-binary.tar.gz")), DataSet::Cifar10);
        assert_eq!(DataSet::of(renamed, Some("photos")), DataSet::Own("x.npy".to_owned()));
    }
}
