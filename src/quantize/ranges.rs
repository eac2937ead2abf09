//! Which range of each value its codes cover.

use super::assess::{self, TRIED};
use super::{Case, Progress, Settings, plan};
use crate::failure::Failure;
use edgecc_frontend::quantize::Plan;
use edgecc_passes::quantize::range::{Grid, Method};
use std::collections::BTreeMap;

/// The ranges of all groups of values, by their representatives.
pub(super) struct Ranges {
    pub(super) grids: BTreeMap<String, Grid>,
    /// The name of the method that each was chosen by.
    pub(super) methods: BTreeMap<String, &'static str>,
}

impl Ranges {
    /// The ranges of all values by one method.
    fn by(case: &Case<'_>, name: &'static str, method: Method) -> Ranges {
        let grids = case.calibration.grids(method);
        let methods = grids.keys().map(|value| (value.clone(), name)).collect();
        Ranges { grids, methods }
    }

    /// The methods that occur, in the order of their table.
    pub(super) fn names(&self) -> String {
        let occurs = |name: &str| self.methods.values().any(|method| *method == name);
        let names = Method::ALL.iter().map(|(name, _)| *name).filter(|name| occurs(name));
        names.collect::<Vec<_>>().join(" and ")
    }
}

/// The ranges by the method that is asked for. Without one: of those by each method for all values,
/// and by the best method for each value, the ones with which the model loses least. They are
/// compared with weights rounded to the nearest codes, which takes less time.
pub(super) fn choose(case: &Case<'_>, progress: &mut Progress<'_>) -> Result<Ranges, Failure> {
    let by = |&(name, method): &(&'static str, Method)| Ranges::by(case, name, method);
    if let Some(wanted) = case.settings.ranges {
        let row = Method::ALL.iter().find(|(_, method)| *method == wanted);
        return Ok(row.map_or_else(|| Ranges::by(case, "given", wanted), by));
    }
    let mut candidates: Vec<Ranges> = Method::ALL.iter().map(by).collect();
    let mut errors = Vec::new();
    for (name, method) in Method::ALL {
        progress(&format!("ranges by {name}"));
        errors.push(errors_by(case, *method)?);
    }
    candidates.push(best_of_each(case, &candidates, &errors));
    let mut best: Option<(f64, Ranges)> = None;
    for ranges in candidates {
        progress("comparing ranges");
        let bytes = case.model.quantised(&quick_plan(case, &ranges.grids), |n| case.is_layer(n));
        let loss = assess::evaluate(&bytes, case, TRIED)?.distance;
        if best.as_ref().is_none_or(|(least, _)| loss < *least) {
            best = Some((loss, ranges));
        }
    }
    Ok(best.expect("there is a candidate for each method").1)
}

/// The squares of the own errors of layers whose values have ranges by one method.
pub(super) fn errors_by(case: &Case<'_>, method: Method) -> Result<Vec<f64>, Failure> {
    assess::own_errors(case, &quick_plan(case, &case.calibration.grids(method)))
}

fn quick_plan(case: &Case<'_>, grids: &BTreeMap<String, Grid>) -> Plan {
    let quick = Settings { reconstruct: false, ..case.settings.clone() };
    plan::plan(case.model, &quick, grids, case.calibration)
}

/// For each value the range with which the layers that read it have the least errors; for values
/// that none reads, all layers. `errors` has a list for each of the candidates.
fn best_of_each(case: &Case<'_>, candidates: &[Ranges], errors: &[Vec<f64>]) -> Ranges {
    let leaders = &case.calibration.leaders;
    let reads = |n: usize, leader: &str| {
        case.model.layers[n].values().any(|value| leaders[value] == leader)
    };
    let mut best = Ranges { grids: BTreeMap::new(), methods: BTreeMap::new() };
    for leader in candidates[0].grids.keys() {
        let layers = case.calibration.layers.iter().enumerate();
        let readers: Vec<usize> =
            layers.filter(|&(_, &n)| reads(n, leader)).map(|(at, _)| at).collect();
        let error = |errors: &Vec<f64>| -> f64 {
            let all = errors.iter().enumerate();
            all.filter(|(at, _)| readers.is_empty() || readers.contains(at)).map(|(_, e)| e).sum()
        };
        let rows = candidates.iter().zip(errors.iter().map(error));
        let least = rows.min_by(|a, b| a.1.total_cmp(&b.1));
        let (chosen, _) = least.expect("there is a candidate for each method");
        best.grids.insert(leader.clone(), chosen.grids[leader]);
        best.methods.insert(leader.clone(), chosen.methods[leader]);
    }
    best
}
