/* What a program without an operating system can do: print to the first serial port, and end. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>

/* Prints text. */
void print(const char *text);

/* Prints a number in decimal. */
void print_number(long number);

/* As in C's library. */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

/* Prints the status of the program on a line of its own and switches the machine off. */
void finish(int status);

#endif
