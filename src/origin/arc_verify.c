/* ARC (RFC 8617 5.2): the chain's form, the newest message signature, every seal. */
#include "origin/dkim_verify.h"

/* ---- before the body ---- */

static const struct head_field **slot_of(struct arc_set *s, unsigned kind)
{
	return kind == 0 ? &s->aar : kind == 1 ? &s->ams : &s->seal;
}

/* RFC 8617 4.2.1: i= of a results field is its first part, before the authserv-id. */
static unsigned instance_of(struct str value, unsigned kind)
{
	struct str first, rest;
	(void)str_cut(value, ';', &first, &rest);
	return sig_instance(kind == 0 ? first : value);
}

static enum rc collect(struct dkim_verifier *v, struct arc_chain *c)
{
	static const struct str name[] = { STR_INIT("arc-authentication-results"), STR_INIT("arc-message-signature"), STR_INIT("arc-seal") };
	for (unsigned kind = 0; kind < 3; kind++) {
		const struct head_name *g = head_name(&v->head, name[kind]);
		for (const struct head_field *f = g ? g->last : NULL; f; f = f->above) {
			unsigned i = instance_of(f->value, kind);
			if (c->n == 0)
				c->n = 1; /* there is something, whatever it is */
			if (i == 0)
				FAIL(&c->why, RC_SYNTAX, "%.*s has no i= from 1 to %d", PSTR(f->name), ARC_MAX_SETS);
			if (i > c->n)
				c->n = i;
			if (*slot_of(&c->set[i], kind))
				FAIL(&c->why, RC_SYNTAX, "%.*s i=%u stands there twice", PSTR(f->name), i);
			*slot_of(&c->set[i], kind) = f;
		}
	}
	/* RFC 8617 5.2 step 3: a continuous sequence of instances, each with all three */
	for (unsigned i = 1; i <= c->n; i++)
		for (unsigned kind = 0; kind < 3; kind++)
			if (!*slot_of(&c->set[i], kind))
				FAIL(&c->why, RC_SYNTAX, "set %u of %u has no %.*s", i, c->n, PSTR(name[kind]));
	if (v->head.too_many)
		FAIL(&c->why, RC_LIMIT, "the header has more than %d fields", HEAD_MAX_FIELDS);
	return RC_OK;
}

static enum rc read_set(struct dkim_verifier *v, struct arc_chain *c, unsigned i)
{
	struct arc_set *s = &c->set[i];
	s->ams_read = arena_new(&v->a, sizeof *s->ams_read);
	s->seal_read = arena_new(&v->a, sizeof *s->seal_read);
	if (!s->ams_read || !s->seal_read)
		return RC_NOMEM;
	s->ams_read->rc = sig_parse(SIG_AMS, &v->head, s->ams, v->o.now_s, v->o.allow_weak, &v->a, &s->ams_read->sig, &s->ams_read->why);
	s->seal_read->rc = sig_parse(SIG_SEAL, &v->head, s->seal, v->o.now_s, v->o.allow_weak, &v->a, &s->seal_read->sig, &s->seal_read->why);
	return s->ams_read->rc == RC_NOMEM || s->seal_read->rc == RC_NOMEM ? RC_NOMEM : RC_OK;
}

/* RFC 8617 5.2 steps 2 and 3, as far as the fields alone say it. */
static enum rc check_form(struct arc_chain *c)
{
	const struct arc_set *newest = &c->set[c->n];
	if (newest->seal_read->rc == RC_OK && newest->seal_read->sig.cv == AUTH_FAIL)
		FAIL(&c->why, RC_DAMAGED, "the newest seal says that the chain had failed before");
	for (unsigned i = 1; i <= c->n; i++) {
		const struct sig_read *seal = c->set[i].seal_read;
		if (seal->rc != RC_OK)
			FAIL(&c->why, RC_SYNTAX, "ARC-Seal i=%u: %s", i, seal->why.text);
		if (seal->sig.cv != (i == 1 ? AUTH_NONE : AUTH_PASS))
			FAIL(&c->why, RC_SYNTAX, "ARC-Seal i=%u has cv=%s", i, auth_name(seal->sig.cv));
	}
	if (newest->ams_read->rc != RC_OK)
		FAIL(&c->why, RC_SYNTAX, "ARC-Message-Signature i=%u: %s", c->n, newest->ams_read->why.text);
	return RC_OK;
}

enum rc arc_collect(struct dkim_verifier *v)
{
	struct arc_chain *c = &v->arc;
	if (!head_name(&v->head, STR("arc-seal")) && !head_name(&v->head, STR("arc-message-signature")) &&
	    !head_name(&v->head, STR("arc-authentication-results")))
		return RC_OK;
	c->set = arena_new(&v->a, (ARC_MAX_SETS + 1) * sizeof *c->set);
	if (!c->set)
		return RC_NOMEM;
	c->broken = collect(v, c) != RC_OK;
	for (unsigned i = 1; i <= c->n && !c->broken; i++)
		TRY(read_set(v, c, i));
	if (c->broken || check_form(c) != RC_OK) {
		c->broken = true;
		return RC_OK;
	}
	for (unsigned i = 1; i <= c->n; i++)
		if (c->set[i].ams_read->rc == RC_OK)
			TRY(verify_want_body(v, &c->set[i].ams_read->sig));
	return RC_OK;
}

/* ---- after it ---- */

static void add_field(struct hash_out *o, const struct head_field *f) { canon_field(&o->out, DKIM_RELAXED, f->raw, 0, 0, true); }

/* RFC 8617 5.1.1: the seal of set i covers the sets before it and its own, in the order results, signature, seal. One pass makes all
 * digests: the context is copied before each seal's own field. */
static enum rc seal_digests(struct arc_chain *c)
{
	struct hash_out o;
	uint8_t rest[DKIM_HASH_MAX];
	enum rc rc = hash_out_init(&o, DKIM_SHA256);
	for (unsigned i = 1; i <= c->n && rc == RC_OK; i++) {
		struct arc_set *s = &c->set[i];
		const struct sig *seal = &s->seal_read->sig;
		struct hash_out own;
		add_field(&o, s->aar);
		add_field(&o, s->ams);
		canon_flush(&o.out);
		rc = hash_out_init(&own, DKIM_SHA256);
		own.failed |= rc != RC_OK || EVP_MD_CTX_copy_ex(own.ctx, o.ctx) != 1;
		if (rc == RC_OK)
			canon_field(&own.out, DKIM_RELAXED, s->seal->raw, seal->cut_from, seal->cut_to, false);
		enum rc done = hash_out_done(&own, s->seal_digest);
		rc = rc == RC_OK ? done : rc;
		add_field(&o, s->seal);
	}
	enum rc done = hash_out_done(&o, rest);
	return rc == RC_OK ? done : rc;
}

static enum rc judge_seal(struct judge *j, const struct arc_set *s, struct why *why)
{
	const struct sig *seal = &s->seal_read->sig;
	const struct dkim_key *key;
	bool secure;
	TRY(judge_key(j, seal, &key, &secure, why));
	/* rsa-sha1 never gets here without allow_weak, and no seal in the world has it */
	enum rc rc = sig_hash(seal) == DKIM_SHA256 ? dkim_key_verify(key, DKIM_SHA256, s->seal_digest, seal->b) : RC_DAMAGED;
	if (rc != RC_OK)
		FAIL(why, rc, "the signature does not fit");
	return RC_OK;
}

static enum rc judge_ams(struct judge *j, const struct arc_set *s, struct why *why)
{
	const struct sig *ams = &s->ams_read->sig;
	const struct dkim_key *key;
	uint8_t digest[DKIM_HASH_MAX];
	bool secure;
	if (s->ams_read->rc != RC_OK)
		FAIL(why, s->ams_read->rc, "%s", s->ams_read->why.text);
	TRY(judge_body(j->v, ams, why));
	TRY(judge_key(j, ams, &key, &secure, why));
	enum rc rc = judge_digest(&j->v->head, ams, digest);
	if (rc == RC_OK)
		rc = dkim_key_verify(key, sig_hash(ams), digest, ams->b);
	if (rc != RC_OK)
		FAIL(why, rc, "the signature does not fit");
	return RC_OK;
}

static void step_set(struct judge *j, const char *what, const struct sig *s, enum rc rc, const struct why *why)
{
	origin_step(j->trace, what, "i=%u d=%.*s s=%.*s: %s", s->instance, PSTR(str_head(s->domain, 200)), PSTR(str_head(s->selector, 63)), rc == RC_OK ? "fits" : why->text);
}

/* RFC 8617 5.2: step 4 the newest message signature, step 6 the seals from the newest to the oldest. */
static enum rc judge_chain(struct judge *j, struct why *why)
{
	struct arc_chain *c = &j->v->arc;
	struct why here;
	if (c->broken)
		FAIL(why, c->why.rc, "%s", c->why.text);
	enum rc newest = judge_ams(j, &c->set[c->n], &here);
	step_set(j, "message", &c->set[c->n].ams_read->sig, newest, &here);
	if (newest != RC_OK)
		FAIL(why, here.rc, "ARC-Message-Signature i=%u: %.150s", c->n, here.text);
	if (seal_digests(c) != RC_OK)
		FAIL(why, RC_NOMEM, "out of memory");
	for (unsigned i = c->n; i > 0; i--) {
		enum rc rc = judge_seal(j, &c->set[i], &here);
		step_set(j, "seal", &c->set[i].seal_read->sig, rc, &here);
		if (rc != RC_OK)
			FAIL(why, here.rc, "ARC-Seal i=%u: %.150s", i, here.text);
	}
	return RC_OK;
}

/* RFC 8617 5.2 step 5: 0 = every message signature still fits, else the lowest instance from which on all do. */
static unsigned oldest_pass(struct judge *j)
{
	const struct arc_chain *c = &j->v->arc;
	struct why why;
	for (unsigned i = c->n; i > 1; i--) {
		enum rc rc = judge_ams(j, &c->set[i - 1], &why);
		step_set(j, "message", &c->set[i - 1].ams_read->sig, rc, &why);
		if (rc != RC_OK)
			return i;
	}
	return 0;
}

static struct str results_of(const struct head_field *f, struct arena *a)
{
	struct str first, rest = STR("");
	if (f)
		(void)str_cut(f->value, ';', &first, &rest);
	return arena_str(a, str_trim(rest));
}

static void name_sealers(const struct arc_chain *c, struct arena *a, struct arc_result *out)
{
	out->sets = c->n;
	out->aar = results_of(c->set[c->n].aar, a);
	out->first_aar = results_of(c->set[1].aar, a);
	out->sealers = arena_new(a, c->n * sizeof *out->sealers);
	for (unsigned i = 1; out->sealers && i <= c->n; i++) {
		const struct sig_read *r = c->set[i].seal_read;
		out->sealers[i - 1] = r ? arena_str(a, r->sig.domain) : STR("");
	}
	out->sealer = out->sealers ? out->sealers[c->n - 1] : STR("");
}

void arc_judge(struct judge *j, struct arena *a, struct arc_result *out)
{
	const struct arc_chain *c = &j->v->arc;
	struct why why = { .rc = RC_OK };
	*out = (struct arc_result){ .result = AUTH_NONE, .sealer = STR(""), .aar = STR(""), .first_aar = STR(""), .why = STR("") };
	if (c->n == 0)
		return;
	name_sealers(c, a, out);
	enum rc rc = judge_chain(j, &why);
	out->result = rc == RC_OK ? AUTH_PASS : AUTH_FAIL;
	out->late = rc == RC_LATE || rc == RC_NOMEM;
	if (out->result == AUTH_PASS)
		out->oldest_pass = oldest_pass(j);
	out->why = out->result == AUTH_PASS ? STR("every seal and the newest message signature fit") : verify_text(a, why.text);
	origin_step(j->trace, "arc", "%u sets: %s: %.*s", c->n, auth_name(out->result), PSTR(out->why));
}
