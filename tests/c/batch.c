/* Runs a model with one input and one output on many records: batch RECORDS RESULTS
 *
 * Compile with -DMODEL=name and link with the model's object. RECORDS holds raw inputs one after
 * the other; RESULTS gets the raw outputs in the same order. */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

static void *aligned(size_t size, size_t align) {
    void *memory = aligned_alloc(align, (size + align) / align * align);
    if (!memory)
        exit(1);
    return memory;
}

int main(int argc, char **argv) {
    if (argc != 3 || INFO->n_inputs != 1 || INFO->n_outputs != 1)
        return 2;
    size_t in_size = edgecc_model_input(INFO, 0)->size_bytes;
    size_t out_size = edgecc_model_output(INFO, 0)->size_bytes;
    void *input = aligned(in_size, 64), *output = aligned(out_size, 64);
    const void *inputs[] = {input};
    void *outputs[] = {output};
    edgecc_call call = model_call(inputs, outputs, aligned(INFO->arena_bytes, INFO->arena_align));
    FILE *records = fopen(argv[1], "rb"), *results = fopen(argv[2], "wb");
    if (!records || !results)
        return 2;
    while (fread(input, 1, in_size, records) == in_size) {
        int32_t status = RUN(&call);
        if (status || fwrite(output, 1, out_size, results) != out_size) {
            fprintf(stderr, "%s\n", edgecc_strerror(status));
            return 1;
        }
    }
    free(call.workspace), free(output), free(input);
    return fclose(results) || fclose(records);
}
