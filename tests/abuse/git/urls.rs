//! URLs that would run a command, read a file or carry a secret.

use hivesync::error::Code;
use hivesync::git::Remote;

#[test]
fn urls_that_run_commands_or_read_files_are_refused() {
    for (url, why) in [
        ("ext::sh -c 'touch /tmp/x'", "space"),
        ("ext::sh%20-c%20id", "transport helpers"),
        ("fd::17", "transport helpers"),
        ("https::https://example.com/a", "transport helpers"),
        ("file:///etc", "files of the server"),
        ("/etc", "files of the server"),
        ("../other", "files of the server"),
        ("--upload-pack=touch /tmp/x", "space"),
        ("--upload-pack=id", "dash"),
        ("-oProxyCommand=id", "dash"),
        ("ssh://-oProxyCommand=id/x", "ssh"),
        ("ssh://git@example.com/a.git", "ssh"),
        ("git@example.com:a/b.git", "ssh"),
        ("git://example.com/a.git", "only repositories behind https"),
        ("ftp://example.com/a.git", "only repositories behind https"),
        ("http://example.com/a.git", "plain http"),
        ("https://user:secret@example.com/a.git", "source.credential"),
        ("https://token@example.com/a.git", "source.credential"),
        ("https://example.com/a.git?x=1", "leave out"),
        ("https://example.com/a.git#x", "leave out"),
        ("https://example.com/a\r\nHost: evil", "control character"),
        (
            "https://example.com/a%0d%0aHost:%20evil",
            "control character",
        ),
        ("https://example.com/a%00b", "control character"),
        ("https://", "not a URL"),
        ("", "not a URL"),
        ("nonsense", "not a URL"),
    ] {
        let error = Remote::parse(url, &[]).expect_err(url);
        assert_eq!(error.code, Code::InvalidInput, "{url}");
        assert_eq!(error.details["field"], "source.url");
        assert!(error.message.contains(why), "{url}: {error}");
        assert!(!error.message.contains("secret"), "{error}");
    }
    assert!(Remote::parse(&format!("https://h/{}", "a".repeat(3000)), &[]).is_err());
}

#[test]
fn forbidden_addresses_are_refused_before_anything_is_asked() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "255.255.255.255",
    ] {
        let url = format!("https://{host}/a.git");
        let error = Remote::parse(&url, &[]).expect_err(&url);
        assert_eq!(error.code, Code::InvalidInput, "{url}");
        assert!(
            error.message.contains("SOURCE_ALLOWED_HOSTS"),
            "{url}: {error}"
        );
    }
}
