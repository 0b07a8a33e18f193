//! Words of pictures and pages: axes with their ticks, readable numbers, text as HTML. A door draws them.

mod axis;
pub mod format;
mod text;

pub use axis::{Axis, Label};
pub use text::{STYLE, escape, section};
