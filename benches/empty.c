/* A program that does nothing but say how long that takes and how much memory. */
#define _GNU_SOURCE
#include "first.h"

int main(void) {
    print_first();
    return 0;
}
