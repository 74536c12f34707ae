// As much of a C library as the bindings of a hook need.
//
// A hook lives for one event in a memory of its own, so what it is given is never given back.
#include <stdlib.h>
#include <string.h>

extern unsigned char __heap_base;
static size_t next = 0;

void *malloc(size_t bytes) {
    if (next == 0) next = (size_t) &__heap_base;
    size_t at = (next + 15) & ~(size_t) 15;
    if (bytes > (size_t) -1 - at) abort();
    next = at + bytes;
    size_t pages = (next + 65535) / 65536, have = __builtin_wasm_memory_size(0);
    if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (size_t) -1) abort();
    return (void *) at;
}

// The length of what lay there is not known: what lies behind it is copied along, within what was given.
void *realloc(void *old, size_t bytes) {
    size_t end = next;
    unsigned char *new = malloc(bytes);
    if (old != NULL) {
        size_t most = end - (size_t) old;
        memcpy(new, old, bytes < most ? bytes : most);
    }
    return new;
}

void free(void *old) {
    (void) old;
}

void abort(void) {
    __builtin_trap();
}

void *memcpy(void *to, const void *from, size_t bytes) {
    unsigned char *out = to;
    const unsigned char *in = from;
    while (bytes--) *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t bytes) {
    unsigned char *out = to;
    while (bytes--) *out++ = (unsigned char) byte;
    return to;
}

int memcmp(const void *one, const void *other, size_t bytes) {
    const unsigned char *a = one, *b = other;
    for (; bytes--; a++, b++) {
        if (*a != *b) return *a - *b;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

// `kabar plugin build` writes into the module what it was built for; the bindings expect an object file to.
void __component_type_object_force_link_status_hook(void) {}
