//! [`Merge`]: both sides together, in the order of their names.

use std::cmp::Ordering;
use std::pin::Pin;

use futures::StreamExt;
use futures::stream::{Fuse, Peekable};

use super::side::{Seen, Side, What};
use crate::words::batch::ItemError;

/// A name on one side, or on both.
#[derive(Debug)]
pub(super) enum Pair {
    Source(Seen),
    Target(Seen),
    Both(Seen, Seen),
}

/// Both sides.
pub(super) struct Merge {
    source: Peekable<Fuse<Side>>,
    /// `None`: it does not matter.
    target: Option<Peekable<Fuse<Side>>>,
    /// Whether one side is a folder of files.
    has_folder: bool,
}

impl Merge {
    /// If one side `has_folder`, a folder of the target is not an item of its own if the source has something in it:
    /// such a folder exists on both sides.
    pub(super) fn new(source: Side, target: Option<Side>, has_folder: bool) -> Self {
        let (source, target) = (source.fuse().peekable(), target.map(|target| target.fuse().peekable()));
        Self { source, target, has_folder }
    }

    /// The next name; `None` at the end. Dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    ///
    /// A side cannot be listed. Nothing is known of its later names.
    pub(super) async fn next(&mut self) -> Option<Result<Pair, ItemError>> {
        let Some(target) = &mut self.target else {
            return Some(self.source.next().await?.map(Pair::Source));
        };
        let order = loop {
            let one = Pin::new(&mut self.source).peek().await;
            let other = Pin::new(&mut *target).peek().await;
            break match (one, other) {
                (None, None) => return None,
                (Some(Err(_)), _) => Ordering::Less,
                (_, Some(Err(_))) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // A name that is not text has no counterpart on the other side.
                (Some(Ok(Seen { what: What::NotUtf8 { .. }, .. })), _) => Ordering::Less,
                (_, Some(Ok(Seen { what: What::NotUtf8 { .. }, .. }))) => Ordering::Greater,
                (Some(Ok(one)), Some(Ok(other))) if self.has_folder && is_within(&one.name, &other.name) => {
                    target.next().await;
                    continue;
                }
                (Some(Ok(one)), Some(Ok(other))) => one.name.cmp(&other.name),
            };
        };
        // Both names have arrived, so neither of these waits.
        let taken = match order {
            Ordering::Less => self.source.next().await?.map(Pair::Source),
            Ordering::Greater => target.next().await?.map(Pair::Target),
            Ordering::Equal => {
                let (one, other) = (self.source.next().await?, target.next().await?);
                one.and_then(|one| Ok(Pair::Both(one, other?)))
            }
        };
        Some(taken)
    }
}

/// Whether `name` is below the folder of that name.
fn is_within(name: &str, folder: &str) -> bool {
    folder.ends_with('/') && name.len() > folder.len() && name.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn side(names: &[String]) -> Side {
        let seen = |name: &String| Ok(Seen::object(name.clone(), 0, None, None));
        stream::iter(names.iter().map(seen).collect::<Vec<_>>()).boxed()
    }

    /// All names are there at once.
    fn now(merge: &mut Merge) -> Option<Result<Pair, ItemError>> {
        merge.next().now_or_never().expect("nothing to wait for")
    }

    fn collected(source: &[String], target: Option<&[String]>) -> Vec<(Option<String>, Option<String>)> {
        let mut merge = Merge::new(side(source), target.map(side), false);
        let mut pairs = Vec::new();
        while let Some(pair) = now(&mut merge) {
            pairs.push(match pair.unwrap() {
                Pair::Source(seen) => (Some(seen.name), None),
                Pair::Target(seen) => (None, Some(seen.name)),
                Pair::Both(one, other) => (Some(one.name), Some(other.name)),
            });
        }
        pairs
    }

    proptest! {
        #[test]
        fn every_name_comes_once_beside_its_like(
            source in proptest::collection::btree_set("[ab/]{1,3}", 0..8),
            target in proptest::collection::btree_set("[ab/]{1,3}", 0..8),
        ) {
            let (one, other): (Vec<_>, Vec<_>) = (source.iter().cloned().collect(), target.iter().cloned().collect());
            let expected: Vec<_> = source
                .union(&target)
                .map(|name| (source.get(name).cloned(), target.get(name).cloned()))
                .collect();
            prop_assert_eq!(collected(&one, Some(&other)), expected);
            prop_assert_eq!(collected(&one, None).len(), one.len());
        }
    }

    #[test]
    fn an_empty_folder_of_the_target_is_not_missing_where_the_source_has_something_in_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (source, target) = (names(&["a/b/x", "c/", "e/x"]), names(&["a/", "a/b/", "b/", "c/", "e/x", "f/"]));
        for (has_folder, wanted) in [(true, vec!["b/", "f/"]), (false, vec!["a/", "a/b/", "b/", "f/"])] {
            let mut merge = Merge::new(side(&source), Some(side(&target)), has_folder);
            let mut only_there = Vec::new();
            while let Some(pair) = now(&mut merge) {
                if let Pair::Target(seen) = pair.unwrap() {
                    only_there.push(seen.name);
                }
            }
            assert_eq!(only_there, wanted);
        }
    }

    #[test]
    fn an_error_is_told_before_what_might_be_behind_it() {
        let error = ItemError::Unlisted { path: "x".into(), source: std::io::ErrorKind::Other.into() };
        let source = stream::iter([Ok(Seen::object("a".to_owned(), 0, None, None)), Err(error)]).boxed();
        let mut merge = Merge::new(source, Some(side(&["b".to_owned(), "c".to_owned()])), false);
        assert!(matches!(now(&mut merge), Some(Ok(Pair::Source(_)))));
        assert!(matches!(now(&mut merge), Some(Err(_))));
    }
}
