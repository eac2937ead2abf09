//! Classifies one image: 3 × 32 × 32 little-endian floats from 0 to 1 on standard input.

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

fn main() -> Result<(), Box<dyn Error>> {
    let image = read_image()?;
    let mut probabilities = [0.0; CLASSES.len()];
    let mut workspace = Box::new(Workspace::new());
    let mut outputs = Outputs { probabilities: &mut probabilities };
    classifier::run(&Inputs { image: &image }, &mut outputs, &mut **workspace)?;
    let best = (0..CLASSES.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let best = best.expect("there are classes");
    println!("{} {:.3}", CLASSES[best], probabilities[best]);
    Ok(())
}

fn read_image() -> io::Result<[f32; 3 * 32 * 32]> {
    let mut image = [0.0; 3 * 32 * 32];
    let mut bytes = [0; 4 * 3 * 32 * 32];
    io::stdin().read_exact(&mut bytes)?;
    for (value, bytes) in image.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    Ok(image)
}
