//! What users of the importer see: values, diagnostics, the list of operators.

mod build;
mod diagnostics;
mod hostile;
mod layers;
mod narrow;
mod ops_doc;
mod options;
mod positions;
mod regions;
mod resampling;
mod routines;
mod signal;
mod values;
