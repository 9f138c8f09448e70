#include "role/wire_queue.h"

/* First octet: which list. What is accepted must be written back octet for octet. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void deliveries(uint8_t which, struct str in, struct arena *a, struct buf *out, bool *taken)
{
	struct queue_put *list;
	struct queue_change *changes;
	struct sent_note sent;
	size_t k;
	if (which == 0 && (*taken = wire_get_puts(in, a, &list, &k) == RC_OK))
		wire_put_puts(out, list, k);
	if (which == 1 && (*taken = wire_get_sent(in, a, &sent) == RC_OK))
		wire_put_sent(out, &sent);
	if (which == 2 && (*taken = wire_get_queue_changes(in, a, &changes, &k) == RC_OK))
		wire_put_queue_changes(out, changes, k);
}

static void notes(struct str in, struct buf *out, bool *taken)
{
	struct cursor c = cursor_of(in);
	struct str key, value;
	enum rc rc;
	while ((rc = wire_next_note(&c, &key, &value)) == RC_OK) {
		buf_run(out, key);
		buf_run(out, value);
	}
	*taken = rc == RC_NOTFOUND;
	if (wire_next_note(&c, &key, &value) != rc)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	AUTO(buf_done) struct buf out = { .max = 1 << 22 };
	AUTO(arena_done) struct arena a = { .max = 1 << 24 };
	struct queue_change outcomes[8] = { 0 };
	bool taken = false;
	switch (data[0] % 5) {
	case 3: notes(in, &out, &taken); break;
	case 4:
		taken = wire_get_outcomes(in, outcomes, 8) == RC_OK;
		if (taken)
			wire_put_outcomes(&out, outcomes, 8);
		break;
	default: deliveries(data[0] % 5, in, &a, &out, &taken);
	}
	if (taken && !str_eq(buf_str(&out), in))
		__builtin_trap();
	return 0;
}
