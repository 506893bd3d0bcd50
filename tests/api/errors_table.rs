//! `docs/errors.md` is generated from the table of codes.
//!
//! `make docs` writes it again.

use std::fmt::Write;
use std::path::Path;

use hivesync::error::Code;

fn table() -> String {
    let mut text = String::from(
        "<!-- Generated from the table in src/error.rs by `make docs`. Do not edit. -->\n\
         # Error codes\n\n\
         Every failure is answered as\n\n\
         ```json\n\
         {\"error\": {\"code\": \"PROJECT_NOT_FOUND\", \"message\": \"…\", \"details\": {\"trace_id\": \"…\"}}}\n\
         ```\n\n\
         Match on `code`: it never changes. `message` is for people and may change. `details`\n\
         always has the `trace_id` under which the server's log knows the request, and what else\n\
         helps, such as the `field` of an input that cannot be taken or `retry_after_seconds`.\n\
         Only a connection that is refused (429, 503) before anything of it is read has none.\n\n\
         *Retry* says whether the same request can succeed later without a change.\n\n\
         ## Answers\n\n\
         | status | code | retry | meaning |\n|---|---|---|---|\n",
    );
    let (mut answers, on_jobs): (Vec<Code>, Vec<Code>) =
        Code::ALL.iter().partition(|code| code.status().is_some());
    answers.sort_by_key(|code| code.status());
    for code in answers {
        let status = code.status().unwrap_or_default();
        row(&mut text, &format!("{status} | "), code);
    }
    text.push_str(
        "\n## Builds that failed\n\n\
         They stand on the job, in its `error`, and never as an answer's status.\n\n\
         | code | retry | meaning |\n|---|---|---|\n",
    );
    for code in on_jobs {
        row(&mut text, "", code);
    }
    text
}

fn row(text: &mut String, status: &str, code: Code) {
    let retry = if code.retryable() { "yes" } else { "no" };
    let (name, doc) = (code.as_str(), code.doc());
    writeln!(text, "| {status}`{name}` | {retry} | {doc} |").expect("text grows");
}

#[test]
fn generated_errors_table_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let expected = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &expected).expect("docs/errors.md is written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stands == expected,
        "docs/errors.md is not what src/error.rs says; `make docs` generates it again"
    );
}

#[test]
fn codes_are_unique_and_in_the_form_that_clients_expect() {
    for code in Code::ALL {
        let text = code.as_str();
        assert_eq!(Code::parse(text), Some(*code));
        assert!(
            text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
            "{text}"
        );
        assert!(code.doc().ends_with('.'), "{text} has no sentence");
        assert!(
            code.status().is_none_or(|s| (400..600).contains(&s)),
            "{text}"
        );
        assert_eq!(Code::ALL.iter().filter(|c| c.as_str() == text).count(), 1);
    }
}
