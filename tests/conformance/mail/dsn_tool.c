/* Writes notices from descriptions on standard input: lines "key hex-of-the-value"; "rcpt ACTION" begins a recipient, and a line without a value ends one
 * notice. Each is answered with a line "rc octets" and the octets. For dsn_notices.py. */
#include "mail/dsn.h"

#include "base/codec.h"
#include "base/mem.h"
#include <stdio.h>

enum { RCPTS = 20000 };
static struct dsn d;
static struct dsn_rcpt rcpts[RCPTS];

static const struct { const char *key; struct str *at; } texts[] = {
	{ "reporting", &d.reporting_mta }, { "from", &d.from }, { "to", &d.to }, { "message_id", &d.message_id }, { "mid", &d.mid }, { "envid", &d.envid }, { "subject", &d.subject },
	{ "name", &d.message_to_name }, { "original", &d.original },
};
static const struct { const char *key; size_t at; } rcpt_texts[] = {
	{ "final", offsetof(struct dsn_rcpt, final) }, { "orcpt_type", offsetof(struct dsn_rcpt, orcpt_type) }, { "orcpt", offsetof(struct dsn_rcpt, orcpt) },
	{ "remote_mta", offsetof(struct dsn_rcpt, remote_mta) }, { "diagnostic", offsetof(struct dsn_rcpt, diagnostic) }, { "tls", offsetof(struct dsn_rcpt, tls) },
};

static void number(const char *key, struct str value, struct dsn_rcpt *r)
{
	uint64_t v = 0;
	(void)str_u64(value, UINT64_MAX, &v);
	if (strcmp(key, "arrival") == 0)
		d.arrival_ms = (int64_t)v;
	else if (strcmp(key, "now") == 0)
		d.now_ms = (int64_t)v;
	else if (strcmp(key, "full") == 0)
		d.full = v;
	else if (strcmp(key, "utf8") == 0)
		d.utf8 = v;
	else if (strcmp(key, "last") == 0)
		r->last_ms = (int64_t)v;
	else if (strcmp(key, "until") == 0)
		r->retry_until_ms = (int64_t)v;
	else if (strcmp(key, "remote") == 0)
		r->remote = v;
}

static void take(struct arena *a, const char *key, struct str value)
{
	struct dsn_rcpt *r = &rcpts[d.n ? d.n - 1 : 0];
	if (strcmp(key, "rcpt") == 0 && d.n < RCPTS)
		rcpts[d.n++] = (struct dsn_rcpt){ .action = (enum dsn_action)(value.p[0] - '0') };
	else if (strcmp(key, "status") == 0)
		memcpy(r->status, value.p, value.n < sizeof r->status ? value.n : sizeof r->status);
	else
		number(key, value, r);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(key, texts[i].key) == 0)
			*texts[i].at = arena_str(a, value);
	for (size_t i = 0; i < sizeof rcpt_texts / sizeof *rcpt_texts; i++)
		if (strcmp(key, rcpt_texts[i].key) == 0)
			*(struct str *)(void *)((char *)r + rcpt_texts[i].at) = arena_str(a, value);
}

static bool answer(void)
{
	AUTO(buf_done) struct buf out = { .max = 64 << 20 };
	d.rcpts = rcpts;
	enum rc rc = dsn_format(&d, &out);
	if (rc != RC_OK)
		buf_clear(&out);
	printf("%s %zu\n", rc_name(rc), out.len);
	return fwrite(out.p, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
}

int main(void)
{
	static char line[8 << 20];
	AUTO(arena_done) struct arena a = { .max = 64 << 20 };
	AUTO(buf_done) struct buf value = { .max = 8 << 20 };
	while (fgets(line, sizeof line, stdin)) {
		struct str key, hex;
		(void)str_cut(str_trim(str_z(line)), ' ', &key, &hex);
		line[key.n] = '\0';
		buf_clear(&value);
		if (hex_decode(str_trim(hex), &value) != RC_OK)
			return 2;
		if (key.n) {
			take(&a, line, buf_str(&value));
			continue;
		}
		if (!answer())
			return 2;
		d = (struct dsn){ 0 };
		arena_done(&a);
		a = (struct arena){ .max = 64 << 20 };
	}
	return 0;
}
