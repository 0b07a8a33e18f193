//! The document the tables live in: a section between markers is replaced, everything else stays as it was written.

use super::workloads;

/// Before the first run.
pub(super) fn empty() -> String {
    let mut text = String::from(HEAD);
    for name in workloads::names() {
        text += &format!("\n{}\n{}\n", begin(name), end(name));
    }
    text
}

/// Question, method and caveats: what a reader has to know before the first figure.
const HEAD: &str = "\
# Benchmarks

How fast do objects arrive, and what does it cost the machine that receives them? One command measures it, on any
machine, and replaces the sections below:

```sh
cargo xtask bench transfer            # everything; an hour
cargo xtask bench transfer --quick --only file-3g
```

How to read the tables:

- Every engine runs as a process of its own, with its defaults, against the same server on the same machine. Engines
  take turns, each round begins with another one, and the figures are medians over rounds.
- *CPU* is user and system time of the client alone, *peak* the most memory it held. The server's work is not in them,
  but it shares the processors: on few cores, a client that computes less leaves the server more.
- *ceiling* is no client: ranged GETs by hand on blocking sockets, eight connections, no signature, no check. Ratios to
  it are taken within a round, so they survive a machine whose pace changes.
- Every byte of every file is compared with the object after the clock has stopped; a run that is wrong or fails is
  named under its table and not averaged. Into nothing, the engine's own count of bytes is compared.
- Loopback has no distance and no loss: these are costs per byte and per request, not what a network would give. The
  emulated network shows how well the link is used. Files are on a memory file system where there is room.
- `s3xfer-sdk-http` is our engine over the SDK's HTTP client; `sdk-ranged` is aws-sdk-s3 with 8 ranges of 16 MiB at once,
  `sdk-stream` one GET; `tm` is aws-sdk-s3-transfer-manager; object_store and opendal fetch 8 ranges of 8 MiB at once.
  Small objects come 64 at once where the engine does not decide itself. All Rust engines are one program, built with
  thin LTO.
";

/// The text with the section `name` replaced, or appended where the document has no place for it.
///
/// # Errors
/// When a section begins and does not end.
pub(super) fn with_section(text: &str, name: &str, section: &str) -> Result<String, String> {
    let (begin, end) = (begin(name), end(name));
    let section = format!("{begin}\n{}\n{end}\n", section.trim_end());
    let Some(start) = text.find(&begin) else {
        return Ok(format!("{}\n\n{section}", text.trim_end()));
    };
    let stop = text[start..].find(&end).map(|at| start + at + end.len());
    let stop = stop.ok_or_else(|| format!("`{begin}` has no `{end}` after it; mend the document"))?;
    Ok(format!("{}{}{}", &text[..start], section.trim_end(), &text[stop..]))
}

fn begin(name: &str) -> String {
    format!("<!-- bench transfer: {name} -->")
}

fn end(name: &str) -> String {
    format!("<!-- end of {name} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_its_neighbours_stay() {
        let first = with_section(&empty(), "file-3g", "## A\n").unwrap();
        let second = with_section(&first, "null-3g", "## B").unwrap();
        let third = with_section(&second, "file-3g", "## C, longer\n\nthan A\n").unwrap();
        assert_eq!(third, second.replace("## A", "## C, longer\n\nthan A"));
        assert!(third.starts_with(HEAD) && third.find("## C") < third.find("## B"));
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let once = with_section(&empty(), "size", "## A\n").unwrap();
        assert_eq!(with_section(&once, "size", "## A\n").unwrap(), once);
    }

    #[test]
    fn a_document_of_older_times_gets_the_section_at_its_end() {
        let text = with_section("# Old\n", "size", "## A").unwrap();
        assert_eq!(text, format!("# Old\n\n{}\n## A\n{}\n", begin("size"), end("size")));
    }

    #[test]
    fn a_section_without_end_is_an_error_and_swallows_nothing() {
        let error = with_section(&format!("{}\nprose", begin("size")), "size", "x").unwrap_err();
        assert!(error.contains("mend the document"), "{error}");
    }
}
