/* The verifier: header, body, then the DNS and the verdicts. */
#include "origin/dkim_verify.h"

#include "base/mem.h"

enum { ARENA_MAX = 16 << 20, SCRATCH_MAX = 4 << 20, FUTURE_S = 300, MIN_BITS = 1024, WEAK_BITS = 512 };

/* ---- before the body ---- */

enum rc verify_want_body(struct dkim_verifier *v, const struct sig *s)
{
	size_t at = (size_t)s->body * 2 + (size_t)sig_hash(s);
	struct body_hash *b = v->stream[at];
	if (!b) {
		b = arena_new(&v->a, sizeof *b);
		if (!b)
			return RC_NOMEM;
		body_hash_init(b, s->body, sig_hash(s));
		v->stream[at] = b;
	}
	return body_hash_want(b, s->has_length ? s->length : BODY_WHOLE) ? RC_OK : RC_LIMIT;
}

/* RFC 6376 4.2: every signature is looked at by itself; from the top, for the newest ones stand there. */
static enum rc read_signatures(struct dkim_verifier *v)
{
	const struct head_name *g = head_name(&v->head, STR("dkim-signature"));
	if (!g)
		return RC_OK;
	v->n = g->count < DKIM_MAX_SIGNATURES ? g->count : DKIM_MAX_SIGNATURES;
	v->ignored = g->count - v->n;
	v->signature = arena_new(&v->a, v->n * sizeof *v->signature);
	if (!v->signature)
		return RC_NOMEM;
	const struct head_field *f = g->last;
	for (size_t i = 0; i < v->ignored; i++)
		f = f->above;
	for (size_t i = v->n; i-- > 0; f = f->above) {
		struct sig_read *r = &v->signature[i];
		r->rc = sig_parse(SIG_DKIM, &v->head, f, v->o.now_s, v->o.allow_weak, &v->a, &r->sig, &r->why);
		if (r->rc == RC_NOMEM)
			return RC_NOMEM;
		if (r->rc == RC_OK && v->head.too_many)
			r->rc = why_fail(&r->why, RC_DENIED, 0, __FILE__, "the header has more than %d fields", HEAD_MAX_FIELDS);
		if (r->rc == RC_OK)
			TRY(verify_want_body(v, &r->sig));
	}
	return RC_OK;
}

enum rc dkim_verify_new(struct str header, const struct dkim_options *o, struct dkim_verifier **out)
{
	struct dkim_verifier *v = mem_new(sizeof *v);
	if (!v)
		return RC_NOMEM;
	v->o = *o;
	arena_init(&v->a, ARENA_MAX);
	enum rc rc = head_read(&v->head, header, &v->a);
	if (rc == RC_OK && !o->no_dkim)
		rc = read_signatures(v);
	if (rc == RC_OK && !o->no_arc)
		rc = arc_collect(v);
	if (rc != RC_OK) {
		dkim_verify_free(&v);
		return RC_NOMEM;
	}
	*out = v;
	return RC_OK;
}

void dkim_verify_free(struct dkim_verifier **v)
{
	if (!*v)
		return;
	for (size_t i = 0; i < VERIFY_STREAMS; i++)
		if ((*v)->stream[i])
			body_hash_done((*v)->stream[i]);
	head_done(&(*v)->head);
	arena_done(&(*v)->a);
	mem_free(*v);
	*v = NULL;
}

bool dkim_verify_idle(const struct dkim_verifier *v) { return v->n == 0 && v->arc.n == 0; }

void dkim_verify_body(struct dkim_verifier *v, struct str run)
{
	for (size_t i = 0; i < VERIFY_STREAMS; i++)
		if (v->stream[i])
			body_hash_add(v->stream[i], run);
}

/* ---- keys ---- */

static void keep_records(struct key_answer *k, const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->records && k->records < VERIFY_MAX_RECORDS; i++)
		k->record[k->records++] = answer->record[i].data;
}

static void ask(struct judge *j, struct key_answer *k)
{
	struct dns_answer answer;
	dns_ask(j->dns, DNS_TXT, k->name, &j->scratch, &answer);
	origin_step_dns(j->trace, DNS_TXT, k->name, &answer);
	k->secure = answer.secure;
	switch (answer.status) {
	case DNS_OK:
		keep_records(k, &answer);
		if (k->records)
			return;
		k->rc = why_fail(&k->why, RC_DENIED, 0, __FILE__, "there is no key at %.*s", PSTR(str_head(k->name, 120)));
		return;
	case DNS_TEMPFAIL:
	case DNS_BOGUS:
		k->rc = why_fail(&k->why, RC_LATE, 0, __FILE__, "the key could not be asked for: %s", answer.why[0] ? answer.why : dns_status_name(answer.status));
		return;
	default:
		k->rc = why_fail(&k->why, RC_DENIED, 0, __FILE__, "there is no key at %.*s (%s)", PSTR(str_head(k->name, 120)), dns_status_name(answer.status));
	}
}

static struct key_answer *answer_of(struct judge *j, const struct sig *s)
{
	char name[64 + 256 + 256];
	int n = snprintf(name, sizeof name, "%.*s._domainkey.%.*s", PSTR(s->selector), PSTR(s->domain));
	if (n < 0 || (size_t)n >= sizeof name)
		return NULL;
	struct str wanted = str_of(name, (size_t)n);
	for (size_t i = 0; i < j->keys; i++)
		if (str_eq(j->key[i].name, wanted))
			return &j->key[i];
	if (j->keys == VERIFY_MAX_KEYS)
		return NULL;
	struct key_answer *k = &j->key[j->keys++];
	*k = (struct key_answer){ .name = arena_str(&j->scratch, wanted) };
	if (j->scratch.full)
		k->rc = why_fail(&k->why, RC_LATE, 0, __FILE__, "the key could not be asked for: the answers of this message are too large");
	else
		ask(j, k);
	j->scratch.full = false; /* an answer that found no room is that key's matter alone */
	return k;
}

/* RFC 6376 3.6.1, t=s: "i=" "MUST have the same domain value on the right-hand side of the "@" in the "i=" tag and the value of the "d=" tag". */
static bool identity_is_domain(const struct sig *s)
{
	return s->identity.n > s->domain.n && s->identity.p[s->identity.n - s->domain.n - 1] == '@' && str_ends(s->identity, s->domain);
}

/* RFC 6376 6.1.2: what the record says about its use. */
static enum rc may_use(const struct dkim_key *k, const struct sig *s, const struct dkim_options *o, struct why *why)
{
	bool rsa = s->algorithm != SIG_ED25519_SHA256;
	if ((k->kind == DKIM_RSA) != rsa)
		FAIL(why, RC_DENIED, "the key is of another kind than the signature's a=");
	if (!(sig_hash(s) == DKIM_SHA256 ? k->sha256 : k->sha1))
		FAIL(why, RC_DENIED, "the key's h= does not let the signature's hash");
	if (!(o->tls_reports ? k->tls_reports : k->email))
		FAIL(why, RC_DENIED, "the key's s= does not let e-mail");
	if (k->strict && s->kind == SIG_DKIM && !identity_is_domain(s))
		FAIL(why, RC_DENIED, "the key has t=s, and i= is below d=");
	/* RFC 8301 3.2: "Verifiers MUST NOT consider signatures using RSA keys of less than 1024 bits as valid signatures." */
	if (rsa && k->bits < (o->allow_weak ? (unsigned)WEAK_BITS : (unsigned)MIN_BITS))
		FAIL(why, RC_DENIED, "the key has only %u bits", k->bits);
	return RC_OK;
}

enum rc judge_key(struct judge *j, const struct sig *s, const struct dkim_key **out, bool *out_secure, struct why *why)
{
	const struct key_answer *k = answer_of(j, s);
	if (!k)
		FAIL(why, RC_DENIED, "the message asks for more than %d keys", VERIFY_MAX_KEYS);
	if (k->rc != RC_OK)
		FAIL(why, k->rc, "%s", k->why.text);
	*out_secure = k->secure;
	/* RFC 6376 3.6.2.2 leaves several records undefined: the first that is a key is taken, else the first complaint stands. */
	struct why first = { .rc = RC_OK };
	for (size_t i = 0; i < k->records; i++) {
		struct why here;
		enum rc rc = dkim_key_get(k->record[i], out, &here);
		if (rc == RC_OK)
			return may_use(*out, s, &j->v->o, why);
		if (rc == RC_NOMEM)
			FAIL(why, rc, "out of memory");
		if (first.rc == RC_OK)
			first = here;
	}
	FAIL(why, first.rc, "%s", first.text);
}

/* ---- verdicts ---- */

enum rc judge_body(const struct dkim_verifier *v, const struct sig *s, struct why *why)
{
	const struct body_hash *b = v->stream[(size_t)s->body * 2 + (size_t)sig_hash(s)];
	const struct body_cut *cut = b ? body_hash_at(b, s->has_length ? s->length : BODY_WHOLE) : NULL;
	if (!cut || b->failed)
		FAIL(why, RC_NOMEM, "out of memory");
	if (!cut->done)
		FAIL(why, RC_DENIED, "l= says more than the body has");
	if (memcmp(cut->digest, s->bh.p, dkim_hash_len(b->kind)) != 0)
		FAIL(why, RC_DAMAGED, "the body was altered (bh= does not match)");
	if (s->has_length && b->out.total > s->length)
		FAIL(why, RC_CONFLICT, "l= leaves the last %llu octets of the body unsigned", (unsigned long long)(b->out.total - s->length));
	return RC_OK;
}

enum rc judge_digest(struct head *h, const struct sig *s, uint8_t digest[DKIM_HASH_MAX])
{
	struct hash_out o;
	struct str rest = s->h, name;
	enum rc rc = hash_out_init(&o, sig_hash(s));
	head_pick_begin(h);
	while (rc == RC_OK && sig_next_name(&rest, &name)) {
		const struct head_field *f = head_pick(h, name);
		/* RFC 6376 5.4: in h= DKIM-Signature stands for "other preexisting signatures": when this one was made it was not in the header yet. */
		if (f == s->field)
			f = head_pick(h, name);
		if (f) /* RFC 6376 3.5: a field that does not exist is "treated as the null string" */
			canon_field(&o.out, s->header, f->raw, 0, 0, true);
	}
	if (rc == RC_OK)
		canon_field(&o.out, s->header, s->field->raw, s->cut_from, s->cut_to, false);
	enum rc done = hash_out_done(&o, digest);
	return rc == RC_OK ? done : rc;
}

static enum auth auth_of(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return AUTH_PASS;
	case RC_DAMAGED:
		return AUTH_FAIL;
	case RC_CONFLICT:
		return AUTH_POLICY;
	case RC_LATE:
	case RC_NOMEM:
		return AUTH_TEMPERROR;
	default:
		return AUTH_PERMERROR;
	}
}

static struct str one_line(struct arena *a, struct str s)
{
	char *p = arena_new(a, s.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < s.n; i++)
		if (s.p[i] > 0x20 && s.p[i] < 0x7f)
			p[n++] = s.p[i];
	return p ? str_of(p, n) : STR("");
}

static const char *canon_name(enum dkim_canon c) { return c == DKIM_SIMPLE ? "simple" : "relaxed"; }

static void step_begin(struct judge *j, const struct sig_read *r)
{
	const struct sig *s = &r->sig;
	if (r->rc == RC_OK && j->trace) /* nobody listens as a rule */
		origin_step(j->trace, "signature", "d=%.*s s=%.*s a=%.*s, header %s, body %s, signs %.*s", PSTR(str_head(s->domain, 120)), PSTR(str_head(s->selector, 63)), PSTR(s->a_text),
		            canon_name(s->header), canon_name(s->body), PSTR(one_line(&j->scratch, str_head(s->h, 400))));
}

static void step_body(struct judge *j, enum rc rc, const struct why *why)
{
	origin_step(j->trace, "body", "%s", rc == RC_OK ? "the body hash fits" : why->text);
}

static void step_key(struct judge *j, const struct dkim_key *key, enum rc rc, const struct why *why)
{
	if (key)
		origin_step(j->trace, "key", "%s, %u bits%s%s%s", key->kind == DKIM_RSA ? "rsa" : "ed25519", key->bits, key->testing ? ", for testing (t=y)" : "", rc == RC_OK ? "" : ": ",
		            rc == RC_OK ? "" : why->text);
	else
		origin_step(j->trace, "key", "none: %s", why->text);
}

static enum rc judge_signature(struct judge *j, const struct sig *s, struct dkim_signature *out, struct why *why)
{
	const struct dkim_key *key = NULL;
	struct why body = { .rc = RC_OK };
	uint8_t digest[DKIM_HASH_MAX];
	enum rc body_rc = judge_body(j->v, s, &body);
	out->body_ok = body_rc == RC_OK || body_rc == RC_CONFLICT;
	step_body(j, body_rc, &body);
	enum rc rc = judge_key(j, s, &key, &out->secure, why);
	step_key(j, key, rc, why);
	if (key) { /* also one that may not be used */
		out->key_bits = key->bits;
		out->testing = key->testing;
	}
	TRY(rc);
	rc = judge_digest(&j->v->head, s, digest);
	if (rc == RC_OK)
		rc = dkim_key_verify(key, sig_hash(s), digest, s->b);
	out->signature_ok = rc == RC_OK;
	origin_step(j->trace, "header", "%s", rc == RC_OK ? "the signature fits the signed header fields" : "the signature does not fit the signed header fields");
	if (rc != RC_OK && rc != RC_DAMAGED)
		FAIL(why, rc, "out of memory");
	if (body_rc != RC_OK && body_rc != RC_CONFLICT)
		FAIL(why, body_rc, "%s", body.text);
	if (rc != RC_OK)
		FAIL(why, rc, "the signature does not fit: a signed header field was altered, or the key is another");
	if (body_rc != RC_OK)
		FAIL(why, body_rc, "%s", body.text);
	/* RFC 6376 3.5: "Implementations MAY ignore signatures that have a timestamp in the future." */
	if (s->signed_at > j->v->o.now_s && s->signed_at - j->v->o.now_s > FUTURE_S)
		FAIL(why, RC_CONFLICT, "signed in the future (t=)");
	return RC_OK;
}

struct str verify_text(struct arena *a, const char *z)
{
	struct str s = arena_str(a, str_z(z));
	char *p = (char *)s.p;
	for (size_t i = 0; i < s.n; i++)
		if (p[i] < 0x20 || p[i] >= 0x7f)
			p[i] = ' ';
	return s;
}

static void report(struct judge *j, const struct sig_read *r, struct arena *a, struct dkim_signature *out)
{
	const struct sig *s = &r->sig;
	struct why why = r->why;
	step_begin(j, r);
	*out = (struct dkim_signature){
		.domain = arena_str(a, s->domain), .selector = arena_str(a, s->selector), .identity = arena_str(a, s->identity),
		.algorithm = arena_str(a, s->a_text), .b_head = arena_str(a, s->b_head), .over_from = s->over_from,
		.signed_at = s->signed_at, .expires_at = s->expires_at,
	};
	if (r->rc == RC_OK)
		out->result = auth_of(judge_signature(j, s, out, &why));
	else
		out->result = r->rc == RC_SYNTAX || r->rc == RC_LIMIT ? AUTH_NEUTRAL : auth_of(r->rc);
	out->why = out->result == AUTH_PASS ? STR("the signature and the body hash fit") : verify_text(a, why.text);
	origin_step(j->trace, "dkim", "d=%.*s s=%.*s a=%.*s: %s: %.*s", PSTR(s->domain), PSTR(s->selector), PSTR(s->a_text), auth_name(out->result),
	            PSTR(out->why));
}

static void judge_all(struct judge *j, struct arena *a, struct dkim_result *out)
{
	struct dkim_verifier *v = j->v;
	out->signature = arena_new(a, (v->n ? v->n : 1) * sizeof *out->signature);
	for (size_t i = 0; out->signature && i < v->n; i++)
		report(j, &v->signature[i], a, &out->signature[i]);
	out->n = out->signature ? v->n : 0;
	out->lost = !out->signature;
	out->ignored = v->ignored;
	arc_judge(j, a, &out->arc);
}

void dkim_verify_end(struct dkim_verifier *v, const struct dns *dns, const struct origin_trace *t, struct arena *a, struct dkim_result *out)
{
	*out = (struct dkim_result){ .skipped = v->o.no_dkim };
	for (size_t i = 0; i < VERIFY_STREAMS; i++)
		if (v->stream[i])
			body_hash_end(v->stream[i]);
	struct judge *j = mem_new(sizeof *j); /* 15 KiB: not for a fiber's stack */
	if (!j) {
		out->lost = v->n > 0;
		out->arc = (struct arc_result){ .result = v->arc.n ? AUTH_FAIL : AUTH_NONE, .late = v->arc.n > 0, .sealer = STR(""), .aar = STR(""), .first_aar = STR(""), .why = STR("out of memory") };
		return;
	}
	j->v = v;
	j->dns = dns;
	j->trace = t;
	arena_init(&j->scratch, SCRATCH_MAX);
	judge_all(j, a, out);
	arena_done(&j->scratch);
	mem_free(j);
}
