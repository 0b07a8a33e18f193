//! Words of pictures and pages: axes with their ticks, numbers as people read them, text as HTML. Drawing is a door's.

mod axis;
pub mod format;
mod text;

pub use axis::{Axis, Label};
pub use text::{STYLE, escape, section};
