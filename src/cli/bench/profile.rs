//! The times of layers beside what the machine can do.

use edgecc::report::layer::Layer;
use serde::Serialize;

/// Where the time of a run goes.
#[derive(Serialize)]
pub(super) struct Profile {
    pub(super) machine: Machine,
    /// In the order of steps.
    pub(super) layers: Vec<LayerTime>,
}

/// What the machine can do at most with these threads.
#[derive(Serialize)]
pub(in crate::cli) struct Machine {
    pub(in crate::cli) peak_gflops: f64,
    /// Of dot products of codes, where the target has them.
    pub(in crate::cli) peak_dot_gops: Option<f64>,
    pub(in crate::cli) cache_gb_per_s: f64,
    pub(in crate::cli) memory_gb_per_s: f64,
}

/// One step of one run.
#[derive(Serialize)]
pub(in crate::cli) struct LayerTime {
    step: usize,
    pub(super) kernel: String,
    pub(in crate::cli) strategy: &'static str,
    function: String,
    pub(super) nodes: Vec<String>,
    /// The median over the runs.
    pub(in crate::cli) seconds: f64,
    /// Of the time of all steps.
    pub(in crate::cli) share: f64,
    macs: u64,
    pub(super) bytes: u64,
    pub(in crate::cli) gflops: f64,
    pub(super) share_of_peak: f64,
    pub(super) gb_per_s: f64,
}

/// A row per step; layers are in the order of steps.
pub(super) fn rows(layers: &[Layer], times: &[f64], peak_gflops: f64) -> Vec<LayerTime> {
    let all = times.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let row = |(step, (layer, &seconds)): (usize, (&Layer, &f64))| {
        let gflops = gflops(layer.macs, seconds);
        LayerTime {
            step,
            kernel: layer.kernel.clone(),
            strategy: layer.strategy,
            function: layer.function.clone(),
            nodes: layer.nodes.clone(),
            seconds,
            share: seconds / all,
            macs: layer.macs,
            bytes: layer.bytes,
            gflops,
            share_of_peak: gflops / peak_gflops,
            gb_per_s: 1e-9 * layer.bytes as f64 / seconds.max(SHORTEST),
        }
    };
    layers.iter().zip(times).enumerate().map(row).collect()
}

/// A time that no clock resolves, in place of none.
const SHORTEST: f64 = 1e-12;

/// Two operations per multiply-add.
pub(super) fn gflops(macs: u64, seconds: f64) -> f64 {
    2e-9 * macs as f64 / seconds.max(SHORTEST)
}

impl LayerTime {
    /// Operations of one run.
    pub(in crate::cli) fn flops(&self) -> f64 {
        2.0 * self.macs as f64
    }

    /// Operations per byte.
    pub(in crate::cli) fn intensity(&self) -> f64 {
        self.flops() / self.bytes.max(1) as f64
    }

    /// The first node's name, or the kernel's where it has none.
    pub(in crate::cli) fn title(&self) -> String {
        self.nodes.first().unwrap_or(&self.kernel).clone()
    }

    #[cfg(test)]
    pub(in crate::cli) fn example(kernel: &str, macs: u64) -> LayerTime {
        let layer = Layer {
            kernel: kernel.to_owned(),
            strategy: "scalar",
            function: format!("k00_{kernel}"),
            nodes: vec![format!("/{kernel}")],
            macs,
            bytes: 100,
        };
        rows(&[layer], &[1e-6], 100.0).swap_remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::LayerTime;

    #[test]
    fn rates_are_of_the_time_and_the_peak() {
        let row = LayerTime::example("conv", 25_000);
        assert_eq!((row.gflops.round(), row.share_of_peak), (50.0, row.gflops / 100.0));
        assert_eq!((row.share, row.intensity(), row.title()), (1.0, 500.0, "/conv".to_owned()));
        assert!((row.gb_per_s - 0.1).abs() < 1e-9);
    }
}
