//! An object's bytes as reference-counted segments: in memory, or views of a synthetic object. Never copied.

use std::sync::Arc;

use bytes::Bytes;

use super::SyntheticObject;

/// The origin of a segment's bytes.
#[derive(Debug, Clone)]
enum Source {
    Memory(Bytes),
    /// `len` bytes of a synthetic object from `offset` on.
    Synthetic {
        object: SyntheticObject,
        offset: u64,
        len: u64,
    },
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Synthetic { len, .. } => *len,
        }
    }
}

/// Immutable bytes of known length; a clone costs one reference count.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Each segment with its start offset; none is empty.
    segments: Arc<[(u64, Source)]>,
    len: u64,
}

impl Content {
    fn from_sources(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut len = 0;
        let segments = sources
            .into_iter()
            .filter(|source| source.len() > 0)
            .map(|source| {
                let start = len;
                len += source.len();
                (start, source)
            })
            .collect();
        Self { segments, len }
    }

    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self::from_sources([Source::Memory(bytes)])
    }

    pub(crate) fn synthetic(object: SyntheticObject) -> Self {
        Self::from_sources([Source::Synthetic { object, offset: 0, len: object.size() }])
    }

    /// One content after the other.
    pub(crate) fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::from_sources(parts.into_iter().flat_map(|part| part.segments.iter().map(|(_, source)| source.clone())))
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The synthetic object, if these bytes are exactly one.
    pub(crate) fn as_synthetic(&self) -> Option<SyntheticObject> {
        match &*self.segments {
            [(_, Source::Synthetic { object, offset: 0, len })] if *len == object.size() => Some(*object),
            _ => None,
        }
    }

    /// Bytes from `offset` on, at most `max`, possibly fewer; empty only behind the end or when `max` is 0.
    pub(crate) fn slice(&self, offset: u64, max: usize) -> Bytes {
        if offset >= self.len {
            return Bytes::new();
        }
        let index = self.segments.partition_point(|(start, _)| *start <= offset) - 1;
        let (start, source) = &self.segments[index];
        let within = offset - start;
        let max = (source.len() - within).min(max as u64);
        match source {
            Source::Memory(bytes) => bytes.slice(within as usize..(within + max) as usize),
            Source::Synthetic { object, offset, .. } => object.slice(offset + within, max as usize),
        }
    }

    /// The bytes of `range` (half-open, clipped to the content) as a content of its own.
    pub(crate) fn view(&self, range: std::ops::Range<u64>) -> Self {
        let end = range.end.min(self.len);
        Self::from_sources(self.segments.iter().filter_map(|(start, source)| {
            let (from, to) = (range.start.max(*start), end.min(start + source.len()));
            (from < to).then(|| match source {
                Source::Memory(bytes) => Source::Memory(bytes.slice((from - start) as usize..(to - start) as usize)),
                Source::Synthetic { object, offset, .. } => {
                    Source::Synthetic { object: *object, offset: offset + (from - start), len: to - from }
                }
            })
        }))
    }

    /// All bytes in order, in slices of at most `step` bytes.
    pub(crate) fn slices(&self, step: usize) -> impl Iterator<Item = Bytes> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let piece = self.slice(at, step);
            at += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(content: &Content) -> Vec<u8> {
        content.slices(7).flatten().collect()
    }

    #[test]
    fn empty_content_has_no_bytes() {
        let empty = Content::memory(Bytes::new());
        assert_eq!((empty.len(), empty.slice(0, 10).len()), (0, 0));
    }

    proptest! {
        #[test]
        fn views_of_joined_parts_are_what_slices_of_a_vector_are(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6), a in 0..130_usize, b in 0..130_usize
        ) {
            let model: Vec<u8> = parts.concat();
            let contents: Vec<_> = parts.iter().map(|p| Content::memory(Bytes::copy_from_slice(p))).collect();
            let joined = Content::concat(&contents);
            prop_assert_eq!(flat(&joined), model.clone());
            let (a, b) = (a.min(b).min(model.len()), a.max(b).min(model.len()));
            prop_assert_eq!(flat(&joined.view(a as u64..b as u64)), &model[a..b]);
        }

        #[test]
        fn views_of_a_synthetic_object_keep_its_bytes(a in 0..3_000_000_u64, b in 0..3_000_000_u64) {
            let object = SyntheticObject::new(5, 2_500_000);
            let (a, b) = (a.min(b), a.max(b));
            let view = Content::synthetic(object).view(a..b);
            prop_assert_eq!(view.len(), b.min(2_500_000).saturating_sub(a));
            let mut at = a;
            for piece in view.slices(100_000) {
                prop_assert_eq!(object.verify(at, &piece), Ok(()));
                at += piece.len() as u64;
            }
        }
    }
}
