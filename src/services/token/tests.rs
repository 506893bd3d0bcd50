//! The preview token and its inspector, by example and at random.

use std::time::Duration;

use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::clock::SystemEntropy;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn secret() -> Secret {
    Secret::new("0123456789abcdef0123456789abcdef")
}

fn issued(git_ref: &str) -> String {
    let request = (ProjectId(7), git_ref, UserId(3), Platform::Ios);
    let ttl = Duration::from_mins(5);
    issue(&secret(), &SystemEntropy::new(), NOW, ttl, request).unwrap()
}

fn payload() -> Value {
    json!({"pid": 7, "ref": "main", "uid": 3, "ts": NOW.as_secs(),
           "exp": NOW.as_secs() + 300, "plat": "web", "ver": 1})
}

fn signed(payload: &Value) -> String {
    sign(&secret(), payload.to_string().as_bytes())
}

fn code_of(text: &str) -> Code {
    verify(&secret(), text, NOW).unwrap_err().code
}

#[test]
fn a_token_says_what_it_was_issued_for() {
    let token = verify(&secret(), &issued("main"), NOW).unwrap();
    assert_eq!(token.project, ProjectId(7));
    assert_eq!(token.user, UserId(3));
    assert_eq!(token.git_ref, "main");
    assert_eq!(token.platform, Platform::Ios);
    assert_eq!(token.facts.issued_at, NOW);
    assert_eq!(token.facts.expires_at, NOW.after(Duration::from_mins(5)));
    assert_eq!(token.facts.version, 1);
}

#[test]
fn the_format_is_the_documented_one() {
    let text = issued("main");
    let (first, tag) = text.split_once('.').unwrap();
    let json: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(first.as_bytes()).unwrap()).unwrap();
    let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(
        names,
        ["exp", "n", "pid", "plat", "ref", "ts", "uid", "ver"]
    );
    assert_eq!(json["n"].as_str().unwrap().len(), 16);
    let expected = hmac::sign(&key(&secret()), first.as_bytes());
    assert_eq!(
        BASE64URL_NOPAD.decode(tag.as_bytes()).unwrap(),
        expected.as_ref()
    );
}

#[test]
fn two_tokens_issued_together_differ() {
    assert_ne!(issued("main"), issued("main"));
}

#[test]
fn the_nonce_is_optional_and_of_any_type() {
    assert!(verify(&secret(), &signed(&payload()), NOW).is_ok());
    let mut with_number = payload();
    with_number["n"] = json!(12);
    assert!(verify(&secret(), &signed(&with_number), NOW).is_ok());
}

#[test]
fn it_ends_at_exp() {
    let text = issued("main");
    let last = NOW.after(Duration::from_millis(299_999));
    assert!(verify(&secret(), &text, last).is_ok());
    let error = verify(&secret(), &text, NOW.after(Duration::from_mins(5))).unwrap_err();
    assert_eq!(error.code, Code::InvalidOrExpiredToken);
    assert_eq!(error.details["reason"], "expired");
}

#[test]
fn every_field_must_be_there_with_its_type() {
    for field in ["pid", "ref", "uid", "ts", "exp", "plat", "ver"] {
        let mut missing = payload();
        missing.as_object_mut().unwrap().remove(field);
        assert_eq!(code_of(&signed(&missing)), Code::InvalidOrExpiredToken);
        let mut wrong = payload();
        wrong[field] = json!([1]);
        assert_eq!(code_of(&signed(&wrong)), Code::InvalidOrExpiredToken);
    }
}

#[test]
fn a_signed_token_with_senseless_fields_is_refused() {
    for (field, value) in [
        ("ver", json!(2)),
        ("exp", json!(NOW.as_secs() - 1)),
        ("ts", json!(NOW.as_secs() + 301)),
        ("ref", json!("")),
    ] {
        let mut payload = payload();
        payload[field] = value;
        assert_eq!(code_of(&signed(&payload)), Code::InvalidOrExpiredToken);
    }
}

#[test]
fn a_good_token_for_an_unknown_platform_says_so() {
    let mut payload = payload();
    payload["plat"] = json!("tizen");
    assert_eq!(code_of(&signed(&payload)), Code::UnsupportedPlatform);
    // Expired comes first: an old token tells nothing.
    payload["ts"] = json!(1);
    payload["exp"] = json!(2);
    assert_eq!(code_of(&signed(&payload)), Code::InvalidOrExpiredToken);
}

#[test]
fn another_secret_signs_nothing_here() {
    let other = Secret::new("ffffffffffffffffffffffffffffffff");
    assert!(verify(&other, &issued("main"), NOW).is_err());
}

#[test]
fn the_inspector_reads_a_payload_and_refuses_a_token() {
    let text = issued("main");
    let (first, _) = text.split_once('.').unwrap();
    let decoded = decode_payload(first, NOW).unwrap();
    assert_eq!(decoded.payload["ref"], "main");
    assert_eq!(decoded.expired, Some(false));
    let later = NOW.after(Duration::from_mins(5));
    assert_eq!(decode_payload(first, later).unwrap().expired, Some(true));

    for refused in [&text, &format!("{first}."), "%%%", "", "W10"] {
        let error = decode_payload(refused, NOW).unwrap_err();
        assert_eq!(error.code, Code::InvalidInput, "{refused}");
        assert!(!error.to_string().contains(first));
    }
}

#[test]
fn the_inspector_takes_the_other_base64_too() {
    let json = br#"{"ref":"a?>"}"#;
    for text in [
        data_encoding::BASE64.encode(json),
        data_encoding::BASE64_NOPAD.encode(json),
        data_encoding::BASE64URL.encode(json),
    ] {
        assert_eq!(decode_payload(&text, NOW).unwrap().payload["ref"], "a?>");
    }
}

proptest! {
    #[test]
    fn any_ref_makes_the_round_trip(git_ref in "\\PC{1,255}") {
        let token = verify(&secret(), &issued(&git_ref), NOW).unwrap();
        prop_assert_eq!(token.git_ref, git_ref);
    }

    #[test]
    fn any_flipped_bit_is_refused(position in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = issued("main").into_bytes();
        let at = position.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // What is no UTF-8 never arrives as a token.
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert_eq!(code_of(&text), Code::InvalidOrExpiredToken);
        }
    }

    #[test]
    fn any_truncation_is_refused(cut in any::<prop::sample::Index>(), from_front in any::<bool>()) {
        let text = issued("main");
        let at = cut.index(text.len());
        let part = if from_front { &text[at + 1..] } else { &text[..at] };
        prop_assert_eq!(code_of(part), Code::InvalidOrExpiredToken);
    }

    #[test]
    fn any_addition_is_refused(tail in "\\PC{1,8}") {
        prop_assert_eq!(code_of(&(issued("main") + &tail)), Code::InvalidOrExpiredToken);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert!(verify(&secret(), &text, NOW).is_err());
        let _ = decode_payload(&text, NOW);
    }
}
