/* Signing (RFC 6376 5). The private key is elsewhere: it sees a digest and answers octets. */
#include "base/codec.h"
#include "base/mem.h"
#include "origin/dkim_parse.h"
#include "origin/dkim_write.h"

enum { SIGN_ARENA = 8 << 20, SIGN_NAMES = 64 << 10, SIGN_MAX_NAMES = 512 };

size_t head_length(struct str message)
{
	size_t at = 0;
	while (at < message.n) {
		struct str rest = str_skip(message, at);
		if (str_starts(rest, STR("\n")))
			return at + 1;
		if (str_starts(rest, STR("\r\n")))
			return at + 2;
		size_t lf = str_find(rest, '\n');
		at += lf < rest.n ? lf + 1 : lf;
	}
	return at;
}

/* RFC 6376 5.4.1, in the order in which people look at them. `over`: named once more than there are, so that none can be added. */
static const struct {
	const char *name;
	bool over, ams_only;
} sensible[] = {
	{ "from", true, false },          { "to", true, false },           { "cc", true, false },
	{ "subject", true, false },       { "date", true, false },         { "message-id", true, false },
	{ "in-reply-to", true, false },   { "references", true, false },   { "mime-version", true, false },
	{ "content-type", true, false },  { "content-transfer-encoding", true, false }, { "content-disposition", true, false },
	{ "content-id", false, false },   { "content-description", false, false }, { "content-language", false, false },
	{ "reply-to", false, false },     { "sender", false, false },      { "resent-date", false, false },
	{ "resent-from", false, false },  { "resent-to", false, false },   { "resent-cc", false, false },
	{ "resent-message-id", false, false }, { "list-id", false, false }, { "list-help", false, false },
	{ "list-unsubscribe", false, false }, { "list-unsubscribe-post", false, false }, { "list-subscribe", false, false },
	{ "list-post", false, false },    { "list-owner", false, false },  { "list-archive", false, false },
	{ "dkim-signature", false, true },
};

static void name_fields(struct signer *s, bool ams)
{
	size_t total = 0;
	for (size_t i = 0; i < sizeof sensible / sizeof sensible[0]; i++) {
		const struct head_name *g = head_name(&s->head, str_z(sensible[i].name));
		size_t n = (g ? g->count : 0) + sensible[i].over;
		if (sensible[i].ams_only && !ams)
			n = 0;
		for (size_t k = 0; k < n && total < SIGN_MAX_NAMES; k++, total++) {
			if (s->names.len)
				buf_byte(&s->names, ':');
			buf_add(&s->names, str_z(sensible[i].name));
		}
	}
}

/* As given; in the plain form in lower case. */
static void name_given(struct signer *s, struct str names, bool plain)
{
	struct str name;
	while (sig_next_name(&names, &name)) {
		if (s->names.len)
			buf_byte(&s->names, ':');
		for (size_t i = 0; i < name.n; i++)
			buf_byte(&s->names, plain ? ascii_lower(name.p[i]) : name.p[i]);
	}
}

static bool names_from(struct str list)
{
	struct str name;
	while (sig_next_name(&list, &name))
		if (str_ieq(name, STR("from")))
			return true;
	return false;
}

static enum rc hash_body(struct signer *s, struct str body, enum dkim_canon c)
{
	struct body_hash *b = mem_new(sizeof *b);
	if (!b)
		return RC_NOMEM;
	body_hash_init(b, c, DKIM_SHA256);
	(void)body_hash_want(b, BODY_WHOLE);
	body_hash_add(b, body);
	body_hash_end(b);
	const struct body_cut *cut = body_hash_at(b, BODY_WHOLE);
	bool ok = !b->failed && cut && cut->done;
	if (ok)
		memcpy(s->body, cut->digest, sizeof s->body);
	body_hash_done(b);
	mem_free(b);
	base64_add(&s->text, str_of(s->body, 32));
	return ok ? RC_OK : RC_NOMEM;
}

enum rc signer_init(struct signer *s, struct str header, struct str body, const struct dkim_sign_options *o, bool ams, struct why *why)
{
	*s = (struct signer){ .h = STR("") };
	arena_init(&s->a, SIGN_ARENA);
	buf_init(&s->names, SIGN_NAMES);
	buf_init(&s->text, 64);
	if (header.n && (header.p[0] == ' ' || header.p[0] == '\t'))
		FAIL(why, RC_SYNTAX, "the message begins with a continuation line"); /* it would continue what we put above it */
	if (head_read(&s->head, header, &s->a) != RC_OK)
		FAIL(why, RC_NOMEM, "out of memory");
	if (s->head.too_many)
		FAIL(why, RC_LIMIT, "the header has more than %d fields", HEAD_MAX_FIELDS);
	if (o->headers.n)
		name_given(s, o->headers, o->plain);
	else
		name_fields(s, ams);
	s->h = buf_str(&s->names);
	/* RFC 6376 5.4: "The From header field MUST be signed" */
	if (!ams && (!names_from(s->h) || !head_name(&s->head, STR("from"))))
		FAIL(why, RC_SYNTAX, "there is no From to sign");
	if (hash_body(s, body, o->body) != RC_OK || s->names.failed || s->text.failed)
		FAIL(why, RC_NOMEM, "out of memory");
	return RC_OK;
}

void signer_done(struct signer *s)
{
	head_done(&s->head);
	buf_done(&s->names);
	buf_done(&s->text);
	arena_done(&s->a);
}

struct str signer_algorithm(const struct dkim_key_ref *k) { return k->kind == DKIM_RSA ? STR("rsa-sha256") : STR("ed25519-sha256"); }

enum rc signer_key(const struct dkim_key_ref *k, struct why *why)
{
	struct arena a;
	struct str d, s;
	char both[512];
	arena_init(&a, 4096);
	int n = snprintf(both, sizeof both, "%.*s.%.*s", PSTR(str_head(k->selector, 128)), PSTR(str_head(k->domain, 254)));
	enum rc rc = n > 0 ? sig_domain(k->domain, &a, &d) : RC_SYNTAX;
	if (rc == RC_OK)
		rc = sig_domain(str_of(both, (size_t)n), &a, &s);
	arena_done(&a);
	if (rc != RC_OK)
		FAIL(why, RC_SYNTAX, "the key's domain or selector is no DNS name");
	return RC_OK;
}

enum rc signer_call(const struct dkim_key_ref *k, const uint8_t digest[DKIM_HASH_MAX], struct buf *out, struct why *why)
{
	TRY(k->sign(k->house, digest, out, why));
	if (out->failed || out->len == 0)
		FAIL(why, RC_NOMEM, "out of memory");
	return RC_OK;
}

enum rc signer_digest(struct signer *s, struct str template, enum dkim_canon c, uint8_t digest[DKIM_HASH_MAX])
{
	struct hash_out o;
	struct str rest = s->h, name;
	enum rc rc = hash_out_init(&o, DKIM_SHA256);
	head_pick_begin(&s->head);
	while (rc == RC_OK && sig_next_name(&rest, &name)) {
		const struct head_field *f = head_pick(&s->head, name);
		if (f)
			canon_field(&o.out, c, f->raw, 0, 0, true);
	}
	if (rc == RC_OK)
		canon_field(&o.out, c, template, 0, 0, false);
	enum rc done = hash_out_done(&o, digest);
	return rc == RC_OK ? done : rc;
}

enum rc signer_sign(struct signer *s, struct write_field *f, const struct dkim_key_ref *k, enum dkim_canon c, struct buf *out, struct why *why)
{
	struct buf template, signature;
	size_t b = 0;
	uint8_t digest[DKIM_HASH_MAX];
	buf_init(&template, WRITE_FIELD_MAX);
	buf_init(&signature, SIG_MAX_OCTETS);
	write_template(f, &template, &b);
	enum rc rc = template.failed ? RC_NOMEM : signer_digest(s, buf_str(&template), c, digest);
	if (rc == RC_OK)
		rc = signer_call(k, digest, &signature, why);
	else
		rc = why_fail(why, rc, 0, __FILE__, "out of memory");
	if (rc == RC_OK)
		write_signed(buf_str(&template), b, buf_str(&signature), f->plain, out);
	buf_done(&template);
	buf_done(&signature);
	return rc;
}

/* ---- DKIM-Signature ---- */

/* RFC 6376 2.11; only what the grammar refuses is encoded. */
static void add_qp(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > 0x20 && c < 0x7f && c != ';' && c != '=')
			buf_byte(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
	}
}

static enum rc sign_one(struct signer *s, const struct dkim_key_ref *k, const struct dkim_sign_options *o, struct buf *out, struct why *why)
{
	static const char *const canon[2][2] = { { "simple/simple", "simple/relaxed" }, { "relaxed/simple", "relaxed/relaxed" } };
	char now[24], end[24];
	struct buf identity;
	struct write_field f = { .name = "DKIM-Signature", .plain = o->plain };
	TRY(signer_key(k, why));
	buf_init(&identity, 2048);
	add_qp(&identity, o->identity);
	snprintf(now, sizeof now, "%lld", (long long)o->now_s);
	snprintf(end, sizeof end, "%lld", (long long)o->expires_s);
	write_tag(&f, "v", STR("1"));
	write_tag(&f, "a", signer_algorithm(k));
	write_tag(&f, "c", str_z(canon[o->header][o->body]));
	write_tag(&f, "d", k->domain);
	write_tag(&f, "s", k->selector);
	write_tag(&f, "t", str_z(now));
	if (o->expires_s > 0)
		write_tag(&f, "x", str_z(end));
	if (identity.len)
		write_tag(&f, "i", buf_str(&identity));
	write_tag(&f, "h", s->h);
	write_tag(&f, "bh", buf_str(&s->text));
	write_tag(&f, "b", STR(""));
	enum rc rc = identity.failed ? why_fail(why, RC_LIMIT, 0, __FILE__, "i= is too long") : signer_sign(s, &f, k, o->header, out, why);
	buf_done(&identity);
	return rc;
}

enum rc dkim_sign(struct str message, const struct dkim_key_ref *keys, size_t n, const struct dkim_sign_options *o, struct buf *out, struct why *why)
{
	struct signer s;
	size_t head = head_length(message);
	enum rc rc = signer_init(&s, str_head(message, head), str_skip(message, head), o, false, why);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = sign_one(&s, &keys[i], o, out, why);
	signer_done(&s);
	if (rc == RC_OK && out->failed)
		FAIL(why, RC_NOMEM, "out of memory");
	return rc;
}

void dkim_key_record(int kind, struct str public_key, bool testing, struct buf *out)
{
	buf_add(out, kind == DKIM_RSA ? STR("v=DKIM1; k=rsa; ") : STR("v=DKIM1; k=ed25519; "));
	if (testing)
		buf_add(out, STR("t=y; "));
	buf_add(out, STR("p="));
	base64_add(out, public_key);
}
