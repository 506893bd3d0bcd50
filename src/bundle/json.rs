//! Strangers' JSON as values, within bounds.
//!
//! A value takes up to a hundred times the memory of its text: `[0],` are four
//! bytes of a file and some hundred and fifty of the server's, which no sandbox
//! bounds. So values are counted before the first of them is made.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

/// What may still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub bytes: u64,
    /// Each object, array and what is in them counts.
    pub values: u64,
}

impl Room {
    /// For one file. The largest manifests known have some thousand values.
    pub const FILE: Self = Self {
        bytes: 2 << 20,
        values: 100_000,
    };
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("it is too large")]
    TooLarge,
    #[error(transparent)]
    Invalid(serde_json::Error),
}

/// The value of `text`, which takes its share of `room`.
///
/// # Errors
/// When it is no JSON, or there is not so much room.
pub fn value(text: &[u8], room: &mut Room) -> Result<Value, Unread> {
    read(text, room)
}

/// As [`value`], and of a type of its own.
///
/// # Errors
/// When it is not what is wanted, or there is not so much room.
pub fn read<T: DeserializeOwned>(text: &[u8], room: &mut Room) -> Result<T, Unread> {
    room.bytes = room
        .bytes
        .checked_sub(text.len() as u64)
        .ok_or(Unread::TooLarge)?;
    let mut counting = serde_json::Deserializer::from_slice(text);
    let counted = Count(&mut room.values).deserialize(&mut counting);
    if counted.is_err() && room.values == 0 {
        return Err(Unread::TooLarge);
    }
    serde_json::from_slice(text).map_err(Unread::Invalid)
}

/// Takes one off for each value, and refuses the one that finds none left.
struct Count<'a>(&'a mut u64);

impl Count<'_> {
    fn one<E: serde::de::Error>(self) -> Result<(), E> {
        *self.0 = self.0.checked_sub(1).ok_or_else(|| E::custom("too many"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.one()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.one()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.one()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.one()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.one()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.one()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        Count(self.0).one()?;
        while items.next_element_seed(Count(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        Count(self.0).one()?;
        while fields.next_key::<IgnoredAny>()?.is_some() {
            fields.next_value_seed(Count(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_after(text: &str, bytes: u64, values: u64) -> Result<Room, Unread> {
        let mut room = Room { bytes, values };
        value(text.as_bytes(), &mut room).map(|_| room)
    }

    #[test]
    fn each_value_and_each_byte_counts() {
        let text = r#"{"a": [0, -1, 1.5, null], "b": {"c": "\n"}, "d": true}"#;
        let length = text.len() as u64;
        assert!(matches!(
            room_after(text, length, 9),
            Ok(Room {
                bytes: 0,
                values: 0
            })
        ));
        assert!(matches!(room_after(text, length, 8), Err(Unread::TooLarge)));
        assert!(matches!(
            room_after(text, length - 1, 9),
            Err(Unread::TooLarge)
        ));
    }

    #[test]
    fn what_is_no_json_says_so() {
        for text in ["", "{", "[1] 2", "{\"a\": nul}"] {
            assert!(
                matches!(room_after(text, 100, 100), Err(Unread::Invalid(_))),
                "{text}"
            );
        }
        let deep = "[".repeat(10_000);
        assert!(matches!(
            room_after(&deep, 20_000, 20_000),
            Err(Unread::Invalid(_))
        ));
    }
}
