/* Drives DKIM and ARC for scripts: reads commands from stdin, answers on stdout, thousands of messages in one process. A command is one letter and its
 * fields, each a 32-bit length (big-endian) and that many octets. An answer is one such run.
 *
 *   K name text          the TXT record of a key
 *   T name               that question times out
 *   P domain selector key   one more private key to sign with (PEM, or base64 of an Ed25519 seed); its record is published too
 *   X                    no private keys any more
 *   O options            "now=N weak plain header=simple body=simple headers=a:b chain=pass results=…" (results last), for what follows
 *   V message            -> lines "sig RESULT d= s= a= body_ok signature_ok why", then "arc RESULT sets oldest_pass sealer why"
 *   S message            -> the signature fields
 *   A message            -> the ARC set, made with the last private key
 *   C message            -> the header fields and the body, canonicalised */
#include "base/mem.h"
#include "dns/dns.h"
#include "test_signer.h"

#include <stdio.h>

enum { KEYS = 8, RUN_MAX = 64 << 20 };
struct tool {
	struct dns_table *table;
	struct test_signer signer[KEYS];
	struct str kept[KEYS][2];
	size_t signers;
	struct dkim_options verify;
	struct dkim_sign_options sign;
	enum auth chain;
	struct str results;
	struct arena a, options;
	struct buf in, out;
};

static bool read_exact(void *p, size_t n) { return fread(p, 1, n, stdin) == n; }

/* The fields of one command, in t->in. */
static bool read_fields(struct tool *t, size_t n, struct str *out)
{
	size_t at[4], len[4];
	buf_clear(&t->in);
	for (size_t i = 0; i < n; i++) {
		uint8_t be[4];
		if (!read_exact(be, sizeof be))
			return false;
		len[i] = (size_t)be[0] << 24 | (size_t)be[1] << 16 | (size_t)be[2] << 8 | be[3];
		at[i] = t->in.len;
		if (len[i] > RUN_MAX || !buf_room(&t->in, len[i] + 1) || !read_exact(t->in.p + t->in.len, len[i]))
			return false;
		t->in.len += len[i];
	}
	for (size_t i = 0; i < n; i++)
		out[i] = str_of(t->in.p + at[i], len[i]);
	return true;
}

static void answer(const struct buf *b)
{
	uint8_t be[4] = { (uint8_t)(b->len >> 24), (uint8_t)(b->len >> 16), (uint8_t)(b->len >> 8), (uint8_t)b->len };
	(void)!fwrite(be, 1, sizeof be, stdout);
	(void)!fwrite(b->p ? b->p : "", 1, b->len, stdout);
	fflush(stdout);
}

static void set_option(struct tool *t, struct str word)
{
	struct str name, value;
	(void)str_cut(word, '=', &name, &value);
	uint64_t n = 0;
	if (str_eq(name, STR("now")) && str_u64(value, INT64_MAX, &n))
		t->verify.now_s = t->sign.now_s = (int64_t)n;
	else if (str_eq(name, STR("weak")))
		t->verify.allow_weak = true;
	else if (str_eq(name, STR("plain")))
		t->sign.plain = true;
	else if (str_eq(name, STR("header")))
		t->sign.header = str_eq(value, STR("simple")) ? DKIM_SIMPLE : DKIM_RELAXED;
	else if (str_eq(name, STR("body")))
		t->sign.body = str_eq(value, STR("simple")) ? DKIM_SIMPLE : DKIM_RELAXED;
	else if (str_eq(name, STR("headers")))
		t->sign.headers = value;
	else if (str_eq(name, STR("chain")))
		t->chain = str_eq(value, STR("pass")) ? AUTH_PASS : str_eq(value, STR("fail")) ? AUTH_FAIL : AUTH_NONE;
}

static void set_options(struct tool *t, struct str text)
{
	arena_done(&t->options);
	struct str rest = arena_str(&t->options, text), word;
	t->verify = (struct dkim_options){ .now_s = 1700000000 };
	t->sign = (struct dkim_sign_options){ .header = DKIM_RELAXED, .body = DKIM_RELAXED, .identity = STR(""), .headers = STR(""), .now_s = 1700000000 };
	t->results = STR("");
	t->chain = AUTH_NONE;
	while (rest.n) {
		if (str_starts(rest, STR("results="))) {
			t->results = str_skip(rest, 8);
			break;
		}
		(void)str_cut(rest, ' ', &word, &rest);
		set_option(t, word);
	}
}

static size_t header_end(struct str m)
{
	size_t at = str_find_str(m, STR("\r\n\r\n")), lf = str_find_str(m, STR("\n\n"));
	if (str_starts(m, STR("\r\n")))
		return 2;
	if (str_starts(m, STR("\n")))
		return 1;
	return at < lf ? at + 4 : lf < m.n ? lf + 2 : m.n;
}

static void say(struct tool *t, const struct dkim_result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct dkim_signature *s = &r->signature[i];
		buf_addf(&t->out, "sig %s d=%.*s s=%.*s a=%.*s body=%d signature=%d %.*s\n", auth_name(s->result), PSTR(s->domain), PSTR(s->selector),
		         PSTR(s->algorithm), s->body_ok, s->signature_ok, PSTR(s->why));
	}
	buf_addf(&t->out, "arc %s %u %u %.*s %.*s\n", auth_name(r->arc.result), r->arc.sets, r->arc.oldest_pass, PSTR(r->arc.sealer), PSTR(r->arc.why));
}

static void verify(struct tool *t, struct str m)
{
	struct dkim_verifier *v;
	struct dkim_result r;
	size_t head = header_end(m);
	struct dns dns = dns_table_dns(t->table);
	if (dkim_verify_new(str_head(m, head), &t->verify, &v) != RC_OK) {
		buf_add(&t->out, STR("out of memory\n"));
		return;
	}
	for (struct str body = str_skip(m, head); body.n; body = str_skip(body, 1000))
		dkim_verify_body(v, str_head(body, 1000));
	dkim_verify_end(v, &dns, NULL, &t->a, &r);
	say(t, &r);
	dkim_verify_free(&v);
	arena_done(&t->a);
}

static void sign(struct tool *t, struct str m, bool arc)
{
	struct dkim_key_ref refs[KEYS];
	struct why why;
	enum rc rc = RC_NOTFOUND;
	for (size_t i = 0; i < t->signers; i++)
		refs[i] = t->signer[i].ref;
	if (arc && t->signers)
		rc = arc_seal(m, &refs[t->signers - 1], t->results, t->chain, &t->sign, &t->out, &why);
	else if (t->signers)
		rc = dkim_sign(m, refs, t->signers, &t->sign, &t->out, &why);
	if (rc != RC_OK) {
		buf_clear(&t->out);
		buf_addf(&t->out, "%s: %s\n", rc_name(rc), t->signers ? why.text : "no key");
	}
}

static void canon(struct tool *t, struct str m)
{
	size_t head = header_end(m), at = 0;
	while (at < head) {
		struct str rest = str_skip(str_head(m, head), at);
		size_t n = str_find(rest, '\n') + 1;
		while (n < rest.n && (rest.p[n] == ' ' || rest.p[n] == '\t'))
			n += str_find(str_skip(rest, n), '\n') + 1;
		if (str_trim(str_head(rest, n)).n)
			dkim_canon_header(str_head(rest, n), t->sign.header, &t->out);
		at += n;
	}
	buf_add(&t->out, STR("\r\n"));
	dkim_canon_body(str_skip(m, head), t->sign.body, &t->out);
}

static bool add_key(struct tool *t, struct str domain, struct str selector, struct str key)
{
	struct buf name, record;
	struct why why;
	if (t->signers == KEYS)
		return false;
	struct test_signer *s = &t->signer[t->signers];
	struct buf *keep = mem_new(2 * sizeof *keep);
	buf_init(&name, 1024);
	buf_init(&record, 4096);
	bool ok = keep && test_signer_init(s, domain, selector, key);
	if (ok) {
		buf_init(&keep[0], 512);
		buf_init(&keep[1], 512);
		buf_add(&keep[0], domain);
		buf_add(&keep[1], selector);
		s->ref.domain = buf_str(&keep[0]);
		s->ref.selector = buf_str(&keep[1]);
		t->kept[t->signers][0] = str_of(keep, sizeof *keep);
		t->signers++;
		buf_addf(&name, "%.*s._domainkey.%.*s", PSTR(selector), PSTR(domain));
		test_signer_record(s, &record);
		ok = dns_table_add(t->table, buf_str(&name), DNS_TXT, 60, buf_str(&record), true, &why) == RC_OK;
	}
	buf_done(&name);
	buf_done(&record);
	return ok;
}

static void drop_keys(struct tool *t)
{
	while (t->signers) {
		struct buf *keep = (struct buf *)(void *)t->kept[--t->signers][0].p;
		test_signer_done(&t->signer[t->signers]);
		buf_done(&keep[0]);
		buf_done(&keep[1]);
		mem_free(keep);
	}
}

static bool command(struct tool *t, int letter)
{
	struct str f[4];
	struct why why;
	buf_clear(&t->out);
	switch (letter) {
	case 'K':
		return read_fields(t, 2, f) && dns_table_add(t->table, f[0], DNS_TXT, 60, f[1], true, &why) == RC_OK;
	case 'T':
		return read_fields(t, 1, f) && dns_table_fail(t->table, f[0], DNS_TXT, DNS_TEMPFAIL) == RC_OK;
	case 'P':
		return read_fields(t, 3, f) && add_key(t, f[0], f[1], f[2]);
	case 'X':
		drop_keys(t);
		return true;
	case 'O':
		if (!read_fields(t, 1, f))
			return false;
		set_options(t, f[0]);
		return true;
	case 'V':
	case 'S':
	case 'A':
	case 'C':
		if (!read_fields(t, 1, f))
			return false;
		if (letter == 'V')
			verify(t, f[0]);
		else if (letter == 'C')
			canon(t, f[0]);
		else
			sign(t, f[0], letter == 'A');
		answer(&t->out);
		return !t->out.failed;
	default:
		return false;
	}
}

int main(void)
{
	static struct tool t;
	int letter, ok = 1;
	if (dns_table_new(&t.table) != RC_OK)
		return 1;
	arena_init(&t.a, 4 << 20);
	arena_init(&t.options, 1 << 20);
	buf_init(&t.in, RUN_MAX);
	buf_init(&t.out, RUN_MAX);
	set_options(&t, STR(""));
	while (ok && (letter = getchar()) != EOF)
		if (!(ok = command(&t, letter)))
			fprintf(stderr, "dkim_tool: command %c failed\n", letter);
	drop_keys(&t);
	dns_table_free(&t.table);
	buf_done(&t.in);
	buf_done(&t.out);
	arena_done(&t.a);
	arena_done(&t.options);
	dkim_thread_done();
	return !ok;
}
