#pragma once
#include "base/why.h"

/* Loads libpsl and reads the system's Public Suffix List. Before the sandbox, since afterwards there are no files; when the list's file cannot be had, the
 * one that libpsl was built with is used. Once a process; psl_done() gives the memory back. RC_NOTFOUND: no libpsl, with what to install. A process without a
 * sandbox may leave it out: the first question loads libpsl. */
MUST_USE enum rc psl_setup(struct why *why);
void psl_done(void);
