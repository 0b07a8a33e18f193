//! Pictures: marks between two axes, as the text of an inline SVG. Only this file names `plotters`.
//!
//! Colours are written for a light page, and the page's style sheet replaces each of them on a dark one. So a picture
//! may only use the colours in [`Colour`].

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use sha2::{Digest, Sha256};

use crate::words::drawing::{Axis, STYLE, escape};

/// The drawing library refused a picture.
#[derive(Debug, thiserror::Error)]
#[error("draw the picture of {subject}: {reason}")]
#[non_exhaustive]
pub struct PictureError {
    /// The picture's contents.
    pub subject: String,
    /// The library's error.
    pub reason: String,
}

/// The colours of the pictures, by their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Text and marks that stand out.
    Ink,
    /// Text that explains.
    Muted,
    /// Lines of the grid.
    Grid,
    /// The configuration without tuning.
    Before,
    /// The configuration that was found.
    Found,
    /// Any trial.
    Trial,
    /// Trials that failed.
    Failed,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ink, Self::Muted, Self::Grid, Self::Before, Self::Found, Self::Trial, Self::Failed];

    /// Its name in the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ink => "ink",
            Self::Muted => "muted",
            Self::Grid => "grid",
            Self::Before => "before",
            Self::Found => "found",
            Self::Trial => "trial",
            Self::Failed => "failed",
        }
    }

    /// On a light page. Readers who see no red and green can tell orange from blue.
    pub fn on_light(self) -> (u8, u8, u8) {
        match self {
            Self::Ink => (0x1B, 0x25, 0x30),
            Self::Muted => (0x5B, 0x67, 0x74),
            Self::Grid => (0xE4, 0xE8, 0xED),
            Self::Before => (0xC2, 0x5E, 0x00),
            Self::Found => (0x1A, 0x5F, 0xD0),
            Self::Trial => (0x76, 0x86, 0x99),
            Self::Failed => (0xB4, 0x23, 0x18),
        }
    }

    fn mixed(self, opacity: f64) -> RGBAColor {
        let (red, green, blue) = self.on_light();
        // A percent more or less is not seen, and is written for every mark.
        RGBAColor(red, green, blue, (opacity * 100.0).round() / 100.0)
    }
}

/// A place: on the horizontal and on the vertical axis.
pub type Place = (f64, f64);

/// The marks of a picture, in order: later marks cover earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A filled dot.
    Dot {
        /// Its centre.
        at: Place,
        /// Its colour.
        colour: Colour,
        /// From 0, which cannot be seen, to 1.
        opacity: f64,
        /// In pixels.
        radius: u32,
    },
    /// A circle, not filled.
    Ring {
        /// Its centre.
        at: Place,
        /// Its colour.
        colour: Colour,
        /// In pixels.
        radius: u32,
        /// Width of its line, in pixels.
        width: u32,
    },
    /// A small cross.
    Cross {
        /// Its centre.
        at: Place,
        /// Its colour.
        colour: Colour,
    },
    /// A line through places.
    Line {
        /// Its corners.
        through: Vec<Place>,
        /// Its colour.
        colour: Colour,
        /// In pixels.
        width: u32,
        /// Whether it has gaps.
        dashed: bool,
    },
    /// A filled rectangle between two corners.
    Band {
        /// Two corners that face each other.
        corners: [Place; 2],
        /// Its colour.
        colour: Colour,
        /// From 0, which cannot be seen, to 1.
        opacity: f64,
    },
    /// A filled polygon.
    Area {
        /// Its corners.
        outline: Vec<Place>,
        /// Its colour.
        colour: Colour,
        /// From 0, which cannot be seen, to 1.
        opacity: f64,
    },
    /// Words that begin, or end, at a place.
    Words {
        /// The place where they begin or end.
        at: Place,
        /// The words.
        text: String,
        /// Their colour.
        colour: Colour,
        /// On which side of `at` they stand.
        side: Side,
    },
}

/// On which side of their place words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The words begin there.
    Right,
    /// The words end there.
    Left,
}

/// A picture, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its description, for screen readers and for errors.
    pub subject: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The horizontal axis.
    pub across: Axis,
    /// The vertical axis.
    pub up: Axis,
    /// Its marks.
    pub marks: Vec<Mark>,
}

/// plotters divides sizes by 1.24 when it writes SVG: this one comes out as 13 pixels.
const TEXT_SIZE: f64 = 13.0 * 1.24;

impl Picture {
    /// The `<svg>` element.
    ///
    /// # Errors
    /// The drawing library refuses.
    pub fn svg(&self) -> Result<String, PictureError> {
        let mut svg = String::new();
        self.draw(&mut svg)
            .map_err(|reason| PictureError { subject: self.subject.clone(), reason: reason.to_string() })?;
        // plotters escapes HTML's reserved characters, but lets control characters through.
        let svg: String =
            svg.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect();
        // Defaults that are written out take a quarter of the text. No text of ours holds a bare quotation mark.
        let svg = [" stroke=\"none\" stroke-width=\"1\"", " stroke=\"none\"", " opacity=\"1\""]
            .into_iter()
            .fold(svg, |svg, said| svg.replace(said, ""));
        let labelled = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(&self.subject));
        Ok(svg.replacen("<svg ", &labelled, 1))
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, (self.width, self.height)).into_drawing_area();
        let widest = self.up.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0) as u32;
        let mut builder = ChartBuilder::on(&root);
        builder.margin(6).margin_right(14);
        builder.x_label_area_size(if self.across.title.is_empty() { 24 } else { 46 });
        builder.y_label_area_size(if self.up.title.is_empty() { 4 } else { 34 + 8 * widest });
        let mut chart = builder.build_cartesian_2d(Ruler(self.across.clone()), Ruler(self.up.clone()))?;

        let muted = ("sans-serif", TEXT_SIZE).into_font().color(&Colour::Muted.mixed(1.0));
        let mut mesh = chart.configure_mesh();
        mesh.label_style(muted.clone()).axis_desc_style(muted);
        mesh.bold_line_style(Colour::Grid.mixed(1.0)).light_line_style(TRANSPARENT);
        mesh.axis_style(Colour::Grid.mixed(1.0)).set_all_tick_mark_size(4);
        mesh.x_desc(self.across.title.as_str()).y_desc(self.up.title.as_str());
        mesh.draw()?;

        for mark in &self.marks {
            match mark {
                Mark::Dot { at, colour, opacity, radius } => {
                    chart.draw_series([Circle::new(*at, *radius, colour.mixed(*opacity).filled())])?;
                }
                Mark::Ring { at, colour, radius, width } => {
                    chart.draw_series([Circle::new(*at, *radius, colour.mixed(1.0).stroke_width(*width))])?;
                }
                Mark::Cross { at, colour } => {
                    chart.draw_series([Cross::new(*at, 4, colour.mixed(1.0).stroke_width(2))])?;
                }
                Mark::Line { through, colour, width, dashed } => {
                    let style = colour.mixed(1.0).stroke_width(*width);
                    if *dashed {
                        chart.draw_series(DashedLineSeries::new(through.iter().copied(), 5, 4, style))?;
                    } else {
                        chart.draw_series(LineSeries::new(through.iter().copied(), style))?;
                    }
                }
                Mark::Band { corners, colour, opacity } => {
                    chart.draw_series([Rectangle::new(*corners, colour.mixed(*opacity).filled())])?;
                }
                Mark::Area { outline, colour, opacity } => {
                    chart.draw_series([Polygon::new(outline.clone(), colour.mixed(*opacity))])?;
                }
                Mark::Words { at, text, colour, side } => {
                    let anchor = match side {
                        Side::Right => Pos::new(HPos::Left, VPos::Bottom),
                        Side::Left => Pos::new(HPos::Right, VPos::Bottom),
                    };
                    let style = ("sans-serif", TEXT_SIZE).into_font().color(&colour.mixed(1.0)).pos(anchor);
                    chart.draw_series([Text::new(text.clone(), *at, style)])?;
                }
            }
        }
        root.present()?;
        Ok(())
    }
}

/// An axis in plotters' terms: its places are linear, and its ticks are given.
#[derive(Clone)]
struct Ruler(Axis);

impl Ranged for Ruler {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.0.low) / (self.0.high - self.0.low);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let ticks = if hint.weight().allow_light_points() { &[] } else { self.0.ticks.as_slice() };
        ticks.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.low..self.0.high
    }
}

impl ValueFormatter<f64> for Ruler {
    fn format_ext(&self, place: &f64) -> String {
        let tick = self.0.ticks.iter().find(|(at, _)| at == place);
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// A picture for a desk and one for a phone, as HTML.
///
/// # Errors
/// The drawing library refuses.
pub fn both([wide, narrow]: [Picture; 2]) -> Result<String, PictureError> {
    Ok(format!("<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n", wide.svg()?, narrow.svg()?))
}

/// A self-contained page: it runs no script, loads nothing, and follows the reader's light or dark setting. `title` is
/// text; `body` and `footer` are HTML.
pub fn page(title: &str, body: &str, footer: &str) -> String {
    page_with(title, body, footer, "")
}

/// As [`page`], with one script at its end, if that is not empty. The page's policy names the script's digest, so no
/// other script runs.
pub fn page_with(title: &str, body: &str, footer: &str, script: &str) -> String {
    // Nothing from elsewhere, and no other script, even if a text should slip through.
    let mut policy = "default-src 'none'; style-src 'unsafe-inline'".to_owned();
    let mut end = String::new();
    if !script.is_empty() {
        let script = format!("\n{script}");
        policy += &format!("; script-src 'sha256-{}'", base64(&Sha256::digest(&script)));
        end = format!("<script>{script}</script>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <title>{}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n{body}\
         <footer>{footer}</footer>\n\
         </main>\n{end}</body>\n</html>\n",
        escape(title),
        picture_colours()
    )
}

/// Bytes as base 64 (RFC 4648), with its padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |part: &[u8]| {
        let bits = part.iter().chain([&0; 2]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let digit = |i: usize| if i <= part.len() { DIGITS[(bits >> (18 - 6 * i) & 63) as usize] } else { b'=' };
        [digit(0), digit(1), digit(2), digit(3)].map(char::from)
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// A rule for each colour of the pictures, which name it in their attributes, so that they follow the page.
fn picture_colours() -> String {
    let mut rules = String::from("@media (prefers-color-scheme: dark) {\n");
    for colour in Colour::ALL {
        let ((red, green, blue), name) = (colour.on_light(), colour.name());
        let hex = format!("#{red:02X}{green:02X}{blue:02X}");
        for property in ["fill", "stroke"] {
            rules += &format!("  svg [{property}=\"{hex}\"] {{ {property}: var(--{name}); }}\n");
        }
    }
    rules + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_as_rfc_4648_has_it() {
        let said = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(said, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn every_colour_of_the_pictures_is_defined_for_light_and_dark() {
        for colour in Colour::ALL {
            let (red, green, blue) = colour.on_light();
            let name = colour.name();
            assert!(STYLE.contains(&format!("--{name}: #{red:02x}{green:02x}{blue:02x};")), "{name} on light");
            assert_eq!(STYLE.matches(&format!("--{name}: #")).count(), 2, "{name} on dark");
        }
    }
}
