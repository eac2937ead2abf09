//! Pictures as SVG: the map of a workspace, the profile of a run.

pub(super) mod arena;
pub(super) mod profile;

/// Colours of Okabe and Ito, which people with any kind of colour vision tell apart and on which
/// black text is readable.
const COLOURS: [&str; 6] = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00"];

/// The height of a line of text, and the width of a letter.
const LINE: f64 = 13.0;
const LETTER: f64 = 6.5;

/// The start of a picture of this width and height, with its title.
fn open(title: &str, (width, height): (f64, f64)) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"90\" y=\"22\" font-size=\"15\">{title}</text>\n"
    )
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
