/* Times a compiled model: edgecc INPUTS OUTPUTS META RUNS SECONDS THREADS
 *
 * Compile with -DMODEL=name and link with the model's object and the C library of the ABI. Does
 * what benches/peers/common.py says of every adapter; META is not read, a model describes itself. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/c/model.h"
#include "first.h"

#define MAX_RUNS 1000000
#define WARM_UP 0.2

static void *aligned(size_t size) { return aligned_alloc(64, (size + 64) / 64 * 64); }

static FILE *numbered(const char *folder, uint32_t number, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u", folder, number);
    FILE *file = fopen(path, mode);
    if (!file)
        exit(2);
    return file;
}

static void *read_input(const char *folder, uint32_t number) {
    size_t size = edgecc_model_input(INFO, number)->size_bytes;
    void *data = aligned(size);
    FILE *file = numbered(folder, number, "rb");
    if (fread(data, 1, size, file) != size)
        exit(2);
    fclose(file);
    return data;
}

static void write_output(const char *folder, uint32_t number, const void *data) {
    FILE *file = numbered(folder, number, "wb");
    fwrite(data, 1, edgecc_model_output(INFO, number)->size_bytes, file);
    fclose(file);
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

static void run(const edgecc_call *call) {
    if (RUN(call))
        exit(1);
}

/* Runs at least so often and so long; gives the number of runs. */
static int repeat(const edgecc_call *call, double *times, int runs, double seconds) {
    double end = now() + seconds;
    int count = 0;
    while (count < MAX_RUNS && (count < runs || now() < end)) {
        double start = now();
        run(call);
        times[count++] = now() - start;
    }
    return count;
}

int main(int argc, char **argv) {
    static double times[MAX_RUNS];
    const void *inputs[MAX_TENSORS];
    void *outputs[MAX_TENSORS];
    if (argc != 7 || INFO->n_inputs > MAX_TENSORS || INFO->n_outputs > MAX_TENSORS)
        return 2;
    int runs = atoi(argv[4]), threads = atoi(argv[6]);
    double seconds = atof(argv[5]);
    for (uint32_t i = 0; i < INFO->n_inputs; i++)
        inputs[i] = read_input(argv[1], i);
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        outputs[i] = aligned(edgecc_model_output(INFO, i)->size_bytes);
    edgecc_services services;
    if (threads > 1)
        services = edgecc_pool_services(edgecc_pool_create((uint32_t)threads));
    const edgecc_call call = {
        .abi_version = EDGECC_ABI_VERSION,
        .n_inputs = INFO->n_inputs,
        .n_outputs = INFO->n_outputs,
        .inputs = inputs,
        .outputs = outputs,
        .workspace = aligned(INFO->arena_bytes),
        .workspace_size = INFO->arena_bytes,
        .services = threads > 1 ? &services : NULL,
    };
    run(&call);
    print_first();
    if (!runs)
        return 0;
    repeat(&call, times, 1, WARM_UP * seconds);
    int count = repeat(&call, times, runs, seconds);
    qsort(times, (size_t)count, sizeof *times, ascending);
    for (uint32_t i = 0; i < INFO->n_outputs; i++)
        write_output(argv[2], i, outputs[i]);
    printf("{\"seconds\": %.9f, \"runs\": %d}\n", times[count / 2], count);
    return 0;
}
