/* Two copies of one model under two names, sharing one workspace in turn. */
#include "first.h"
#include "second.h"

#include <stdio.h>
#include <string.h>

#define CLASSES 10

static float image[FIRST_INPUT_IMAGE_SIZE / sizeof(float)];
static unsigned char memory[FIRST_WORKSPACE_SIZE + FIRST_WORKSPACE_ALIGN];

int main(void) {
    float a[CLASSES], b[CLASSES];
    size_t excess = (size_t)memory % FIRST_WORKSPACE_ALIGN;
    void *workspace = memory + (FIRST_WORKSPACE_ALIGN - excess) % FIRST_WORKSPACE_ALIGN;
    first_inputs first_in = {image};
    first_outputs first_out = {a};
    second_inputs second_in = {image};
    second_outputs second_out = {b};
    if (first_run(&first_in, &first_out, workspace, FIRST_WORKSPACE_SIZE) != FIRST_OK)
        return 1;
    if (second_run(&second_in, &second_out, workspace, SECOND_WORKSPACE_SIZE) != SECOND_OK)
        return 2;
    if (memcmp(a, b, sizeof a))
        return 3;
    puts("ok");
    return 0;
}
