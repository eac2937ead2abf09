/* Uses a model named net through its generated header alone, as C99 and as C++. */
#include "net.h"

#include <stdio.h>

#define CLASSES 10

static float image[NET_INPUT_IMAGE_SIZE / sizeof(float)];
static unsigned char memory[NET_WORKSPACE_SIZE + NET_WORKSPACE_ALIGN];

static void *workspace(void) {
    size_t excess = (size_t)memory % NET_WORKSPACE_ALIGN;
    return memory + (NET_WORKSPACE_ALIGN - excess) % NET_WORKSPACE_ALIGN;
}

int main(void) {
    float probabilities[CLASSES], sum = 0;
    net_inputs inputs;
    net_outputs outputs;
    int i;
    inputs.image = image;
    outputs.probabilities = probabilities;
    if (net_run(&inputs, &outputs, workspace(), NET_WORKSPACE_SIZE - 1) != NET_ERR_WORKSPACE)
        return 1;
    if (net_run(&inputs, &outputs, workspace(), NET_WORKSPACE_SIZE) != NET_OK)
        return 2;
    for (i = 0; i < CLASSES; i++)
        sum += probabilities[i];
    if (sum < 0.999f || sum > 1.001f)
        return 3;
    puts("ok");
    return 0;
}
