/* Uses the stand-in model through the header alone and prints what it sees, for the test. */
#include "edgecc.h"

#include <stdio.h>

EDGECC_DECLARE_MODEL(double);

static _Alignas(64) unsigned char workspace[64];

static int32_t run(const float *x, float *y, size_t size) {
    const void *inputs[] = {x};
    void *outputs[] = {y};
    const edgecc_call call = {EDGECC_ABI_VERSION, 0, 1, 1, inputs, outputs, workspace, size, NULL,
                              NULL, 0};
    return edgecc_double_run(&call);
}

int main(void) {
    const edgecc_model_v1 *model = edgecc_double_info;
    const edgecc_tensor_v1 *x = edgecc_model_input(model, 0);
    const edgecc_tensor_v1 *y = edgecc_model_output(model, 0);
    printf("%s by %s\n", edgecc_model_name(model), edgecc_model_producer(model));
    printf("%s: %zu bytes an element\n", edgecc_tensor_name(model, x), edgecc_elem_size(x->elem));
    printf("%s: %g * (q - %d)\n", edgecc_tensor_name(model, y), y->scale, (int)y->zero_point);
    printf("%d\n", edgecc_model_input(model, 1) == NULL && edgecc_model_output(model, 1) == NULL);

    const float in[2] = {1.0f, 2.5f};
    float out[2] = {0.0f, 0.0f};
    printf("%s\n", edgecc_strerror(run(in, out, 63)));
    printf("%s\n", edgecc_strerror(run(in, out, 64)));
    printf("%g %g\n", out[0], out[1]);
    for (int32_t status = 0; status >= -9; status--) printf("%s\n", edgecc_strerror(status));
    return 0;
}
