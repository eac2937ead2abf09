/* The model that a program is for: compile with -DMODEL=name. */
#ifndef MODEL_H
#define MODEL_H

#include "edgecc.h"

#define MODEL_DECLARE(name) EDGECC_DECLARE_MODEL(name)
#define MODEL_JOIN(a, b, c) a##b##c
#define MODEL_SYMBOL(name, suffix) MODEL_JOIN(edgecc_, name, suffix)
MODEL_DECLARE(MODEL);
#define INFO MODEL_SYMBOL(MODEL, _info)
#define RUN MODEL_SYMBOL(MODEL, _run)

#define MAX_TENSORS 64

/* A call of the model with these lists of tensors, in memory of its size. */
static inline edgecc_call model_call(const void **inputs, void **outputs, void *workspace) {
    edgecc_call call = {
        .abi_version = EDGECC_ABI_VERSION,
        .n_inputs = INFO->n_inputs,
        .n_outputs = INFO->n_outputs,
        .inputs = inputs,
        .outputs = outputs,
        .workspace = workspace,
        .workspace_size = INFO->arena_bytes,
    };
    return call;
}

#endif
