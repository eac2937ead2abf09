//! The rewrite rules, by topic. A rule is directional: its right side is never worse.

mod algebra;
mod epilogue;
mod layout;
mod quant;
mod weights;

use super::rule::Rule;

/// Every rule.
pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    [algebra::RULES, epilogue::RULES, weights::RULES, layout::RULES, quant::RULES]
        .into_iter()
        .flatten()
}
