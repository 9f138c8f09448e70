#pragma once
#include "cmd/ctl.h"
#include "role/wire.h"
#include "role/wire_route.h"

/* What the verbs on accounts, aliases, groups and ways share. */
enum { DIRECTORY_LIST_MAX = 16 << 20 };
#define SERVER_DOWN "letterlock status"

/* The account whose own address this is: not an alias, not a plus-address, not a catch-all. Says what is wrong. */
enum status account_find(struct ctl *ctl, const struct call *c, const char *typed, struct arena *a, struct account *out);
MUST_USE enum rc account_save(struct ctl *ctl, const struct account *a, struct why *why);      /* name, quota, disabled */
MUST_USE enum rc rules_load(struct ctl *ctl, uint64_t account, struct arena *a, struct account_rules *out, struct why *why);
MUST_USE enum rc rules_save(struct ctl *ctl, const struct account_rules *r, struct why *why);
/* The next addresses behind *after (advanced), of one account or of all (0); none: all were seen. */
MUST_USE enum rc aliases_next(struct ctl *ctl, uint64_t account, struct buf *after, struct arena *a, struct alias **out, size_t *out_n, struct why *why);
bool in_domain(struct str address, const char *domain); /* domain NULL: any */

/* The texts of an option that may be repeated, each cleaned; "-" reads them from stdin, one on each line. Says what is wrong. */
typedef enum rc clean_text(const char *text, char *out, size_t size, struct why *why);
enum status option_list(const struct call *c, const char *option, clean_text *clean, struct arena *a, struct str **out, size_t *out_n);
/* "a@x, b@y", at most `size` octets, for the audit log and for people. */
const char *joined(const struct str *list, size_t n, char *out, size_t size);
/* `["a@x","b@y"]` in the arena. */
const char *json_list(struct arena *a, const struct str *list, size_t n);
