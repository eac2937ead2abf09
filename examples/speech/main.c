/* Marks speech in a recording, chunk after chunk, with a model that keeps its state.
 *
 *   speech RECORDING.wav      16 kHz, one channel, 16 bits; prints the seconds that have speech
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "vad.h"

#define RATE 16000.0
/* The model hears each chunk behind the end of the one before. */
#define CONTEXT 64
#define WINDOW (VAD_INPUT_INPUT_SIZE / sizeof(float))
#define CHUNK (WINDOW - CONTEXT)
#define THRESHOLD 0.5f

static _Alignas(VAD_WORKSPACE_ALIGN) unsigned char workspace[VAD_WORKSPACE_SIZE];
static float window[WINDOW];

static uint32_t number(const unsigned char *bytes, int count) {
    uint32_t value = 0;
    while (count-- > 0) {
        value = value << 8 | bytes[count];
    }
    return value;
}

/* Finds the samples of a WAV file: a list of parts, each with a name and a size. */
static int open_samples(FILE *file) {
    unsigned char head[12], part[8], format[16];
    int is_fitting = 0;
    if (fread(head, 1, sizeof head, file) != sizeof head || memcmp(head, "RIFF", 4) ||
        memcmp(head + 8, "WAVE", 4)) {
        return 0;
    }
    while (fread(part, 1, sizeof part, file) == sizeof part) {
        uint32_t size = number(part + 4, 4);
        if (!memcmp(part, "data", 4)) {
            return is_fitting;
        }
        if (!memcmp(part, "fmt ", 4) && size >= sizeof format) {
            if (fread(format, 1, sizeof format, file) != sizeof format) {
                return 0;
            }
            is_fitting = number(format, 2) == 1 && number(format + 2, 2) == 1 &&
                         number(format + 4, 4) == RATE && number(format + 14, 2) == 16;
            size -= sizeof format;
        }
        if (fseek(file, (long)(size + size % 2), SEEK_CUR)) {
            return 0;
        }
    }
    return 0;
}

/* Moves the window on by a chunk; the last one is filled up with silence. */
static int next_chunk(FILE *file) {
    unsigned char bytes[2 * CHUNK];
    size_t count = fread(bytes, 2, CHUNK, file);
    memmove(window, window + CHUNK, CONTEXT * sizeof *window);
    for (size_t i = 0; i < CHUNK; i++) {
        int16_t sample = i < count ? (int16_t)number(bytes + 2 * i, 2) : 0;
        window[CONTEXT + i] = (float)sample / 32768.0f;
    }
    return count > 0;
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file || !open_samples(file)) {
        fprintf(stderr, "usage: speech RECORDING.wav   (16 kHz, one channel, 16 bits)\n");
        return 2;
    }
    float probability = 0.0f;
    vad_inputs inputs = {.input = window};
    vad_outputs outputs = {.output = &probability};
    vad_state state;
    vad_state_reset(&state);
    double start = -1.0, time = 0.0;
    for (; next_chunk(file); time += CHUNK / RATE) {
        vad_status status = vad_run(&inputs, &outputs, &state, workspace, sizeof workspace);
        if (status != VAD_OK) {
            fprintf(stderr, "the model refused the call: %d\n", status);
            return 1;
        }
        if (probability >= THRESHOLD && start < 0.0) {
            start = time;
        } else if (probability < THRESHOLD && start >= 0.0) {
            printf("%7.2f to %7.2f s\n", start, time);
            start = -1.0;
        }
    }
    if (start >= 0.0) {
        printf("%7.2f to %7.2f s\n", start, time);
    }
    fclose(file);
    return 0;
}
