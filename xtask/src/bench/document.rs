//! The document with the tables: a section between markers is replaced, and everything else stays unchanged.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::BENCH;
use super::workloads::{self, MOVES};

/// The document as it is, or as it begins.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn read(path: &Path) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(empty()),
        Err(error) => Err(format!("failed to read {}: {error}", path.display())),
    }
}

/// Columns of a document's line.
const MAX_COLUMNS: usize = 120;

/// Before the first run.
fn empty() -> String {
    let mut text = String::from(HEAD);
    for name in [workloads::names(), MOVES.to_vec()].concat() {
        text += &format!("\n{}\n{}\n", begin(BENCH, name), end(name));
    }
    text + TUNE_HEAD + ANSWER_HEAD
}

/// Question, method and caveats: the knowledge that a reader needs before the first figure.
const HEAD: &str = "\
# Benchmarks

This command measures the speed of transfers and their cost on your machine, and replaces the sections below:

```sh
cargo xtask bench transfer            # everything; two hours
cargo xtask bench transfer --quick --only file-3g
```

How to read the tables:

- Every engine runs as a process of its own, with its defaults, against the same server on the same machine. Engines
  take turns, and each round begins with another one. Figures are medians over rounds.
- *CPU* is user and system time of the client alone, *peak* the most memory it held. The server's work is not included,
  but it shares the processors: on few cores, a client that computes less leaves the server more.
- *ceiling* is not a client: it sends ranged GETs by hand on eight blocking sockets, without signature or check. Ratios
  to it are taken within a round, so they do not depend on changes of the machine's pace.
- Every byte of every file is compared with the object after the clock has stopped. A run that is wrong or fails is
  named under its table and not averaged. For downloads into nothing, the engine's own count of bytes is compared.
- Loopback has no distance and no loss, so these are costs per byte and per request, not speeds of a network. The
  emulated network shows the use of the link. Files are on a memory file system where there is room.
- `s3xfer-sdk-http` is our engine over the SDK's HTTP client. `sdk-ranged` is aws-sdk-s3 with 8 ranges of 16 MiB at
  once, `sdk-stream` one GET. `tm` is aws-sdk-s3-transfer-manager. object_store and opendal fetch 8 ranges of 8 MiB at
  once. Engines that do not choose a number of objects themselves fetch 64 small objects at once. All Rust engines are
  one program, built with thin LTO.
- Uploads, folders, listings and syncs are measured with the programs `s3tune`, `s5cmd`, `rclone` and `aws`, and with
  boto3 in a script. They run with their defaults, and the time includes start-up. Their results are compared with the
  source, as those of downloads are.
";

/// The same for searchers; their sections follow it.
const TUNE_HEAD: &str = "
# Searchers

This command measures the regret of each searcher after few measurements, and the CPU time of a suggestion:

```sh
cargo xtask bench tune                # every searcher; some minutes
cargo xtask bench tune --quick --searchers random,gp --batch 4
```

How to read the tables:

- Every run is a `tunekit serve` of its own, driven over pipes: 50 trials, minimised, with no information about the
  function but its space. A seed fixes the noise, which is the same for every searcher.
- Regret is the value without noise, less the function's least value. Tables give the median of its log10 over seeds,
  with a bootstrap interval of 95 %. *best* is the regret of the engine's recommendation, *lowest observation* that of
  the lowest value in the log.
- Ranks are those of the medians, 1 the lowest; regrets below 1e-3 are equal.
- Functions are written from their published formulae (`xtask/src/bench/tune/`). An optimum at the centre of the space
  is moved away from it. Functions with *n* at the end of their name, and *transfer*, have noise: of 5 % (branin2n,
  hartmann6n, transfer), else of a constant size. Those with *mix* or *cat*, and *transfer*, also have integers, choices
  or truth values.
- Four at a time: trials end in a seeded random order, and each result is told as it arrives. The ratio compares the
  numbers of results until the median regret is as low, over the second half of the run.
- CPU time is the user and system time of the engine's process for one ask and one tell, JSON included: the mean of up
  to 24 rounds after *n* random results.
";

/// The same for s3tune; its sections follow it.
const ANSWER_HEAD: &str = "
# Recommendations

This command measures the configurations that s3tune recommends:

```sh
cargo xtask bench answer              # everything; an hour and a half
cargo xtask bench answer --quick --only flat
```
";

/// The text with the section `name` of a bench replaced, or appended where the document has no place for it. Lines of
/// the section are broken at 120 columns, those of tables and code are not.
///
/// # Errors
/// When a section begins and does not end.
pub(super) fn with_section(text: &str, bench: &str, name: &str, section: &str) -> Result<String, String> {
    let (begin, end) = (begin(bench, name), end(name));
    let section = format!("{begin}\n{}\n{end}\n", wrapped(section.trim_end()));
    let Some(start) = text.find(&begin) else {
        return Ok(format!("{}\n\n{section}", text.trim_end()));
    };
    let stop = text[start..].find(&end).map(|at| start + at + end.len());
    let stop = stop.ok_or_else(|| format!("`{begin}` has no `{end}` after it; mend the document"))?;
    Ok(format!("{}{}{}", &text[..start], section.trim_end(), &text[stop..]))
}

fn wrapped(section: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_code = false;
    for line in section.lines() {
        is_code ^= line.starts_with("```");
        if is_code || line.starts_with('|') || line.chars().count() <= MAX_COLUMNS {
            lines.push(line.to_owned());
            continue;
        }
        let mut open = String::new();
        for word in line.split(' ') {
            if !open.is_empty() && open.chars().count() + 1 + word.chars().count() > MAX_COLUMNS {
                lines.push(std::mem::take(&mut open));
            }
            if !open.is_empty() {
                open.push(' ');
            }
            open += word;
        }
        lines.push(open);
    }
    lines.join("\n")
}

fn begin(bench: &str, name: &str) -> String {
    format!("<!-- bench {bench}: {name} -->")
}

fn end(name: &str) -> String {
    format!("<!-- end of {name} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_its_neighbours_stay() {
        let first = with_section(&empty(), BENCH, "file-3g", "## A\n").unwrap();
        let second = with_section(&first, BENCH, "null-3g", "## B").unwrap();
        let third = with_section(&second, BENCH, "file-3g", "## C, longer\n\nthan A\n").unwrap();
        assert_eq!(third, second.replace("## A", "## C, longer\n\nthan A"));
        assert!(third.starts_with(HEAD) && third.find("## C") < third.find("## B"));
    }

    #[test]
    fn long_lines_are_broken_and_rows_are_not() {
        let (row, code) = (format!("|{}|", " a |".repeat(50)), format!("```\n{}\n```", "code ".repeat(30)));
        let text = with_section("# Old\n", BENCH, "size", &format!("{}\n{row}\n{code}", "word ".repeat(60))).unwrap();
        assert!(text.contains(&row) && text.contains(&code), "{text}");
        let longest = text.lines().filter(|line| line.starts_with("word")).map(str::len).max();
        assert_eq!(longest, Some(119));
        assert_eq!(text.matches("word").count(), 60);
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let once = with_section(&empty(), BENCH, "size", "## A\n").unwrap();
        assert_eq!(with_section(&once, BENCH, "size", "## A\n").unwrap(), once);
    }

    #[test]
    fn a_document_of_older_times_gets_the_section_at_its_end() {
        let text = with_section("# Old\n", BENCH, "size", "## A").unwrap();
        assert_eq!(text, format!("# Old\n\n{}\n## A\n{}\n", begin(BENCH, "size"), end("size")));
    }

    #[test]
    fn a_section_without_end_is_an_error_and_swallows_nothing() {
        let error = with_section(&format!("{}\nprose", begin(BENCH, "size")), BENCH, "size", "x").unwrap_err();
        assert!(error.contains("mend the document"), "{error}");
    }
}
