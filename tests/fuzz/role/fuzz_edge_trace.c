#include "role/edge_trace.h"

#include <assert.h>
#include <stdlib.h>

/* A header as edge edits it: what is kept is there in its order and nothing else is; what was taken out is not found again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void strip(struct str in)
{
	struct str ours = STR("mx.ours.example");
	struct edge_head before, after;
	char *copy = malloc(in.n + 1);
	if (!copy)
		return;
	memcpy(copy, in.p, in.n);
	edge_head_read(in, &before);
	size_t gone = edge_strip(copy, in.n, edge_is_private, &ours);
	assert(gone <= in.n);
	struct str kept = str_of(copy + gone, in.n - gone);
	edge_head_read(kept, &after);
	assert(before.from == after.from && before.received == after.received && before.date == after.date);
	assert(edge_strip(copy + gone, kept.n, edge_is_private, &ours) == 0);
	(void)edge_was_delivered_to(kept, STR("bob@example.org"));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = str_of(data, n);
	if (n > 65536)
		return 0;
	strip(str_head(in, edge_header_end(in, 0)));
	return 0;
}
