//! Whether npm's lockfile knows all packages by their registry and their digest,
//! read as it passes by: the values of a large one would take a hundred times its
//! bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::origins::{is_of_a_registry, names_git};

/// The maps of names to specifiers.
const MAPS: [&str; 5] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "requires",
];

/// Whether a lockfile names a package from elsewhere, or one without a digest.
/// What is no JSON counts as naming one.
pub(super) fn is_foreign(lockfile: &[u8]) -> bool {
    let mut json = serde_json::Deserializer::from_slice(lockfile);
    let top = Node { key: "", under: "" };
    // The reading ends with an error at the first of them.
    top.deserialize(&mut json).is_err() || json.end().is_err()
}

/// A value, its key, and that of the object or array that it is in.
#[derive(Clone, Copy)]
struct Node<'a> {
    key: &'a str,
    under: &'a str,
}

/// What a value means to the object that it is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    True,
    /// What npm holds the package to.
    Digest,
    /// A `resolved` that only a link may have: it names a folder of the tree.
    NoAddress,
}

impl Node<'_> {
    fn text(self, text: &str) -> Result<Seen, &'static str> {
        if self.key == "resolved" {
            let at_a_server = text.starts_with("https://") || text.starts_with("http://");
            let fine = at_a_server && !names_git(text);
            return Ok(if fine { Seen::Nothing } else { Seen::NoAddress });
        }
        let names = ["version", "from"].contains(&self.key) || MAPS.contains(&self.under);
        if names && !is_of_a_registry(text) {
            return Err("a package from elsewhere");
        }
        let digest = self.key == "integrity" && text.starts_with("sha");
        Ok(if digest { Seen::Digest } else { Seen::Nothing })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Seen, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<Seen, E> {
        // npm then goes by a lockfile in the package.
        if yes && self.key == "hasShrinkwrap" {
            return Err(E::custom("a package with a lockfile of its own"));
        }
        Ok(if yes { Seen::True } else { Seen::Nothing })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Nothing)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seen, E> {
        self.text(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
        // Each counts as if it stood in its place alone.
        while items.next_element_seed(self)?.is_some() {}
        Ok(Seen::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Seen, A::Error> {
        let (mut linked, mut bundled, mut digest) = (false, false, false);
        let mut no_address = false;
        let mut fetched = self.key.contains("node_modules/");
        while let Some(key) = fields.next_key::<String>()? {
            let node = Node {
                key: &key,
                under: self.key,
            };
            let seen = fields.next_value_seed(node)?;
            no_address |= seen == Seen::NoAddress;
            // Of two with one name the last counts, to npm as well.
            match key.as_str() {
                "link" => linked = seen == Seen::True,
                "inBundle" => bundled = seen == Seen::True,
                "integrity" => digest = seen == Seen::Digest,
                "resolved" => fetched = true,
                _ => {}
            }
        }
        if no_address && !linked {
            return Err(A::Error::custom("a package from elsewhere"));
        }
        // Without a digest to go by, npm believes what its cache has noted of an
        // address.
        if fetched && !linked && !bundled && !digest {
            return Err(A::Error::custom("a package without a digest"));
        }
        Ok(Seen::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_registry_is_not_foreign() {
        for text in [
            r#"{"lockfileVersion": 3, "x": [1, -1, 1.5, null, true, "git+ssh://x"]}"#,
            r#"{"packages": {"": {"dependencies": {"a": "^1"}, "workspaces": ["apps/*"]}}}"#,
            r#"{"packages": {"node_modules/a": {"version": "1.0.0",
                "resolved": "https://r.example/a.tgz", "integrity": "sha512-x/y=="}}}"#,
            r#"{"packages": {"node_modules/a": {"version": "1.0.0", "inBundle": true}}}"#,
            r#"{"packages": {"a": {"resolved": "apps/a", "link": true}}}"#,
            r#"{"packages": {"a": {"link": true, "resolved": "apps/a"}}}"#,
        ] {
            assert!(!is_foreign(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn whatever_else_is() {
        for text in [
            r#"{"packages": {"a": {"resolved": "git+ssh://git@x/a.git"}}}"#,
            r#"{"packages": {"a": {"resolved": "https://github.com/a/a"}}}"#,
            r#"{"packages": {"a": {"resolved": "apps/a", "link": true, "link": false}}}"#,
            r#"{"packages": {"a": {"resolved": "apps/a", "link": [true]}}}"#,
            r#"{"packages": [{"resolved": "apps/a"}]}"#,
            r#"{"packages": {"a": {"hasShrinkwrap": true}}}"#,
            r#"{"packages": {"a": {"version": "1.0.0", "resolved": "https://r.example/a.tgz"}}}"#,
            r#"{"packages": {"node_modules/a": {"version": "1.0.0"}}}"#,
            r#"{"packages": {"node_modules/a": {"version": "1.0.0", "integrity": "md5-x"}}}"#,
            r#"{"dependencies": {"integrity": "git+ssh://x/a.git"}}"#,
            r#"{"packages": {"a": {"requires": {"b": "file:b"}}}}"#,
            r#"{"dependencies": {"a": {"version": "github:a/a"}}}"#,
            r#"{"dependencies": {"a": {"from": "a@git+https://x/a"}}}"#,
            r#"{"a": 1} {"b": 2}"#,
            r#"{"a": "#,
            "",
        ] {
            assert!(is_foreign(text.as_bytes()), "{text}");
        }
    }
}
