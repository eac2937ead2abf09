//! The rewrite rules, by topic. A rule is directional: its right side is never worse.

mod algebra;
mod codes;
mod dissolve;
mod epilogue;
mod factors;
mod gates;
mod layout;
mod means;
mod quant;
mod weights;

use super::rule::Rule;

/// Every rule.
pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    on_codes().chain(dissolve::RULES)
}

/// The rules that keep conversions of codes apart.
pub(crate) fn on_codes() -> impl Iterator<Item = &'static Rule> {
    let topics = [
        algebra::RULES,
        epilogue::RULES,
        factors::RULES,
        weights::RULES,
        gates::RULES,
        layout::RULES,
        quant::RULES,
        codes::RULES,
        means::RULES,
    ];
    topics.into_iter().flatten()
}
