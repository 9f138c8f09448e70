/* Paths, bare addresses and lists: what is taken formats back to something that is taken and equal. */
#include "mail/address.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct mail_address *m)
{
	struct arena a;
	struct buf b;
	struct mail_address again;
	if (m->domain.n == 0)
		return;
	arena_init(&a, 1 << 16);
	buf_init(&b, 4096);
	mail_address_format(m, &b);
	if (mail_address_parse(buf_str(&b), true, &a, &again, NULL) == RC_OK) /* quoting may push it over the limit */
		assert(str_eq(again.local, m->local) && str_eq(again.domain, m->domain));
	else
		assert(m->local.n + 2 > 60 || b.len + 2 > 250 || m->domain.n > 200);
	buf_done(&b);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size), rest;
	struct arena a;
	struct mail_address m;
	struct mail_mailbox *box;
	bool sound;
	arena_init(&a, 64 << 20);
	for (int utf8 = 0; utf8 < 2; utf8++) {
		if (mail_path_parse(in, utf8, utf8, &a, &m, &rest, NULL) == RC_OK) {
			assert(rest.p + rest.n == in.p + in.n);
			round_trip(&m);
		}
		if (mail_address_parse(in, utf8, &a, &m, NULL) == RC_OK)
			round_trip(&m);
	}
	(void)mail_addr_spec_ok(in);
	if (mail_list_parse(in, &a, &box, &sound) == RC_OK) {
		int depth = 0;
		for (size_t n = 0; box; box = box->next) {
			depth += box->kind == MAILBOX_GROUP_START ? 1 : box->kind == MAILBOX_GROUP_END ? -1 : 0;
			assert(depth == 0 || depth == 1);
			assert(++n <= 10001 && box->local.n <= size && box->domain.n <= size && box->name.n <= size);
		}
		assert(depth == 0);
	}
	arena_done(&a);
	return 0;
}
