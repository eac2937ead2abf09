/* edgecc.h - the C ABI of compiled models, version 1. C99, C++ safe.
 *
 * A model NAME is two symbols: the descriptor edgecc_NAME_info and the function edgecc_NAME_run.
 * Declare them with EDGECC_DECLARE_MODEL(NAME) or include the generated header.
 * docs/abi.md states the contract in words. */
#ifndef EDGECC_H
#define EDGECC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EDGECC_ABI_VERSION 1u
#define EDGECC_MAX_RANK 8

/* What a run returns. */
#define EDGECC_OK 0
#define EDGECC_ERR_NULL (-1)
#define EDGECC_ERR_ALIGN (-2)
#define EDGECC_ERR_WORKSPACE (-3)
#define EDGECC_ERR_CPU (-4)
#define EDGECC_ERR_DIM (-5)
#define EDGECC_ERR_WEIGHTS (-6)
#define EDGECC_ERR_ABI (-7)
#define EDGECC_ERR_STATE (-8)

/* Instruction sets. */
#define EDGECC_ARCH_X86_64 1u
#define EDGECC_ARCH_AARCH64 2u

/* Element types; the codes are ONNX's TensorProto.DataType. */
#define EDGECC_F32 1u
#define EDGECC_U8 2u
#define EDGECC_I8 3u
#define EDGECC_U16 4u
#define EDGECC_I16 5u
#define EDGECC_I32 6u
#define EDGECC_I64 7u
#define EDGECC_BOOL 9u
#define EDGECC_F16 10u
#define EDGECC_F64 11u
#define EDGECC_U32 12u
#define EDGECC_U64 13u

/* CPU features. */
#define EDGECC_X86_SSE3 (UINT64_C(1) << 0)
#define EDGECC_X86_SSSE3 (UINT64_C(1) << 1)
#define EDGECC_X86_SSE41 (UINT64_C(1) << 2)
#define EDGECC_X86_SSE42 (UINT64_C(1) << 3)
#define EDGECC_X86_POPCNT (UINT64_C(1) << 4)
#define EDGECC_X86_AVX (UINT64_C(1) << 5)
#define EDGECC_X86_AVX2 (UINT64_C(1) << 6)
#define EDGECC_X86_FMA (UINT64_C(1) << 7)
#define EDGECC_X86_F16C (UINT64_C(1) << 8)
#define EDGECC_X86_BMI1 (UINT64_C(1) << 9)
#define EDGECC_X86_BMI2 (UINT64_C(1) << 10)
#define EDGECC_X86_LZCNT (UINT64_C(1) << 11)
#define EDGECC_X86_AVX512F (UINT64_C(1) << 12)
#define EDGECC_X86_AVX512VL (UINT64_C(1) << 13)
#define EDGECC_X86_AVX512BW (UINT64_C(1) << 14)
#define EDGECC_X86_AVX512DQ (UINT64_C(1) << 15)
#define EDGECC_X86_AVX512CD (UINT64_C(1) << 16)
#define EDGECC_X86_AVX512VNNI (UINT64_C(1) << 17)
#define EDGECC_X86_AVX512VBMI (UINT64_C(1) << 18)
#define EDGECC_X86_AVX512BF16 (UINT64_C(1) << 19)
#define EDGECC_X86_AVX512FP16 (UINT64_C(1) << 20)
#define EDGECC_X86_AVXVNNI (UINT64_C(1) << 21)
#define EDGECC_X86_AVXVNNIINT8 (UINT64_C(1) << 22)
#define EDGECC_X86_AMX_TILE (UINT64_C(1) << 23)
#define EDGECC_X86_AMX_INT8 (UINT64_C(1) << 24)
#define EDGECC_X86_AMX_BF16 (UINT64_C(1) << 25)
#define EDGECC_X86_MOVBE (UINT64_C(1) << 26)
#define EDGECC_ARM_NEON (UINT64_C(1) << 32)
#define EDGECC_ARM_FP16 (UINT64_C(1) << 33)
#define EDGECC_ARM_DOTPROD (UINT64_C(1) << 34)
#define EDGECC_ARM_I8MM (UINT64_C(1) << 35)
#define EDGECC_ARM_BF16 (UINT64_C(1) << 36)
#define EDGECC_ARM_LSE (UINT64_C(1) << 37)
#define EDGECC_ARM_RDM (UINT64_C(1) << 38)
#define EDGECC_ARM_FHM (UINT64_C(1) << 39)
#define EDGECC_ARM_SVE (UINT64_C(1) << 40)
#define EDGECC_ARM_SVE2 (UINT64_C(1) << 41)

/* Events of edgecc_services.profile. */
#define EDGECC_PROFILE_BEGIN 0u
#define EDGECC_PROFILE_END 1u

/* The head of a descriptor. Offsets count from its first byte; strings end with a zero. */
typedef struct edgecc_model_v1 {
    uint8_t magic[8];
    uint32_t abi_version;
    uint32_t size_bytes;
    uint64_t features;
    uint32_t arch;
    uint32_t arena_align;
    uint64_t arena_bytes;
    uint32_t stack_bytes;
    uint32_t n_inputs;
    uint32_t n_outputs;
    uint32_t tensors_offset;
    uint32_t name_offset;
    uint32_t name_len;
    uint32_t producer_offset;
    uint32_t producer_len;
    uint64_t macs;
    uint64_t weights_bytes;
    uint32_t n_states;
    uint32_t state_align;
    uint64_t state_bytes;
    uint32_t initial_offset;
    uint32_t reserved[5];
} edgecc_model_v1;

/* One input, output or state in a descriptor. */
typedef struct edgecc_tensor_v1 {
    uint32_t name_offset;
    uint32_t name_len;
    uint32_t elem;
    uint32_t rank;
    uint64_t dims[8];
    uint64_t size_bytes;
    float scale;
    int32_t zero_point;
    uint32_t quantized;
    uint32_t state_offset;
} edgecc_tensor_v1;

/* One part of a step. */
typedef void (*edgecc_parallel_body)(void *arg, uint32_t index);
/* Calls body(arg, i) once for each i < count, on any threads; returns when all have returned. */
typedef void (*edgecc_parallel_for)(void *ctx, edgecc_parallel_body body, void *arg, uint32_t count);
/* Hears of a step's start and end. */
typedef void (*edgecc_profile)(void *ctx, uint32_t step, uint32_t event);

/* What a caller offers to a model; each may be null. Set size to sizeof(edgecc_services). */
typedef struct edgecc_services {
    uint32_t size;
    uint32_t flags;
    void *parallel_ctx;
    edgecc_parallel_for parallel_for;
    void *profile_ctx;
    edgecc_profile profile;
} edgecc_services;

/* The argument of a run. */
typedef struct edgecc_call {
    uint32_t abi_version;
    uint32_t flags;
    uint32_t n_inputs;
    uint32_t n_outputs;
    const void *const *inputs;
    void *const *outputs;
    void *workspace;
    size_t workspace_size;
    const edgecc_services *services;
    void *state;
    size_t state_size;
} edgecc_call;

/* The entry point of a model. Reentrant; writes nothing but outputs, state and workspace. */
typedef int32_t (*edgecc_run_fn)(const edgecc_call *call);

/* The descriptor is an array without a size because more follows its first element. */
#define EDGECC_DECLARE_MODEL(name)                       \
    extern const edgecc_model_v1 edgecc_##name##_info[]; \
    extern int32_t edgecc_##name##_run(const edgecc_call *call)

/* ---- Needs nothing but this header ---- */

/* The model's name. */
static inline const char *edgecc_model_name(const edgecc_model_v1 *model) {
    return (const char *)model + model->name_offset;
}

/* The compiler's name and version. */
static inline const char *edgecc_model_producer(const edgecc_model_v1 *model) {
    return (const char *)model + model->producer_offset;
}

/* Input number index, or null. */
static inline const edgecc_tensor_v1 *edgecc_model_input(const edgecc_model_v1 *model,
                                                         uint32_t index) {
    const void *table = (const char *)model + model->tensors_offset;
    return index < model->n_inputs ? (const edgecc_tensor_v1 *)table + index : NULL;
}

/* Output number index, or null. */
static inline const edgecc_tensor_v1 *edgecc_model_output(const edgecc_model_v1 *model,
                                                          uint32_t index) {
    const void *table = (const char *)model + model->tensors_offset;
    return index < model->n_outputs ? (const edgecc_tensor_v1 *)table + model->n_inputs + index
                                    : NULL;
}

/* State number index, or null. */
static inline const edgecc_tensor_v1 *edgecc_model_state(const edgecc_model_v1 *model,
                                                         uint32_t index) {
    const void *table = (const char *)model + model->tensors_offset;
    return index < model->n_states
               ? (const edgecc_tensor_v1 *)table + model->n_inputs + model->n_outputs + index
               : NULL;
}

/* Makes a state of state_bytes as it is before the first run. */
static inline void edgecc_state_reset(const edgecc_model_v1 *model, void *state) {
    const unsigned char *initial = (const unsigned char *)model + model->initial_offset;
    unsigned char *bytes = (unsigned char *)state;
    for (uint64_t i = 0; i < model->state_bytes; i++) {
        bytes[i] = model->initial_offset ? initial[i] : 0;
    }
}

/* The tensor's name in the ONNX graph. */
static inline const char *edgecc_tensor_name(const edgecc_model_v1 *model,
                                             const edgecc_tensor_v1 *tensor) {
    return (const char *)model + tensor->name_offset;
}

/* Bytes of one element; 0 for an unknown type. */
static inline size_t edgecc_elem_size(uint32_t elem) {
    switch (elem) {
    case EDGECC_U8:
    case EDGECC_I8:
    case EDGECC_BOOL:
        return 1;
    case EDGECC_U16:
    case EDGECC_I16:
    case EDGECC_F16:
        return 2;
    case EDGECC_F32:
    case EDGECC_I32:
    case EDGECC_U32:
        return 4;
    case EDGECC_I64:
    case EDGECC_F64:
    case EDGECC_U64:
        return 8;
    default:
        return 0;
    }
}

/* One line for a human. */
static inline const char *edgecc_strerror(int32_t status) {
    switch (status) {
    case EDGECC_OK:
        return "ok";
    case EDGECC_ERR_NULL:
        return "a required pointer is null";
    case EDGECC_ERR_ALIGN:
        return "a tensor or the workspace is misaligned";
    case EDGECC_ERR_WORKSPACE:
        return "the workspace is too small";
    case EDGECC_ERR_CPU:
        return "the processor lacks a required feature";
    case EDGECC_ERR_DIM:
        return "the number or shape of tensors does not match the model";
    case EDGECC_ERR_WEIGHTS:
        return "the separate weights are missing or do not match";
    case EDGECC_ERR_ABI:
        return "the ABI versions of caller and model differ";
    case EDGECC_ERR_STATE:
        return "the state is too small";
    default:
        return "unknown status";
    }
}

/* ---- In libedgecc_rt.a ---- */

/* The features of this machine. */
uint64_t edgecc_host_features(void);

/* Asks the operating system for matrix tiles (AMX), for all threads of the process: EDGECC_OK if
   they are there, else EDGECC_ERR_CPU. Models that use them pass edgecc_cpu_check only after that.
   Alternate stacks of signals must then have the size that AT_MINSIGSTKSZ says. */
int32_t edgecc_enable_tiles(void);

/* The name of a feature bit, as --features takes it, or null. */
const char *edgecc_feature_name(uint32_t bit);

/* EDGECC_OK if this machine can run the model. Call it once, before the first run: a run does not
 * look at the processor. */
int32_t edgecc_cpu_check(const edgecc_model_v1 *model);

/* Threads for runs with services. */
typedef struct edgecc_pool edgecc_pool;

/* A pool; threads counts the caller, 0 is one per processor. Null if there are no threads. */
edgecc_pool *edgecc_pool_create(uint32_t threads);

/* Services that use a pool, good until it is destroyed. */
edgecc_services edgecc_pool_services(const edgecc_pool *pool);

/* Ends a pool that no run is using. Null is ignored. */
void edgecc_pool_destroy(edgecc_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
