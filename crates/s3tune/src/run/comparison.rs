//! `comparison.jsonl`: the downloads of the final comparison. Each is written before the next begins, so that an
//! interrupted comparison can continue, and a finished one is not repeated.
//!
//! A line holds the compared arms, the end of the search, or the time of a download. Later arms begin a new comparison;
//! the downloads of earlier comparisons stay in the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::arms::{Arm, Role};
use crate::failure::Failure;

/// The file's name.
pub(crate) const NAME: &str = "comparison.jsonl";
/// The version in each line with arms.
const SCHEMA: u32 = 1;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Arms { schema: u32, arms: Vec<Arm> },
    Search(SearchEnd),
    Download { arm: usize, at_s: f64, seconds: f64 },
}

/// The end of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SearchEnd {
    /// The limit that ended it, by the name of its flag.
    pub(crate) stopped_by: String,
    /// Its wall-clock seconds, all sessions together.
    pub(crate) seconds: f64,
}

/// A timed and checked download of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Download {
    /// One of [`Comparison::arms`].
    pub(crate) arm: usize,
    /// When it ended, in seconds since the search began.
    pub(crate) at_s: f64,
    /// Its duration.
    pub(crate) seconds: f64,
}

/// Arms, and their measurements.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) arms: Vec<Arm>,
    /// In the order in which they were made.
    pub(crate) downloads: Vec<Download>,
}

impl Comparison {
    /// The seconds of each download of the arm with this role, round by round.
    pub(crate) fn samples(&self, role: Role) -> Vec<f64> {
        let arm = self.arms.iter().position(|arm| arm.roles.contains(&role));
        self.downloads.iter().filter(|one| Some(one.arm) == arm).map(|one| one.seconds).collect()
    }

    /// The arm with this role.
    pub(crate) fn arm(&self, role: Role) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.roles.contains(&role))
    }

    /// Rounds in which every arm was measured.
    pub(crate) fn rounds(&self) -> usize {
        self.downloads.len().checked_div(self.arms.len()).unwrap_or(0)
    }
}

/// The content of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    /// The comparisons before the last one.
    pub(crate) earlier: Vec<Comparison>,
    /// The last one.
    pub(crate) last: Option<Comparison>,
    /// The end of the search before it.
    pub(crate) search: Option<SearchEnd>,
    /// The bytes of the complete lines; later bytes belong to an incomplete line.
    whole_bytes: usize,
}

impl Contents {
    /// Reads the file in `folder`; without a file, the content is empty.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] for a file that cannot be read, or is damaged.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::work(&format!("read {}", path.display()), &error)),
        };
        Self::parse(&text).map_err(|(line, why)| {
            let path = path.display();
            Failure::Work(format!(
                "{path} is damaged in line {line}: {why}; remove it, and the run's command with --out {} makes the \
                 comparison again",
                folder.display()
            ))
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut this = Self::default();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let wrong = |why: String| (index + 1, why);
            // A process that was killed leaves a line without an end.
            let Some(whole) = line.strip_suffix('\n') else { break };
            match serde_json::from_str(whole).map_err(|error| wrong(error.to_string()))? {
                Line::Arms { schema: SCHEMA, arms } if !arms.is_empty() => {
                    this.earlier.extend(this.last.take());
                    this.last = Some(Comparison { arms, downloads: Vec::new() });
                }
                Line::Arms { schema: SCHEMA, .. } => return Err(wrong("a comparison without arms".to_owned())),
                Line::Arms { schema, .. } => {
                    return Err(wrong(format!("schema {schema} is not known to this version, which reads {SCHEMA}")));
                }
                Line::Search(end) => this.search = Some(end),
                Line::Download { arm, at_s, seconds } => {
                    let last = this.last.as_mut().ok_or_else(|| wrong("a download before any arms".to_owned()))?;
                    if arm >= last.arms.len() || !(seconds > 0.0 && seconds.is_finite() && at_s.is_finite()) {
                        return Err(wrong(format!("arm {arm} in {seconds} s at {at_s} s is not a download")));
                    }
                    last.downloads.push(Download { arm, at_s, seconds });
                }
            }
            this.whole_bytes += line.len();
        }
        Ok(this)
    }
}

/// The file, open for the comparison of certain arms.
#[derive(Debug)]
pub(crate) struct ComparisonFile {
    path: PathBuf,
    file: File,
    contents: Contents,
}

impl ComparisonFile {
    /// Opens or creates the file in `folder`, for a comparison of `arms` after a search with this end. Earlier
    /// measurements of the same arms count.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] for a file that is damaged or cannot be written.
    pub(crate) fn open(folder: &Path, arms: &[Arm], search: &SearchEnd) -> Result<Self, Failure> {
        let contents = Contents::read(folder)?;
        let path = folder.join(NAME);
        let failed = |error: &io::Error| Failure::work(&format!("write {}", path.display()), error);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(|error| failed(&error))?;
        file.set_len(contents.whole_bytes as u64).map_err(|error| failed(&error))?;
        let mut this = Self { path, file, contents };
        if this.contents.last.as_ref().is_none_or(|last| last.arms != arms) {
            this.append(&Line::Arms { schema: SCHEMA, arms: arms.to_vec() })?;
            this.contents.earlier.extend(this.contents.last.take());
            this.contents.last = Some(Comparison { arms: arms.to_vec(), downloads: Vec::new() });
        }
        if this.contents.search.as_ref() != Some(search) {
            this.append(&Line::Search(search.clone()))?;
            this.contents.search = Some(search.clone());
        }
        Ok(this)
    }

    /// The measurements so far.
    pub(crate) fn comparison(&self) -> &Comparison {
        self.contents.last.as_ref().expect("an open file has arms")
    }

    /// Appends a download.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] if the write fails; the file is unchanged.
    pub(crate) fn add(&mut self, download: Download) -> Result<(), Failure> {
        let Download { arm, at_s, seconds } = download;
        self.append(&Line::Download { arm, at_s, seconds })?;
        self.contents.last.as_mut().expect("an open file has arms").downloads.push(download);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<(), Failure> {
        let text = serde_json::to_string(line).expect("a line of finite numbers and texts serialises") + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // The error above is returned; the next reader of the file drops a torn line.
            let _ = self.file.set_len(self.contents.whole_bytes as u64);
            return Err(Failure::work(&format!("write {}", self.path.display()), &error));
        }
        self.contents.whole_bytes += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tunekit::Config;

    use super::*;

    fn arms(best: i64) -> Vec<Arm> {
        let arm = |role, value: i64| Arm { roles: vec![role], trial: None, config: Config::new().with("n", value) };
        vec![arm(Role::Baseline, 10), arm(Role::EngineDefault, 32), arm(Role::Best, best)]
    }

    fn end() -> SearchEnd {
        SearchEnd { stopped_by: "max_trials".to_owned(), seconds: 3.5 }
    }

    fn download(arm: usize, seconds: f64) -> Download {
        Download { arm, at_s: 4.0, seconds }
    }

    #[test]
    fn a_comparison_goes_on_where_it_was_cut_off_and_a_torn_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ComparisonFile::open(folder.path(), &arms(64), &end()).unwrap();
        file.add(download(0, 1.5)).unwrap();
        file.add(download(1, 0.5)).unwrap();
        drop(file);
        let path = folder.path().join(NAME);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.clone() + "{\"line\":\"down").unwrap();
        let mut file = ComparisonFile::open(folder.path(), &arms(64), &end()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        file.add(download(2, 0.4)).unwrap();
        let read = Contents::read(folder.path()).unwrap();
        assert_eq!(read.last.as_ref(), Some(file.comparison()));
        assert_eq!((file.comparison().rounds(), file.comparison().samples(Role::EngineDefault)), (1, vec![0.5]));
        assert_eq!((read.search, read.earlier.len()), (Some(end()), 0));
    }

    #[test]
    fn other_arms_begin_anew_and_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ComparisonFile::open(folder.path(), &arms(64), &end()).unwrap();
        file.add(download(2, 1.5)).unwrap();
        drop(file);
        let file = ComparisonFile::open(folder.path(), &arms(65), &end()).unwrap();
        assert!(file.comparison().downloads.is_empty());
        let read = Contents::read(folder.path()).unwrap();
        assert_eq!(read.earlier[0].samples(Role::Best), [1.5]);
        assert_eq!(read.last.unwrap().arms, arms(65));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let good = r#"{"line":"arms","schema":1,"arms":[{"roles":["best"],"config":{"n":1}}]}"#;
        for (line, says) in [
            ("nonsense", "line 2"),
            (r#"{"line":"download","arm":1,"at_s":1,"seconds":1}"#, "arm 1"),
            (r#"{"line":"download","arm":0,"at_s":1,"seconds":0}"#, "0 s"),
            (r#"{"line":"arms","schema":9,"arms":[]}"#, "schema 9"),
            (r#"{"line":"arms","schema":1,"arms":[]}"#, "without arms"),
        ] {
            fs::write(folder.path().join(NAME), format!("{good}\n{line}\n")).unwrap();
            let says_all = Contents::read(folder.path()).unwrap_err().line();
            assert!(says_all.contains(says) && says_all.contains("comparison.jsonl"), "{says_all}");
            assert!(says_all.contains(&format!("--out {} makes", folder.path().display())), "{says_all}");
        }
    }
}
