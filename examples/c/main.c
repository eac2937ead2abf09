/* Classifies a picture with the bundled model.
 *
 *   classify PICTURE.ppm      binary PPM (P6) of any size, 8 bits per channel
 */
#include <stdio.h>

#include "classifier.h"

#define SIDE 32

static const char *const classes[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                      "dog",      "frog",       "horse", "ship", "truck"};

static _Alignas(CLASSIFIER_WORKSPACE_ALIGN) unsigned char workspace[CLASSIFIER_WORKSPACE_SIZE];
static float image[CLASSIFIER_INPUT_IMAGE_SIZE / sizeof(float)];
static float probabilities[CLASSIFIER_OUTPUT_PROBABILITIES_SIZE / sizeof(float)];
static unsigned counts[SIDE * SIDE];

/* Averages the pixels that fall on each of the model's 32 x 32 places. The model takes all red,
 * then all green, then all blue values, from 0 to 1. */
static int read_pixels(FILE *file, unsigned width, unsigned height) {
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++) {
            unsigned char pixel[3];
            if (fread(pixel, 1, sizeof pixel, file) != sizeof pixel) {
                return 0;
            }
            unsigned at = (unsigned)((unsigned long)y * SIDE / height * SIDE +
                                     (unsigned long)x * SIDE / width);
            counts[at]++;
            for (unsigned channel = 0; channel < 3; channel++) {
                image[channel * SIDE * SIDE + at] += (float)pixel[channel] / 255.0f;
            }
        }
    }
    for (unsigned i = 0; i < 3 * SIDE * SIDE; i++) {
        image[i] /= (float)counts[i % (SIDE * SIDE)];
    }
    return 1;
}

static int read_picture(const char *path) {
    unsigned width, height, depth;
    FILE *file = fopen(path, "rb");
    if (!file) {
        return 0;
    }
    int is_read = fscanf(file, "P6 %u %u %u", &width, &height, &depth) == 3 && depth == 255 &&
                  width >= SIDE && height >= SIDE && fgetc(file) != EOF &&
                  read_pixels(file, width, height);
    fclose(file);
    return is_read;
}

int main(int argc, char **argv) {
    if (argc != 2 || !read_picture(argv[1])) {
        fprintf(stderr, "usage: classify PICTURE.ppm   (at least %d x %d)\n", SIDE, SIDE);
        return 2;
    }
    classifier_inputs inputs = {.image = image};
    classifier_outputs outputs = {.probabilities = probabilities};
    classifier_status status = classifier_run(&inputs, &outputs, workspace, sizeof workspace);
    if (status != CLASSIFIER_OK) {
        fprintf(stderr, "the model refused the call: %d\n", status);
        return 1;
    }
    int best = 0;
    for (int i = 1; i < 10; i++) {
        best = probabilities[i] > probabilities[best] ? i : best;
    }
    printf("%s %.3f\n", classes[best], probabilities[best]);
    return 0;
}
