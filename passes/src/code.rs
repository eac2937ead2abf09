//! The codes of this room's diagnostics: one table, read by `edgecc explain`.

use edgecc_ir::codes;

codes! {
    /// What a target cannot do, and what is wrong with schedules from a file.
    UnsupportedScalarFunction "unsupported-scalar-function" Unsupported
        "The model computes a function on an element type for which the target has neither an \
         instruction nor a sequence of them. Export the model with `float32` in that place.";
    BadSchedules "bad-schedules" Usage
        "The file of `--schedules` is not what `edgecc tune` writes: a head with the version and the \
         machine, then one line for each kernel.";
    StaleSchedule "stale-schedule" Usage
        "A record of the file of `--schedules` does not fit: it is for another version of the \
         compiler or another machine, for no kernel of the model, or for a schedule that its kernel \
         cannot have. The kernel runs as it would without the record.";
}
