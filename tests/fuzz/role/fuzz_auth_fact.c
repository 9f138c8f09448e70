#include "origin/report_sum.h"
#include "role/auth_fact.h"
#include "role/dkim_wire.h"
#include <stdlib.h>

/* What a taken-over edge may tell the ledger of a message, and lists of DKIM keys. First octet: which. A row that is accepted must stand in a report: its
 * key unpacks to itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fact(struct str in, struct arena *a)
{
	struct msg_DMARC_RESULT m;
	struct report_aggregate about;
	struct report_row row, back;
	struct str rua;
	if (msg_decode(MSG_DMARC_RESULT, false, in, &m, NULL) != RC_OK || auth_fact_row(&m, a, &about, &row, &rua, NULL) != RC_OK)
		return;
	AUTO(buf_done) struct buf key = { .max = 1 << 20 }, again = { .max = 1 << 20 };
	report_row_key(&row, &key);
	if (key.failed || report_row_of_key(buf_str(&key), &back) != RC_OK)
		abort();
	report_row_key(&back, &again);
	if (!str_eq(buf_str(&key), buf_str(&again)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	if (n == 0)
		return 0;
	struct str in = str_of(data + 1, n - 1);
	struct dkim_row *rows;
	size_t k;
	if (data[0] & 1)
		(void)!dkim_wire_get(in, &a, &rows, &k);
	else
		fact(in, &a);
	return 0;
}
