//! The map of a workspace as a picture (SVG): steps from left to right, bytes from top to bottom.

use super::{COLOURS, LETTER, LINE, escape, open};
use crate::cli::arena::ArenaRow;
use edgecc::report::size;
use std::fmt::Write;

/// The area of the map, in the picture's units.
const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 600.0;

/// Space for the labels at the left and above.
const LEFT: f64 = 90.0;
const TOP: f64 = 50.0;

/// The picture of a workspace of `arena_bytes` over `steps` steps.
pub(in crate::cli) fn svg(name: &str, arena_bytes: u64, steps: usize, rows: &[ArenaRow]) -> String {
    let (width, height) = (LEFT + WIDTH + 20.0, TOP + HEIGHT + 40.0);
    let mut svg = open(&format!("{name}: workspace of {}", size(arena_bytes)), (width, height));
    let scale = Scale { bytes: arena_bytes.max(1) as f64, steps: steps.max(1) as f64 };
    scale.axes(&mut svg);
    for (n, row) in rows.iter().enumerate() {
        scale.rectangle(&mut svg, row, COLOURS[n % COLOURS.len()]);
    }
    svg + "</svg>\n"
}

/// From bytes and steps to places in the picture.
struct Scale {
    bytes: f64,
    steps: f64,
}

impl Scale {
    fn x(&self, step: usize) -> f64 {
        LEFT + WIDTH * step as f64 / self.steps
    }

    fn y(&self, offset: usize) -> f64 {
        TOP + HEIGHT * offset as f64 / self.bytes
    }

    /// The frame, quarters of the bytes at the left, at most ten steps below.
    fn axes(&self, svg: &mut String) {
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             fill=\"none\" stroke=\"black\"/>"
        );
        for quarter in 0..=4 {
            let offset = self.bytes as usize * quarter / 4;
            let (y, x) = (self.y(offset) + 4.0, LEFT - 6.0);
            let label = size(offset as u64);
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
        }
        let stride = (self.steps as usize).div_ceil(10);
        for step in (0..self.steps as usize).step_by(stride) {
            let (x, y) = (self.x(step), TOP + HEIGHT + 16.0);
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\">step {step}</text>");
        }
    }

    /// A buffer; its name stands inside if it fits, and always in the tooltip.
    fn rectangle(&self, svg: &mut String, row: &ArenaRow, colour: &str) {
        let (x, y) = (self.x(row.first), self.y(row.offset));
        let (width, height) = (self.x(row.last + 1) - x, self.y(row.offset + row.bytes) - y);
        let label = format!("{} {}: {}", row.buffer, row.maker, size(row.bytes as u64));
        let tip = escape(&format!("{label}, steps {} to {}", row.first, row.last));
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\" stroke=\"black\" stroke-width=\"0.5\"><title>{tip}</title></rect>"
        );
        let letters = (width / LETTER) as usize;
        if height >= LINE && letters > 3 {
            let short: String = label.chars().take(letters - 1).collect();
            let (x, y) = (x + 3.0, y + LINE - 2.0);
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(&short));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::cli::arena::ArenaRow;
    use edgecc_ir::kernel::BufferId;

    #[test]
    fn each_buffer_is_a_rectangle_in_place() {
        let row = |offset, first, last| ArenaRow {
            buffer: BufferId::from_u32(0),
            offset,
            bytes: 50,
            first,
            last,
            maker: "a<b".to_owned(),
        };
        let text = svg("m", 100, 4, &[row(0, 0, 1), row(50, 1, 3)]);
        assert!(text.contains("<rect x=\"90.0\" y=\"50.0\" width=\"550.0\" height=\"300.0\""));
        assert!(text.contains("<rect x=\"365.0\" y=\"350.0\" width=\"825.0\""), "{text}");
        assert!(text.contains("a&lt;b") && !text.contains("a<b"));
    }
}
