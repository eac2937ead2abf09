//! Sources that wrap a compiled model: `c` makes a header, `rust` a module.
//!
//! In → Out  (&Loops, &Artifact) → text. Owns the names of the generated items.

pub mod c;
pub mod names;
pub mod rust;
pub mod sizes;
mod state;

#[cfg(test)]
mod tests {
    use super::{c, rust};
    use crate::Artifact;
    use crate::testing::{ARCHES, compile, program};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Loops, Param, ParamAccess, VType};
    use edgecc_ir::types::{ElemType, TensorType};

    fn model(input: &str) -> (Loops, Artifact) {
        let mut b = LoopBuilder::new("k0_copy");
        let ty = TensorType::new(ElemType::F32, &[1, 3]);
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty, access: ParamAccess::Write });
        let at = vec![Affine::constant(0), Affine::constant(2)];
        let value = b.load(VType::scalar(ElemType::F32), x, at.clone(), 1);
        b.store(y, at, value, 1);
        let mut loops = program(b.finish());
        loops.inputs[0].name = input.to_owned();
        let artifact = compile(&loops, ARCHES[0]);
        (loops, artifact)
    }

    #[test]
    fn the_header_declares_sizes_types_and_the_wrapper() {
        let (loops, artifact) = model("serving/x:0");
        let text = c::header(&loops, &artifact).expect("names are distinct");
        for line in [
            "#define M_WORKSPACE_SIZE 0u",
            "#define M_INPUT_SERVING_X_0_SIZE 12u",
            "#define M_INPUT_SERVING_X_0_RANK 2",
            "#define M_INPUT_SERVING_X_0_DIMS {1, 3}",
            "    const float *serving_x_0; /* f32[1,3] */",
            "    float *t0; /* f32[1,3] */",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_module_types_its_tensors() {
        let (loops, artifact) = model("type");
        let text = rust::module(&loops, &artifact).expect("names are distinct");
        assert!(text.contains("pub type_: &'a [f32; 3],"), "{text}");
        assert!(text.contains("pub t0: &'a mut [f32; 3],"), "{text}");
    }
}
