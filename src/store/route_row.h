#pragma once
#include "store/layout.h"
#include "store/route.h"

/* Keys and values of the tables group, member, rules and way: layout.h's for store/route.h. What parses points into the value. */
struct key key_group(uint64_t group);
struct key key_member(uint64_t group, struct str address); /* canonical; its value is ROUTE_ROW_VERSION alone */
struct key key_member_end(uint64_t group);
struct str key_member_address(struct str key);
struct key key_rules(uint64_t account);
struct key key_way(struct str key);

enum { ROUTE_ROW_VERSION = 1, WAY_ROW_VERSION = 2 /* 1 had no rate */, RULES_ROW_VERSION = 2 /* 1 had no max_waiting */, GROUP_ROW_MAX = 16 + 2 * ADDRESS_MAX + PERSON_NAME_MAX, HOST_NAME_MAX = 255, WAY_ROW_MAX = 32 + HOST_NAME_MAX + ADDRESS_MAX + WAY_PASSWORD_MAX,
	RULES_ROW_MAX = 64 + (FORWARDS_MAX + GRANTS_MAX) * (ADDRESS_MAX + 2) };
struct str group_format(const struct group *g, char out[GROUP_ROW_MAX]);     /* without the id: the key has it */
MUST_USE enum rc group_parse(struct str v, struct group *out);
struct str way_format(const struct way *w, char out[WAY_ROW_MAX]);           /* without the key */
MUST_USE enum rc way_parse(struct str v, struct way *out);
void rules_format(const struct account_rules *r, struct buf *out);
/* The lists lie in the arena, their texts in `v`. RC_DAMAGED, RC_NOMEM. */
MUST_USE enum rc rules_parse(struct str v, struct arena *a, struct account_rules *out);

/* The key of a way in its one form: "*", a domain, ".domain", "@domain" or an address, in lower case. RC_SYNTAX, RC_LIMIT. */
MUST_USE enum rc way_key_canonical(struct str key, char out[ADDRESS_MAX], struct str *out_key);
