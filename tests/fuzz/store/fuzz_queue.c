/* The queue as stored and as a reader packs it: values of the tables of outbound mail, and pages of rows. What parses is written again as it was. */
#include "store/queue_row.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(struct str a, struct str b)
{
	if (!str_eq(a, b))
		abort();
}

static void row(struct str s)
{
	char head[QUEUE_HEAD_LEN];
	struct queue_row r;
	struct key k = key_queue(7, 9);
	if (queue_value_parse(key_str(&k), s, &r) != RC_OK)
		return;
	if (r.letter != 7 || r.n != 9 || !queue_row_possible(&r) || r.sealed.n + QUEUE_HEAD_LEN != s.n)
		abort();
	same(queue_value_head(&r, head), str_head(s, QUEUE_HEAD_LEN));
}

static void page(struct str s)
{
	struct cursor c = cursor_of(s);
	struct queue_row r;
	struct buf again;
	buf_init(&again, 1 << 20);
	while (c.in.n && queue_row_get(&c, &r) == RC_OK)
		queue_row_put(&again, &r);
	if (!c.failed)
		same(buf_str(&again), s);
	else if (queue_row_get(&c, &r) == RC_OK)
		abort(); /* a failure is for good */
	buf_done(&again);
}

static void others(struct str s)
{
	char out[LETTER_HEAD_LEN];
	struct letter_row letter;
	struct counter_row counter;
	uint32_t v;
	uint64_t number;
	struct str note;
	if (letter_value_parse(s, &letter) == RC_OK) {
		bool old = s.p[0] == 1; /* without the account; is read, not written */
		if (letter.sealed.n + LETTER_HEAD_LEN - (old ? 8 : 0) != s.n)
			abort();
		if (!old)
			same(letter_value_head(&letter, out), str_head(s, LETTER_HEAD_LEN));
	}
	if (left_parse(s, &v) == RC_OK)
		same(left_format(v, out), s);
	if (counter_parse(s, &counter) == RC_OK)
		same(counter_format(&counter, out), s);
	if (known_parse(s, &v) == RC_OK)
		same(known_format(v, out), s);
	if (waiting_parse(s, &v) == RC_OK)
		same(waiting_format(v, out), s);
	if (number_parse(s, &number) == RC_OK)
		same(number_format(number, out), s);
	if (note_parse(s, &note) == RC_OK && note.n + 1 != s.n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || n > 1 << 16)
		return 0;
	struct str s = str_of(data + 1, n - 1);
	if (data[0] % 3 == 0)
		row(s);
	else if (data[0] % 3 == 1)
		page(s);
	else
		others(s);
	return 0;
}
