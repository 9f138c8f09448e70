/* OpenSSL's 54 DANE chains (testdata/dane): once by the rules of their authors, exactly, and once through the public calls, by RFC 7672's. */
#include "unit/crypto/hex.h"
#include "base/codec.h"
#include "crypto/tls_internal.h"
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 8, AT_2026 = 1790000000 };
struct vector {
	struct tls_tlsa tlsa[RECORDS];
	struct buf data[RECORDS];
	size_t tlsa_n;
	struct str chain;
	bool no_ee_names;
	long error, depth;
};

static struct buf file(const char *name)
{
	char path[512];
	const char *dir = getenv("TESTDATA");
	struct buf b;
	(void)snprintf(path, sizeof path, "%s/dane/%s", dir ? dir : TESTDATA_DEFAULT, name);
	FILE *f = fopen(path, "rb");
	if (!f) {
		print_message("skipped: no vectors at %s\n", path);
		skip();
	}
	buf_init(&b, 4 << 20);
	for (char part[4096]; !feof(f);)
		buf_add(&b, str_of(part, fread(part, 1, sizeof part, f)));
	(void)fclose(f);
	return b;
}

static bool next_line(struct str *rest, struct str *out)
{
	if (!rest->n)
		return false;
	str_cut(*rest, '\n', out, rest);
	*out = str_trim(*out);
	return true;
}

static long number(struct str *line)
{
	struct str word;
	char z[24];
	str_cut(*line, ' ', &word, line);
	(void)snprintf(z, sizeof z, "%.*s", PSTR(word));
	return strtol(z, NULL, 10);
}

/* False at the end. */
static bool next_vector(struct str *rest, struct vector *v)
{
	struct str line;
	do
		if (!next_line(rest, &line))
			return false;
	while (!line.n || line.p[0] == '#');
	*v = (struct vector){ .tlsa_n = (size_t)number(&line) };
	long certs = number(&line);
	v->no_ee_names = number(&line);
	v->error = number(&line);
	v->depth = number(&line);
	assert_true(v->tlsa_n <= RECORDS);
	for (size_t i = 0; i < v->tlsa_n; i++) {
		assert_true(next_line(rest, &line));
		struct tls_tlsa *t = &v->tlsa[i];
		t->usage = (uint8_t)number(&line);
		t->selector = (uint8_t)number(&line);
		t->matching = (uint8_t)number(&line);
		buf_init(&v->data[i], 4096);
		assert_int_equal(hex_decode(line, &v->data[i]), RC_OK);
		t->data = buf_str(&v->data[i]);
	}
	v->chain.p = rest->p;
	while (certs && next_line(rest, &line))
		certs -= str_eq(line, STR("-----END CERTIFICATE-----"));
	v->chain.n = (size_t)(rest->p - v->chain.p);
	return true;
}

static void vector_done(struct vector *v)
{
	for (size_t i = 0; i < v->tlsa_n; i++)
		buf_done(&v->data[i]);
}

static struct tls_peer_config wanted(const struct vector *v)
{
	return (struct tls_peer_config){ .want = TLS_WANT_DANE, .sni = STR("example.com"), .tlsa = v->tlsa, .tlsa_n = v->tlsa_n };
}

static struct tls_client *client(void)
{
	struct tls_client *c = NULL;
	struct why why = { 0 };
	struct buf roots = file("danetest.pem");
	assert_int_equal(tls_client_new(buf_str(&roots), &c, &why), RC_OK);
	buf_done(&roots);
	return c;
}

static void every_chain_has_the_result_and_depth_that_its_authors_wrote_down(void **state)
{
	struct tls_client *c = client();
	struct buf in = file("danetest.in");
	struct str rest = buf_str(&in);
	struct vector v;
	unsigned n = 0;
	for (; next_vector(&rest, &v); n++) {
		struct tls_peer_config config = wanted(&v);
		struct tls_peer *p = NULL;
		struct why why = { 0 };
		assert_int_equal(tls_peer_new_by(c, &config, (struct tls_dane_rules){ .pkix_usages = true, .ee_names = !v.no_ee_names }, &p, &why), RC_OK);
		enum rc rc = tls_peer_judge(p, v.chain, AT_2026, &why);
		const struct tls_verdict *got = tls_peer_verdict(p);
		if (got->dane != v.error || got->depth != (v.error ? -1 : v.depth))
			print_error("chain %u: error %d depth %d, wanted %ld %ld: %s\n", n + 1, got->dane, got->depth, v.error, v.depth, why.text);
		assert_int_equal(got->dane, v.error);
		if (!v.error)
			assert_int_equal(got->depth, v.depth);
		assert_int_equal(rc, v.error ? RC_DENIED : RC_OK);
		tls_peer_free(&p);
		vector_done(&v);
	}
	print_message("%u chains\n", n);
	assert_int_equal(n, 54);
	buf_done(&in);
	tls_client_free(&c);
}

static void by_the_rules_of_mail_usages_0_and_1_are_unusable_and_ee_needs_no_name(void **state)
{
	struct tls_client *c = client();
	struct buf in = file("danetest.in");
	struct str rest = buf_str(&in);
	struct vector v;
	unsigned unusable = 0, nameless = 0, judged = 0;
	while (next_vector(&rest, &v)) {
		struct tls_peer_config config = wanted(&v);
		struct tls_peer *p = NULL;
		struct tls_peer_facts f;
		struct why why = { 0 };
		enum rc rc = tls_peer_new(c, &config, &p, &why);
		if (v.tlsa[0].usage < 2) {
			assert_int_equal(rc, RC_NOTFOUND);
			unusable++;
		} else {
			bool nameless_ee = v.tlsa[0].usage == 3 && v.error == X509_V_ERR_HOSTNAME_MISMATCH;
			bool good = !v.error || nameless_ee;
			nameless += nameless_ee;
			assert_int_equal(rc, RC_OK);
			assert_int_equal(tls_peer_judge(p, v.chain, AT_2026, &why), good ? RC_OK : RC_DENIED);
			tls_peer_facts(p, &f);
			assert_int_equal(f.dane_ok, good);
			assert_false(f.done);
			assert_string_equal(f.result_type, good ? "" : v.error == X509_V_ERR_HOSTNAME_MISMATCH ? "certificate-host-mismatch" : "tlsa-invalid");
			judged++;
		}
		tls_peer_free(&p);
		vector_done(&v);
	}
	assert_int_equal(unusable, 20);
	assert_int_equal(nameless, 1);
	assert_int_equal(judged, 34);
	buf_done(&in);
	tls_client_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_chain_has_the_result_and_depth_that_its_authors_wrote_down),
		cmocka_unit_test(by_the_rules_of_mail_usages_0_and_1_are_unusable_and_ee_needs_no_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
