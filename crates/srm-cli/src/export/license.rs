//! Choose the licence that stands on a card, by the hub's identifiers.

use anyhow::Result;

use super::data_set::DataSet;
use crate::session::usage;

/// The hub's identifiers (huggingface/hub-docs, docs/hub/repositories-licenses.md).
const IDENTIFIERS: &str = "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m \
    bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause \
    bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 \
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 \
    cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 \
    eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl \
    openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 gemma unknown \
    other";

/// The name of a licence that somebody has still to name, in the front matter.
pub const TO_FILL_IN: &str = "to-be-filled-in";

/// The licence of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct License {
    /// The hub's identifier.
    pub id: String,
    /// Its name and where it stands, where the identifier is `other`.
    pub named: Option<(&'static str, &'static str)>,
    /// What whoever exports should look at.
    pub warning: Option<String>,
}

impl License {
    /// The licence of --license, else what the data's terms ask for, else one to be filled in.
    ///
    /// # Errors
    /// What was given is no identifier.
    pub fn of(asked: Option<&str>, data: &DataSet) -> Result<License> {
        let facts = data.facts();
        let id = asked.or(facts.map(|facts| facts.license)).unwrap_or("other");
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.+".contains(letter);
        if id.is_empty() || !id.chars().all(plain) {
            return Err(usage(format!(
                "--license {id}: no identifier of a licence; take one of the hub's, such as mit, apache-2.0, cc-by-4.0 \
                 or other"
            )));
        }
        let known = IDENTIFIERS.split_whitespace().any(|known| known == id);
        let own_terms = facts.and_then(|facts| facts.named);
        let named = (id == "other").then(|| own_terms.unwrap_or((TO_FILL_IN, "LICENSE")));
        let warning = match (named, own_terms) {
            (Some((TO_FILL_IN, _)), _) => Some(format!(
                "nothing says under which licence these weights are: give --license ID (mit, cc-by-4.0, ...), or fill \
                 in license_name and the line \"Licence\" of README.md and add the file LICENSE (training data: {})",
                data.name()
            )),
            (None, Some((_, link))) => Some(format!(
                "--license {id}: the training data, {}, has terms of its own, which go on to hold: {link}",
                data.name()
            )),
            _ if !known => Some(format!(
                "--license {id} is not among the identifiers that srm knows; a hub that does not know it either \
                 refuses the card"
            )),
            _ => None,
        };
        Ok(License { id: id.to_owned(), named, warning })
    }

    /// Whether somebody has still to say which it is.
    pub fn is_open(&self) -> bool {
        self.named.is_some_and(|(name, _)| name == TO_FILL_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_flags_make_the_licence() {
        let of = |asked, data: &DataSet| License::of(asked, data).unwrap();
        let own = DataSet::Own("photos.npy".to_owned());
        let celeba = of(None, &DataSet::CelebA);
        assert_eq!((&*celeba.id, celeba.named.unwrap().0, &celeba.warning), ("other", "celeba-agreement", &None));
        assert_eq!(of(Some("other"), &DataSet::CelebA), celeba);
        assert!(of(Some("mit"), &DataSet::CelebA).warning.unwrap().contains("terms of its own"));
        assert_eq!(of(None, &DataSet::FashionMnist).id, "mit");
        assert_eq!(of(None, &DataSet::Cifar10).id, "unknown");
        for open in [of(None, &own), of(Some("other"), &own), of(None, &DataSet::Unknown)] {
            assert!(open.is_open() && open.id == "other" && open.warning.unwrap().contains("--license ID"));
        }
        let given = of(Some("cc-by-4.0"), &own);
        assert_eq!((&*given.id, given.named, given.warning.clone(), given.is_open()), ("cc-by-4.0", None, None, false));
        assert!(of(Some("gpl-4.0"), &own).warning.unwrap().contains("not among"));
        for wrong in ["MIT", "", "mit: x", "my licence"] {
            assert!(License::of(Some(wrong), &own).unwrap_err().to_string().contains("no identifier"), "{wrong}");
        }
    }
}
