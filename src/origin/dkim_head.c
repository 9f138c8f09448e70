#include "origin/dkim_head.h"

static struct str next_line(struct str in)
{
	const char *lf = memchr(in.p, '\n', in.n);
	return str_head(in, lf ? (size_t)(lf - in.p) + 1 : in.n);
}

static bool is_wsp(char c) { return c == ' ' || c == '\t'; }

static bool is_empty_line(struct str line) { return str_eq(line, STR("\n")) || str_eq(line, STR("\r\n")); }

/* A line and those that continue it. */
static struct str next_unit(struct str in)
{
	size_t n = next_line(in).n;
	while (n < in.n && is_wsp(in.p[n]))
		n += next_line(str_skip(in, n)).n;
	return str_head(in, n);
}

static bool field_of(struct str raw, struct head_field *out)
{
	size_t n = 0;
	while (n < raw.n && raw.p[n] > 0x20 && raw.p[n] < 0x7f && raw.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < raw.n && is_wsp(raw.p[colon]))
		colon++;
	if (n == 0 || n > HEAD_MAX_NAME || colon == raw.n || raw.p[colon] != ':')
		return false;
	struct str value = str_skip(raw, colon + 1);
	if (value.n && value.p[value.n - 1] == '\n')
		value.n--;
	if (value.n && value.p[value.n - 1] == '\r')
		value.n--;
	*out = (struct head_field){ .raw = raw, .name = str_head(raw, n), .value = value };
	return true;
}

static struct str lower_name(struct str name, char room[HEAD_MAX_NAME])
{
	for (size_t i = 0; i < name.n; i++)
		room[i] = ascii_lower(name.p[i]);
	return str_of(room, name.n);
}

struct head_name *head_name(const struct head *h, struct str name)
{
	char room[HEAD_MAX_NAME];
	return name.n == 0 || name.n > sizeof room ? NULL : map_get(&h->names, lower_name(name, room));
}

static enum rc index_field(struct head *h, struct head_field *f, struct arena *a)
{
	struct head_name *g = head_name(h, f->name);
	if (!g) {
		char room[HEAD_MAX_NAME];
		g = arena_new(a, sizeof *g);
		if (!g)
			return RC_NOMEM;
		g->lower = arena_str(a, lower_name(f->name, room));
		if (a->full)
			return RC_NOMEM;
		TRY(map_put(&h->names, g->lower, g));
	}
	f->above = g->last;
	g->last = f;
	g->count++;
	return RC_OK;
}

static size_t count_units(struct str header)
{
	size_t n = 0;
	while (header.n && !is_empty_line(next_line(header)) && n < HEAD_MAX_FIELDS) {
		header = str_skip(header, next_unit(header).n);
		n++;
	}
	return n;
}

enum rc head_read(struct head *h, struct str header, struct arena *a)
{
	*h = (struct head){ .round = 1 };
	map_init(&h->names, HEAD_MAX_FIELDS);
	h->field = arena_new(a, (count_units(header) + 1) * sizeof *h->field);
	if (!h->field)
		return RC_NOMEM;
	for (size_t units = 0; header.n && !is_empty_line(next_line(header)); units++) {
		struct str raw = next_unit(header);
		if (units == HEAD_MAX_FIELDS)
			return h->too_many = true, RC_OK;
		header = str_skip(header, raw.n);
		if (!field_of(raw, &h->field[h->n]))
			continue;
		TRY(index_field(h, &h->field[h->n], a));
		h->n++;
	}
	return RC_OK;
}

void head_done(struct head *h) { map_done(&h->names); }

void head_pick_begin(struct head *h) { h->round++; }

const struct head_field *head_pick(struct head *h, struct str name)
{
	struct head_name *g = head_name(h, name);
	if (!g)
		return NULL;
	if (g->round != h->round) {
		g->round = h->round;
		g->cursor = g->last;
	}
	struct head_field *f = g->cursor;
	if (f)
		g->cursor = f->above;
	return f;
}
