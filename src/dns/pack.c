#include "dns/dns.h"

#include "base/cursor.h"

enum { PACK_FORMAT = 1, PACK_SECURE = 1, PACK_CACHED = 2, PACK_TRUNCATED = 4, PACK_OURS = 8 };

void dns_pack(const struct dns_answer *in, struct buf *out)
{
	size_t n = in->records > DNS_MAX_RECORDS ? DNS_MAX_RECORDS : in->records;
	buf_u8(out, PACK_FORMAT);
	buf_u8(out, (uint8_t)in->status);
	buf_u8(out, (uint8_t)((in->secure ? PACK_SECURE : 0) | (in->cached ? PACK_CACHED : 0) | (in->truncated || n < in->records ? PACK_TRUNCATED : 0) | (in->ours ? PACK_OURS : 0)));
	buf_u32(out, in->ttl);
	buf_run(out, in->canonical);
	buf_run(out, str_of(in->why, strnlen(in->why, sizeof in->why - 1)));
	buf_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		const struct dns_record *r = &in->record[i];
		buf_u16(out, r->preference);
		buf_u16(out, r->weight);
		buf_u16(out, r->port);
		buf_u8(out, r->usage);
		buf_u8(out, r->selector);
		buf_u8(out, r->matching);
		buf_u32(out, r->strings);
		buf_run(out, r->name);
		buf_run(out, r->data);
	}
}

static void take_record(struct cursor *c, struct dns_record *r)
{
	r->preference = cursor_u16(c);
	r->weight = cursor_u16(c);
	r->port = cursor_u16(c);
	r->usage = cursor_u8(c);
	r->selector = cursor_u8(c);
	r->matching = cursor_u8(c);
	r->strings = cursor_u32(c);
	r->name = cursor_run(c, 255);
	r->data = cursor_run(c, DNS_MAX_RDATA);
}

enum rc dns_unpack(struct str packed, struct arena *a, struct dns_answer *out, struct why *why)
{
	struct cursor c = cursor_of(packed);
	struct dns_answer v = { .canonical = STR("") };
	unsigned format = cursor_u8(&c), status = cursor_u8(&c), flags = cursor_u8(&c);
	v.ttl = cursor_u32(&c);
	v.canonical = cursor_run(&c, 255);
	struct str text = cursor_run(&c, sizeof v.why - 1);
	v.records = cursor_u16(&c);
	if (c.failed || format != PACK_FORMAT || status > DNS_BADNAME || v.records > DNS_MAX_RECORDS)
		FAIL(why, RC_SYNTAX, "not a packed answer");
	if ((v.status = (enum dns_status)status) != DNS_OK && v.records)
		FAIL(why, RC_SYNTAX, "a packed denial with records");
	if (v.records && !(v.record = arena_new(a, v.records * sizeof *v.record)))
		FAIL(why, RC_NOMEM, "no memory for %zu records", v.records);
	for (size_t i = 0; i < v.records && !c.failed; i++)
		take_record(&c, &v.record[i]);
	if (!cursor_at_end(&c))
		FAIL(why, RC_SYNTAX, "a packed answer of the wrong length");
	v.secure = flags & PACK_SECURE;
	v.cached = flags & PACK_CACHED;
	v.truncated = flags & PACK_TRUNCATED;
	v.ours = flags & PACK_OURS;
	memcpy(v.why, text.p, text.n);
	*out = v;
	return RC_OK;
}
