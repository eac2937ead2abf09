//! Builds the kernel form of a tensor op.

use super::routine::Routine;
use super::{
    Access, Axis, AxisId, AxisKind, Index, Kernel, Operand, OperandId, Outside, Reduce, Role,
    Stage, Unit,
};
use crate::affine::Affine;
use crate::scalar::ScalarExpr;
use crate::types::{Shape, TensorType};

/// Collects operands, axes and stages.
#[derive(Debug)]
pub struct KernelBuilder {
    kernel: Kernel,
}

impl KernelBuilder {
    /// A kernel without operands.
    #[must_use]
    pub fn new(name: &str) -> KernelBuilder {
        KernelBuilder { kernel: Kernel::empty(name) }
    }

    /// Adds an operand that is read.
    pub fn read(&mut self, ty: &TensorType) -> OperandId {
        self.kernel.operands.push(Operand { ty: ty.clone(), role: Role::Read })
    }

    /// Adds an operand that is written.
    pub fn write(&mut self, ty: &TensorType) -> OperandId {
        self.kernel.operands.push(Operand { ty: ty.clone(), role: Role::Write })
    }

    /// Adds an operand that stages write and later stages read.
    pub fn local(&mut self, ty: &TensorType) -> OperandId {
        self.kernel.operands.push(Operand { ty: ty.clone(), role: Role::Local })
    }

    /// Makes these axes run outside all stages.
    pub fn rows(&mut self, rows: Vec<AxisId>) {
        self.kernel.rows = rows;
    }

    /// Adds one parallel axis per dimension.
    pub fn parallel(&mut self, shape: &Shape) -> Vec<AxisId> {
        shape.iter().map(|&extent| self.axis(extent, AxisKind::Parallel)).collect()
    }

    /// Adds an axis.
    pub fn axis(&mut self, extent: usize, kind: AxisKind) -> AxisId {
        self.kernel.axes.push(Axis { extent, kind })
    }

    /// Makes the kernel compute this instead of stages.
    pub fn routine(&mut self, routine: Routine) {
        self.kernel.routine = Some(routine);
    }

    /// Adds a stage.
    pub fn stage(&mut self, stage: Stage) {
        self.kernel.stages.push(stage);
    }

    /// Adds a stage that computes `body` of the reads at each point of `axes`.
    pub fn map_stage(
        &mut self,
        axes: Vec<AxisId>,
        reads: Vec<Access>,
        body: ScalarExpr,
        write: Access,
    ) {
        self.stage(Stage {
            axes,
            reads,
            body,
            reduce: None,
            epilogue_reads: Vec::new(),
            epilogue: ScalarExpr::identity(),
            write,
        });
    }

    /// Adds a stage that reduces `body` of the reads and stores the accumulator.
    pub fn reduce_stage(
        &mut self,
        axes: Vec<AxisId>,
        reads: Vec<Access>,
        body: ScalarExpr,
        reduce: Reduce,
        write: Access,
    ) {
        self.map_stage(axes, reads, body, write);
        let last = self.kernel.stages.last_mut().expect("just pushed");
        last.reduce = Some(reduce);
    }

    /// Gives the last stage an epilogue.
    pub fn with_epilogue(&mut self, epilogue: ScalarExpr, reads: Vec<Access>) {
        let last = self.kernel.stages.last_mut().expect("a stage before its epilogue");
        last.epilogue = epilogue;
        last.epilogue_reads = reads;
    }

    /// The finished kernel.
    #[must_use]
    pub fn finish(self) -> Kernel {
        self.kernel
    }
}

/// An in-bounds access.
#[must_use]
pub fn access(operand: OperandId, index: Vec<Affine<AxisId>>) -> Access {
    let index = index.into_iter().map(Index::Affine).collect();
    Access { operand, index, outside: Outside::Never, unit: Unit::Element }
}

/// An in-bounds access with one axis per dimension.
#[must_use]
pub fn access_axes(operand: OperandId, axes: &[AxisId]) -> Access {
    access(operand, axes.iter().map(|&a| Affine::var(a)).collect())
}
