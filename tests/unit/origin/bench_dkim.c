/* What a DKIM verification costs: bench_dkim [ROUNDS]. Build it without sanitizers. Prints CPU microseconds per message. */
#include "crypto/crypto.h"
#include "dkim_kit.h"

#include <time.h>

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* About 14 KB of text like mail, with or without much white space. */
static void make_message(struct buf *m, size_t octets)
{
	buf_add(m, str_head(str_z(kit_message), str_find_str(str_z(kit_message), STR("\r\n\r\n"))));
	for (int i = 0; i < 30; i++)
		buf_addf(m, "\r\nX-Header-%d: something that a list or a filter put there; id=%d", i, i * 7919);
	buf_add(m, STR("\r\n\r\n"));
	for (size_t i = 0; octets && m->len < octets + 2500; i++)
		buf_addf(m, "This is line %zu of a message, with words and  spaces as people write them.\r\n", i);
}

static double per_message(struct kit *k, struct str m, long rounds, enum auth wanted)
{
	struct dns dns = dns_table_dns(k->table);
	size_t head = str_find_str(m, STR("\r\n\r\n")) + 4;
	double start = 0;
	for (long i = -10; i < rounds; i++) {
		struct dkim_verifier *v;
		struct dkim_result r;
		if (i == 0)
			start = now_us();
		assert_int_equal(dkim_verify_new(str_head(m, head), &k->o, &v), RC_OK);
		dkim_verify_body(v, str_skip(m, head));
		dkim_verify_end(v, &dns, NULL, &k->a, &r);
		assert_int_equal(r.signature[0].result, wanted);
		dkim_verify_free(&v);
		arena_done(&k->a);
	}
	return (now_us() - start) / (double)rounds;
}

static double hashing(struct str m, long rounds)
{
	uint8_t digest[HASH_LEN];
	double start = now_us();
	for (long i = 0; i < rounds; i++)
		assert_int_equal(sha256(m, digest), RC_OK);
	return (now_us() - start) / (double)rounds;
}

static void signing(struct kit *k, struct str m, long rounds)
{
	struct buf out;
	struct dkim_key_ref keys[] = { k->rsa.ref, k->ed.ref };
	buf_init(&out, 1 << 20);
	double start = now_us();
	for (long i = 0; i < rounds / 10; i++) {
		buf_clear(&out);
		assert_int_equal(dkim_sign(m, keys, 2, &k->s, &out, &k->why), RC_OK);
	}
	printf("sign rsa-2048 + ed25519, %zu octets: %.1f us (private keys included)\n", m.n, (now_us() - start) / (double)(rounds / 10));
	buf_done(&out);
}

int main(int argc, char **argv)
{
	void *state;
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
	assert_int_equal(kit_setup(&state), 0);
	struct kit *k = state;
	kit_rsa(k);
	for (int c = 0; c < 2; c++)
		for (int kind = 0; kind < 2; kind++)
			for (size_t octets = 0; octets <= 14000; octets += 14000) {
				struct buf m, all;
				buf_init(&m, 1 << 20);
				buf_init(&all, 1 << 20);
				make_message(&m, octets);
				k->s.header = k->s.body = c ? DKIM_RELAXED : DKIM_SIMPLE;
				assert_int_equal(dkim_sign(buf_str(&m), kind ? &k->ed.ref : &k->rsa.ref, 1, &k->s, &all, &k->why), RC_OK);
				buf_add(&all, buf_str(&m));
				double us = per_message(k, buf_str(&all), rounds, AUTH_PASS), hash = hashing(buf_str(&m), rounds);
				printf("verify %-14s %-7s %5zu octets: %6.1f us, of it SHA-256 of so many octets %4.1f us\n", kind ? "ed25519-sha256" : "rsa-2048",
				       c ? "relaxed" : "simple", all.len, us, hash);
				if (c && !kind)
					signing(k, buf_str(&m), rounds);
				buf_done(&m);
				buf_done(&all);
			}
	double us = per_message(k, STR("DKIM-Signature: x\r\nFrom: a@example.org\r\n\r\n"), rounds, AUTH_NEUTRAL);
	printf("malformed signature: %.1f us\n", us);
	return kit_teardown(&state);
}
