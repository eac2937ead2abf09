//! Classifies one picture: a binary PPM (P6) of 32 × 32 pixels on standard input.

#![forbid(unsafe_code)]

use classifier::{Inputs, Outputs, Workspace};
use std::error::Error;
use std::io::{self, Read};

#[allow(missing_docs)]
mod classifier {
    include!(concat!(env!("OUT_DIR"), "/classifier.rs"));
}

const CLASSES: [&str; 10] = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
];

const PIXELS: usize = 32 * 32;

fn main() -> Result<(), Box<dyn Error>> {
    let mut file = Vec::new();
    io::stdin().read_to_end(&mut file)?;
    let image = image(&file).ok_or("expected a binary PPM of 32 x 32 pixels")?;
    let mut probabilities = [0.0; CLASSES.len()];
    let mut workspace = Box::new(Workspace::new());
    let mut outputs = Outputs { probabilities: &mut probabilities };
    classifier::run(&Inputs { image: &image }, &mut outputs, &mut **workspace)?;
    let best = (0..CLASSES.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let best = best.expect("there are classes");
    println!("{} {:.3}", CLASSES[best], probabilities[best]);
    Ok(())
}

/// All red, then all green, then all blue values, from 0 to 1.
fn image(file: &[u8]) -> Option<[f32; 3 * PIXELS]> {
    let (head, pixels) = file.split_at_checked(file.len().checked_sub(3 * PIXELS)?)?;
    let mut words = head.split(u8::is_ascii_whitespace);
    let is_fitting = ["P6", "32", "32", "255"].iter().all(|w| words.next() == Some(w.as_bytes()));
    let value = |at: usize| f32::from(pixels[at % PIXELS * 3 + at / PIXELS]) / 255.0;
    is_fitting.then(|| std::array::from_fn(value))
}
