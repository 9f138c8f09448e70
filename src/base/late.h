#pragma once
#include "base/why.h"
#include <stdbool.h>

/* Libraries that few processes use are loaded by those, before their sandbox, instead of by ld.so for every process: a start is quicker, and `vault` has neither
 * ICU nor SQLite in its memory. docs/adr/0008-libraries-loaded-late.md.
 *
 * A library's functions are in a table of pointers, in the order of its list of names. What was loaded stays for the process's life. Thread-safe. */
struct late_library {
	const char *soname, *package;
	const char *const *names;
	size_t n;
	bool loaded;
};
/* Fills the n pointers at `slots`; does nothing when it has done so before. RC_NOTFOUND with the name of the library and of the package to install;
 * RC_DENIED after late_close(). Then nothing in `slots` may be called. */
MUST_USE enum rc late_load(struct late_library *l, void *slots, struct why *why);
bool late_ready(struct late_library *l, void *slots); /* the same for a use, without a reason: quick when it is loaded */
void late_close(void);                                /* a sandbox follows: nothing more is loaded */

/* SYMBOLS(X) is X(name) for each. The names of ICU are macros, and are meant as they expand. */
#define LATE_TEXT_(name) #name
#define LATE_TEXT(name) LATE_TEXT_(name)
#define LATE_NAME(name) LATE_TEXT(name),
#define LATE_SLOT(name) __typeof__(&name) name;
#define LATE_COUNT(name) +1
#define LATE_LIBRARY(file, deb, symbols) { .soname = (file), .package = (deb), .names = (const char *const[]){ symbols(LATE_NAME) }, .n = symbols(LATE_COUNT) }
