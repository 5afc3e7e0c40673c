//! Try what stands between the downloader and a site: proxies that work or are dead, and a company's own certificates.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use std::net::TcpStream;

/// A name that nothing but a proxy can answer for.
const SITE: &str = "http://mirror.invalid/file.zip";

/// Serve one connection by `speak`, and give the port and what `speak` has heard.
fn once(speak: impl FnOnce(TcpStream) -> String + Send + 'static) -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || speak(listener.accept().unwrap().0)))
}

/// Answer the request that comes next on a connection as the site would.
fn be_the_site(stream: &TcpStream) {
    let range = read_request(stream);
    reply(stream, &Answer::File(content()), range);
}

/// An HTTP proxy: gives the first line that it was sent.
fn http_proxy(stream: TcpStream) -> String {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap();
    lines.find(|line| line.is_empty());
    (&stream).write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
    be_the_site(&stream);
    first
}

/// A SOCKS5 proxy that looks names up itself (RFC 1928): gives the name that it was sent.
fn socks_proxy(mut stream: TcpStream) -> String {
    let read = |count| {
        let mut bytes = vec![0; count];
        (&stream).read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(3), [5, 1, 0]); // version, one method: none
    (&stream).write_all(&[5, 0]).unwrap();
    assert_eq!(read(4), [5, 1, 0, 3]); // version, connect, reserved, a name
    let length = usize::from(read(1)[0]);
    let name = String::from_utf8(read(length)).unwrap();
    assert_eq!(read(2), 80_u16.to_be_bytes());
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    be_the_site(&stream);
    name
}

#[test]
fn a_proxy_of_each_kind_brings_the_file() {
    type Proxy = fn(TcpStream) -> String;
    for (variable, scheme, proxy, heard) in [
        ("http_proxy", "http", http_proxy as Proxy, "CONNECT mirror.invalid:80 HTTP/1.1"),
        ("HTTP_PROXY", "http", http_proxy, "CONNECT mirror.invalid:80 HTTP/1.1"),
        ("ALL_PROXY", "socks5h", socks_proxy, "mirror.invalid"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (port, served) = once(proxy);
        let downloader = quick_with(&[(variable, &format!("{scheme}://127.0.0.1:{port}"))]);
        let path = downloader.fetch(&remote(&content(), &[SITE]), folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
        assert_eq!(served.join().unwrap(), heard);
    }
}

#[test]
fn a_dead_proxy_is_blamed_itself_once_and_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was just free refuses.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["http", "socks5h"] {
        let downloader = quick_with(&[("http_proxy", &format!("{scheme}://me:secret@127.0.0.1:{port}"))]);
        let error = downloader.fetch(&remote(b"x", &[SITE, "http://other.invalid/x"]), folder.path()).unwrap_err();
        let named = format!("the proxy {scheme}://127.0.0.1:{port} of http_proxy");
        assert_eq!(
            error.to_string(),
            format!(
                "file.zip could not be downloaded: mirror.invalid: {named} refuses the connection; correct or unset http_proxy; other.invalid: {named} did not answer before"
            )
        );
    }
    let nowhere = quick_with(&[("http_proxy", "http://proxy.invalid:3128")]);
    let error = nowhere.fetch(&remote(b"x", &[SITE]), folder.path()).unwrap_err().to_string();
    assert!(error.contains("the proxy http://proxy.invalid:3128 of http_proxy has an unknown host name"), "{error}");
    // A host that no_proxy names is reached without it.
    let server = serve(vec![Answer::File(content())]);
    let around = quick_with(&[("http_proxy", "http://proxy.invalid:3128"), ("no_proxy", "127.0.0.0/8")]);
    around.fetch(&remote(&content(), &[&server.url]), folder.path()).unwrap();
}

#[test]
fn a_proxy_that_wants_a_password_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _served) = once(|stream| {
        read_request(&stream);
        reply(&stream, &Answer::Status("407 Proxy Authentication Required"), None);
        String::new()
    });
    let downloader = quick_with(&[("http_proxy", &format!("127.0.0.1:{port}"))]);
    let error = downloader.fetch(&remote(b"x", &[SITE]), folder.path()).unwrap_err().to_string();
    let named = format!("the proxy http://127.0.0.1:{port} of http_proxy does not pass this on");
    assert!(error.contains(&format!("{named} (proxy server responded 407/407); see http_proxy")), "{error}");
}

/// A site with TLS whose certificate a company of our own making has signed: its address and the company's certificate.
fn company_site() -> (String, String) {
    let company_key = KeyPair::generate().unwrap();
    let mut company = CertificateParams::new(Vec::new()).unwrap();
    company.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let company_pem = company.self_signed(&company_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(company, company_key)).unwrap();
    let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let (port, _served) = once(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let range = read_request(&mut stream);
        reply(stream, &Answer::File(content()), range);
        String::new()
    });
    (format!("https://127.0.0.1:{port}/file.zip"), company_pem)
}

#[test]
fn a_company_that_a_variable_names_is_trusted_besides_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = |url: &str, set: &[(&str, &str)]| quick_with(set).fetch(&remote(&content(), &[url]), folder.path());
    let (url, _) = company_site();
    let error = fetch(&url, &[]).unwrap_err().to_string();
    assert!(error.contains("certificate is not trusted") && error.contains("in SSL_CERT_FILE"), "{error}");
    let (own, file) = (folder.path().join("certificates"), folder.path().join("certificates/company.pem"));
    fs::create_dir(&own).unwrap();
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        let (url, pem) = company_site();
        fs::write(&file, pem).unwrap();
        let path = if variable == "SSL_CERT_DIR" { &own } else { &file };
        fs::remove_file(fetch(&url, &[(variable, path.to_str().unwrap())]).unwrap()).unwrap();
    }
}

#[test]
fn a_variable_that_names_no_certificates_is_said_and_takes_none_away() {
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    for (path, reason) in [(&*empty, "it has none in PEM form"), (&folder.path().join("none.pem"), "No such file")] {
        let value = path.to_owned();
        let variables: Variables = Box::new(move |name| (name == "SSL_CERT_FILE").then(|| value.clone().into()));
        let (roots, troubles) = roots::gather(&variables);
        let ureq::tls::RootCerts::Specific(certificates) = roots else { panic!("a list of its own") };
        assert!(certificates.len() >= built_in);
        assert_eq!(troubles.len(), 1);
        assert!(troubles[0].starts_with(&format!("SSL_CERT_FILE={} adds no certificates: ", path.display())));
        assert!(troubles[0].contains(reason), "{}", troubles[0]);
    }
}
