/* Sealing (RFC 8617 5.1). */
#include "origin/dkim_parse.h"
#include "origin/dkim_write.h"

struct chain {
	unsigned n;
	const struct head_field *part[ARC_MAX_SETS + 1][3]; /* results, signature, seal */
};

static bool says_failed(const struct head_field *seal)
{
	size_t from, to;
	return seal && sig_tag_place(seal, "cv", &from, &to) && str_eq(str_trim(str_of(seal->raw.p + from, to - from)), STR("fail"));
}

/* The highest instance and what stands for each; whether it is sound is the verifier's to say. */
static enum rc find_chain(const struct head *h, struct chain *c, struct why *why)
{
	static const struct str name[] = { STR_INIT("arc-authentication-results"), STR_INIT("arc-message-signature"), STR_INIT("arc-seal") };
	for (unsigned kind = 0; kind < 3; kind++) {
		const struct head_name *g = head_name(h, name[kind]);
		for (const struct head_field *f = g ? g->last : NULL; f; f = f->above) {
			struct str first, rest;
			(void)str_cut(f->value, ';', &first, &rest);
			unsigned i = sig_instance(kind == 0 ? first : f->value);
			c->part[i][kind] = f; /* [0]: without a number */
			if (i > c->n)
				c->n = i;
		}
	}
	/* RFC 8617 5.1.2: after a seal that says cv=fail, no more sets are added */
	if (c->n && says_failed(c->part[c->n][2]))
		FAIL(why, RC_DENIED, "the newest seal says that the chain has failed");
	if (c->n >= ARC_MAX_SETS)
		FAIL(why, RC_LIMIT, "the chain has %u sets", c->n);
	return RC_OK;
}

static enum rc fits(const struct chain *c, enum auth chain, struct why *why)
{
	if (chain == AUTH_FAIL)
		return RC_OK;
	if ((chain == AUTH_NONE) != (c->n == 0))
		FAIL(why, RC_CONFLICT, "the verdict on the chain is not about this message");
	for (unsigned i = 1; i <= c->n; i++)
		for (unsigned kind = 0; kind < 3; kind++)
			if (!c->part[i][kind])
				FAIL(why, RC_CONFLICT, "the verdict on the chain is not about this message");
	return RC_OK;
}

/* A value that would end the field early is not one. */
static bool value_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == 0)
			return false;
		if (s.p[i] == '\n' && (i + 1 == s.n || (s.p[i + 1] != ' ' && s.p[i + 1] != '\t')))
			return false;
	}
	return true;
}

struct sealing {
	const struct dkim_key_ref *key;
	const struct dkim_sign_options *o;
	enum auth chain;
	char i[8], t[24];
	struct buf aar, ams, seal;
};

static enum rc write_ams(struct sealing *w, struct str header, struct str body, struct why *why)
{
	static const char *const canon[2][2] = { { "simple/simple", "simple/relaxed" }, { "relaxed/simple", "relaxed/relaxed" } };
	struct signer s;
	struct buf both;
	buf_init(&both, header.n + WRITE_FIELD_MAX);
	buf_add(&both, buf_str(&w->aar)); /* h= may name it */
	buf_add(&both, header);
	enum rc rc = both.failed ? why_fail(why, RC_NOMEM, 0, __FILE__, "out of memory") : signer_init(&s, buf_str(&both), body, w->o, true, why);
	if (!both.failed) {
		struct write_field f = { .name = "ARC-Message-Signature", .plain = w->o->plain };
		write_tag(&f, "i", str_z(w->i));
		write_tag(&f, "a", signer_algorithm(w->key));
		write_tag(&f, "c", str_z(canon[w->o->header][w->o->body]));
		write_tag(&f, "d", w->key->domain);
		write_tag(&f, "s", w->key->selector);
		write_tag(&f, "t", str_z(w->t));
		write_tag(&f, "h", s.h);
		write_tag(&f, "bh", buf_str(&s.text));
		write_tag(&f, "b", STR(""));
		if (rc == RC_OK)
			rc = signer_sign(&s, &f, w->key, w->o->header, &w->ams, why);
		signer_done(&s);
	}
	buf_done(&both);
	return rc;
}

/* RFC 8617 5.1.2: with cv=fail the seal covers its own set alone, "as if this newest ARC Set was the only set present". */
static enum rc seal_digest(const struct sealing *w, const struct chain *c, struct str template, uint8_t digest[DKIM_HASH_MAX])
{
	struct hash_out o;
	enum rc rc = hash_out_init(&o, DKIM_SHA256);
	for (unsigned i = 1; i <= c->n && w->chain != AUTH_FAIL && rc == RC_OK; i++)
		for (unsigned kind = 0; kind < 3; kind++)
			canon_field(&o.out, DKIM_RELAXED, c->part[i][kind]->raw, 0, 0, true);
	if (rc == RC_OK) {
		canon_field(&o.out, DKIM_RELAXED, buf_str(&w->aar), 0, 0, true);
		canon_field(&o.out, DKIM_RELAXED, buf_str(&w->ams), 0, 0, true);
		canon_field(&o.out, DKIM_RELAXED, template, 0, 0, false);
	}
	enum rc done = hash_out_done(&o, digest);
	return rc == RC_OK ? done : rc;
}

static enum rc write_seal(struct sealing *w, const struct chain *c, struct why *why)
{
	struct buf template, signature;
	uint8_t digest[DKIM_HASH_MAX];
	size_t b = 0;
	struct write_field f = { .name = "ARC-Seal", .plain = w->o->plain };
	write_tag(&f, "i", str_z(w->i));
	write_tag(&f, "a", signer_algorithm(w->key));
	write_tag(&f, "t", str_z(w->t));
	write_tag(&f, "cv", str_z(auth_name(w->chain)));
	write_tag(&f, "d", w->key->domain);
	write_tag(&f, "s", w->key->selector);
	write_tag(&f, "b", STR(""));
	buf_init(&template, WRITE_FIELD_MAX);
	buf_init(&signature, SIG_MAX_OCTETS);
	write_template(&f, &template, &b);
	enum rc rc = template.failed ? RC_NOMEM : seal_digest(w, c, buf_str(&template), digest);
	rc = rc == RC_OK ? signer_call(w->key, digest, &signature, why) : why_fail(why, rc, 0, __FILE__, "out of memory");
	if (rc == RC_OK)
		write_signed(buf_str(&template), b, buf_str(&signature), w->o->plain, &w->seal);
	buf_done(&template);
	buf_done(&signature);
	return rc;
}

static enum rc write_set(struct sealing *w, struct str message, struct str results, struct why *why)
{
	struct arena a;
	struct head h;
	struct chain c = { .n = 0 };
	size_t head = head_length(message);
	arena_init(&a, 8 << 20);
	enum rc rc = head_read(&h, str_head(message, head), &a);
	if (rc != RC_OK)
		rc = why_fail(why, rc, 0, __FILE__, "out of memory");
	if (rc == RC_OK)
		rc = find_chain(&h, &c, why);
	if (rc == RC_OK)
		rc = fits(&c, w->chain, why);
	if (rc == RC_OK) {
		snprintf(w->i, sizeof w->i, "%u", c.n + 1);
		buf_addf(&w->aar, "ARC-Authentication-Results: i=%s; ", w->i);
		buf_add(&w->aar, results);
		buf_add(&w->aar, STR("\r\n"));
		rc = write_ams(w, str_head(message, head), str_skip(message, head), why);
	}
	if (rc == RC_OK)
		rc = write_seal(w, &c, why);
	head_done(&h);
	arena_done(&a);
	return rc;
}

enum rc arc_seal(struct str message, const struct dkim_key_ref *key, struct str results, enum auth chain, const struct dkim_sign_options *o,
                 struct buf *out, struct why *why)
{
	struct sealing w = { .key = key, .o = o, .chain = chain };
	struct str value = str_trim(results);
	TRY(signer_key(key, why));
	if (chain != AUTH_NONE && chain != AUTH_PASS && chain != AUTH_FAIL)
		FAIL(why, RC_SYNTAX, "%s is no verdict on a chain", auth_name(chain));
	if (message.n && (message.p[0] == ' ' || message.p[0] == '\t'))
		FAIL(why, RC_SYNTAX, "the message begins with a continuation line");
	if (!value_ok(value))
		FAIL(why, RC_SYNTAX, "the results hold a line end that does not fold");
	snprintf(w.t, sizeof w.t, "%lld", (long long)o->now_s);
	buf_init(&w.aar, WRITE_FIELD_MAX);
	buf_init(&w.ams, WRITE_FIELD_MAX);
	buf_init(&w.seal, WRITE_FIELD_MAX);
	enum rc rc = write_set(&w, message, value, why);
	if (rc == RC_OK && (w.aar.failed || w.ams.failed || w.seal.failed))
		rc = why_fail(why, RC_NOMEM, 0, __FILE__, "out of memory");
	if (rc == RC_OK) {
		buf_add(out, buf_str(&w.seal));
		buf_add(out, buf_str(&w.ams));
		buf_add(out, buf_str(&w.aar));
	}
	buf_done(&w.aar);
	buf_done(&w.ams);
	buf_done(&w.seal);
	return rc == RC_OK && out->failed ? why_fail(why, RC_NOMEM, 0, __FILE__, "out of memory") : rc;
}
