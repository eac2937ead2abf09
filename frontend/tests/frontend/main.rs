//! What users of the importer see: values, diagnostics, the list of operators.

mod build;
mod diagnostics;
mod hostile;
mod ops_doc;
mod options;
mod signal;
mod positions;
mod values;
