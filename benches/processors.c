/* How many processors' work this process gets from those it may run on: processors SECONDS
 *
 * Measures multiply-adds on the first processor alone, the best of several times, then on all at
 * once, and prints the ratio. A virtual machine whose processors share one core at times prints 1.0
 * then. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Independent sums: enough to keep every multiplier busy, few enough for the registers. */
#define CHAINS 12
#define STEPS 4096
#define TIMES 8

typedef float vector __attribute__((vector_size(16)));

struct worker {
    int processor;
    double seconds;
    double rate;
    pthread_t thread;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pin(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        exit(2);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    vector sums[CHAINS] = {{0}};
    const vector factor = {0.5f, 0.5f, 0.5f, 0.5f};
    pin(worker->processor);
    double start = now(), rounds = 0;
    do {
        for (int step = 0; step < STEPS; step++)
            for (int chain = 0; chain < CHAINS; chain++)
                sums[chain] = sums[chain] * factor + factor;
        for (int chain = 0; chain < CHAINS; chain++)
            __asm__ volatile("" : "+x"(sums[chain]));
        rounds++;
    } while (now() - start < worker->seconds);
    worker->rate = rounds / (now() - start);
    return NULL;
}

int main(int argc, char **argv) {
    static struct worker workers[CPU_SETSIZE];
    int count = 0;
    double together = 0;
    cpu_set_t allowed;
    if (argc != 2 || sched_getaffinity(0, sizeof allowed, &allowed))
        return 2;
    for (int processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, &allowed))
            workers[count++] = (struct worker){.processor = processor, .seconds = atof(argv[1])};
    double alone = 0;
    for (int time = 0; time < TIMES; time++) {
        struct worker first = {.processor = workers[0].processor, .seconds = workers[0].seconds / TIMES};
        work(&first);
        if (first.rate > alone)
            alone = first.rate;
    }
    for (int i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 2;
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        together += workers[i].rate;
    }
    printf("%.3f\n", together / alone);
    return 0;
}
