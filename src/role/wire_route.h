#pragma once
#include "base/arena.h"
#include "base/cursor.h"
#include "store/route.h"

/* As role/wire.h, for what store/route.h has: everything is copied into the arena, RC_SYNTAX for what wire_put_* cannot have written, RC_NOMEM. */
void wire_put_route(struct buf *out, const struct route *r);
MUST_USE enum rc wire_get_route(struct str in, struct arena *a, struct route *out);
void wire_put_group(struct buf *out, const struct group *g);
MUST_USE enum rc wire_get_group(struct str in, struct arena *a, struct group *out);
void wire_put_groups(struct buf *out, const struct group *list, size_t n);
MUST_USE enum rc wire_get_groups(struct str in, struct arena *a, struct group **out, size_t *out_n);
void wire_put_rules(struct buf *out, const struct account_rules *r);
MUST_USE enum rc wire_get_rules(struct str in, struct arena *a, struct account_rules *out);
void wire_put_way(struct buf *out, const struct way *w);
MUST_USE enum rc wire_get_way(struct str in, struct arena *a, struct way *out);
void wire_put_ways(struct buf *out, const struct way *list, size_t n);
MUST_USE enum rc wire_get_ways(struct str in, struct arena *a, struct way **out, size_t *out_n);
void wire_put_aliases(struct buf *out, const struct alias *list, size_t n);
MUST_USE enum rc wire_get_aliases(struct str in, struct arena *a, struct alias **out, size_t *out_n);
