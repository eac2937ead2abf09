//! Symbols and sections: everything of a model in one object.
//!
//! `.text` holds the kernels and the entry, `.rodata` the weights and the descriptor. All symbols
//! but the entry and the descriptor are local.

use crate::aarch64::shorten;
use crate::entry::parallel::{self, Helpers};
use crate::error::{Code, internal};
use crate::interface::{Interface, abi_elem};
use crate::isa::Effort;
use crate::metadata::used_features;
use crate::weights::{self, WeightLayout};
use crate::{Artifact, EmitOptions, FunctionInfo, bounds, clif, entry, isa, wide};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_entity::PrimaryMap;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{DataId, FuncId, Linkage, Module, ModuleReloc};
use cranelift_object::object::write::{StandardSection, Symbol, SymbolId, SymbolSection};
use cranelift_object::object::{SymbolFlags, SymbolKind, SymbolScope};
use cranelift_object::{ObjectBuilder, ObjectModule, ObjectProduct};
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::kernel::Port;
use edgecc_ir::loops::{self, LoopFn, Loops};
use edgecc_ir::target::{Arch, Target};
use edgecc_rt::abi;
use edgecc_rt::descriptor::{ModelInfo, TensorInfo, encode};
use edgecc_rt::feature;
use std::collections::BTreeMap;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Vec<Diagnostic>>;

/// Compiles legal programs into one object.
pub(crate) fn build(
    programs: &[&Loops],
    target: &Target,
    options: &EmitOptions,
) -> Result<Vec<Artifact>> {
    let layout = WeightLayout::of(programs);
    let mut module = ModuleBuilder::new(programs[0], target)?;
    let mut artifacts = Vec::new();
    let mut descriptors = Vec::new();
    for (n, loops) in programs.iter().enumerate() {
        let interface = Interface::of(loops, &options.states);
        let mut functions = module.kernels(loops, target)?;
        let (helpers, helper_infos) = module.helpers(loops)?;
        let entry = module.entry(loops, (&layout, n), &helpers, &interface)?;
        let stack_bytes = bounds::stack_bytes(&functions, &helper_infos, &entry);
        functions.extend(helper_infos);
        functions.push(entry);
        let base = model_info(loops, target, options, layout.bytes, stack_bytes);
        let info = with_interface(base, &interface);
        descriptors.push((loops.name.as_str(), descriptor(&info)?));
        artifacts.push(artifact(&info, interface, functions));
    }
    let object = module.finish(programs, &layout, &descriptors)?;
    for artifact in &mut artifacts {
        artifact.object = Arc::clone(&object.bytes);
        artifact.text_bytes = object.text_bytes;
        artifact.rodata_bytes = object.rodata_bytes;
    }
    Ok(artifacts)
}

fn descriptor(info: &ModelInfo) -> Result<Vec<u8>> {
    encode(info).map_err(|why| {
        vec![Code::AbiLimit.error(format!("the model's interface has no descriptor: {why}"))]
    })
}

/// An artifact whose object is not finished.
fn artifact(info: &ModelInfo, interface: Interface, functions: Vec<FunctionInfo>) -> Artifact {
    Artifact {
        object: Arc::default(),
        text_bytes: 0,
        rodata_bytes: 0,
        stack_bytes: info.stack_bytes,
        arena_bytes: info.arena_bytes,
        arena_align: info.arena_align,
        weights_bytes: info.weights_bytes,
        interface,
        functions,
    }
}

/// The descriptor's content but for the interface, `weights_bytes` and `stack_bytes` being known
/// from the code.
fn model_info(
    loops: &Loops,
    target: &Target,
    options: &EmitOptions,
    weights_bytes: usize,
    stack_bytes: u32,
) -> ModelInfo {
    let arch = match target.arch {
        Arch::X86_64 => abi::Arch::X86_64,
        Arch::Aarch64 => abi::Arch::Aarch64,
    };
    let used = used_features(loops, target);
    let rows = used.iter().filter_map(|name| feature::by_name(arch, name));
    ModelInfo {
        name: loops.name.clone(),
        producer: options.producer.clone(),
        arch,
        features: rows.fold(0, |mask, row| mask | row.mask()),
        arena_bytes: loops.plan.as_ref().map_or(0, |plan| plan.arena_bytes as u64),
        arena_align: arena_align(loops) as u32,
        stack_bytes,
        macs: loops.macs,
        weights_bytes: weights_bytes as u64,
        inputs: Vec::new(),
        outputs: Vec::new(),
        states: Vec::new(),
        initial_state: Vec::new(),
    }
}

fn with_interface(info: ModelInfo, interface: &Interface) -> ModelInfo {
    ModelInfo {
        inputs: interface.inputs.iter().map(tensor_info).collect(),
        outputs: interface.outputs.iter().map(tensor_info).collect(),
        states: interface.states.iter().map(|state| tensor_info(&state.port)).collect(),
        initial_state: interface.initial_state(),
        ..info
    }
}

/// Alignment of the workspace.
pub(crate) fn arena_align(loops: &Loops) -> usize {
    loops.plan.as_ref().map_or(1, |plan| plan.align.max(1))
}

fn tensor_info(port: &Port) -> TensorInfo {
    TensorInfo {
        name: port.name.clone(),
        elem: abi_elem(port.ty.elem),
        dims: port.ty.shape.iter().map(|&d| d as u64).collect(),
        quant: None,
    }
}

/// A finished object file.
struct Object {
    bytes: Arc<Vec<u8>>,
    text_bytes: u64,
    rodata_bytes: u64,
}

/// An object under construction.
struct ModuleBuilder {
    target: Target,
    module: ObjectModule,
    glue_isa: OwnedTargetIsa,
    kernel_isa: OwnedTargetIsa,
    /// The functions so far.
    shared: Shared,
    /// Those of the last program.
    kernels: PrimaryMap<loops::FuncId, FuncId>,
    weights: DataId,
    context: Context,
    scratch: FunctionBuilderContext,
}

/// Compiled functions, to be found by what they do.
#[derive(Default)]
struct Shared(BTreeMap<[usize; 3], Vec<(LoopFn, FuncId, FunctionInfo)>>);

impl Shared {
    /// What tells most functions apart.
    fn key(func: &LoopFn) -> [usize; 3] {
        [func.params.len(), func.values.len(), func.indices.len()]
    }

    fn find(&self, func: &LoopFn) -> Option<(FuncId, FunctionInfo)> {
        let is_equal = |other: &LoopFn| {
            other.params == func.params
                && other.values == func.values
                && other.indices == func.indices
                && other.body == func.body
        };
        let candidates = self.0.get(&Shared::key(func))?;
        let (_, id, info) = candidates.iter().find(|(other, ..)| is_equal(other))?;
        Some((*id, info.clone()))
    }

    fn add(&mut self, func: &LoopFn, (id, info): (FuncId, FunctionInfo)) {
        self.0.entry(Shared::key(func)).or_default().push((func.clone(), id, info));
    }
}

impl ModuleBuilder {
    fn new(loops: &Loops, target: &Target) -> Result<ModuleBuilder> {
        let glue = isa::build(target, Effort::Glue)?;
        let builder = ObjectBuilder::new(
            glue.clone(),
            loops.name.as_str(),
            cranelift_module::default_libcall_names(),
        );
        let mut module = ObjectModule::new(builder.map_err(internal)?);
        let symbol = format!("edgecc_{}_weights", loops.name);
        // Defined after the module is finished, so that the bytes are not copied on the way.
        let weights =
            module.declare_data(&symbol, Linkage::Import, false, false).map_err(internal)?;
        Ok(ModuleBuilder {
            target: target.clone(),
            module,
            glue_isa: glue,
            kernel_isa: isa::build(target, Effort::Verbatim)?,
            shared: Shared::default(),
            kernels: PrimaryMap::new(),
            weights,
            context: Context::new(),
            scratch: FunctionBuilderContext::new(),
        })
    }

    /// The functions of a program; equal ones of earlier programs are not compiled again.
    fn kernels(&mut self, loops: &Loops, target: &Target) -> Result<Vec<FunctionInfo>> {
        self.kernels.clear();
        let mut functions = Vec::with_capacity(loops.funcs.len() + 1);
        for func in loops.funcs.values() {
            let (id, info) = match self.shared.find(func) {
                Some(found) => found,
                None => {
                    let made = self.kernel(&loops.name, func, target)?;
                    self.shared.add(func, made.clone());
                    made
                }
            };
            self.kernels.push(id);
            functions.push(info);
        }
        Ok(functions)
    }

    fn kernel(
        &mut self,
        model: &str,
        func: &LoopFn,
        target: &Target,
    ) -> Result<(FuncId, FunctionInfo)> {
        let config = self.kernel_isa.frontend_config();
        let name = format!("edgecc_{model}_{}", func.name);
        let signature = clif::signature(func.params.len(), config.default_call_conv);
        let id = self.module.declare_function(&name, Linkage::Local, &signature);
        let id = id.map_err(internal)?;
        if wide::is_wide(func, target) {
            return Ok((id, self.define_wide(id, name, func, target)?));
        }
        let code = clif::translate(func, target, config, &mut self.scratch);
        let isa = self.kernel_isa.clone();
        Ok((id, self.define(id, name, code, &*isa)?))
    }

    /// The functions around a program's calls in parts.
    fn helpers(&mut self, loops: &Loops) -> Result<(Helpers, Vec<FunctionInfo>)> {
        let (mut helpers, mut infos) = (Helpers::default(), Vec::new());
        let config = self.glue_isa.frontend_config();
        for divided in parallel::divided(loops) {
            let name = format!("{}_part", loops.funcs[divided.callee].name);
            let kernel = self.kernels[divided.callee];
            let code = parallel::part(&divided, kernel, &mut self.module, &mut self.scratch);
            let (id, info) = self.helper(&loops.name, &name, code)?;
            helpers.parts.insert(divided, id);
            infos.push(info);
        }
        if !helpers.parts.is_empty() {
            let code = parallel::in_order(config, &mut self.scratch);
            let (id, info) = self.helper(&loops.name, "in_order", code)?;
            helpers.in_order = Some(id);
            infos.push(info);
        }
        Ok((helpers, infos))
    }

    fn helper(
        &mut self,
        model: &str,
        name: &str,
        code: Function,
    ) -> Result<(FuncId, FunctionInfo)> {
        let name = format!("edgecc_{model}_{name}");
        let id = self.module.declare_function(&name, Linkage::Local, &code.signature);
        let (id, isa) = (id.map_err(internal)?, self.glue_isa.clone());
        Ok((id, self.define(id, name, code, &*isa)?))
    }

    fn entry(
        &mut self,
        loops: &Loops,
        (layout, program): (&WeightLayout, usize),
        helpers: &Helpers,
        interface: &Interface,
    ) -> Result<FunctionInfo> {
        let isa = self.glue_isa.clone();
        let name = abi::run_symbol(&loops.name);
        let signature = entry::signature(isa.default_call_conv());
        let id = self.module.declare_function(&name, Linkage::Export, &signature);
        let places = entry::Places {
            kernels: &self.kernels,
            weights: self.weights,
            has_weights: layout.bytes > 0,
            offsets: &layout.offsets[program],
            helpers,
            interface,
        };
        let code = entry::build(loops, &places, &mut self.module, &mut self.scratch, signature)?;
        self.define(id.map_err(internal)?, name, code, &*isa)
    }

    fn define(
        &mut self,
        id: FuncId,
        name: String,
        code: Function,
        isa: &dyn TargetIsa,
    ) -> Result<FunctionInfo> {
        self.context.clear();
        self.context.func = code;
        let compiled = self.context.compile(isa, &mut ControlPlane::default());
        let compiled = compiled.map_err(|why| internal(format!("{name}: {:?}", why.inner)))?;
        let frame_bytes = bounds::frame_bytes(compiled);
        let alignment = compiled.buffer.alignment.max(isa.function_alignment().preferred);
        let mut bytes = compiled.buffer.data().to_vec();
        let relocs: Vec<ModuleReloc> = compiled
            .buffer
            .relocs()
            .to_vec()
            .iter()
            .map(|reloc| ModuleReloc::from_mach_reloc(reloc, &self.context.func, id))
            .collect();
        if self.target.arch == Arch::Aarch64 && relocs.is_empty() {
            bytes = shorten(bytes, &self.target);
        }
        self.module
            .define_function_bytes(id, u64::from(alignment), &bytes, &relocs)
            .map_err(internal)?;
        Ok(FunctionInfo { name, code_bytes: bytes.len() as u32, frame_bytes, spills: 0 })
    }

    fn define_wide(
        &mut self,
        id: FuncId,
        name: String,
        func: &LoopFn,
        target: &Target,
    ) -> Result<FunctionInfo> {
        let compiled = wide::compile(func, target);
        let compiled = compiled.map_err(|why| internal(format!("{name}: {why}")))?;
        let code_bytes = compiled.bytes.len() as u32;
        self.module
            .define_function_bytes(id, wide::ALIGNMENT, &compiled.bytes, &[])
            .map_err(internal)?;
        let frame_bytes = bounds::SETUP_BYTES + compiled.frame_bytes;
        Ok(FunctionInfo { name, code_bytes, frame_bytes, spills: compiled.spills })
    }

    fn finish(
        self,
        programs: &[&Loops],
        layout: &WeightLayout,
        descriptors: &[(&str, Vec<u8>)],
    ) -> Result<Object> {
        let weights = self.weights;
        let mut product = self.module.finish();
        let more = descriptors.iter().map(|(_, bytes)| bytes.len() + abi::DESCRIPTOR_ALIGN).sum();
        let mut rodata = layout.blob(programs, more);
        let mut symbols = Vec::new();
        for (name, bytes) in descriptors {
            rodata.resize(rodata.len().next_multiple_of(abi::DESCRIPTOR_ALIGN), 0);
            symbols.push((*name, rodata.len() as u64, bytes.len() as u64));
            rodata.extend_from_slice(bytes);
        }
        let rodata_bytes = rodata.len() as u64;
        place_rodata(&mut product, (weights, layout), &symbols, rodata);
        let text = product.object.section_id(StandardSection::Text);
        let text_bytes = product.object.section(text).data().len() as u64;
        let bytes = Arc::new(product.object.write().map_err(internal)?);
        Ok(Object { bytes, text_bytes, rodata_bytes })
    }
}

/// Fills `.rodata` and defines its symbols: the weights, and descriptors by name, place and size.
fn place_rodata(
    product: &mut ObjectProduct,
    (weights, layout): (DataId, &WeightLayout),
    descriptors: &[(&str, u64, u64)],
    rodata: Vec<u8>,
) {
    let weights: SymbolId = product.data_symbol(weights);
    let object = &mut product.object;
    let section = object.section_id(StandardSection::ReadOnlyData);
    object.set_section_data(section, rodata, weights::ALIGN as u64);
    let symbol = object.symbol_mut(weights);
    symbol.section = SymbolSection::Section(section);
    symbol.size = layout.bytes as u64;
    symbol.scope = SymbolScope::Compilation;
    for &(name, value, size) in descriptors {
        object.add_symbol(Symbol {
            name: abi::info_symbol(name).into_bytes(),
            value,
            size,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ARCHES, compile, program};
    use cranelift_object::object::read::elf::ElfFile64;
    use cranelift_object::object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionKind};
    use edgecc_ir::affine::Affine;
    use edgecc_ir::kernel::{Buffer, Home};
    use edgecc_ir::loops::build::LoopBuilder;
    use edgecc_ir::loops::{Loops, Param, ParamAccess, VType};
    use edgecc_ir::program::Step;
    use edgecc_ir::tensor::Tensor;
    use edgecc_ir::types::{ElemType, TensorType};

    /// Adds two constants of equal content to the input, one after the other.
    fn model() -> Loops {
        let ty = TensorType::new(ElemType::F32, &[4]);
        let mut b = LoopBuilder::new("k0_add");
        let x = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let c = b.param(Param { ty: ty.clone(), access: ParamAccess::Read });
        let y = b.param(Param { ty: ty.clone(), access: ParamAccess::Write });
        let v4 = VType { elem: ElemType::F32, lanes: 4 };
        let at = vec![Affine::constant(0)];
        let (a, k) = (b.load(v4, x, at.clone(), 4), b.load(v4, c, at.clone(), 4));
        let sum = b.apply(edgecc_ir::scalar::func::ScalarFn::Add, &[a, k]);
        b.store(y, at, sum, 4);
        let mut loops = program(b.finish());
        loops.inputs.pop();
        let constants = [0, 1].map(|_| {
            let constant = loops.consts.push(Tensor::from_f32s(&[4], &[1.0, 2.0, 3.0, 4.0]));
            loops.buffers.push(Buffer { ty: ty.clone(), home: Home::Const(constant) })
        });
        let Step::Call(call) = loops.program.steps.remove(0) else { panic!("a call") };
        for (n, constant) in constants.into_iter().enumerate() {
            let mut next = call.clone();
            next.args[0] = call.args[2 * n].clone();
            next.args[1] = constant.into();
            loops.program.steps.push(Step::Call(next));
        }
        loops
    }

    #[test]
    fn the_object_exports_two_symbols_and_imports_none() {
        for arch in ARCHES {
            let artifact = compile(&model(), arch);
            let elf: ElfFile64<'_, Endianness> =
                ElfFile64::parse(artifact.object.as_slice()).expect("an ELF object");
            let globals: Vec<_> =
                elf.symbols().filter(|s| s.is_global()).filter_map(|s| s.name().ok()).collect();
            assert_eq!(globals, ["edgecc_m_run", "edgecc_m_info"]);
            assert!(elf.symbols().skip(1).all(|s| !s.is_undefined()), "{arch:?}");
        }
    }

    #[test]
    fn no_section_is_writable() {
        for arch in ARCHES {
            let artifact = compile(&model(), arch);
            let elf: ElfFile64<'_, Endianness> =
                ElfFile64::parse(artifact.object.as_slice()).expect("an ELF object");
            let filled = elf.sections().filter(|s| s.size() > 0);
            let loaded: Vec<_> = filled
                .filter(|s| !matches!(s.kind(), SectionKind::Metadata | SectionKind::Linker))
                .map(|s| s.kind())
                .collect();
            assert_eq!(loaded, [SectionKind::Text, SectionKind::ReadOnlyData]);
        }
    }

    #[test]
    fn equal_constants_are_stored_once() {
        let artifact = compile(&model(), ARCHES[0]);
        assert_eq!(artifact.weights_bytes, 16);
    }

    #[test]
    fn two_compilations_give_the_same_bytes() {
        for arch in ARCHES {
            assert_eq!(compile(&model(), arch), compile(&model(), arch));
        }
    }

    #[test]
    fn constants_reach_the_kernels() {
        let x = Tensor::from_f32s(&[4], &[10.0, 20.0, 30.0, 40.0]);
        let Some(outputs) = crate::testing::run(&model(), &[x]) else { return };
        assert_eq!(outputs[0].to_f32s(), [12.0, 24.0, 36.0, 48.0]);
    }
}
