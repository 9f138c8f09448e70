#include "fuzz.h"

#include "imap/internal.h"
#include "imap/search.h"
#include <assert.h>

static enum rc match(void *arg, const struct imap_row *row, const struct key *key, bool *out)
{
	*out = key->folded.n % 2;
	return RC_OK;
}

/* A program that parses is decided by every row once all facts are there, and never decided differently by fewer. */
static void evaluate(const struct search *q, const struct imap_row *row)
{
	static const unsigned passes[] = { 0, WANT_STATE, WANT_STATE | WANT_RECORD, WANT_STATE | WANT_RECORD | WANT_BODY };
	struct selected box = { 0 };
	enum truth before = UNDECIDED;
	for (size_t i = 0; i < 4; i++) {
		struct search_view v = { .row = row, .have = passes[i], .box = &box, .match = match };
		enum truth t = search_eval(q->root, &v);
		assert(before == UNDECIDED || t == before);
		before = t;
	}
	assert(before != UNDECIDED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;
	struct search q;
	arena_init(&arena, 8 << 20);
	struct args a = { str_of(data, n), &arena, NULL };
	search_parse(&a, &q);
	if (args_fine(&a)) {
		for (size_t i = 0; i < q.n; i++) {
			q.all[i]->folded = q.all[i]->text;
			for (size_t k = 0; k < q.all[i]->set.n; k++)
				ranges_add(&q.all[i]->uids, 1, q.all[i]->set.v[k].last);
			ranges_tidy(&q.all[i]->uids);
		}
		evaluate(&q, &(struct imap_row){ .uid = 3, .flags = (uint32_t)n & 31, .size = 100, .fields = STR("") });
	}
	search_done(&q);
	arena_done(&arena);
	return 0;
}
