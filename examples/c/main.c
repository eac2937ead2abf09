/* Classifies one image with the bundled model.
 *
 *   classify IMAGE      3 x 32 x 32 floats from 0 to 1, little-endian: all red, green, blue values
 */
#include <stdio.h>

#include "classifier.h"

static const char *const classes[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                      "dog",      "frog",       "horse", "ship", "truck"};

static _Alignas(CLASSIFIER_WORKSPACE_ALIGN) unsigned char workspace[CLASSIFIER_WORKSPACE_SIZE];
static float image[CLASSIFIER_INPUT_IMAGE_SIZE / sizeof(float)];
static float probabilities[CLASSIFIER_OUTPUT_PROBABILITIES_SIZE / sizeof(float)];

static int read_image(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return 0;
    }
    size_t count = fread(image, sizeof(float), sizeof image / sizeof *image, file);
    fclose(file);
    return count == sizeof image / sizeof *image;
}

int main(int argc, char **argv) {
    if (argc != 2 || !read_image(argv[1])) {
        fprintf(stderr, "usage: classify IMAGE   (%zu bytes)\n", sizeof image);
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
