#include "machine.h"

/* The first serial port; its line control and line status are 3 and 5 behind it. */
#define SERIAL 0x3f8
/* A word here switches Bochs off. */
#define POWER 0x8900

static void out(unsigned short port, unsigned char byte) {
    __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port));
}

static unsigned char in(unsigned short port) {
    unsigned char byte;
    __asm__ volatile("inb %1, %0" : "=a"(byte) : "Nd"(port));
    return byte;
}

/* 8 bits at full speed. */
static void set_up(void) {
    static int done;
    if (done++)
        return;
    out(SERIAL + 3, 0x80);
    out(SERIAL, 1), out(SERIAL + 1, 0);
    out(SERIAL + 3, 3);
}

void print(const char *text) {
    set_up();
    for (; *text; text++) {
        while (!(in(SERIAL + 5) & 0x20)) {
        }
        out(SERIAL, (unsigned char)*text);
    }
}

void print_number(long number) {
    char digits[24], *first = digits + sizeof digits - 1;
    unsigned long left = number < 0 ? -(unsigned long)number : (unsigned long)number;
    *first = 0;
    do
        *--first = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--first = '-';
    print(first);
}

void finish(int status) {
    print("\nstatus "), print_number(status), print("\n");
    while (!(in(SERIAL + 5) & 0x40)) {
    }
    for (const char *word = "Shutdown"; *word; word++)
        out(POWER, (unsigned char)*word);
    for (;;)
        __asm__ volatile("hlt");
}

void *memcpy(void *to, const void *from, size_t size) {
    unsigned char *t = to;
    for (const unsigned char *f = from; size--;)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int byte, size_t size) {
    for (unsigned char *t = to; size--;)
        *t++ = (unsigned char)byte;
    return to;
}
