/* The most that 128-bit multiply-adds reach on one core: prints GFLOP/s.
 *
 * As many independent sums as hide the latency of two units, all in registers; the best of many
 * short rounds, since anything else that runs can only slow it down. */
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>

typedef float vector __attribute__((vector_size(16)));

#define SUMS 12
#define STEPS 1000000L
#define ROUNDS 40
#define LANES 4
#define FLOPS_PER_LANE 2

#if defined(__x86_64__)
#define MULTIPLY_ADD(sum, x, y) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sum) : "x"(x), "x"(y))
#elif defined(__aarch64__)
#define MULTIPLY_ADD(sum, x, y) __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(x), "w"(y))
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
    vector a = {1, 1, 1, 1}, b = {0, 0, 0, 0}, sums[SUMS] = {{0}};
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (long step = 0; step < STEPS; step++) {
#pragma GCC unroll 12
            for (int i = 0; i < SUMS; i++)
                MULTIPLY_ADD(sums[i], a, b);
        }
        double rate = SUMS * STEPS * LANES * FLOPS_PER_LANE / (now() - start);
        best = rate > best ? rate : best;
    }
    printf("%.3f\n", best / 1e9);
    return 0;
}
