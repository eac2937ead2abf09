/* Two models in one program, each run by two threads at once: an object has no writable data, so
 * threads share the model and bring their own workspace. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "first.h"
#include "second.h"

#define RUNS 20
#define CLASSES (FIRST_OUTPUT_PROBABILITIES_SIZE / sizeof(float))

static float image[FIRST_INPUT_IMAGE_SIZE / sizeof(float)];

typedef struct {
    float probabilities[CLASSES];
    int status;
} result;

static void *run_first(void *into) {
    _Alignas(FIRST_WORKSPACE_ALIGN) unsigned char workspace[FIRST_WORKSPACE_SIZE];
    result *r = into;
    first_inputs inputs = {.image = image};
    first_outputs outputs = {.probabilities = r->probabilities};
    for (int i = 0; i < RUNS; i++) {
        r->status |= first_run(&inputs, &outputs, workspace, sizeof workspace);
    }
    return NULL;
}

static void *run_second(void *into) {
    _Alignas(SECOND_WORKSPACE_ALIGN) unsigned char workspace[SECOND_WORKSPACE_SIZE];
    result *r = into;
    second_inputs inputs = {.image = image};
    second_outputs outputs = {.probabilities = r->probabilities};
    for (int i = 0; i < RUNS; i++) {
        r->status |= second_run(&inputs, &outputs, workspace, sizeof workspace);
    }
    return NULL;
}

int main(void) {
    void *(*const jobs[4])(void *) = {run_first, run_first, run_second, run_second};
    pthread_t threads[4];
    static result results[4];
    for (unsigned i = 0; i < sizeof image / sizeof *image; i++) {
        image[i] = (float)(i % 97) / 97.0f;
    }
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, jobs[i], &results[i])) {
            return 1;
        }
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        const result *other = &results[i ^ 1];
        if (results[i].status || memcmp(results[i].probabilities, other->probabilities,
                                        sizeof other->probabilities)) {
            fprintf(stderr, "thread %d differs from its twin\n", i);
            return 1;
        }
    }
    puts("4 threads agree");
    return 0;
}
