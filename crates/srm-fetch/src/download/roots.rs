//! Gather the authorities whose certificates a download trusts: Mozilla's, this machine's, and those that the user names.

use crate::proxy::Variables;
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, RootCerts};

/// A file, or with one of the last two a folder, of certificates in PEM form, as openssl, requests and curl read them.
const VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Where Linux distributions keep this machine's list.
const MACHINE: &str = "/etc/ssl/certs";

/// All authorities together, so that naming a company's own takes none away, and a line for each variable that gives none.
pub fn gather(variables: &Variables) -> (RootCerts, Vec<String>) {
    let mut found = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
    // Where this machine has no list of its own, Mozilla's is enough.
    found.extend(rustls_native_certs::load_native_certs().certs);
    // the call before passes over the machine's list where SSL_CERT_FILE or SSL_CERT_DIR is set
    found.extend(rustls_native_certs::load_certs_from_paths(None, Some(Path::new(MACHINE))).certs);
    let mut troubles = Vec::new();
    for name in VARIABLES {
        let Some(path) = variables(name).filter(|path| !path.is_empty()).map(PathBuf::from) else { continue };
        let (file, folder) = if path.is_dir() { (None, Some(path.as_path())) } else { (Some(path.as_path()), None) };
        let loaded = rustls_native_certs::load_certs_from_paths(file, folder);
        if loaded.certs.is_empty() {
            let reason = loaded.errors.first().map_or("it has none in PEM form".to_owned(), ToString::to_string);
            troubles.push(format!("{name}={} adds no certificates: {reason}", path.display()));
        }
        found.extend(loaded.certs);
    }
    let certificates = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    (RootCerts::from(certificates), troubles)
}
