//! Which layers stay in `f32` so that a model keeps its quality, for the least time.

/// What is known of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// How much of the loss goes when this layer alone stays in `f32`.
    pub gain: f64,
    /// The time that this costs.
    pub cost: f64,
}

/// Layers of which it is tried whether they are needed.
const GIVEN_BACK: usize = 12;

/// Chooses layers until `loss` of the choice is at most `budget`: those with the most gain for
/// their cost first, then gives back those of the most expensive ones that are not needed.
/// `loss` is told of the layers that stay in `f32`, in ascending order; what it says beyond the
/// budget need not be exact.
pub fn select<E>(
    candidates: &[Candidate],
    budget: f64,
    mut loss: impl FnMut(&[usize]) -> Result<f64, E>,
) -> Result<Vec<usize>, E> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let worth = |n: usize| candidates[n].gain / candidates[n].cost.max(f64::MIN_POSITIVE);
    order.sort_by(|&a, &b| worth(b).total_cmp(&worth(a)));
    let count = fewest(order.len(), |count| Ok(loss(&sorted(&order[..count]))? <= budget))?;
    let mut kept = order[..count].to_vec();
    let mut expensive = kept.clone();
    expensive.sort_by(|&a, &b| candidates[b].cost.total_cmp(&candidates[a].cost));
    expensive.truncate(GIVEN_BACK);
    for layer in expensive {
        let fewer: Vec<usize> = kept.iter().copied().filter(|&n| n != layer).collect();
        if loss(&sorted(&fewer))? <= budget {
            kept = fewer;
        }
    }
    Ok(sorted(&kept))
}

/// The smallest number up to `all` that is enough, if one that follows such a number is too; `all`
/// always is.
fn fewest<E>(all: usize, mut is_enough: impl FnMut(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut low, mut high) = (0, 0);
    while high < all && !is_enough(high)? {
        (low, high) = (high + 1, (2 * high).max(high + 1).min(all));
    }
    while low < high {
        let middle = low.midpoint(high);
        match is_enough(middle)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Ok(high)
}

fn sorted(layers: &[usize]) -> Vec<usize> {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers
}

#[cfg(test)]
mod tests {
    use super::{Candidate, fewest, select};

    fn chosen(losses: &[f64], costs: &[f64], budget: f64) -> Vec<usize> {
        let row = |(&gain, &cost): (&f64, &f64)| Candidate { gain, cost };
        let rows: Vec<Candidate> = losses.iter().zip(costs).map(row).collect();
        let loss = |kept: &[usize]| {
            let left = (0..losses.len()).filter(|n| !kept.contains(n)).map(|n| losses[n]);
            Ok::<f64, ()>(left.sum())
        };
        select(&rows, budget, loss).expect("nothing fails")
    }

    #[test]
    fn only_what_is_needed_stays() {
        assert_eq!(chosen(&[0.1, 5.0, 0.2], &[1.0, 1.0, 1.0], 0.5), [1]);
        assert_eq!(chosen(&[0.1, 0.1], &[1.0, 1.0], 0.5), [0usize; 0]);
    }

    #[test]
    fn cheap_layers_that_another_makes_needless_are_given_back() {
        assert_eq!(chosen(&[1.0, 5.0, 1.0], &[0.1, 10.0, 0.1], 2.0), [1]);
    }

    #[test]
    fn the_smallest_number_is_found() {
        for all in 0..12 {
            for wanted in 0..=all {
                assert_eq!(fewest(all, |n| Ok::<bool, ()>(n >= wanted)), Ok(wanted), "{all}");
            }
        }
    }
}
