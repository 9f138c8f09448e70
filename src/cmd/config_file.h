#pragma once
#include "role/config.h"

/* The configuration file: libconfuse's syntax, read strictly against role/config.def. An unknown or repeated key, a missing unit, a value
 * out of range, `config_version = 1` missing or not first, an environment variable without value or default: an error with line, column and, for a name, the nearest one. */
enum { CONFIG_ROWS_MAX = 192, CONFIG_FILE_MAX = 1 << 20 };
struct config_lines {
	unsigned row[CONFIG_ROWS_MAX];          /* line of config_rows[i], 0 = default */
	unsigned listen[2][LISTEN_PROTOS];      /* [proxy][protocol] */
	unsigned trusted_proxies, version;
	unsigned tls;                           /* of the first tls section */
};
#define CONFIG_PATH "/etc/letterlock/letterlock.conf"

/* Fills `out` (config_done() it) and checks it. RC_NOTFOUND: no such file. `why`: "FILE:LINE:COLUMN: ...". `lines` may be NULL. */
MUST_USE enum rc config_file_load(const char *path, struct config *out, struct config_lines *lines, struct why *why);
/* The same from text; `name` stands for the file in errors. */
MUST_USE enum rc config_text_load(const char *name, struct str text, struct config *out, struct config_lines *lines, struct why *why);
/* The nearest of `n` words within a third of its length, or NULL. */
const char *nearest_word(struct str word, const char *const *words, size_t n);
