/* DANE over a DNS that says anything: an octet decides each answer's status and security, records come from the rest. */
#include "origin/tls_policy.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct liar { struct str in; unsigned asked; };

static uint8_t next(struct liar *l)
{
	uint8_t c = l->in.n ? (uint8_t)l->in.p[0] : 0;
	l->in = str_skip(l->in, 1);
	return c;
}

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct liar *l = house;
	uint8_t how = next(l);
	l->asked++;
	*out = (struct dns_answer){ .status = how % 6, .secure = how >> 3 & 1, .canonical = how >> 4 & 1 ? STR("end.example") : arena_str(a, name) };
	size_t n = out->status == DNS_OK ? 1 + (how >> 5) : 0;
	out->record = n ? arena_new(a, n * sizeof *out->record) : NULL;
	for (size_t i = 0; out->record && i < n; i++) {
		struct dns_record *r = &out->record[out->records++];
		*r = (struct dns_record){ .name = STR("end.example"), .usage = next(l), .selector = next(l), .matching = next(l) };
		r->data = str_head(l->in, type == DNS_A ? 4 : type == DNS_AAAA ? 16 : next(l) % 80);
		l->in = str_skip(l->in, r->data.n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct str mx[] = { STR_INIT("mx.example") };
	static const struct mta_sts_policy sts = { .mode = MTA_STS_ENFORCE, .mx = mx, .mx_n = 1 };
	if (size < 1)
		return 0;
	AUTO(arena_done) struct arena a = { .max = 1 << 18 };
	struct liar l = { .in = str_of(data + 1, size - 1) };
	struct dns d = { &l, ask };
	struct dane_host h;
	struct tls_policy_out o;
	dane_look_up(&d, STR("hop.example"), STR("mx.example"), 25, data[0] & 1, &a, &h);
	assert(l.asked <= 6 && h.name_n <= 3 && h.why.n);
	assert((h.state == DANE_USABLE) == (h.n > 0));
	for (size_t i = 0; i < h.n; i++)
		assert((h.tlsa[i].usage == 2 || h.tlsa[i].usage == 3) && h.tlsa[i].selector < 2 && h.tlsa[i].matching < 3 && h.tlsa[i].data.n);
	struct tls_policy_in in = { .next_hop = STR("hop.example"), .mx_host = STR("mx.example"), .mx_secure = data[0] & 1, .dane = &h, .sts = data[0] & 2 ? &sts : NULL,
		.directory = data[0] >> 2 & 3, .require_tls = data[0] >> 4 & 1, .tls_optional = data[0] >> 5 & 1 };
	tls_policy(&in, &a, &o);
	assert(o.verify == TLS_VERIFY_NOT || o.name_n);
	assert(!in.require_tls || !o.allowed || o.verify != TLS_VERIFY_NOT);
	return 0;
}
