/* A stand-in for a compiled model: y = 2x on two floats, spread over threads if there are any.
 * The test writes descriptor.inc, the words of the descriptor. */
#include "edgecc.h"

extern const uint64_t edgecc_double_info[];
int32_t edgecc_double_run(const edgecc_call *call);

const uint64_t edgecc_double_info[] = {
#include "descriptor.inc"
};

typedef struct {
    const float *x;
    float *y;
} buffers;

static void part(void *arg, uint32_t index) {
    const buffers *b = arg;
    b->y[index] = 2 * b->x[index];
}

static int32_t check(const edgecc_call *call) {
    if (!call) return EDGECC_ERR_NULL;
    if (call->abi_version != EDGECC_ABI_VERSION) return EDGECC_ERR_ABI;
    if (call->n_inputs != 1 || call->n_outputs != 1) return EDGECC_ERR_DIM;
    if (!call->inputs[0] || !call->outputs[0] || !call->workspace) return EDGECC_ERR_NULL;
    if ((uintptr_t)call->workspace % 64) return EDGECC_ERR_ALIGN;
    return call->workspace_size < 64 ? EDGECC_ERR_WORKSPACE : EDGECC_OK;
}

int32_t edgecc_double_run(const edgecc_call *call) {
    const int32_t status = check(call);
    if (status != EDGECC_OK) return status;
    buffers b = {call->inputs[0], call->outputs[0]};
    const edgecc_services *s = call->services;
    if (s && s->size >= sizeof *s && s->parallel_for) {
        s->parallel_for(s->parallel_ctx, part, &b, 2);
    } else {
        part(&b, 0);
        part(&b, 1);
    }
    return EDGECC_OK;
}
