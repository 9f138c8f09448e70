#include "role/probe_out.h"

#include "base/codec.h"

enum { STEPS_MAX = 16 << 20 };

static void comma(struct probe_out *p)
{
	if (p->open)
		buf_byte(p->out, ',');
	p->open = true;
}

static void put_key(struct probe_out *p, const char *key)
{
	if (p->json) {
		comma(p);
		buf_addf(p->out, "\"%s\":", key);
	} else {
		buf_addf(p->out, "  %-14s ", key);
	}
}

static void put_json(struct buf *out, struct str s)
{
	buf_byte(out, '"');
	json_escape(out, s);
	buf_byte(out, '"');
}

/* For a terminal: strangers' bytes may not move the cursor. A line break stays one, indented. */
static void put_shown(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\n')
			buf_add(out, STR("\n                 "));
		else if (c != '\r')
			buf_byte(out, c == '\t' ? ' ' : c < 0x20 || c > 0x7e ? '?' : (char)c);
	}
}

void probe_begin(struct probe_out *p, struct str name)
{
	buf_init(&p->steps, STEPS_MAX);
	p->open = false;
	if (p->json) {
		buf_byte(p->out, '{');
	} else if (name.n) {
		put_shown(p->out, name);
		buf_byte(p->out, '\n');
	}
	if (p->json && name.n)
		probe_text(p, "name", name);
}

void probe_text(struct probe_out *p, const char *key, struct str value)
{
	if (!p->json && value.n == 0)
		return;
	put_key(p, key);
	if (p->json) {
		put_json(p->out, value);
		return;
	}
	put_shown(p->out, value);
	buf_byte(p->out, '\n');
}

void probe_number(struct probe_out *p, const char *key, int64_t v)
{
	put_key(p, key);
	buf_addf(p->out, "%lld%s", (long long)v, p->json ? "" : "\n");
}

void probe_bool(struct probe_out *p, const char *key, bool v)
{
	put_key(p, key);
	buf_addf(p->out, p->json ? "%s" : "%s\n", p->json ? (v ? "true" : "false") : v ? "yes" : "no");
}

void probe_list(struct probe_out *p, const char *key)
{
	if (!p->json)
		return;
	put_key(p, key);
	buf_byte(p->out, '[');
	p->open = false;
}

void probe_item(struct probe_out *p, const char *title)
{
	if (!p->json) {
		buf_addf(p->out, "  %s\n", title);
		return;
	}
	comma(p);
	buf_byte(p->out, '{');
	p->open = false;
}

void probe_item_end(struct probe_out *p)
{
	if (p->json)
		buf_byte(p->out, '}');
	p->open = true;
}

void probe_list_end(struct probe_out *p)
{
	if (p->json)
		buf_byte(p->out, ']');
	p->open = true;
}

static void on_step(void *house, const char *what, const char *text)
{
	struct probe_out *p = house;
	if (p->json) {
		buf_addf(&p->steps, "%s{\"what\":\"%s\",\"text\":", p->steps.len ? "," : "", what);
		put_json(&p->steps, str_z(text));
		buf_byte(&p->steps, '}');
		return;
	}
	buf_addf(&p->steps, "    %-12s ", what);
	put_shown(&p->steps, str_z(text));
	buf_byte(&p->steps, '\n');
}

struct origin_trace probe_trace(struct probe_out *p) { return (struct origin_trace){ .house = p, .step = on_step }; }

enum rc probe_end(struct probe_out *p, struct why *why)
{
	if (p->json)
		put_key(p, "steps");
	else
		buf_add(p->out, p->steps.len ? STR("  steps\n") : STR(""));
	if (p->json)
		buf_byte(p->out, '[');
	buf_add(p->out, buf_str(&p->steps));
	if (p->json)
		buf_add(p->out, STR("]}\n"));
	bool failed = p->out->failed || p->steps.failed;
	buf_done(&p->steps);
	if (failed)
		FAIL(why, RC_LIMIT, "the report would be longer than can be printed");
	return RC_OK;
}
