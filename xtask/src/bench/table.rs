//! Results as Markdown and as JSON.

use super::environment::Environment;
use super::results::{Footprint, Results, Speed, Start, is_peer};
use super::subject::{OURS, OURS_IN_F32};

/// Everything as JSON.
pub(super) fn json(results: &Results) -> String {
    serde_json::to_string_pretty(results).expect("results have only text keys")
}

/// Everything as a page: the environment, a table per number of threads, start and memory.
pub(super) fn markdown(results: &Results) -> String {
    let is_on_codes = results.speed.iter().any(Speed::is_on_codes);
    let mut text = format!(
        "# Speed beside other runtimes\n\n{}",
        environment(&results.environment, if is_on_codes { &CODES } else { &NUMBERS })
    );
    let mut threads: Vec<usize> = results.speed.iter().map(|speed| speed.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    for count in threads {
        let rows: Vec<&Speed> = results.speed.iter().filter(|s| s.threads == count).collect();
        text += &speed(&rows, count, results.environment.peak_gflops);
    }
    text + &missing(&results.speed) + &start(&results.start)
}

/// What the models compute with, and the option that measures them.
struct Kind {
    option: &'static str,
    elements: &'static str,
}

const NUMBERS: Kind = Kind { option: "", elements: "f32, batch 1" };
const CODES: Kind = Kind {
    option: " --int8",
    elements: "batch 1, codes of 8 bits in QDQ form from ONNX Runtime's static quantiser, LiteRT's \
               from its own converter. A peak of codes is four times that of f32, as instructions \
               for dot products have it",
};

fn environment(facts: &Environment, kind: &Kind) -> String {
    let versions = facts.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let [before, after] = &facts.load;
    let scheduler =
        if facts.is_realtime { "in real time on one thread" } else { "among other processes" };
    format!(
        "Written by `cargo xtask bench{}`. {}, {} cores, {:.0} GFLOP/s of multiply-adds on one; load \
         {before} before, {after} after. {}. Medians of {} rounds of processes that take turns, each \
         of at least {} runs and {} s, pinned, {scheduler}; {}. Ratios of one run mean something, \
         times do not.\n",
        kind.option,
        facts.processor,
        facts.cores,
        facts.peak_gflops,
        versions.collect::<Vec<_>>().join(", "),
        facts.rounds,
        facts.runs,
        facts.seconds,
        kind.elements,
    )
}

fn speed(rows: &[&Speed], threads: usize, peak_gflops: f64) -> String {
    let peers = names(rows.iter().flat_map(|row| row.entries.iter().map(|entry| entry.name)));
    let is_on_codes = rows.iter().any(|row| row.is_on_codes());
    let twin: &[&str] = if is_on_codes { &["in f32 ms", "f32 / codes"] } else { &[] };
    let mut header = vec!["model", "M multiply-adds", "compile s", "of peak", "edgecc ms"];
    header.extend(twin.iter().chain(peers.iter().filter(|name| is_peer(name))));
    header.push("best peer / edgecc");
    let mut text = format!("\n## Threads: {threads}\n\n{}", head(&header));
    for row in rows {
        let mut cells = vec![
            row.model.clone(),
            format!("{:.1}", row.macs as f64 / 1e6),
            format!("{:.2}", row.compile_seconds),
            row.share_of_peak(peak_gflops)
                .map_or(NONE.to_owned(), |s| format!("{:.0} %", 100.0 * s)),
            ms(row.seconds(OURS)),
        ];
        if is_on_codes {
            let gain = row.gain_of_codes().map_or(NONE.to_owned(), |gain| format!("{gain:.2}"));
            cells.extend([ms(row.seconds(OURS_IN_F32)), gain]);
        }
        let theirs = peers.iter().filter(|name| is_peer(name));
        cells.extend(theirs.map(|name| ms(row.seconds(name))));
        let best = row.best_peer();
        cells.push(best.map_or(NONE.to_owned(), |(name, ratio)| format!("{ratio:.2} ({name})")));
        text += &line(&cells);
    }
    if let Some(mean) = mean_ratio(rows) {
        text += &format!("\nGeometric mean of the ratios: {mean:.2}.\n");
    }
    match rows.iter().map(|row| row.withheld).sum::<usize>() {
        0 => text,
        times => {
            text + &format!(
                "\n{times} times the machine had fewer processors than threads for a while, and a \
                 process was measured again.\n"
            )
        }
    }
}

/// The geometric mean of the ratios to the best peers.
fn mean_ratio(rows: &[&Speed]) -> Option<f64> {
    let ratios: Vec<f64> = rows.iter().filter_map(|row| Some(row.best_peer()?.1.ln())).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    (!ratios.is_empty()).then(|| mean.exp())
}

/// Why cells are empty, each reason once.
fn missing(rows: &[Speed]) -> String {
    let reason = |row: &Speed| {
        let failed = row.entries.iter().filter_map(|entry| Some((entry.name, entry.why.clone()?)));
        let told = failed.map(|(name, why)| format!("- {}, {name}: {why}\n", row.model));
        told.collect::<Vec<_>>()
    };
    let mut reasons: Vec<String> = Vec::new();
    for text in rows.iter().flat_map(reason) {
        if !reasons.contains(&text) {
            reasons.push(text);
        }
    }
    if reasons.is_empty() { String::new() } else { format!("\nLeft out:\n\n{}", reasons.concat()) }
}

fn start(rows: &[Start]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let about = "Of a new process until its first output, less one of its kind that does nothing \
                 (a C program, an interpreter with NumPy): milliseconds, MiB of memory at most. The \
                 compiled model needs its weights and its arena; a process also holds inputs and \
                 outputs.";
    let who = names(rows.iter().flat_map(|row| row.entries.iter().map(|entry| entry.name)));
    let header = [vec!["model", "code KiB", "weights + arena MiB"], who.clone()].concat();
    let mut text = format!("\n## Start and memory\n\n{about}\n\n{}", head(&header));
    for row in rows {
        let find = |name: &&str| row.entries.iter().find(|entry| entry.name == *name);
        let cells = who.iter().map(|name| find(name).map_or(NONE.to_owned(), footprint));
        let needs = [
            row.model.clone(),
            format!("{:.0}", row.code_bytes as f64 / 1024.0),
            format!("{:.1}", row.planned_bytes as f64 / MIB),
        ];
        text += &line(&needs.into_iter().chain(cells).collect::<Vec<_>>());
    }
    text
}

const MIB: f64 = 1_048_576.0;

fn footprint(entry: &Footprint) -> String {
    match (entry.seconds, entry.bytes) {
        (Some(seconds), Some(bytes)) => {
            format!("{:.1}, {:.1}", 1e3 * seconds, bytes / MIB)
        }
        _ => NONE.to_owned(),
    }
}

/// What is not known.
const NONE: &str = "-";

fn ms(seconds: Option<f64>) -> String {
    seconds.map_or(NONE.to_owned(), |seconds| match 1e3 * seconds {
        ms if ms < 1.0 => format!("{ms:.4}"),
        ms if ms < 10.0 => format!("{ms:.3}"),
        ms => format!("{ms:.2}"),
    })
}

/// Each name once, in the order of their first occurrence.
fn names(all: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names = Vec::new();
    all.for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

fn head(cells: &[&str]) -> String {
    let rule: Vec<String> = cells.iter().enumerate().map(|(n, _)| rule(n)).collect();
    line(&cells.iter().map(ToString::to_string).collect::<Vec<_>>()) + &line(&rule)
}

/// Names to the left, numbers to the right.
fn rule(column: usize) -> String {
    if column == 0 { ":--".to_owned() } else { "--:".to_owned() }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::{json, markdown, mean_ratio};
    use crate::bench::environment;
    use crate::bench::results::{self, Entry, Footprint, Results, Start};
    use crate::bench::subject::OURS_IN_F32;

    fn results() -> Results {
        let footprint =
            Footprint { name: "edgecc", seconds: Some(0.001), bytes: Some(1_048_576.0) };
        let start = Start {
            model: "m".to_owned(),
            code_bytes: 2048,
            planned_bytes: 3 << 20,
            entries: vec![footprint],
        };
        Results {
            environment: environment::example(),
            speed: vec![results::example()],
            start: vec![start],
        }
    }

    #[test]
    fn the_page_has_ratios_and_reasons() {
        let page = markdown(&results());
        let row = "| m | 50.0 | 0.50 | 50 % | 2.000 | 4.000 | 3.000 | - | 1.50 (litert) |\n";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("- m, ncnn: no such layer\n"), "{page}");
        assert!(page.contains("| m | 2 | 3.0 | 1.0, 1.0 |\n"), "{page}");
    }

    #[test]
    fn a_page_of_codes_has_the_time_in_f32() {
        let mut results = results();
        results.speed[0].entries.push(Entry::new(OURS_IN_F32, Ok((0.005, 0.0))));
        let page = markdown(&results);
        let row = "| m | 50.0 | 0.50 | 12 % | 2.000 | 5.000 | 2.50 | 4.000 | 3.000 | - | 1.50 (litert) |\n";
        assert!(page.contains(row) && page.contains("bench --int8"), "{page}");
    }

    #[test]
    fn json_has_the_same() {
        let value: serde_json::Value = serde_json::from_str(&json(&results())).expect("valid");
        assert_eq!(value["speed"][0]["entries"][3]["why"], "no such layer");
        assert_eq!(value["environment"]["cores"], 2);
    }

    #[test]
    fn ratios_have_a_geometric_mean() {
        let (one, mut two) = (results::example(), results::example());
        two.entries.retain(|entry| entry.name != "litert");
        let mean = mean_ratio(&[&one, &two]).expect("two ratios");
        assert!((mean - 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(mean_ratio(&[]), None);
    }
}
