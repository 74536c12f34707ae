// What the bindings need of a C library where there is none; see freestanding.c.
#pragma once
#include <stddef.h>

void *malloc(size_t bytes);
void *realloc(void *old, size_t bytes);
void free(void *old);
_Noreturn void abort(void);
