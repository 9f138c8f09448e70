#pragma once
/* A DNS with one key, the private half of which signs, and records taken from the input. */
#include "crypto/crypto.h"
#include "origin/dkim.h"

#include <assert.h>

static const char fuzz_record[] = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const struct secret fuzz_seed = { { 0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
	                                   0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60 } };

static inline void fuzz_ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	const struct str *rest = house; /* the input itself as a record */
	*out = (struct dns_answer){ .status = DNS_NXDOMAIN, .canonical = name };
	if (str_starts(name, STR("temp")))
		out->status = DNS_TEMPFAIL;
	if (!str_ieq(name, STR("sel._domainkey.example.org")) && !str_starts(name, STR("raw")))
		return;
	out->record = arena_new(a, sizeof *out->record);
	if (!out->record)
		return;
	out->record->data = str_starts(name, STR("raw")) ? *rest : str_z(fuzz_record);
	out->records = 1;
	out->status = DNS_OK;
}

static inline enum rc fuzz_sign(void *house, const uint8_t digest[32], struct buf *out, struct why *why)
{
	uint8_t sig[64];
	(void)house;
	(void)why;
	enum rc rc = ed25519_sign(&fuzz_seed, str_of(digest, 32), sig);
	buf_add(out, str_of(sig, sizeof sig));
	return rc;
}

static inline struct dkim_key_ref fuzz_key(void)
{
	return (struct dkim_key_ref){ STR("example.org"), STR("sel"), DKIM_ED25519, fuzz_sign, NULL };
}

static inline size_t fuzz_head(struct str m)
{
	size_t at = 0;
	while (at < m.n) {
		struct str rest = str_skip(m, at);
		size_t lf = str_find(rest, '\n');
		if (str_starts(rest, STR("\n")) || str_starts(rest, STR("\r\n")))
			return at + lf + 1;
		at += lf < rest.n ? lf + 1 : lf;
	}
	return at;
}

/* Fed in runs of `step` octets. */
static inline void fuzz_verify(struct str m, size_t step, struct str raw, struct arena *a, struct dkim_result *out)
{
	struct dkim_verifier *v;
	struct dkim_options o = { .now_s = 1700000000 };
	struct dns dns = { &raw, fuzz_ask };
	size_t head = fuzz_head(m);
	assert(dkim_verify_new(str_head(m, head), &o, &v) == RC_OK);
	for (struct str body = str_skip(m, head); body.n; body = str_skip(body, step))
		dkim_verify_body(v, str_head(body, step));
	dkim_verify_end(v, &dns, NULL, a, out);
	dkim_verify_free(&v);
	assert(!v && out->n <= DKIM_MAX_SIGNATURES && out->arc.sets <= ARC_MAX_SETS);
	for (size_t i = 0; i < out->n; i++) {
		const struct dkim_signature *s = &out->signature[i];
		assert(s->why.n > 0);
		if (s->result == AUTH_PASS)
			assert(s->body_ok && s->signature_ok && s->domain.n && s->selector.n && s->identity.n && s->key_bits >= 256);
	}
}
