#pragma once

/* Reads the system's Public Suffix List. Before the sandbox, since afterwards there are no files; without it, or when the file cannot be had, the
 * list that libpsl was built with is used. Once a process; psl_done() gives the memory back. */
void psl_setup(void);
void psl_done(void);
