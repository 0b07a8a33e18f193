//! A space in JSON, or in any format that knows objects: names to domains, with `"when"` beside a domain's own fields.
//!
//! Predicates are not in it: they stand beside it, as a list of texts.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::Space;
use crate::words::domain::Domain;
use crate::words::value::Value;

/// The field of a parameter that says when it exists.
const WHEN: &str = "when";

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, domain) in self.iter() {
            let conditions: Vec<_> = self.conditions(name).collect();
            if conditions.is_empty() {
                map.serialize_entry(name, domain)?;
                continue;
            }
            let mut fields: Map<String, Json> =
                serde_json::to_value(domain).and_then(serde_json::from_value).map_err(Error::custom)?;
            let mut when = Map::new();
            for (parent, values) in conditions {
                when.insert(parent.to_owned(), serde_json::to_value(values).map_err(Error::custom)?);
            }
            fields.insert(WHEN.to_owned(), Json::Object(when));
            map.serialize_entry(name, &fields)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parameters;
        impl<'de> Visitor<'de> for Parameters {
            type Value = Space;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameter names and domains")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Space, A::Error> {
                let mut space = Space::new();
                while let Some(name) = map.next_key::<String>()? {
                    let of_it = |e: &dyn fmt::Display| A::Error::custom(format!("parameter `{name}`: {e}"));
                    let Fields { fields, when } = map.next_value().map_err(|e| of_it(&e))?;
                    let domain: Domain = serde_json::from_value(Json::Object(fields)).map_err(|e| of_it(&e))?;
                    let when = when.iter().map(|(parent, values)| (parent.as_str(), values.clone()));
                    space = space.with_conditions(name, domain, when).map_err(A::Error::custom)?;
                }
                Ok(space)
            }
        }
        deserializer.deserialize_map(Parameters)
    }
}

/// A parameter's fields, none twice: the domain's, and when it exists.
#[derive(Default)]
struct Fields {
    fields: Map<String, Json>,
    when: Vec<(String, Vec<Value>)>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that describes a parameter")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut found = Fields::default();
                let mut conditional = false;
                while let Some(name) = map.next_key::<String>()? {
                    let new = if name == WHEN {
                        let Parents(when) = map.next_value().map_err(|e| A::Error::custom(format!("`{WHEN}`: {e}")))?;
                        found.when = when;
                        !std::mem::replace(&mut conditional, true)
                    } else {
                        found.fields.insert(name.clone(), map.next_value()?).is_none()
                    };
                    if !new {
                        return Err(A::Error::custom(format!("field `{name}` is given twice")));
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The parents with their values, in order; the space refuses a parent that is listed twice.
struct Parents(Vec<(String, Vec<Value>)>);

impl<'de> Deserialize<'de> for Parents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Parents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parents and lists of values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parents, A::Error> {
                let mut parents = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    parents.push(entry);
                }
                Ok(Parents(parents))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_in_json_names_the_parameter_that_is_wrong() {
        let wrong = r#"{"x":{"type":"float","lo":3,"hi":1}}"#;
        let error = serde_json::from_str::<Space>(wrong).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains("swap"), "{error}");
        assert!(serde_json::from_str::<Space>(r#"{"x":{"type":"bool"},"x":{"type":"bool"}}"#).is_err());
        assert!(serde_json::from_str::<Space>(r#"{"x":{"type":"int","lo":1,"hi":2,"stepp":1}}"#).is_err());
        assert!(serde_json::from_str::<Space>(r#"{"x":{"type":"int","lo":1,"lo":2,"hi":2}}"#).is_err());
    }

    #[test]
    fn conditions_stand_beside_the_domain_and_come_back() {
        let text = concat!(
            r#"{"kind":{"type":"categorical","values":["a","b"]},"on":{"type":"bool"},"#,
            r#""x":{"type":"float","lo":0.0,"hi":1.0,"log":false,"when":{"kind":["b"],"on":[true]}}}"#
        );
        let space: Space = serde_json::from_str(text).unwrap();
        let conditions: Vec<_> = space.conditions("x").collect();
        assert_eq!(conditions, [("kind", &[Value::from("b")][..]), ("on", &[Value::Bool(true)][..])]);
        let written = serde_json::to_string(&space).unwrap();
        assert_eq!(written, text.replace(r#""log":false,"#, ""));
        assert_eq!(serde_json::from_str::<Space>(&written).unwrap(), space);
        for wrong in
            [r#"{"on":[]}"#, r#"{"on":true}"#, r#"{"on":["b"]}"#, r#"{"x":[1]}"#, r#"{"on":[true],"on":[true]}"#, "[]"]
        {
            let text = text.replace(r#"{"kind":["b"],"on":[true]}"#, wrong);
            let error = serde_json::from_str::<Space>(&text).expect_err(wrong).to_string();
            assert!(error.contains("`x`"), "{error}");
        }
    }
}
