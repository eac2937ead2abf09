/* Times a compiled model: edgecc INPUTS OUTPUTS RUNS
 *
 * Compile with -DMODEL=name and link with the model's object. Reads raw inputs, warms up, times
 * each run on its own and prints the median in seconds; writes the last run's outputs. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "edgecc.h"

#define DECLARE(name) EDGECC_DECLARE_MODEL(name)
#define JOIN3(a, b, c) a##b##c
#define SYMBOL(name, suffix) JOIN3(edgecc_, name, suffix)
DECLARE(MODEL);
#define INFO SYMBOL(MODEL, _info)
#define RUN SYMBOL(MODEL, _run)

#define MAX_TENSORS 64
#define WARM_UP 5

static void *aligned(size_t size) { return aligned_alloc(64, (size + 64) / 64 * 64); }

static FILE *numbered(const char *folder, uint32_t number, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", folder, number);
    FILE *file = fopen(path, mode);
    if (!file)
        exit(2);
    return file;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const void *inputs[MAX_TENSORS];
    void *outputs[MAX_TENSORS];
    if (argc != 4 || INFO->n_inputs > MAX_TENSORS || INFO->n_outputs > MAX_TENSORS)
        return 2;
    for (uint32_t i = 0; i < INFO->n_inputs; i++) {
        size_t size = edgecc_model_input(INFO, i)->size_bytes;
        void *data = aligned(size);
        FILE *file = numbered(argv[1], i, "rb");
        if (fread(data, 1, size, file) != size)
            return 2;
        fclose(file);
        inputs[i] = data;
    }
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        outputs[i] = aligned(edgecc_model_output(INFO, i)->size_bytes);
    const edgecc_call call = {
        .abi_version = EDGECC_ABI_VERSION,
        .n_inputs = INFO->n_inputs,
        .n_outputs = INFO->n_outputs,
        .inputs = inputs,
        .outputs = outputs,
        .workspace = aligned(INFO->arena_bytes),
        .workspace_size = INFO->arena_bytes,
    };
    int runs = atoi(argv[3]);
    double *times = calloc((size_t)runs, sizeof *times);
    for (int i = -WARM_UP; i < runs; i++) {
        double start = now();
        int32_t status = RUN(&call);
        if (status)
            return 1;
        if (i >= 0)
            times[i] = now() - start;
    }
    qsort(times, (size_t)runs, sizeof *times, ascending);
    for (uint32_t i = 0; i < INFO->n_outputs; i++) {
        FILE *file = numbered(argv[2], i, "wb");
        fwrite(outputs[i], 1, edgecc_model_output(INFO, i)->size_bytes, file);
        fclose(file);
    }
    printf("%.9f\n", times[runs / 2]);
    return 0;
}
