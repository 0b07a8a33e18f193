//! The index of decisions: docs/DESIGN.md links every heading of docs/design/*.md, and no missing heading.

use super::{File, Finding};

const PATH: &str = "docs/DESIGN.md";
const FOLDER: &str = "docs/design/";

pub(crate) fn check(files: &[File]) -> Vec<Finding> {
    let Some(index) = files.iter().find(|file| file.path == PATH) else {
        return vec![Finding::new(PATH, 0, "is missing; write it, with a link to every decision")];
    };
    let mut findings = Vec::new();
    let mut places = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(FOLDER)) {
        for (line, content) in (1..).zip(file.text.lines()) {
            if let Some(heading) = content.strip_prefix("## ") {
                let place = format!("design/{}#{}", &file.path[FOLDER.len()..], anchor(heading));
                if !index.text.contains(&format!("({place})")) {
                    let what = format!("is not in {PATH}; add `- [{heading}]({place})` to its list");
                    findings.push(Finding::new(&file.path, line, what));
                }
                places.push(place);
            }
        }
    }
    for (line, content) in (1..).zip(index.text.lines()) {
        let links = content.match_indices("](design/").filter_map(|(at, _)| content[at + 2..].split(')').next());
        for link in links.filter(|link| link.contains('#') && !places.iter().any(|place| place == link)) {
            findings.push(Finding::new(PATH, line, format!("{link} does not exist; correct the link")));
        }
    }
    findings
}

/// The name by which a heading is linked: lowercase, spaces as hyphens, without punctuation.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    letters.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(index: &str, decisions: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file(PATH, index), file("docs/design/a.md", decisions)];
        check(&files).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn an_index_with_every_decision_passes() {
        let index = "## [a](design/a.md)\n- [One, or\n  two](design/a.md#one-or-two)\n- [`x` is](design/a.md#x-is)\n";
        assert_eq!(findings(index, "# A\n## One, or two\n## `x` is\n### Below\n"), Vec::<String>::new());
    }

    #[test]
    fn a_decision_without_a_link_is_found() {
        let expected = "docs/design/a.md:2: is not in docs/DESIGN.md; add `- [One](design/a.md#one)` to its list";
        assert_eq!(findings("", "# A\n## One\n"), [expected]);
    }

    #[test]
    fn a_link_without_a_decision_is_found() {
        let expected = "docs/DESIGN.md:1: design/a.md#gone does not exist; correct the link";
        assert_eq!(findings("- [Gone](design/a.md#gone)\n", "# A\n"), [expected]);
    }

    #[test]
    fn anchors_are_those_of_the_page() {
        assert_eq!(anchor("rclone's `--buffer-size` is not a knob"), "rclones---buffer-size-is-not-a-knob");
        assert_eq!(anchor("At most 64 KiB of a refusal's body"), "at-most-64-kib-of-a-refusals-body");
    }
}
