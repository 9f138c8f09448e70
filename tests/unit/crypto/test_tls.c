#include "unit/crypto/hex.h"
#include <openssl/pem.h>
#include "unit/crypto/tls_pair.h"
#include <openssl/param_build.h>
#include <openssl/x509v3.h>

/* One whole conversation; gives the client's session for resumption, and whether it was resumed. */
struct talk { bool ok, resumed; char version[16]; char subject[64]; struct stream_facts facts; SSL_SESSION *session; };
static struct talk talk(struct tls_server *t, SSL_CTX *cc, const char *name, SSL_SESSION *resume)
{
	struct talk out = { 0 };
	const struct tls_provider *p = tls_server_provider(t);
	int fd[2];
	char got[16];
	socket_pair(fd);
	void *server = p->start(p->house, WIRE_ON(&fd[0]));
	SSL *client = client_on(cc, fd[1], name);
	if (resume)
		SSL_set_session(client, resume);
	out.ok = shake(p, server, client);
	if (out.ok) {
		out.resumed = SSL_session_reused(client) == 1;
		p->facts(server, &out.facts);
		assert_int_equal(p->read(server, got, sizeof got), TLS_WANT_READ);
		assert_int_equal(p->write(server, "hello", 5), 5);
		assert_int_equal(SSL_read(client, got, sizeof got), 5); /* takes the ticket in passing */
		assert_memory_equal(got, "hello", 5);
		assert_int_equal(SSL_write(client, "you too", 7), 7);
		assert_int_equal(p->read(server, got, sizeof got), 7);
		out.session = SSL_get1_session(client);
		X509 *x = SSL_get1_peer_certificate(client);
		X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out.subject, sizeof out.subject);
		X509_free(x);
		SSL_shutdown(client);
		assert_int_equal(p->read(server, got, sizeof got), 0); /* close_notify is an end */
	}
	p->stop(server);
	SSL_free(client);
	close(fd[0]);
	close(fd[1]);
	return out;
}

static void a_client_verifies_the_chain_and_the_key_stays_with_the_hook(void **state)
{
	struct house h;
	house_init(&h, "mail.example, 127.0.0.1, ::1");
	struct tls_server *t = house_server(&h, 42);
	SSL_CTX *cc = house_client(&h);
	struct talk r = talk(t, cc, "mail.example", NULL);
	assert_true(r.ok);
	assert_string_equal(r.facts.tls_version, "TLSv1.3");
	assert_int_equal(strncmp(r.facts.tls_cipher, "TLS_", 4), 0);
	assert_int_equal(h.signatures, 1);
	assert_true(h.asked == 42);
	SSL_SESSION_free(r.session);
	SSL_CTX_free(cc);
	tls_server_free(&t);
	house_done(&h);
}

static void a_client_that_wants_another_name_or_authority_refuses(void **state)
{
	struct house h, other;
	house_init(&h, "mail.example");
	house_init(&other, "mail.example");
	struct tls_server *t = house_server(&h, 1);
	SSL_CTX *cc = house_client(&h), *stranger = house_client(&other);
	assert_false(talk(t, cc, "imap.example", NULL).ok);
	assert_false(talk(t, stranger, "mail.example", NULL).ok);
	SSL_CTX_free(cc);
	SSL_CTX_free(stranger);
	tls_server_free(&t);
	house_done(&h);
	house_done(&other);
}

static void tls_12_works_and_older_is_refused(void **state)
{
	struct house h;
	house_init(&h, "mail.example");
	struct tls_server *t = house_server(&h, 1);
	SSL_CTX *cc = house_client(&h);
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	struct talk r = talk(t, cc, "mail.example", NULL);
	assert_true(r.ok);
	assert_string_equal(r.facts.tls_version, "TLSv1.2");
	assert_int_equal(strncmp(r.facts.tls_cipher, "ECDHE-ECDSA-", 12), 0);
	SSL_SESSION_free(r.session);
	SSL_CTX_set_min_proto_version(cc, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(cc, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(cc, "ALL:@SECLEVEL=0");
	assert_false(talk(t, cc, "mail.example", NULL).ok);
	SSL_CTX_free(cc);
	tls_server_free(&t);
	house_done(&h);
}

static void a_ticket_of_one_process_resumes_in_another_with_the_same_keys(void **state)
{
	struct house h;
	house_init(&h, "mail.example");
	char keys[3 * 48];
	assert_int_equal(random_bytes(keys, sizeof keys), RC_OK);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_server *a = house_server(&h, 1), *b = house_server(&h, 1), *c = house_server(&h, 1);
		tls_server_tickets(a, str_of(keys + 48, 48));      /* before the rotation */
		tls_server_tickets(b, str_of(keys, sizeof keys));  /* after it */
		tls_server_tickets(c, str_of(keys, 48));           /* long after it */
		SSL_CTX *cc = house_client(&h);
		SSL_CTX_set_max_proto_version(cc, version);
		h.signatures = 0;
		struct talk first = talk(a, cc, "mail.example", NULL);
		assert_true(first.ok && !first.resumed);
		struct talk again = talk(b, cc, "mail.example", first.session);
		assert_true(again.ok && again.resumed);
		assert_int_equal(h.signatures, 1);
		struct talk late = talk(c, cc, "mail.example", first.session);
		assert_true(late.ok && !late.resumed);
		SSL_SESSION_free(first.session);
		SSL_SESSION_free(again.session);
		SSL_SESSION_free(late.session);
		SSL_CTX_free(cc);
		tls_server_free(&a);
		tls_server_free(&b);
		tls_server_free(&c);
	}
	house_done(&h);
}

static void without_ticket_keys_there_are_no_tickets(void **state)
{
	struct house h;
	house_init(&h, "mail.example");
	struct tls_server *t = house_server(&h, 1);
	SSL_CTX *cc = house_client(&h);
	struct talk first = talk(t, cc, "mail.example", NULL), again = talk(t, cc, "mail.example", first.session);
	assert_true(first.ok && again.ok && !again.resumed);
	SSL_SESSION_free(first.session);
	SSL_SESSION_free(again.session);
	SSL_CTX_free(cc);
	tls_server_free(&t);
	house_done(&h);
}

static void the_name_asked_for_selects_the_chain(void **state)
{
	struct house h;
	struct why why = { 0 };
	house_init(&h, "one.example");
	struct buf two AUTO(buf_done);
	buf_init(&two, 8192);
	assert_int_equal(tls_leaf_make(buf_str(&h.ca_key), buf_str(&h.ca), buf_str(&h.key), "two.example,*.three.example", &two, &why), RC_OK);
	struct tls_server *t = house_server(&h, 1);
	assert_int_equal(tls_server_chain(t, 2, buf_str(&two), &why), RC_OK);
	SSL_CTX *cc = house_client(&h);
	static const struct { const char *ask, *get; uint64_t key; } c[] = {
		{ "one.example", "one.example", 1 }, { "two.example", "two.example", 2 }, { "x.three.example", "two.example", 2 }, { NULL, "one.example", 1 },
	};
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct talk r = talk(t, cc, c[i].ask, NULL);
		assert_true(r.ok);
		assert_string_equal(r.subject, c[i].get);
		assert_true(h.asked == c[i].key);
		SSL_SESSION_free(r.session);
	}
	SSL_CTX_free(cc);
	tls_server_free(&t);
	house_done(&h);
}

/* What a fiber sees when SIGHUP comes while it waits for the vault. */
struct reloading { struct house h; struct tls_server *t; };
static enum rc reload_then_sign(void *arg, uint64_t key_id, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	struct reloading *r = arg;
	struct why why = { 0 };
	tls_server_clear(r->t);
	assert_int_equal(tls_server_chain(r->t, 9, buf_str(&r->h.leaf), &why), RC_OK);
	return house_sign(&r->h, key_id, scheme, digest, out);
}

static void a_reload_in_the_middle_of_a_handshake_breaks_nothing(void **state)
{
	struct reloading r = { 0 };
	struct why why = { 0 };
	house_init(&r.h, "mail.example");
	assert_int_equal(tls_server_new(&(struct tls_key_hook){ &r, reload_then_sign }, &r.t, &why), RC_OK);
	assert_int_equal(tls_server_chain(r.t, 1, buf_str(&r.h.leaf), &why), RC_OK);
	SSL_CTX *cc = house_client(&r.h);
	for (uint64_t key = 1; key <= 9; key += 8) { /* the running one finishes with its key, the next has the new one */
		struct talk k = talk(r.t, cc, "mail.example", NULL);
		assert_true(k.ok);
		assert_true(r.h.asked == key);
		SSL_SESSION_free(k.session);
	}
	SSL_CTX_free(cc);
	tls_server_free(&r.t);
	house_done(&r.h);
}

static enum rc refuse(void *arg, uint64_t id, enum tls_scheme scheme, struct str digest, struct buf *out) { return RC_LATE; }
static enum rc babble(void *arg, uint64_t id, enum tls_scheme scheme, struct str digest, struct buf *out)
{
	buf_add(out, STR("this is not a signature at all, and it is longer than any could be, by a good deal of letters"));
	return RC_OK;
}

static void a_hook_that_fails_fails_the_handshake_and_nothing_else(void **state)
{
	struct house h;
	struct why why = { 0 };
	house_init(&h, "mail.example");
	SSL_CTX *cc = house_client(&h);
	const struct tls_key_hook hooks[] = { { &h, refuse }, { &h, babble } };
	for (size_t i = 0; i < 2; i++) {
		struct tls_server *t = NULL;
		assert_int_equal(tls_server_new(&hooks[i], &t, &why), RC_OK);
		assert_false(talk(t, cc, "mail.example", NULL).ok); /* no chain yet */
		assert_int_equal(tls_server_chain(t, 1, buf_str(&h.leaf), &why), RC_OK);
		assert_false(talk(t, cc, "mail.example", NULL).ok);
		tls_server_free(&t);
	}
	SSL_CTX_free(cc);
	house_done(&h);
}

static void bytes_that_are_not_tls_break_the_connection(void **state)
{
	struct house h;
	house_init(&h, "mail.example");
	struct tls_server *t = house_server(&h, 1);
	const struct tls_provider *p = tls_server_provider(t);
	int fd[2];
	socket_pair(fd);
	void *server = p->start(p->house, WIRE_ON(&fd[0]));
	assert_int_equal(p->handshake(server), TLS_WANT_READ);
	assert_int_equal(write(fd[1], "EHLO x\r\nQUIT\r\n", 14), 14);
	assert_int_equal(p->handshake(server), TLS_BROKEN);
	p->stop(server);
	close(fd[0]);
	close(fd[1]);
	tls_server_free(&t);
	house_done(&h);
}

static X509 *parse(const struct buf *pem)
{
	BIO *b = BIO_new_mem_buf(pem->p, (int)pem->len);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	BIO_free(b);
	assert_non_null(x);
	return x;
}

static void demo_certificates_say_what_they_are_for(void **state)
{
	struct house h;
	house_init(&h, "mail.example, 127.0.0.1, ::1");
	X509 *ca = parse(&h.ca), *leaf = parse(&h.leaf);
	assert_int_equal(X509_check_ca(ca), 1);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_get_extension_flags(leaf) & EXFLAG_INVALID, 0);
	assert_true(X509_get_key_usage(leaf) == KU_DIGITAL_SIGNATURE);
	assert_true(X509_get_key_usage(ca) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
	assert_true(X509_get_extended_key_usage(leaf) == XKU_SSL_SERVER);
	assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(leaf, "::1", 0), 1);
	assert_int_equal(X509_check_host(leaf, "mail.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(leaf, "example", 0, 0, NULL), 0);
	int days = 0, seconds = 0;
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)), 1);
	assert_int_equal(days, 90);
	assert_int_equal(seconds, 3600);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), NULL), 1);
	assert_true(days == 0 && seconds >= 3599 && seconds < 3700);
	X509_free(ca);
	X509_free(leaf);
	house_done(&h);
}

static void keys_and_chains_that_do_not_fit_are_named(void **state)
{
	struct house h;
	struct why why = { 0 };
	house_init(&h, "mail.example");
	struct tls_server *t = house_server(&h, 1);
	struct buf out AUTO(buf_done), many AUTO(buf_done);
	buf_init(&out, 8192);
	buf_init(&many, 1 << 20);
	assert_int_equal(tls_key_fits(buf_str(&h.key), buf_str(&h.leaf), &why), RC_OK);
	assert_int_equal(tls_key_fits(buf_str(&h.ca_key), buf_str(&h.leaf), &why), RC_DENIED);
	assert_string_equal(why.text, "the private key does not belong to the first certificate of the chain");
	assert_int_equal(tls_key_fits(buf_str(&h.leaf), buf_str(&h.leaf), &why), RC_SYNTAX);
	assert_string_equal(why.text, "no private key in PEM form");
	assert_int_equal(tls_server_chain(t, 2, buf_str(&h.key), &why), RC_SYNTAX);
	assert_string_equal(why.text, "no certificate in PEM form");
	buf_add(&many, buf_str(&h.leaf));
	buf_add(&many, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	assert_int_equal(tls_server_chain(t, 2, buf_str(&many), &why), RC_SYNTAX);
	assert_string_equal(why.text, "certificate 2 of the chain does not parse");
	buf_clear(&many);
	for (int i = 0; i < 11; i++)
		buf_add(&many, buf_str(&h.leaf));
	assert_int_equal(tls_server_chain(t, 2, buf_str(&many), &why), RC_LIMIT);
	assert_int_equal(tls_leaf_make(buf_str(&h.ca_key), buf_str(&h.ca), buf_str(&h.key), "a.example,,b.example", &out, &why), RC_SYNTAX);
	assert_int_equal(tls_leaf_make(buf_str(&h.ca_key), buf_str(&h.ca), buf_str(&h.key), "", &out, &why), RC_SYNTAX);
	tls_server_free(&t);
	house_done(&h);
}

static void a_key_under_a_passphrase_or_of_another_kind_is_refused_without_asking(void **state)
{
	struct why why = { 0 };
	struct tls_key *k = NULL;
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *p521 = EVP_EC_gen("P-521");
	static const struct { bool locked; const char *want; } c[] = { { true, "the private key is under a passphrase" },
		                                                       { false, "the private key is not ECDSA P-256 or P-384, or RSA of 2048 to 4096 bits" } };
	for (size_t i = 0; i < 2; i++) {
		BIO *b = BIO_new(BIO_s_mem());
		char *p = NULL;
		assert_int_equal(PEM_write_bio_PrivateKey(b, c[i].locked ? ec : p521, c[i].locked ? EVP_aes_256_cbc() : NULL,
		                                          c[i].locked ? (const unsigned char *)"pw" : NULL, c[i].locked ? 2 : 0, NULL, NULL), 1);
		long n = BIO_get_mem_data(b, &p);
		assert_int_equal(tls_key_load(str_of(p, (size_t)n), &k, &why), RC_DENIED);
		assert_string_equal(why.text, c[i].want);
		BIO_free(b);
	}
	EVP_PKEY_free(ec);
	EVP_PKEY_free(p521);
}

static void signatures_verify_under_the_public_half_and_ids_are_stable(void **state)
{
	struct house h;
	struct why why = { 0 };
	house_init(&h, "mail.example");
	uint8_t digest[HASH_LEN];
	struct buf sig AUTO(buf_done);
	buf_init(&sig, 100);
	assert_int_equal(sha256(STR("transcript"), digest), RC_OK);
	assert_int_equal(tls_key_sign(buf_str(&h.key), TLS_ECDSA, str_of(digest, 32), &sig, &why), RC_OK);
	X509 *leaf = parse(&h.leaf);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(X509_get0_pubkey(leaf), NULL);
	assert_int_equal(EVP_PKEY_verify_init(c), 1);
	assert_int_equal(EVP_PKEY_verify(c, (uint8_t *)sig.p, sig.len, digest, 32), 1);
	digest[0] ^= 1;
	assert_int_not_equal(EVP_PKEY_verify(c, (uint8_t *)sig.p, sig.len, digest, 32), 1);
	EVP_PKEY_CTX_free(c);
	X509_free(leaf);
	assert_int_equal(tls_key_sign_with(h.sign, TLS_ECDSA, str_of(digest, 19), &sig), RC_SYNTAX);
	struct tls_key *again = NULL, *ca = NULL;
	uint64_t a, b, other;
	assert_int_equal(tls_key_load(buf_str(&h.key), &again, &why), RC_OK);
	assert_int_equal(tls_key_load(buf_str(&h.ca_key), &ca, &why), RC_OK);
	assert_int_equal(tls_key_id(h.sign, &a), RC_OK);
	assert_int_equal(tls_key_id(again, &b), RC_OK);
	assert_int_equal(tls_key_id(ca, &other), RC_OK);
	assert_true(a == b && a != other);
	tls_key_free(&again);
	tls_key_free(&ca);
	house_done(&h);
}

/* ---- the kinds of keys that people have ---- */

static const struct { const char *ca, *leaf, *cipher_12; enum tls_scheme in_12, in_13; } kinds[] = {
	{ "P-256", "P-384", "ECDHE-ECDSA-", TLS_ECDSA, TLS_ECDSA },
	{ "P-384", "P-384", "ECDHE-ECDSA-", TLS_ECDSA, TLS_ECDSA },
	{ "RSA", "RSA", "ECDHE-RSA-", TLS_RSA_PSS_SHA256, TLS_RSA_PSS_SHA256 },
	{ "RSA", "P-256", "ECDHE-ECDSA-", TLS_ECDSA, TLS_ECDSA },
};

static void rsa_and_p384_chains_serve_tls_12_and_13(void **state)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct house h;
		house_init_of(&h, "mail.example", kinds[i].ca, kinds[i].leaf);
		struct tls_server *t = house_server(&h, 42);
		SSL_CTX *cc = house_client(&h);
		for (int version = TLS1_3_VERSION; version >= TLS1_2_VERSION; version--) {
			SSL_CTX_set_max_proto_version(cc, version);
			struct talk r = talk(t, cc, "mail.example", NULL);
			assert_true(r.ok);
			assert_string_equal(r.facts.tls_version, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
			assert_int_equal(h.scheme, version == TLS1_2_VERSION ? kinds[i].in_12 : kinds[i].in_13);
			if (version == TLS1_2_VERSION)
				assert_int_equal(strncmp(r.facts.tls_cipher, kinds[i].cipher_12, strlen(kinds[i].cipher_12)), 0);
			SSL_SESSION_free(r.session);
		}
		assert_int_equal(h.signatures, 2);
		assert_true(h.asked == 42);
		SSL_CTX_free(cc);
		tls_server_free(&t);
		house_done(&h);
	}
}

static void each_rsa_scheme_a_client_may_insist_on_is_the_one_asked_for(void **state)
{
	static const struct { int version; const char *sigalg; enum tls_scheme want; } c[] = {
		{ TLS1_3_VERSION, "rsa_pss_rsae_sha256", TLS_RSA_PSS_SHA256 }, { TLS1_3_VERSION, "rsa_pss_rsae_sha384", TLS_RSA_PSS_SHA384 },
		{ TLS1_3_VERSION, "rsa_pss_rsae_sha512", TLS_RSA_PSS_SHA512 }, { TLS1_2_VERSION, "rsa_pss_rsae_sha512", TLS_RSA_PSS_SHA512 },
		{ TLS1_2_VERSION, "RSA+SHA256", TLS_RSA_PKCS1_SHA256 },        { TLS1_2_VERSION, "RSA+SHA384", TLS_RSA_PKCS1_SHA384 },
		{ TLS1_2_VERSION, "RSA+SHA512", TLS_RSA_PKCS1_SHA512 },        { TLS1_3_VERSION, "RSA+SHA256", (enum tls_scheme)0 },
		{ TLS1_2_VERSION, "RSA+SHA224", (enum tls_scheme)0 },          { TLS1_2_VERSION, "ECDSA+SHA256", (enum tls_scheme)0 },
	};
	struct house h;
	house_init_of(&h, "mail.example", "P-256", "RSA"); /* the authority's key is another matter: no row speaks about it */
	struct tls_server *t = house_server(&h, 1);
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		SSL_CTX *cc = house_client(&h);
		SSL_CTX_set_min_proto_version(cc, c[i].version);
		SSL_CTX_set_max_proto_version(cc, c[i].version);
		char list[64];
		(void)snprintf(list, sizeof list, "%s", c[i].sigalg);
		assert_int_equal(SSL_CTX_set1_sigalgs_list(cc, list), 1);
		SSL_CTX_set_verify(cc, SSL_VERIFY_NONE, NULL);
		h.scheme = (enum tls_scheme)0;
		struct talk r = talk(t, cc, "mail.example", NULL);
		assert_int_equal(r.ok, c[i].want != 0);
		assert_int_equal(h.scheme, c[i].want);
		SSL_SESSION_free(r.session);
		SSL_CTX_free(cc);
	}
	tls_server_free(&t);
	house_done(&h);
}

static void no_suite_in_which_an_rsa_key_would_decrypt_is_offered(void **state)
{
	struct house h;
	house_init_of(&h, "mail.example", "RSA", "RSA");
	struct tls_server *t = house_server(&h, 1);
	SSL_CTX *cc = house_client(&h);
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(cc, "kRSA"), 1);
	assert_false(talk(t, cc, "mail.example", NULL).ok);
	assert_int_equal(h.signatures, 0);
	SSL_CTX_free(cc);
	tls_server_free(&t);
	house_done(&h);
}

static void a_reload_from_ec_to_rsa_serves_both_kinds_in_turn(void **state)
{
	struct house ec, rsa;
	struct why why = { 0 };
	house_init(&ec, "mail.example");
	house_init_of(&rsa, "mail.example", "RSA", "RSA");
	struct tls_server *t = house_server(&ec, 1);
	SSL_CTX *cc = house_client(&ec), *rc = house_client(&rsa);
	struct talk first = talk(t, cc, "mail.example", NULL);
	assert_true(first.ok);
	tls_key_free(&ec.sign);
	ec.sign = rsa.sign; /* the hook's house is `ec`: from now on it holds the other key */
	tls_server_clear(t);
	assert_int_equal(tls_server_chain(t, 2, buf_str(&rsa.leaf), &why), RC_OK);
	struct talk second = talk(t, rc, "mail.example", NULL);
	assert_true(second.ok && ec.asked == 2 && ec.scheme == TLS_RSA_PSS_SHA256);
	SSL_SESSION_free(first.session);
	SSL_SESSION_free(second.session);
	SSL_CTX_free(cc);
	SSL_CTX_free(rc);
	tls_server_free(&t);
	ec.sign = NULL;
	house_done(&ec);
	house_done(&rsa);
}

static void a_key_signs_nothing_but_digests_under_a_scheme_of_its_kind(void **state)
{
	struct house rsa, ec;
	house_init_of(&rsa, "mail.example", "P-256", "RSA");
	house_init_of(&ec, "mail.example", "P-256", "P-384");
	uint8_t block[512];
	memset(block, 0x5a, sizeof block);
	/* What a taken-over process would love to have: a whole block for the raw operation, or a digest with no or an unknown padding. */
	for (int scheme = -1; scheme <= TLS_SCHEMES + 1; scheme++)
		for (size_t n = 0; n <= sizeof block; n++) {
			static const size_t length[TLS_SCHEMES] = { 0, 0, 32, 48, 64, 32, 48, 64 };
			bool known = scheme > 0 && scheme < TLS_SCHEMES;
			bool rsa_may = known && scheme != TLS_ECDSA && n == length[scheme], ec_may = scheme == TLS_ECDSA && (n == 32 || n == 48 || n == 64);
			struct buf out AUTO(buf_done);
			buf_init(&out, TLS_SIGNATURE_MAX);
			assert_int_equal(tls_key_sign_with(rsa.sign, (enum tls_scheme)scheme, str_of(block, n), &out), rsa_may ? RC_OK : RC_SYNTAX);
			assert_int_equal(out.len, rsa_may ? 256 : 0);
			buf_clear(&out);
			assert_int_equal(tls_key_sign_with(ec.sign, (enum tls_scheme)scheme, str_of(block, n), &out), ec_may ? RC_OK : RC_SYNTAX);
			assert_int_equal(out.len > 0, ec_may);
		}
	house_done(&rsa);
	house_done(&ec);
}

static void a_key_as_openssl_ecparam_writes_it_is_read_and_a_damaged_one_is_not(void **state)
{
	struct why why = { 0 };
	struct buf pem AUTO(buf_done);
	struct tls_key *k = NULL;
	buf_init(&pem, 16384);
	buf_add(&pem, STR("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"));
	make_key("P-384", &pem);
	assert_int_equal(tls_key_load(buf_str(&pem), &k, &why), RC_OK);
	tls_key_free(&k);
	buf_clear(&pem);
	put_key(EVP_RSA_gen(1024), &pem);
	assert_int_equal(tls_key_load(buf_str(&pem), &k, &why), RC_DENIED);
	buf_clear(&pem);
	/* RSA with private exponents that are another key's */
	static const char *const part[] = { "n", "e", "d", "rsa-factor1", "rsa-factor2", "rsa-exponent1", "rsa-exponent2", "rsa-coefficient1" };
	EVP_PKEY *good = EVP_RSA_gen(2048), *bad = NULL;
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *bn[8] = { NULL };
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(EVP_PKEY_get_bn_param(good, part[i], &bn[i]), 1);
		if (i == 2 || i == 5)
			BN_add_word(bn[i], 2);
		assert_int_equal(OSSL_PARAM_BLD_push_BN(b, part[i], bn[i]), 1);
	}
	OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	assert_int_equal(EVP_PKEY_fromdata_init(c), 1);
	assert_int_equal(EVP_PKEY_fromdata(c, &bad, EVP_PKEY_KEYPAIR, p), 1);
	put_key(bad, &pem);
	assert_int_equal(tls_key_load(buf_str(&pem), &k, &why), RC_DENIED);
	assert_string_equal(why.text, "the private key is damaged: what it signs does not verify under its own public half");
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_free(p);
	OSSL_PARAM_BLD_free(b);
	for (size_t i = 0; i < 8; i++)
		BN_clear_free(bn[i]);
	EVP_PKEY_free(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_verifies_the_chain_and_the_key_stays_with_the_hook),
		cmocka_unit_test(a_client_that_wants_another_name_or_authority_refuses),
		cmocka_unit_test(tls_12_works_and_older_is_refused),
		cmocka_unit_test(a_ticket_of_one_process_resumes_in_another_with_the_same_keys),
		cmocka_unit_test(without_ticket_keys_there_are_no_tickets),
		cmocka_unit_test(the_name_asked_for_selects_the_chain),
		cmocka_unit_test(a_reload_in_the_middle_of_a_handshake_breaks_nothing),
		cmocka_unit_test(a_hook_that_fails_fails_the_handshake_and_nothing_else),
		cmocka_unit_test(bytes_that_are_not_tls_break_the_connection),
		cmocka_unit_test(demo_certificates_say_what_they_are_for),
		cmocka_unit_test(keys_and_chains_that_do_not_fit_are_named),
		cmocka_unit_test(a_key_under_a_passphrase_or_of_another_kind_is_refused_without_asking),
		cmocka_unit_test(signatures_verify_under_the_public_half_and_ids_are_stable),
		cmocka_unit_test(rsa_and_p384_chains_serve_tls_12_and_13),
		cmocka_unit_test(each_rsa_scheme_a_client_may_insist_on_is_the_one_asked_for),
		cmocka_unit_test(no_suite_in_which_an_rsa_key_would_decrypt_is_offered),
		cmocka_unit_test(a_reload_from_ec_to_rsa_serves_both_kinds_in_turn),
		cmocka_unit_test(a_key_signs_nothing_but_digests_under_a_scheme_of_its_kind),
		cmocka_unit_test(a_key_as_openssl_ecparam_writes_it_is_read_and_a_damaged_one_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
