//! The contracts of `Searcher` and `Scheduler` as checks, for the tests of any implementation. This crate's own
//! implementations pass the same checks.
//!
//! A check is a function that returns the breach it found. Public functions panic with that breach.

pub mod scheduler;
pub mod searcher;

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};

/// The words for a breach of a property.
type Breach = String;

/// A property under test: the kind of thing, its name, and the property in words.
struct Property {
    kind: &'static str,
    name: String,
    says: &'static str,
    seed: u64,
}

impl Property {
    /// Panics where the check finds a breach, and where the code under test panics.
    #[track_caller]
    fn assert<T>(self, check: impl FnOnce() -> Result<T, Breach>) -> T {
        let breach = match panic::catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(value)) => return value,
            Ok(Err(breach)) => breach,
            Err(payload) => {
                let said = payload.downcast_ref::<&str>().copied();
                let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                format!("it panicked: {}", said.unwrap_or("no message"))
            }
        };
        let Self { kind, name, says, seed } = self;
        panic!("{kind} `{name}` breaks the property \"{says}\" (seed {seed}): {breach}")
    }
}

/// A breach of `place`, with the words of an error.
fn at(place: impl Display) -> impl FnOnce(&dyn Display) -> Breach {
    move |error| format!("{place}: {error}")
}
