//! The peers: one row each, beside an adapter `benches/peers/with_NAME.py`.

/// A runtime that speed is compared with.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Its package in `benches/peers/requirements.txt`.
    pub(super) package: &'static str,
    /// What `benches/peers/convert_NAME.py` leaves in the folder that it is given for the adapter to
    /// read; the folder itself, if empty. A peer without reads ONNX.
    pub(super) converted: Option<&'static str>,
    /// The most threads that it runs on.
    pub(super) most_threads: usize,
    /// How it comes to a model that computes with codes.
    pub(super) codes: Codes,
}

/// How a peer takes part with codes of 8 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// It computes models in QDQ form with codes.
    Reads,
    /// Its converter quantises the model in f32, with the same samples.
    Makes,
    /// It has none, or needs tables that only its own tools make.
    Lacks,
}

const ANY: usize = usize::MAX;

/// All peers, in the order in which they take turns.
pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "onnxruntime",
        package: "onnxruntime",
        converted: None,
        most_threads: ANY,
        codes: Codes::Reads,
    },
    Peer {
        name: "openvino",
        package: "openvino",
        converted: None,
        most_threads: ANY,
        codes: Codes::Reads,
    },
    Peer {
        name: "litert",
        package: "ai-edge-litert",
        converted: Some("model.tflite"),
        most_threads: ANY,
        codes: Codes::Makes,
    },
    Peer {
        name: "ncnn",
        package: "ncnn",
        converted: Some(""),
        most_threads: ANY,
        codes: Codes::Lacks,
    },
    Peer { name: "tract", package: "tract", converted: None, most_threads: 1, codes: Codes::Lacks },
];

#[cfg(test)]
mod tests {
    use super::PEERS;
    use crate::paths;
    use crate::setup;

    #[test]
    fn each_peer_is_pinned_and_has_its_scripts() {
        let pins = setup::PEERS.packages().expect("requirements of the repository");
        for peer in PEERS {
            assert!(pins.iter().any(|(name, _)| name == peer.package), "{}", peer.name);
            let script = |kind: &str| format!("benches/peers/{kind}_{}.py", peer.name);
            assert!(paths::file(&script("with")).exists(), "{}", peer.name);
            let converter = paths::file(&script("convert"));
            assert_eq!(converter.exists(), peer.converted.is_some(), "{}", peer.name);
        }
    }
}
