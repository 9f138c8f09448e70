/* Values of the tables group, rules and way, and the keys of ways: what parses is written again as it was. */
#include "store/route_row.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(struct str a, struct str b)
{
	if (!str_eq(a, b))
		abort();
}

static void rules(struct str s)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	AUTO(buf_done) struct buf out = { .max = RULES_ROW_MAX };
	struct account_rules r;
	if (rules_parse(s, &a, &r) != RC_OK)
		return;
	rules_format(&r, &out);
	if (s.p[0] != 1) /* version 1 is read, not written */
		same(buf_str(&out), s);
}

static void key(struct str s)
{
	char text[ADDRESS_MAX], again[ADDRESS_MAX];
	struct str once, twice, tag, base;
	if (way_key_canonical(s, text, &once) == RC_OK) {
		if (way_key_canonical(once, again, &twice) != RC_OK)
			abort();
		same(once, twice);
	}
	if (address_canonical(s, text, &once) != RC_OK)
		return;
	base = address_base(once, again, &tag);
	same(address_domain(base), address_domain(once));
	if (base.n != once.n && base.n + 1 + tag.n != once.n)
		abort();
	struct key k = key_member(1, once);
	same(key_member_address(key_str(&k)), once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char out[WAY_ROW_MAX];
	struct group group;
	struct way way;
	_Static_assert(GROUP_ROW_MAX <= WAY_ROW_MAX, "one room for both");
	if (n == 0 || n > 1 << 17)
		return 0;
	struct str s = str_of(data + 1, n - 1);
	switch (data[0] % 4) {
	case 0:
		if (group_parse(s, &group) == RC_OK)
			same(group_format(&group, out), s);
		break;
	case 1:
		if (way_parse(s, &way) == RC_OK)
			same(s.p[0] == 1 ? s : way_format(&way, out), s); /* version 1 is read, not written */
		break;
	case 2: rules(s); break;
	default: key(s);
	}
	return 0;
}
