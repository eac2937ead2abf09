/* Runs a compiled model once, on inputs of small numbers.
 *
 * Compile with -DMODEL=name and link with the model's object. */
#include <stdlib.h>

#include "../../tests/c/model.h"

#define ALIGNMENT 64

static void *aligned(uint64_t size) {
    void *data = aligned_alloc(ALIGNMENT, (size + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    return data ? data : (exit(3), NULL);
}

/* Different numbers below one, or small integers where the elements are no floats. */
static void fill(void *data, const edgecc_tensor_v1 *tensor) {
    float *numbers = data;
    unsigned char *bytes = data;
    int is_float = tensor->elem == EDGECC_F32;
    for (uint64_t i = 0; is_float && i < tensor->size_bytes / sizeof *numbers; i++)
        numbers[i] = (float)(i * 37 % 101) / 101.0f - 0.4f;
    for (uint64_t i = 0; !is_float && i < tensor->size_bytes; i++)
        bytes[i] = 0;
}

int main(void) {
    const void *inputs[MAX_TENSORS];
    void *outputs[MAX_TENSORS];
    if (INFO->n_inputs > MAX_TENSORS || INFO->n_outputs > MAX_TENSORS)
        return 2;
    for (uint32_t i = 0; i < INFO->n_inputs; i++) {
        const edgecc_tensor_v1 *tensor = edgecc_model_input(INFO, i);
        void *data = aligned(tensor->size_bytes);
        fill(data, tensor);
        inputs[i] = data;
    }
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        outputs[i] = aligned(edgecc_model_output(INFO, i)->size_bytes);
    void *state = aligned(INFO->state_bytes);
    edgecc_state_reset(INFO, state);
    const edgecc_call call = {
        .abi_version = EDGECC_ABI_VERSION,
        .n_inputs = INFO->n_inputs,
        .n_outputs = INFO->n_outputs,
        .inputs = inputs,
        .outputs = outputs,
        .workspace = aligned(INFO->arena_bytes),
        .workspace_size = INFO->arena_bytes,
        .state = state,
        .state_size = INFO->state_bytes,
    };
    return RUN(&call) ? 1 : 0;
}
