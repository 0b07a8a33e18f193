//! The path below a folder that a key stands for.
//!
//! A path cannot leave the folder, and no two keys have the same path. A key that would break this is an error before
//! anything is written for it. Keys come in byte order, as S3 lists them (API reference, "ListObjectsV2": general
//! purpose buckets). Without that order a key that is both file and folder is left to the file system, which refuses
//! it, too.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::words::names::NameError;

/// The path of a key below the folder: names with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relative {
    File(String),
    /// A key that ends with `/`; an empty path is the folder itself.
    Folder(String),
}

impl Relative {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }
}

/// The properties of a folder's file system that matter for names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FolderRules {
    /// Most bytes of a name.
    pub(crate) name_max: usize,
    /// Whether names that differ in case only are the same.
    pub(crate) ignores_case: bool,
    /// Whether downloads leave temporary files that a later one continues.
    pub(crate) keeps_temporary_files: bool,
}

/// The keys so far with which later keys can conflict.
///
/// Memory: the path of a file only while keys that begin with it come, so at most as many as a key has bytes; where
/// case is ignored, 16 bytes a key besides.
#[derive(Debug)]
pub(crate) struct Names {
    rules: FolderRules,
    files: Vec<String>,
    folded: HashSet<u64>,
}

/// A prefix as a folder: nothing, or something that ends with `/`.
pub(crate) fn as_folder(prefix: &str) -> String {
    match prefix {
        "" => String::new(),
        prefix if prefix.ends_with('/') => prefix.to_owned(),
        prefix => format!("{prefix}/"),
    }
}

/// The path of `key` below `prefix`, which is empty or ends with `/` and is the key's beginning.
///
/// # Errors
///
/// [`NameError`]: there is none, or it would leave the folder.
pub(crate) fn relative(prefix: &str, key: &str, name_max: usize) -> Result<Relative, NameError> {
    let rest = key.strip_prefix(prefix).unwrap_or(key);
    if rest.is_empty() {
        return Ok(Relative::Folder(String::new()));
    }
    if rest.contains('\0') {
        return Err(NameError::Nul);
    }
    if rest.starts_with('/') {
        return Err(NameError::Absolute);
    }
    let folder = rest.strip_suffix('/');
    let path = folder.unwrap_or(rest);
    for segment in path.split('/') {
        match segment {
            "" => return Err(NameError::EmptySegment),
            "." | ".." => return Err(NameError::Dots { segment: segment.to_owned() }),
            name if name.len() > name_max => {
                return Err(NameError::TooLong { bytes: name.len(), most: name_max });
            }
            _ => {}
        }
    }
    Ok(match folder {
        Some(path) => Relative::Folder(path.to_owned()),
        None => Relative::File(path.to_owned()),
    })
}

impl Names {
    pub(crate) fn new(rules: FolderRules) -> Self {
        Self { rules, files: Vec::new(), folded: HashSet::new() }
    }

    /// The path of the next key, which has so many bytes.
    ///
    /// # Errors
    ///
    /// [`NameError`]; the key counts for nothing then.
    pub(crate) fn next(&mut self, prefix: &str, key: &str, bytes: u64) -> Result<Relative, NameError> {
        let relative = relative(prefix, key, self.rules.name_max)?;
        if matches!(relative, Relative::Folder(_)) && bytes > 0 {
            return Err(NameError::FolderWithBytes { bytes });
        }
        if self.rules.keeps_temporary_files && is_temporary(relative.path()) {
            return Err(NameError::Reserved);
        }
        self.clash(&relative)?;
        if self.rules.ignores_case && !self.folded.insert(folded(&relative)) {
            return Err(NameError::SameButForCase);
        }
        if let Relative::File(path) = &relative {
            self.files.push(path.clone());
        }
        Ok(relative)
    }

    /// Forgets the files that no later key can be below; of the others, none may be a folder.
    fn clash(&mut self, relative: &Relative) -> Result<(), NameError> {
        let path = match relative {
            Relative::File(path) => path.clone(),
            Relative::Folder(path) => format!("{path}/"),
        };
        while self.files.pop_if(|file| !path.starts_with(file.as_str())).is_some() {}
        match self.files.iter().find(|file| path[file.len()..].starts_with('/')) {
            Some(file) => Err(NameError::BelowFile { file: file.clone() }),
            None => Ok(()),
        }
    }
}

/// A hash of 64 bits that ignores the case. With a million keys, two different keys collide in one of 37 million runs.
fn folded(relative: &Relative) -> u64 {
    let mut hasher = DefaultHasher::new();
    relative.path().to_lowercase().hash(&mut hasher);
    hasher.finish()
}

/// The names of files that downloads have not finished, or leave for the next one.
pub(crate) fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((_, ending)) = name.strip_prefix('.').and_then(|name| name.rsplit_once(".s3xfer")) else { return false };
    let numbers = |ending: &str| ending.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    matches!(ending, "" | "-journal" | "-journal-new") || ending.starts_with('-') && numbers(ending)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    const RULES: FolderRules = FolderRules { name_max: 255, ignores_case: false, keeps_temporary_files: false };

    fn file(path: &str) -> Result<Relative, NameError> {
        Ok(Relative::File(path.to_owned()))
    }

    #[test]
    fn a_key_is_its_path_below_the_prefix() {
        assert_eq!(relative("", "a/b", 255), file("a/b"));
        assert_eq!(relative("a/", "a/b c/é", 255), file("b c/é"));
        assert_eq!(relative("a/", "a/", 255), Ok(Relative::Folder(String::new())));
        assert_eq!(relative("a/", "a/b/", 255), Ok(Relative::Folder("b".to_owned())));
        assert_eq!(relative("", "...", 255), file("..."));
        assert_eq!([as_folder(""), as_folder("a"), as_folder("a/")], ["", "a/", "a/"]);
    }

    #[test]
    fn keys_that_would_leave_the_folder_are_refused() {
        for (key, error) in [
            ("p//a", NameError::Absolute),
            ("p//", NameError::Absolute),
            ("p/a//b", NameError::EmptySegment),
            ("p/a//", NameError::EmptySegment),
            ("p/../a", NameError::Dots { segment: "..".to_owned() }),
            ("p/a/..", NameError::Dots { segment: "..".to_owned() }),
            ("p/a/../", NameError::Dots { segment: "..".to_owned() }),
            ("p/./a", NameError::Dots { segment: ".".to_owned() }),
            ("p/a\0b", NameError::Nul),
        ] {
            assert_eq!(relative("p/", key, 255), Err(error), "{key}");
        }
        let long = "é".repeat(128);
        assert_eq!(relative("", &long, 255), Err(NameError::TooLong { bytes: 256, most: 255 }));
        assert!(relative("", &"é".repeat(127), 255).is_ok());
    }

    #[test]
    fn a_key_is_a_file_or_a_folder() {
        let mut names = Names::new(RULES);
        for key in ["a", "a b/c", "a.txt"] {
            assert!(names.next("", key, 1).is_ok(), "{key}");
        }
        let below = NameError::BelowFile { file: "a".to_owned() };
        assert_eq!(names.next("", "a/", 0), Err(below.clone()));
        assert_eq!(names.next("", "a/b", 1), Err(below.clone()));
        assert_eq!(names.next("", "a/b/c/d", 1), Err(below));
        assert!(names.next("", "a0", 1).is_ok());
        assert!(names.next("", "b/", 0).is_ok());
        assert!(names.next("", "b/c", 0).is_ok());
        assert_eq!(names.next("", "c/", 7), Err(NameError::FolderWithBytes { bytes: 7 }));
    }

    #[test]
    fn case_matters_where_the_file_system_says_so() {
        let mut names = Names::new(RULES);
        assert!(names.next("", "A/x", 1).is_ok() && names.next("", "a/x", 1).is_ok());
        let mut names = Names::new(FolderRules { ignores_case: true, ..RULES });
        assert!(names.next("", "A/x", 1).is_ok() && names.next("", "a/y", 1).is_ok());
        assert_eq!(names.next("", "a/X", 1), Err(NameError::SameButForCase));
        assert!(names.next("", "É", 1).is_ok());
        assert_eq!(names.next("", "é", 1), Err(NameError::SameButForCase));
    }

    #[test]
    fn temporary_names_are_kept_for_downloads_that_are_continued() {
        let mut names = Names::new(FolderRules { keeps_temporary_files: true, ..RULES });
        assert_eq!(names.next("", "x/.a.s3xfer-journal", 1), Err(NameError::Reserved));
        assert!(names.next("", "x/a.s3xfer", 1).is_ok());
        for name in [".a.s3xfer", "b/.a.s3xfer-journal-new", ".a.s3xfer-4194304-9999", ".~0a.s3xfer-1-0"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in ["a.s3xfer", ".a.s3xfer/b", ".a.s3xfer-notes", ".a.s3xfer.txt", ".a"] {
            assert!(!is_temporary(name), "{name}");
        }
        assert!(Names::new(RULES).next("", ".a.s3xfer", 1).is_ok());
    }

    fn odd_key() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            Just(String::new()),
            Just(".".to_owned()),
            Just("..".to_owned()),
            "[ab.]{1,3}",
            any::<String>(),
        ];
        (proptest::collection::vec(segment, 1..6), any::<bool>()).prop_map(|(segments, folder)| {
            let key = segments.join("/");
            if folder { key + "/" } else { key }
        })
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_folder(key in odd_key()) {
            prop_assume!(!key.is_empty());
            if let Ok(relative) = relative("", &key, 255) {
                let path = Path::new(relative.path());
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", path);
                prop_assert!(!relative.path().contains('\0'));
                let folder = matches!(relative, Relative::Folder(_));
                prop_assert_eq!(if folder { format!("{}/", relative.path()) } else { relative.path().to_owned() }, key);
            }
        }

        #[test]
        fn keys_in_order_that_are_let_in_make_a_tree(keys in proptest::collection::btree_set("[ab/ .]{1,6}", 1..20)) {
            let mut names = Names::new(RULES);
            let mut files = BTreeSet::new();
            for key in &keys {
                let let_in = names.next("", key, 0);
                let Ok(relative) = relative("", key, 255) else { continue };
                let path = match &relative {
                    Relative::File(path) => path.clone(),
                    Relative::Folder(path) => format!("{path}/"),
                };
                let below = files.iter().any(|file: &String| path.starts_with(&format!("{file}/")));
                prop_assert_eq!(let_in.is_err(), below, "{} after {:?}", key, files);
                if let (Ok(_), Relative::File(path)) = (let_in, relative) {
                    files.insert(path);
                }
            }
        }
    }
}
