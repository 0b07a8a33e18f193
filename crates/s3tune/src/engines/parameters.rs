//! The knobs of an engine file: their domains, the searched knobs, and the conditions under which the engine ignores a
//! knob.

use tunekit::{Domain, Space, Value};

use super::Knob;

/// A knob and its domain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) knob: Knob,
    pub(super) domain: Domain,
    /// Whether it is in the engine's own space.
    pub(super) is_searched: bool,
    /// The share of the object, from 0 to 1, to which its upper bound is lowered, but not below the default.
    pub(super) at_most_of_object: Option<f64>,
}

/// Knobs without effect while others have these values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ignored {
    pub(super) knobs: Vec<String>,
    pub(super) when: Vec<(String, Value)>,
    pub(super) because: String,
}

/// All knobs of an engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters {
    pub(super) all: Vec<Parameter>,
    pub(super) ignored: Vec<Ignored>,
}

impl Parameters {
    pub(super) fn find(&self, name: &str) -> Option<&Parameter> {
        self.all.iter().find(|parameter| parameter.knob.name == name)
    }

    /// The default space for an object of this size.
    pub(super) fn space(&self, object_bytes: u64) -> Space {
        let searched = self.all.iter().filter(|parameter| parameter.is_searched);
        searched.fold(Space::new(), |space, parameter| {
            space.with(&parameter.knob.name, parameter.domain_for(object_bytes)).expect("the names of a table differ")
        })
    }

    /// The fault of a search over `space`: a parameter that the engine lacks, values of another kind, or a knob that
    /// the engine would ignore.
    pub(super) fn fault(&self, space: &Space) -> Option<String> {
        if space.is_empty() {
            return Some("there is no parameter to search; give at least one".to_owned());
        }
        for (name, domain) in space.iter() {
            let Some(own) = self.find(name) else {
                let names: Vec<&str> = self.all.iter().map(|parameter| parameter.knob.name.as_str()).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Some(format!("{name} is not a parameter of the engine; its parameters: {names}"));
            };
            if !takes(&own.domain, domain) {
                return Some(format!("{name} must be {}, not {}", kind(&own.domain), domain.allows()));
            }
        }
        self.ignored.iter().find_map(|rule| {
            let knob = rule.knobs.iter().find(|name| space.domain(name).is_some())?;
            let holds = rule.when.iter().all(|(name, value)| self.is_always(space, name, value));
            let when: Vec<String> = rule.when.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let when = when.join(" and ");
            holds.then(|| {
                format!("{knob} is ignored with {when}: {}; leave it out of the space, or change {when}", rule.because)
            })
        })
    }

    /// Whether every configuration of `space` has this value.
    fn is_always(&self, space: &Space, name: &str, value: &Value) -> bool {
        match space.domain(name) {
            Some(domain) => domain.count() == Some(1) && domain.conform(value).is_some(),
            None => self.find(name).and_then(|own| own.knob.default.as_ref()) == Some(value),
        }
    }
}

impl Parameter {
    fn domain_for(&self, object_bytes: u64) -> Domain {
        let (Some(part), Some(unit)) = (self.at_most_of_object, self.knob.unit_bytes) else {
            return self.domain.clone();
        };
        let most = object_bytes as f64 * part / unit as f64;
        let default = self.knob.default.as_ref().and_then(Value::as_f64).unwrap_or(f64::INFINITY);
        let most = most.max(default);
        let lowered = match &self.domain {
            Domain::Int(int) => Domain::int(int.lo(), int.hi().min(most as i64))
                .and_then(|lowered| lowered.step(int.step_size() as f64))
                .and_then(|lowered| if int.is_log() { lowered.log() } else { Ok(lowered) }),
            Domain::Float(float) => Domain::float(float.lo(), float.hi().min(most))
                .and_then(|lowered| float.step_size().map_or(Ok(lowered.clone()), |step| lowered.step(step)))
                .and_then(|lowered| if float.is_log() { lowered.log() } else { Ok(lowered) }),
            other => Ok(other.clone()),
        };
        lowered.expect("a domain between its lower bound and a value of its own")
    }
}

/// The kind of a domain's values, in words.
fn kind(domain: &Domain) -> &'static str {
    match domain {
        Domain::Int(_) => "a whole number",
        Domain::Float(_) => "a number",
        Domain::Bool => "true or false",
        Domain::Categorical(choices) | Domain::Ordinal(choices) => choices.values().first().map_or("a text", of_value),
        _ => "a value",
    }
}

fn of_value(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::Int(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Text(_) => "a text",
    }
}

/// Whether an engine whose values are from `own` understands the values of `given`; their size is the user's choice.
fn takes(own: &Domain, given: &Domain) -> bool {
    let fits = |is: &str| kind(own) == is || (kind(own) == "a number" && is == "a whole number");
    match given {
        Domain::Categorical(choices) | Domain::Ordinal(choices) => choices.values().iter().map(of_value).all(fits),
        other => fits(kind(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let parameter = |name: &str, domain: Domain, default: Value, part: Option<f64>| Parameter {
            knob: Knob {
                name: name.to_owned(),
                default: Some(default),
                meaning: String::new(),
                boto3: None,
                unit_bytes: part.map(|_| 1 << 20),
            },
            domain,
            is_searched: name != "client",
            at_most_of_object: part,
        };
        let all = vec![
            parameter("threads", Domain::int(1, 64).unwrap().log().unwrap(), 8.into(), None),
            parameter("part", Domain::int(1, 1024).unwrap().log().unwrap(), 50.into(), Some(0.25)),
            parameter("client", Domain::categorical(["slow", "fast"]).unwrap(), "slow".into(), None),
        ];
        let ignored = Ignored {
            knobs: vec!["threads".to_owned()],
            when: vec![("client".to_owned(), "fast".into())],
            because: "it counts for itself".to_owned(),
        };
        Parameters { all, ignored: vec![ignored] }
    }

    #[test]
    fn an_upper_bound_follows_the_object_down_to_the_default() {
        let most = |bytes: u64| match parameters().space(bytes).domain("part") {
            Some(Domain::Int(int)) => (int.hi(), int.is_log()),
            other => panic!("{other:?}"),
        };
        assert_eq!(most(400 << 20), (100, true));
        assert_eq!(most(8 << 20), (50, true));
        assert_eq!(most(u64::MAX), (1024, true));
        assert!(parameters().space(1).domain("client").is_none());
    }

    #[test]
    fn a_space_must_hold_what_the_engine_has_and_heeds() {
        let fault = |text: &str| parameters().fault(&toml::from_str(text).unwrap());
        assert_eq!(fault("threads = { type = 'int', lo = 1, hi = 1000 }"), None);
        assert_eq!(fault("threads = { type = 'ordinal', values = [1, 4] }"), None);
        assert_eq!(fault("client = { type = 'categorical', values = ['fast'] }"), None);
        // Not always ignored.
        let both =
            "threads = { type = 'int', lo = 1, hi = 9 }\nclient = { type = 'categorical', values = ['slow', 'fast'] }";
        assert_eq!(fault(both), None);
        for (text, says) in [
            ("", "no parameter"),
            (
                "speed = { type = 'bool' }",
                "speed is not a parameter of the engine; its parameters: threads, part, client",
            ),
            ("threads = { type = 'float', lo = 1, hi = 9 }", "threads must be a whole number"),
            ("threads = { type = 'categorical', values = [1, 'a'] }", "threads must be a whole number"),
            ("client = { type = 'bool' }", "client must be a text"),
            (
                "threads = { type = 'int', lo = 1, hi = 9 }\nclient = { type = 'categorical', values = ['fast'] }",
                "threads is ignored with client = fast: it counts for itself",
            ),
        ] {
            let fault = fault(text).unwrap_or_default();
            assert!(fault.contains(says), "{text}: {fault}");
        }
        let mut fast = parameters();
        fast.all[2].knob.default = Some("fast".into());
        assert!(fast.fault(&fast.space(1)).unwrap().contains("threads is ignored"));
    }
}
