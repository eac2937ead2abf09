/* Runs a model with one input and one output on many records and compares what it gives with what
 * it should, without an operating system. `data.S` holds both, one after the other. */
#include "machine.h"
#include "model.h"

extern const unsigned char records[], records_end[], results[];

static _Alignas(64) unsigned char input[1 << 20], output[1 << 20], workspace[64 << 20];

int main(void) {
    if (INFO->n_inputs != 1 || INFO->n_outputs != 1)
        return 2;
    size_t in_size = edgecc_model_input(INFO, 0)->size_bytes;
    size_t out_size = edgecc_model_output(INFO, 0)->size_bytes;
    if (in_size > sizeof input || out_size > sizeof output || INFO->arena_bytes > sizeof workspace)
        return 2;
    const void *inputs[] = {input};
    void *outputs[] = {output};
    edgecc_call call = model_call(inputs, outputs, workspace);
    const unsigned char *expected = results;
    for (const unsigned char *at = records; at != records_end; at += in_size) {
        memcpy(input, at, in_size);
        if (RUN(&call))
            return 3;
        for (size_t n = 0; n < out_size; n++) {
            if (output[n] != *expected++) {
                print("record "), print_number((at - records) / (long)in_size);
                print(": byte "), print_number((long)n), print(" differs");
                return 1;
            }
        }
    }
    return 0;
}
