#include "origin/origin.h"

#include "origin/spf_ip.h"
#include <stdarg.h>
#include <stdio.h>

const char *auth_name(enum auth a)
{
	static const char *const names[] = { "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror" };
	return (size_t)a < sizeof(names) / sizeof(names[0]) ? names[a] : "none";
}

void origin_step(const struct origin_trace *t, const char *what, const char *fmt, ...)
{
	if (!t || !t->step)
		return;
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	t->step(t->house, what, text);
}

static void put_record(struct buf *b, unsigned type, const struct dns_record *r)
{
	char ip[IP_TEXT_MAX];
	if (type == DNS_A || type == DNS_AAAA)
		buf_add(b, ip_format(r->data, ip));
	else if (type == DNS_TXT)
		buf_add(b, str_head(r->data, 300));
	else if (type == DNS_MX)
		buf_addf(b, "%u %.*s", r->preference, PSTR(r->name));
	else
		buf_add(b, r->name);
}

void origin_step_dns(const struct origin_trace *t, unsigned type, struct str name, const struct dns_answer *x)
{
	enum { SHOWN = 5 };
	char room[900];
	struct buf b = { .p = room, .cap = sizeof room, .max = sizeof room };
	if (!t || !t->step)
		return;
	for (size_t i = 0; x->status == DNS_OK && i < x->records && i < SHOWN; i++) {
		buf_add(&b, i ? STR(" | ") : STR(": "));
		put_record(&b, type, &x->record[i]);
	}
	if (x->status == DNS_OK && x->records > SHOWN)
		buf_addf(&b, " and %zu more", x->records - SHOWN);
	if (x->status != DNS_OK && x->why[0])
		buf_addf(&b, ": %s", x->why);
	origin_step(t, "dns", "%s %.*s: %s%s%s%.*s", dns_type_name(type), PSTR(str_head(name, 253)), dns_status_name(x->status), x->secure ? ", secure" : "",
	            x->cached ? ", cached" : "", (int)(b.len < sizeof room ? b.len : sizeof room), room);
}
