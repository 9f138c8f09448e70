#include "smtp/scram.h"

#include "base/codec.h"
#include "base/mem.h"
#include "mail/icu.h"

void scram_client_init(struct scram_client *s)
{
	*s = (struct scram_client){ 0 };
	buf_init(&s->bare, SCRAM_TEXT_MAX);
	buf_init(&s->auth_message, 3 * SCRAM_TEXT_MAX);
}

void scram_client_done(struct scram_client *s)
{
	buf_wipe(&s->bare);
	buf_wipe(&s->auth_message);
	mem_wipe(s->server_signature, sizeof s->server_signature);
}

static enum rc prepare_unicode(const struct icu *u, const UStringPrepProfile *profile, struct str in, struct buf *out)
{
	UChar wide[SCRAM_TEXT_MAX], ready[SCRAM_TEXT_MAX];
	char utf8[3 * SCRAM_TEXT_MAX];
	int32_t n = 0, n_ready = 0, n_utf8 = 0;
	UErrorCode e = U_ZERO_ERROR;
	u->u_strFromUTF8(wide, SCRAM_TEXT_MAX, &n, in.p, (int32_t)in.n, &e);
	if (U_SUCCESS(e))
		n_ready = u->usprep_prepare(profile, wide, n, ready, SCRAM_TEXT_MAX, USPREP_DEFAULT, NULL, &e);
	if (U_SUCCESS(e))
		u->u_strToUTF8(utf8, sizeof utf8, &n_utf8, ready, n_ready, &e);
	if (U_SUCCESS(e) && n_utf8)
		buf_add(out, str_of(utf8, (size_t)n_utf8));
	mem_wipe(wide, sizeof wide);
	mem_wipe(ready, sizeof ready);
	mem_wipe(utf8, sizeof utf8);
	return U_FAILURE(e) || !n_utf8 ? RC_SYNTAX : out->failed ? RC_LIMIT : RC_OK;
}

enum rc scram_prepare(struct str in, struct buf *out)
{
	bool plain = true;
	if (!in.n || in.n > SCRAM_TEXT_MAX)
		return in.n ? RC_LIMIT : RC_SYNTAX;
	for (size_t i = 0; i < in.n; i++)
		plain = plain && in.p[i] >= ' ' && in.p[i] <= '~';
	if (plain) {
		buf_add(out, in);
		return out->failed ? RC_LIMIT : RC_OK;
	}
	if (!utf8_ok(in))
		return RC_SYNTAX;
	const struct icu *u = icu();
	if (!u)
		return RC_NOTFOUND;
	UErrorCode e = U_ZERO_ERROR;
	UStringPrepProfile *profile = u->usprep_openByType(USPREP_RFC4013_SASLPREP, &e);
	if (U_FAILURE(e))
		return RC_NOMEM;
	enum rc rc = prepare_unicode(u, profile, in, out);
	u->usprep_close(profile);
	return rc;
}

static enum rc all_written(const struct buf *a, const struct buf *b) { return a->failed || b->failed ? RC_LIMIT : RC_OK; }

enum rc scram_client_first(struct scram_client *s, struct str user, const char *nonce, struct buf *out)
{
	if (!user.n || memchr(user.p, 0, user.n))
		return RC_SYNTAX;
	(void)snprintf(s->nonce, sizeof s->nonce, "%s", nonce);
	buf_add(&s->bare, STR("n="));
	/* RFC 5802 5.1: "The characters ',' or '=' in usernames are sent as '=2C' and '=3D' respectively." */
	for (size_t i = 0; i < user.n; i++)
		if (user.p[i] == ',' || user.p[i] == '=')
			buf_add(&s->bare, user.p[i] == ',' ? STR("=2C") : STR("=3D"));
		else
			buf_byte(&s->bare, user.p[i]);
	buf_addf(&s->bare, ",r=%s", s->nonce);
	buf_add(out, STR("n,,"));
	buf_add(out, buf_str(&s->bare));
	return all_written(&s->bare, out);
}

/* "k=value" at the front of `rest`. */
static bool attribute(struct str *rest, char key, struct str *out)
{
	struct str head;
	str_cut(*rest, ',', &head, rest);
	if (head.n < 3 || head.p[0] != key || head.p[1] != '=')
		return false;
	*out = str_skip(head, 2);
	return true;
}

enum rc scram_client_read(const struct scram_client *s, struct str server_first, struct scram_challenge *out, struct buf *out_salt)
{
	struct str rest = server_first, nonce, salt, count;
	uint64_t n;
	/* A mandatory extension ("m=") in front makes the first attribute another one, and that is to be a failure (RFC 5802 5.1). */
	if (server_first.n > SCRAM_TEXT_MAX || !attribute(&rest, 'r', &nonce) || !attribute(&rest, 's', &salt) || !attribute(&rest, 'i', &count))
		return RC_SYNTAX;
	/* RFC 5802 5: "The client MUST verify that the initial part of the nonce used in subsequent messages is the same as the nonce it initially specified." */
	struct str ours = str_z(s->nonce);
	if (!str_starts(nonce, ours) || nonce.n == ours.n)
		return RC_SYNTAX;
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < '!' || nonce.p[i] > '~')
			return RC_SYNTAX;
	if (!str_u64(count, UINT32_MAX, &n) || base64_decode(salt, false, out_salt) != RC_OK || !out_salt->len)
		return RC_SYNTAX;
	/* RFC 7677 4: "the hash iteration-count ... SHOULD be at least 4096" */
	if (n < SCRAM_ITERATIONS_MIN || n > SCRAM_ITERATIONS_MAX)
		return RC_LIMIT;
	*out = (struct scram_challenge){ nonce, (uint32_t)n };
	return RC_OK;
}

enum rc scram_client_final(struct scram_client *s, struct str server_first, const struct scram_challenge *c, const struct secret *salted, struct buf *out)
{
	struct scram_keys k AUTO(scram_keys_done) = { 0 };
	uint8_t proof[HASH_LEN];
	size_t from = out->len;
	buf_add(out, STR("c=biws,r=")); /* base64("n,,") */
	buf_add(out, c->nonce);
	buf_add(&s->auth_message, buf_str(&s->bare));
	buf_byte(&s->auth_message, ',');
	buf_add(&s->auth_message, server_first);
	buf_byte(&s->auth_message, ',');
	buf_add(&s->auth_message, str_skip(buf_str(out), from));
	TRY(all_written(&s->auth_message, out));
	TRY(scram_keys_of(salted, &k));
	TRY(scram_proof(&k, buf_str(&s->auth_message), proof));
	TRY(scram_signature(&k.server, buf_str(&s->auth_message), s->server_signature));
	buf_add(out, STR(",p="));
	base64_add(out, str_of(proof, sizeof proof));
	return out->failed ? RC_LIMIT : RC_OK;
}

enum rc scram_client_verify(const struct scram_client *s, struct str server_final)
{
	struct str value;
	struct buf got AUTO(buf_done);
	buf_init(&got, 64);
	if (!attribute(&server_final, 'v', &value) || base64_decode(value, false, &got) != RC_OK || got.len != HASH_LEN)
		return RC_SYNTAX;
	return ct_eq(got.p, s->server_signature, HASH_LEN) ? RC_OK : RC_DENIED;
}
