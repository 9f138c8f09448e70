#include "role/wire_route.h"

/* First octet: which. What is accepted must be written back octet for octet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define ONE(what, type)                                                    \
	{                                                                  \
		type x;                                                    \
		if (wire_get_##what(in, &a, &x) != RC_OK)                  \
			return 0;                                          \
		wire_put_##what(&out, &x);                                 \
		break;                                                     \
	}
#define LIST(what, type)                                                   \
	{                                                                  \
		type *list;                                                \
		size_t k;                                                  \
		if (wire_get_##what(in, &a, &list, &k) != RC_OK)           \
			return 0;                                          \
		wire_put_##what(&out, list, k);                            \
		break;                                                     \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	AUTO(buf_done) struct buf out = { .max = 1 << 20 };
	AUTO(arena_done) struct arena a = { .max = 1 << 22 };
	switch (data[0] % 7) {
	case 0: ONE(route, struct route)
	case 1: ONE(group, struct group)
	case 2: LIST(groups, struct group)
	case 3: ONE(rules, struct account_rules)
	case 4: ONE(way, struct way)
	case 5: LIST(ways, struct way)
	default: LIST(aliases, struct alias)
	}
	if (!str_eq(buf_str(&out), in))
		__builtin_trap();
	return 0;
}
