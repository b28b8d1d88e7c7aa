use std::{path::PathBuf, process};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A folder of this test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidings-tls-{}-{name}", process::id()));
        fs::create_dir_all(&path).expect("made");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate that ends with the year 2030, and its key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["push.example.com".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(2031, 1, 1);
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

#[test]
fn reads_a_certificate_its_key_and_its_end() {
    let folder = Folder::new("good");
    let (cert, key) = pair();
    let (other, _) = pair();
    let (cert, key) = (folder.file("cert", &format!("{cert}{other}")), folder.file("key", &key));
    let certificate = Certificate::read(&cert, &key).expect("it is good");
    assert_eq!(certificate.expires(), Some(Duration::from_hours(534_720)));
}

#[test]
fn tells_what_is_wrong_with_which_file() {
    let folder = Folder::new("bad");
    let (cert, key) = pair();
    let (_, other) = pair();
    let check = |cert: &str, key: &str, file: PemFile, expected: &str| {
        let (cert, key) = (folder.file("cert", cert), folder.file("key", key));
        let error = Certificate::read(&cert, &key).expect_err(expected);
        let text = error.to_string().replace(&format!("{}/", folder.0.display()), "");
        assert_eq!((error.file(), text.as_str()), (file, expected));
    };
    let none = "cert has no certificate in it; it should begin with -----BEGIN CERTIFICATE-----";
    check("", &key, PemFile::Certificate, none);
    check(&key, &key, PemFile::Certificate, none);
    let no_key = "key has no private key in it; it should have a line -----BEGIN PRIVATE KEY-----";
    check(&cert, &cert, PemFile::Key, no_key);
    let foreign = "the key in key is not that of the certificate; the first certificate of its file is the server's own";
    check(&cert, &other, PemFile::Key, foreign);
    let locked = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let passphrase =
        "the key in key is protected by a passphrase; write it without: openssl pkey -in FILE -out FILE";
    check(&cert, &locked, PemFile::Key, passphrase);
    let begin = "-----BEGIN PRIVATE KEY-----\n";
    let headers = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
    let locked = key.replace(begin, headers).replace("END PRIVATE", "END EC PRIVATE");
    check(&cert, &locked, PemFile::Key, passphrase);
    let cut: Vec<&str> = cert.lines().collect();
    let cut = cut[..cut.len() - 1].join("\n");
    let error = Certificate::read(&folder.file("cert", &cut), &folder.file("key", &key)).expect_err("cut");
    assert!(matches!(error, CertificateError::NotPem { file: PemFile::Certificate, .. }), "{error}");
    let error = Certificate::read(&folder.0.join("nowhere"), &folder.file("key", &key)).expect_err("no file");
    assert!(error.to_string().contains("cannot be read: No such file"), "{error}");
    let error = Certificate::read(Path::new("/dev/null"), Path::new("/dev/null")).expect_err("no file");
    assert!(error.to_string().contains("cannot be read: it is no file"), "{error}");
}

#[test]
fn a_damaged_key_is_not_quoted() {
    let folder = Folder::new("secret");
    let (cert, key) = pair();
    let damaged = key.replacen("MIG", "?!G", 1);
    let error =
        Certificate::read(&folder.file("cert", &cert), &folder.file("key", &damaged)).expect_err("damaged");
    assert_eq!(error.file(), PemFile::Key);
    for line in damaged.lines().filter(|line| !line.starts_with('-')) {
        assert!(!error.to_string().contains(line), "{error}");
    }
}
