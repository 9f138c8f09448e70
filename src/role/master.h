#pragma once
#include "role/config.h"

/* Starts and restarts every role, holds the listening sockets, introduces processes to each other. Reads no network byte; the
 * command line's socket carries typed messages only, and only from root or our own user. Returns the exit status. */
typedef enum rc config_loader(const char *path, struct config *out, struct why *why);
/* `one_process`: every role inside this process, without sandboxes; for debugging and simulation, never for service. */
int master_main(const struct config *c, const char *config_path, config_loader *load, bool one_process);
