/* Canonicalisation in any split against one that goes over the whole text line by line and is plain to see. */
#include "fuzz_dkim_kit.h"
#include "origin/dkim_canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct catcher {
	struct canon_out out;
	struct buf b;
};

static void caught(struct canon_out *o, struct str run) { buf_add(&((struct catcher *)(void *)o)->b, run); }

static void relaxed_line(struct str line, struct buf *out)
{
	bool space = false;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == ' ' || line.p[i] == '\t') {
			space = true;
			continue;
		}
		if (space)
			buf_byte(out, ' ');
		space = false;
		buf_byte(out, line.p[i]);
	}
}

static void plainly(struct str body, enum dkim_canon c, struct buf *out)
{
	size_t end = 0; /* after the last line that is not empty */
	while (body.n) {
		size_t lf = str_find(body, '\n'), n = lf, before = out->len;
		if (lf < body.n && n > 0 && body.p[n - 1] == '\r')
			n--;
		if (c == DKIM_RELAXED)
			relaxed_line(str_head(body, n), out);
		else
			buf_add(out, str_head(body, n));
		if (out->len > before)
			end = out->len;
		buf_add(out, STR("\r\n"));
		body = str_skip(body, lf + 1);
	}
	out->len = end;
	if (end || c == DKIM_SIMPLE)
		buf_add(out, STR("\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct str body = str_of(data + 1, size - 1);
	for (int c = 0; c < 2; c++) {
		struct catcher got = { .out.flush = caught };
		struct canon_body state = { .c = (enum dkim_canon)c };
		struct buf wanted, field;
		buf_init(&got.b, 4 * size + 64);
		buf_init(&wanted, 4 * size + 64);
		buf_init(&field, 4 * size + 64);
		for (struct str rest = body; rest.n; rest = str_skip(rest, 1 + data[0] % 40))
			canon_body_add(&state, &got.out, str_head(rest, 1 + data[0] % 40));
		canon_body_end(&state, &got.out);
		plainly(body, (enum dkim_canon)c, &wanted);
		assert(str_eq(buf_str(&got.b), buf_str(&wanted)) && got.out.total == wanted.len);
		dkim_canon_header(body, (enum dkim_canon)c, &field);
		assert(str_ends(buf_str(&field), STR("\r\n")));
		buf_done(&got.b);
		buf_done(&wanted);
		buf_done(&field);
	}
	return 0;
}
