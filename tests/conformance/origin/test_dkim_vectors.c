/* Vectors of other people, read where they lie: RFC 6376 and 8463, flanker's canonicalisations, Mail::DKIM's messages. */
#include "../../unit/origin/dkim_kit.h"

#include "origin/dkim_parse.h"
#include "origin/dkim_write.h"

#define NEED_DATA()                                                                                     \
	do {                                                                                            \
		char path_[1024];                                                                       \
		snprintf(path_, sizeof path_, "%s/dkim/rfc/keys.tsv", kit_data());                      \
		if (access(path_, R_OK) != 0) {                                                         \
			print_message("skipped: no test data at %s\n", kit_data());                     \
			skip();                                                                         \
		}                                                                                       \
	} while (0)

static void need(const char *path, struct buf *out)
{
	if (!kit_read(path, out))
		fail_msg("%s cannot be read", path);
}

static void to_crlf(struct buf *b)
{
	struct buf out;
	buf_init(&out, b->max);
	for (size_t i = 0; i < b->len; i++) {
		if (b->p[i] == '\n' && (i == 0 || b->p[i - 1] != '\r'))
			buf_byte(&out, '\r');
		buf_byte(&out, b->p[i]);
	}
	buf_done(b);
	*b = out;
}

static bool next_line(struct str *in, struct str *out)
{
	if (in->n == 0)
		return false;
	(void)str_cut(*in, '\n', out, in);
	return true;
}

static void load_keys(struct kit *k, const char *path, char sep)
{
	struct buf b;
	struct str rest, line, name, text;
	need(path, &b);
	rest = buf_str(&b);
	while (next_line(&rest, &line)) {
		if (line.n == 0 || line.p[0] == '#' || !str_cut(line, sep, &name, &text))
			continue;
		text = str_trim(text);
		if (str_eq(text, STR("~~Query timed out~~")))
			assert_int_equal(dns_table_fail(k->table, name, 0, DNS_TEMPFAIL), RC_OK);
		else if (!str_eq(text, STR("NXDOMAIN")))
			assert_int_equal(dns_table_add(k->table, name, DNS_TXT, 60, str_eq(text, STR("\"\"")) ? STR("") : text, true, &k->why), RC_OK);
	}
	buf_done(&b);
}

static void the_examples_of_the_rfcs_pass(void **state)
{
	static const struct {
		const char *file;
		size_t signatures;
	} cases[] = { { "dkim/rfc/rfc6376-a2.eml", 1 }, { "dkim/rfc/rfc6376-pkcs1-key.eml", 1 }, { "dkim/rfc/rfc8463-a3.eml", 2 }, { "dkim/rfc/unsigned.eml", 0 } };
	NEED_DATA();
	load_keys(*state, "dkim/rfc/keys.tsv", '\t');
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf m;
		need(cases[i].file, &m);
		struct dkim_result r = kit_verify(*state, buf_str(&m));
		assert_int_equal(r.n, cases[i].signatures);
		for (size_t s = 0; s < r.n; s++)
			if (r.signature[s].result != AUTH_PASS)
				fail_msg("%s: %s: %.*s", cases[i].file, auth_name(r.signature[s].result), PSTR(r.signature[s].why));
		buf_done(&m);
	}
}

/* The signature field as it stands there, with b= emptied, goes through the signer: deterministic algorithms give the very octets. */
static void resign(struct kit *k, const char *file, size_t which, const char *key_file)
{
	struct buf m, key, text, template, sig;
	struct test_signer t;
	struct signer s;
	struct sig parsed;
	struct head h;
	uint8_t digest[DKIM_HASH_MAX];
	need(file, &m);
	need(key_file, &key);
	buf_init(&template, 8192);
	buf_init(&sig, 1024);
	buf_init(&text, 8192);
	size_t head = head_length(buf_str(&m));
	assert_int_equal(head_read(&h, str_head(buf_str(&m), head), &k->a), RC_OK);
	const struct head_field *f = &h.field[which];
	assert_true(str_ieq(f->name, STR("DKIM-Signature")));
	assert_int_equal(sig_parse(SIG_DKIM, &h, f, KIT_NOW, false, &k->a, &parsed, &k->why), RC_OK);
	buf_add(&template, str_head(f->raw, parsed.cut_from));
	buf_add(&template, str_skip(f->raw, parsed.cut_to));
	assert_true(test_signer_init(&t, parsed.domain, parsed.selector, buf_str(&key)));
	struct dkim_sign_options o = k->s;
	o.headers = parsed.h;
	o.body = parsed.body;
	assert_int_equal(signer_init(&s, str_head(buf_str(&m), head), str_skip(buf_str(&m), head), &o, false, &k->why), RC_OK);
	assert_memory_equal(s.body, parsed.bh.p, 32);
	assert_int_equal(signer_digest(&s, buf_str(&template), parsed.header, digest), RC_OK);
	assert_int_equal(signer_call(&t.ref, digest, &sig, &k->why), RC_OK);
	assert_int_equal(sig.len, parsed.b.n);
	assert_memory_equal(sig.p, parsed.b.p, sig.len);
	signer_done(&s);
	test_signer_done(&t);
	head_done(&h);
	buf_done(&m);
	buf_done(&key);
	buf_done(&template);
	buf_done(&sig);
	buf_done(&text);
}

static void signing_gives_the_octets_printed_in_the_rfcs(void **state)
{
	NEED_DATA();
	resign(*state, "dkim/rfc/rfc6376-a2.eml", 0, "dkim/rfc/rfc6376-c.pem");
	resign(*state, "dkim/rfc/rfc8463-a3.eml", 0, "dkim/rfc/rfc8463-a1-ed25519.b64");
	resign(*state, "dkim/rfc/rfc8463-a3.eml", 1, "dkim/rfc/rfc8463-a1-rsa.pem");
}

static void canonical(struct str m, enum dkim_canon c, struct buf *out)
{
	struct arena a;
	struct head h;
	size_t head = head_length(m);
	arena_init(&a, 1 << 20);
	assert_int_equal(head_read(&h, str_head(m, head), &a), RC_OK);
	for (size_t i = 0; i < h.n; i++)
		dkim_canon_header(h.field[i].raw, c, out);
	buf_add(out, STR("\r\n"));
	dkim_canon_body(str_skip(m, head), c, out);
	head_done(&h);
	arena_done(&a);
}

static void canonicalisation_is_as_flanker_has_it(void **state)
{
	size_t done = 0;
	NEED_DATA();
	for (int n = 1; n <= 25; n++) {
		char path[64];
		struct buf m, wanted[2], made;
		snprintf(path, sizeof path, "dkim/canon/email.%02d", n);
		if (!kit_read(path, &m))
			continue;
		to_crlf(&m);
		for (int c = 0; c < 2; c++) {
			snprintf(path, sizeof path, "dkim/canon/%s.expected.%02d", c ? "relaxed" : "simple", n);
			need(path, &wanted[c]);
			buf_init(&made, 1 << 20);
			canonical(buf_str(&m), c ? DKIM_RELAXED : DKIM_SIMPLE, &made);
			/* relaxed.expected.24 is wrong by RFC 6376 3.4.4: a body of white space alone is empty */
			bool same = str_eq(buf_str(&made), buf_str(&wanted[c]));
			if (same == (c == 1 && n == 24))
				fail_msg("%s: made\n%.*s", path, (int)made.len, made.p);
			done += same;
			buf_done(&made);
			buf_done(&wanted[c]);
		}
		buf_done(&m);
	}
	assert_int_equal(done, 41);
}

static bool is_result(enum auth a, struct str wanted)
{
	struct str one;
	bool more = true, ok = false;
	while (more) {
		more = str_cut(wanted, '|', &one, &wanted);
		ok |= str_eq(one, str_z(auth_name(a)));
		/* README: permerror there means permerror, policy or neutral */
		ok |= str_eq(one, STR("permerror")) && (a == AUTH_NEUTRAL || a == AUTH_POLICY);
	}
	return ok;
}

static enum auth best(const struct dkim_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->signature[i].result == AUTH_PASS)
			return AUTH_PASS;
	return r->n ? r->signature[0].result : AUTH_NONE;
}

static void messages_of_mail_dkim_get_the_result_of(struct kit *k, size_t column, bool weak)
{
	struct buf table, m;
	struct str rest, line, cell[8];
	size_t done = 0;
	load_keys(k, "dkim/mail-dkim/FAKE_DNS.dat", ' ');
	need("dkim/mail-dkim/expected.tsv", &table);
	rest = buf_str(&table);
	assert_true(next_line(&rest, &line));
	k->o.allow_weak = weak;
	while (next_line(&rest, &line)) {
		char path[256];
		for (size_t i = 0; i < 8; i++)
			(void)str_cut(line, '\t', &cell[i], &line);
		snprintf(path, sizeof path, "dkim/mail-dkim/%.*s", PSTR(cell[0]));
		need(path, &m);
		struct dkim_result r = kit_verify(k, buf_str(&m));
		if (!is_result(best(&r), cell[column]))
			fail_msg("%s: %s, wanted %.*s: %.*s", path, auth_name(best(&r)), PSTR(cell[column]), PSTR(r.n ? r.signature[0].why : STR("")));
		done++;
		buf_done(&m);
	}
	buf_done(&table);
	assert_int_equal(done, 40);
}

static void messages_of_mail_dkim_by_the_rules_of_today(void **state)
{
	NEED_DATA();
	messages_of_mail_dkim_get_the_result_of(*state, 6, false);
}

static void messages_of_mail_dkim_by_rfc_6376_alone(void **state)
{
	NEED_DATA();
	messages_of_mail_dkim_get_the_result_of(*state, 5, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_examples_of_the_rfcs_pass, kit_setup, kit_teardown),
		cmocka_unit_test_setup_teardown(signing_gives_the_octets_printed_in_the_rfcs, kit_setup, kit_teardown),
		cmocka_unit_test_setup_teardown(canonicalisation_is_as_flanker_has_it, kit_setup, kit_teardown),
		cmocka_unit_test_setup_teardown(messages_of_mail_dkim_by_the_rules_of_today, kit_setup, kit_teardown),
		cmocka_unit_test_setup_teardown(messages_of_mail_dkim_by_rfc_6376_alone, kit_setup, kit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
