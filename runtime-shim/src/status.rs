//! What an entry point returns.

use core::ffi::CStr;
use core::fmt;

use crate::layout::codes;

codes! {
    /// The result of a run. The numbers are ABI and never change meaning.
    pub enum Status: i32 {
        /// The outputs are written.
        Ok = 0,
        /// The call, an input, an output, the state or the workspace is null.
        Null = -1,
        /// An input, an output, the state or the workspace is not aligned.
        Align = -2,
        /// The workspace is smaller than the descriptor says.
        Workspace = -3,
        /// The processor lacks a feature that the code uses. Never from an entry point, which
        /// does not look at the processor; only from checks before the call.
        Cpu = -4,
        /// The number of inputs or outputs, or a dimension, is not the model's.
        Dim = -5,
        /// Weights kept outside the object are missing or are not the model's.
        Weights = -6,
        /// The caller speaks another version of the ABI.
        Abi = -7,
        /// The state is smaller than the descriptor says.
        State = -8,
    }
}

impl Status {
    /// One line for a human, in English, as a C string. `edgecc_strerror` says the same.
    pub const fn message_c(self) -> &'static CStr {
        match self {
            Status::Ok => c"ok",
            Status::Null => c"a required pointer is null",
            Status::Align => c"a tensor or the workspace is misaligned",
            Status::Workspace => c"the workspace is too small",
            Status::Cpu => c"the processor lacks a required feature",
            Status::Dim => c"the number or shape of tensors does not match the model",
            Status::Weights => c"the separate weights are missing or do not match",
            Status::Abi => c"the ABI versions of caller and model differ",
            Status::State => c"the state is too small",
        }
    }

    /// One line for a human, in English.
    pub const fn message(self) -> &'static str {
        match self.message_c().to_str() {
            Ok(text) => text,
            Err(_) => "",
        }
    }

    /// The name of the constant in `edgecc.h`.
    pub const fn c_name(self) -> &'static str {
        match self {
            Status::Ok => "EDGECC_OK",
            Status::Null => "EDGECC_ERR_NULL",
            Status::Align => "EDGECC_ERR_ALIGN",
            Status::Workspace => "EDGECC_ERR_WORKSPACE",
            Status::Cpu => "EDGECC_ERR_CPU",
            Status::Dim => "EDGECC_ERR_DIM",
            Status::Weights => "EDGECC_ERR_WEIGHTS",
            Status::Abi => "EDGECC_ERR_ABI",
            Status::State => "EDGECC_ERR_STATE",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn codes_count_down_from_zero() {
        let codes: Vec<i32> = Status::ALL.iter().map(|s| s.code()).collect();
        assert_eq!(codes, [0, -1, -2, -3, -4, -5, -6, -7, -8]);
        assert!(Status::ALL.iter().all(|&s| Status::from_code(s.code()) == Some(s)));
        assert_eq!(Status::from_code(-9), None);
    }

    #[test]
    fn the_document_lists_every_code() {
        let doc = include_str!("../../docs/abi.md");
        for status in Status::ALL {
            let row = format!("| {} | `{}` |", status.code(), status.c_name());
            assert!(doc.contains(&row), "{row}");
        }
    }
}
