use super::*;

const FILE: &str = "; a comment\nregistry = https://npm.example/\n\
    @corp:registry=https://me:p%40ss@corp.example:8443/npm\n\
    //npm.example/:_authToken=\"abc123\"\n\
    //old.example/a/:username=ada\n//old.example/a/:_password='cGFzcw=='\n\
    //pair.example/:_auth=YTpi\nhttps-proxy=http://u:secret@proxy.example:3128\n\
    noproxy=.lan, local.example\ncafile=/etc/ca.pem\nnew-kind-of-key=s3cret\n\
    fetch-retries=1\n";

#[test]
fn secrets_are_told_from_settings() {
    let npmrc = Npmrc::of(FILE);
    assert_eq!(
        npmrc.secrets(),
        ["p@ss", "abc123", "cGFzcw==", "YTpi", "secret"]
    );
    assert_eq!(npmrc.cafile(), Some("/etc/ca.pem".into()));
    assert!(npmrc.strict_ssl());
}

#[test]
fn package_managers_are_told_addresses_and_no_secret() {
    assert_eq!(
        Npmrc::of(FILE).told(),
        "registry=https://npm.example/\n@corp:registry=https://corp.example:8443/npm\n\
         fetch-retries=1\n"
    );
}

#[test]
fn every_way_of_writing_a_credential_is_read() {
    let found = Npmrc::of(FILE).credentials().unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|c| (c.host.as_str(), c.path.as_str(), c.authorization.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("corp.example:8443", "/npm/", "Basic bWU6cEBzcw=="),
            ("npm.example", "/", "Bearer abc123"),
            ("old.example", "/a/", "Basic YWRhOnBhc3M="),
            ("pair.example", "/", "Basic YTpi"),
        ]
    );
    let legacy = Npmrc::of("registry=https://npm.example/x\n_authToken=t\n");
    let found = legacy.credentials().unwrap();
    assert_eq!(
        (found[0].host.as_str(), found[0].path.as_str()),
        ("npm.example", "/x/")
    );
}

#[test]
fn the_proxy_and_its_exceptions_are_read() {
    let npmrc = Npmrc::of(FILE);
    let upstream = npmrc.upstream().unwrap().unwrap();
    assert_eq!(upstream.host_str(), Some("proxy.example"));
    assert_eq!(npmrc.no_proxy(), ["lan", "local.example"]);
    assert!(Npmrc::of("proxy=null").upstream().unwrap().is_none());
}

#[test]
fn what_cannot_be_used_is_named_without_its_value() {
    for text in [
        "registry=npm.example",
        "https-proxy=https://u:hidden@p.example",
        "//n.example/:_password=hidden!",
    ] {
        let npmrc = Npmrc::of(text);
        let error = npmrc
            .credentials()
            .err()
            .or(npmrc.upstream().err())
            .unwrap();
        assert_eq!(error.code, Code::MissingDependencies);
        assert!(!error.message.contains("hidden"), "{}", error.message);
    }
}
