#include "smtp/sasl.h"

#include "base/codec.h"

enum rc sasl_plain_parse(struct str message, struct sasl_plain *out)
{
	struct sasl_plain p;
	struct str rest;
	if (!str_cut(message, 0, &p.authzid, &rest) || !str_cut(rest, 0, &p.user, &p.password))
		return RC_SYNTAX;
	/* RFC 4616 2: authcid and passwd are 1*SAFE, and SAFE holds no NUL */
	if (!p.user.n || !p.password.n || str_find(p.password, 0) < p.password.n)
		return RC_SYNTAX;
	*out = p;
	return RC_OK;
}

/* ---- SCRAM (RFC 5802 7) ---- */

/* saslname = 1*(value-safe-char / "=2C" / "=3D"): "=" and "," never stand for themselves. */
static enum rc saslname(struct str in, struct arena *a, struct str *out)
{
	char *p = arena_new(a, in.n + 1);
	size_t n = 0;
	if (!p)
		return RC_NOMEM;
	for (size_t i = 0; i < in.n; i++) {
		struct str at = str_head(str_skip(in, i), 3);
		bool escaped = str_eq(at, STR("=2C")) || str_eq(at, STR("=3D"));
		if (in.p[i] == 0 || (in.p[i] == '=' && !escaped))
			return RC_SYNTAX;
		p[n++] = !escaped ? in.p[i] : at.p[1] == '2' ? ',' : '=';
		i += escaped ? 2 : 0;
	}
	*out = str_of(p, n);
	return n && utf8_ok(*out) ? RC_OK : RC_SYNTAX;
}

/* printable = %x21-2B / %x2D-7E: ASCII without the comma */
static bool nonce_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == ',')
			return false;
	return s.n && s.n <= SASL_NONCE_MAX;
}

/* cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool cb_name_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '-')
			return false;
	return s.n && s.n <= 64;
}

/* "k=value" */
static bool attribute(struct str field, char key, struct str *out)
{
	if (field.n < 2 || field.p[0] != key || field.p[1] != '=')
		return false;
	*out = str_skip(field, 2);
	return true;
}

static enum rc gs2_header(struct str flag, struct str authzid, struct arena *a, struct sasl_scram_first *out)
{
	struct str name;
	out->binding = out->authzid = STR("");
	if (attribute(flag, 'p', &out->binding)) {
		out->flag = 'p';
		if (!cb_name_ok(out->binding))
			return RC_SYNTAX;
	} else if (str_eq(flag, STR("n")) || str_eq(flag, STR("y"))) {
		out->flag = flag.p[0];
	} else {
		return RC_SYNTAX;
	}
	if (authzid.n == 0)
		return RC_OK;
	return attribute(authzid, 'a', &name) ? saslname(name, a, &out->authzid) : RC_SYNTAX;
}

enum rc sasl_scram_first_parse(struct str message, struct arena *a, struct sasl_scram_first *out)
{
	struct sasl_scram_first f = { 0 };
	struct str flag, authzid, rest, user, nonce, name;
	if (!str_cut(message, ',', &flag, &rest) || !str_cut(rest, ',', &authzid, &f.bare))
		return RC_SYNTAX;
	TRY(gs2_header(flag, authzid, a, &f));
	f.gs2 = str_head(message, message.n - f.bare.n);
	/* RFC 5802 5.1, m=: "its presence in a client ... message MUST cause authentication failure": the user comes first, or it is none of ours. */
	if (!str_cut(f.bare, ',', &user, &rest) || !attribute(user, 'n', &name))
		return RC_SYNTAX;
	TRY(saslname(name, a, &f.user));
	str_cut(rest, ',', &nonce, &rest);
	if (!attribute(nonce, 'r', &f.nonce) || !nonce_ok(f.nonce))
		return RC_SYNTAX;
	*out = f;
	return RC_OK;
}

static enum rc decode(struct str in, size_t max, struct arena *a, struct str *out)
{
	struct buf b AUTO(buf_wipe);
	buf_init(&b, max);
	if (base64_decode(in, false, &b) != RC_OK || b.failed)
		return RC_SYNTAX;
	*out = arena_str(a, buf_str(&b));
	return a->full ? RC_NOMEM : RC_OK;
}

/* Where the last attribute, which must be the proof, begins. */
static size_t last_field(struct str s)
{
	size_t at = s.n;
	while (at && s.p[at - 1] != ',')
		at--;
	return at;
}

enum rc sasl_scram_final_parse(struct str message, struct arena *a, struct sasl_scram_final *out)
{
	struct sasl_scram_final f = { 0 };
	struct str binding, nonce, proof, rest;
	size_t at = last_field(message);
	if (at == 0 || !attribute(str_skip(message, at), 'p', &proof))
		return RC_SYNTAX;
	f.without_proof = str_head(message, at - 1);
	if (!str_cut(f.without_proof, ',', &binding, &rest))
		return RC_SYNTAX;
	str_cut(rest, ',', &nonce, &rest);
	struct str encoded;
	if (!attribute(binding, 'c', &encoded) || !attribute(nonce, 'r', &f.nonce) || f.nonce.n > 2 * SASL_NONCE_MAX)
		return RC_SYNTAX;
	TRY(decode(encoded, 1024, a, &f.binding));
	TRY(decode(proof, SASL_PROOF_LEN, a, &f.proof));
	if (f.proof.n != SASL_PROOF_LEN)
		return RC_SYNTAX;
	*out = f;
	return RC_OK;
}

void sasl_scram_server_first(struct str nonce, struct str salt, uint32_t iterations, struct buf *out)
{
	buf_add(out, STR("r="));
	buf_add(out, nonce);
	buf_add(out, STR(",s="));
	base64_add(out, salt);
	buf_add(out, STR(",i="));
	buf_num(out, iterations);
}

void sasl_scram_server_final(struct str signature, struct buf *out)
{
	buf_add(out, STR("v="));
	base64_add(out, signature);
}

void sasl_scram_auth_message(struct str first_bare, struct str server_first, struct str final_without_proof, struct buf *out)
{
	buf_add(out, first_bare);
	buf_byte(out, ',');
	buf_add(out, server_first);
	buf_byte(out, ',');
	buf_add(out, final_without_proof);
}
