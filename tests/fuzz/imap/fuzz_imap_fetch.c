#include "imap/fetch.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What the answer names is a section that can be asked for again, by the same name. */
static void ask_again(struct str label, struct arena *arena)
{
	struct buf again;
	struct section sec;
	buf_init(&again, 1 << 20);
	size_t partial = str_find(label, '<');
	bool is_partial = label.n && label.p[label.n - 1] == '>';
	struct args a = { str_skip(is_partial && str_find(label, '"') == label.n ? str_head(label, partial) : label, 4), arena, NULL };
	section_parse(&a, &sec, &again);
	if (!is_partial) {
		assert(args_fine(&a));
		assert(str_eq(str_skip(label, 4), buf_str(&again)));
	}
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;
	struct fetch f;
	arena_init(&arena, 8 << 20);
	struct args a = { str_of(data, n), &arena, NULL };
	fetch_parse(&a, n & 1, &f);
	args_end(&a);
	if (args_fine(&a)) {
		assert(f.n > 0 && f.n <= FETCH_ITEMS_MAX);
		for (size_t i = 0; i < f.n; i++)
			if (f.items[i].kind == ITEM_SECTION && str_starts(f.items[i].label, STR("BODY")))
				ask_again(f.items[i].label, &arena);
	}
	arena_done(&arena);
	return 0;
}
