/* A program that does nothing but say how much memory that takes. */
#include "memory.h"

int main(void) {
    print_memory();
    return 0;
}
