//! A value that many owners share in memory.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A value that is in memory only once, however many owners it has: of ten thousand tenants,
/// most are on one network. An owner that changes it gets a copy of its own.
#[derive(Debug, PartialEq)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

/// Reads values from JSON, each distinct text only once: equal texts share a value.
#[derive(Debug)]
pub struct ReadOnce<T> {
    known: HashMap<String, Shared<T>>,
    /// The latest one, because most texts equal the one before.
    last: Option<(String, Shared<T>)>,
}

impl<T> Default for ReadOnce<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            last: None,
        }
    }
}

impl<T: DeserializeOwned> ReadOnce<T> {
    /// Returns the value of a text, or `None` if the text is no such value.
    pub fn read(&mut self, json: &RawValue) -> Option<Shared<T>> {
        let text = json.get();
        if let Some((last, value)) = &self.last
            && last == text
        {
            return Some(value.clone());
        }
        let value = match self.known.get(text) {
            Some(known) => known.clone(),
            None => {
                let value: Shared<T> = serde_json::from_str(text).ok()?;
                self.known.insert(text.to_owned(), value.clone());
                value
            }
        };
        self.last = Some((text.to_owned(), value.clone()));
        Some(value)
    }
}
