/* DKIM: signing and verifying against each other, and every way in which a signature is of no worth. */
#include "dkim_kit.h"

#include "base/codec.h"
#include "base/mem.h"
#include "origin/dkim_write.h"

#define KIT struct kit *k = *state

/* Signed, then changed at one place, then judged. */
static void changed(struct kit *k, const char *from, const char *to, enum auth wanted, const char *why)
{
	kit_sign(k, kit_message);
	kit_replace(k, from, to);
	struct dkim_signature s = kit_only(k);
	if (s.result != wanted)
		fail_msg("\"%s\" -> \"%s\": %s, wanted %s: %.*s", from, to, auth_name(s.result), auth_name(wanted), PSTR(s.why));
	assert_true(kit_why(&s, why));
}

/* ---- round trips ---- */

static void what_is_signed_verifies_in_every_canonicalisation(void **state)
{
	KIT;
	kit_rsa(k);
	for (unsigned i = 0; i < 16; i++) {
		struct dkim_key_ref keys[2] = { k->rsa.ref, k->ed.ref };
		k->s.header = i & 1 ? DKIM_SIMPLE : DKIM_RELAXED;
		k->s.body = i & 2 ? DKIM_SIMPLE : DKIM_RELAXED;
		k->s.plain = i & 4;
		k->s.identity = i & 8 ? STR("an=n;@mail.example.org") : STR("");
		buf_clear(&k->out);
		assert_int_equal(dkim_sign(str_z(kit_message), keys, 2, &k->s, &k->out, &k->why), RC_OK);
		buf_add(&k->out, str_z(kit_message));
		struct dkim_result r = kit_verify(k, buf_str(&k->out));
		assert_int_equal(r.n, 2);
		for (size_t s = 0; s < 2; s++) {
			assert_int_equal(r.signature[s].result, AUTH_PASS);
			assert_true(r.signature[s].body_ok && r.signature[s].signature_ok && r.signature[s].over_from);
			assert_true(str_eq(r.signature[s].identity, i & 8 ? STR("an=n;@mail.example.org") : STR("@example.org")));
		}
		assert_int_equal(r.signature[0].key_bits, 2048);
		assert_int_equal(r.signature[0].signed_at, KIT_NOW);
		assert_true(str_eq(r.signature[1].algorithm, STR("ed25519-sha256")));
	}
}

static void a_verifier_is_blind_to_how_the_body_is_split(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	struct str all = buf_str(&k->out);
	size_t head = str_find_str(all, STR("\r\n\r\n")) + 4;
	struct dns dns = dns_table_dns(k->table);
	for (size_t step = 1; step < 40; step++) {
		struct dkim_verifier *v;
		struct dkim_result r;
		assert_int_equal(dkim_verify_new(str_head(all, head), &k->o, &v), RC_OK);
		for (struct str body = str_skip(all, head); body.n; body = str_skip(body, step))
			dkim_verify_body(v, str_head(body, step));
		dkim_verify_end(v, &dns, NULL, &k->a, &r);
		assert_int_equal(r.signature[0].result, AUTH_PASS);
		dkim_verify_free(&v);
	}
}

static void bare_line_feeds_are_read_as_line_ends(void **state)
{
	KIT;
	struct buf lf;
	kit_sign(k, kit_message);
	buf_init(&lf, 1 << 20);
	for (size_t i = 0; i < k->out.len; i++)
		if (k->out.p[i] != '\r')
			buf_byte(&lf, k->out.p[i]);
	struct dkim_result r = kit_verify(k, buf_str(&lf));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.signature[0].result, AUTH_PASS);
	buf_done(&lf);
}

static void lines_of_a_signature_are_at_most_76_octets(void **state)
{
	KIT;
	struct str rest, line;
	kit_rsa(k);
	assert_int_equal(dkim_sign(str_z(kit_message), &k->rsa.ref, 1, &k->s, &k->out, &k->why), RC_OK);
	rest = buf_str(&k->out);
	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		assert_true(str_trim(line).n > 0 && line.n <= 76 + 1);
		assert_true(rest.n == 0 || rest.p[0] == ' ');
	}
}

static void the_sensible_list_signs_from_once_more_than_there_is(void **state)
{
	KIT;
	struct str from = STR("h=from:from:to:to:cc:");
	assert_int_equal(dkim_sign(str_z(kit_message), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_OK);
	assert_true(str_find_str(buf_str(&k->out), from) < k->out.len);
	buf_add(&k->out, STR("From: Eve <eve@example.com>\r\n"));
	buf_add(&k->out, str_z(kit_message));
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_FAIL);
	assert_false(s.over_from);
	assert_true(s.body_ok && !s.signature_ok);
}

static void a_field_added_below_is_the_one_that_is_taken(void **state)
{
	KIT;
	k->s.headers = STR("from:subject");
	kit_sign(k, kit_message);
	kit_replace(k, "\r\n\r\nDear", "\r\nFrom: eve@example.com\r\n\r\nDear");
	assert_int_equal(kit_only(k).result, AUTH_FAIL);
	kit_sign(k, kit_message);
	kit_replace(k, "Received:", "From: eve@example.com\r\nReceived:"); /* above: the signed one is still the lowest */
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_PASS);
	assert_false(s.over_from);
}

static void a_line_that_is_no_field_hides_nothing_below_it(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	kit_replace(k, "Message-ID:", "this is no field\r\nFrom: eve@example.com\r\nMessage-ID:");
	assert_int_equal(kit_only(k).result, AUTH_FAIL);
}

static void without_a_from_nothing_is_signed(void **state)
{
	KIT;
	assert_int_equal(dkim_sign(STR("To: b@example.org\r\n\r\nx\r\n"), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_SYNTAX);
	assert_string_equal(k->why.text, "there is no From to sign");
	k->s.headers = STR("to:subject");
	assert_int_equal(dkim_sign(str_z(kit_message), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_SYNTAX);
	k->s.headers = STR("");
	k->ed.ref.domain = STR("example.org; h=x");
	assert_int_equal(dkim_sign(str_z(kit_message), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_SYNTAX);
	assert_string_equal(k->why.text, "the key's domain or selector is no DNS name");
}

/* ---- what was altered ---- */

static void what_was_altered_fails(void **state)
{
	KIT;
	changed(k, "Dear Bob", "Dear Rob", AUTH_FAIL, "the body was altered");
	changed(k, "Ann <ann", "Eve <ann", AUTH_FAIL, "signed header field was altered");
	changed(k, "t=17", "t=16", AUTH_FAIL, "signed header field was altered");
	changed(k, "Dear Bob", "Dear  Bob", AUTH_PASS, "fit");
	changed(k, "On   folding\r\n and", "On folding and", AUTH_PASS, "fit");
}

/* ---- the signature's own field ---- */

static void a_malformed_signature_is_neutral(void **state)
{
	KIT;
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{ "v=1;", "", "v= is missing" },
		{ "v=1;", "v=1; v=1;", "twice" },
		{ "v=1;", "v=1;;", "an empty tag" },
		{ "v=1;", "v=1; rubbish;", "has no \"=\"" },
		{ "v=1;", "v=1; 1x=1;", "is no tag name" },
		{ "d=example.org;", "", "d= is missing" },
		{ "d=example.org;", "d=org;", "d= is no domain name" },
		{ "d=example.org;", "d=example..org;", "d= is no domain name" },
		{ "d=example.org;", "d=-example.org;", "d= is no domain name" },
		{ "s=sel-ed;", "", "s= is missing" },
		{ "s=sel-ed;", "s=;", "s= is no selector" },
		{ "s=sel-ed;", "s=a b;", "s= is no selector" },
		{ "bh=", "zz=", "bh= is missing" },
		{ "bh=", "bh=!", "bh= is not base64" },
		{ "h=from", "zh=from", "h= is missing" },
		{ "t=17", "t=x17", "t= is not a number" },
		{ "t=17", "t=-17", "t= is not a number" },
		{ "v=1;", "v=1; x=12;", "x= is not after t=" },
		{ "v=1;", "v=1; x=soon;", "x= is not a number" },
		{ "v=1;", "v=1; l=-1;", "l= is not a number" },
		{ "v=1;", "v=1; l=99999999999999999999999999;", "l= is not a number" },
		{ "v=1;", "v=1; i=ann;", "i= has no domain" },
		{ "v=1;", "v=1; i==zz@example.org;", "i= is not as RFC 6376" },
		{ "; b=", "; zb=", "b= is missing" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		changed(k, cases[i].from, cases[i].to, AUTH_NEUTRAL, cases[i].why);
}

static void what_we_do_not_know_or_must_not_take_is_a_permanent_error(void **state)
{
	KIT;
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
		{ "v=1;", "v=2;", "v=2 is not 1" },
		{ "a=ed25519-sha256", "a=rsa-sha1", "rsa-sha1 is not safe" },
		{ "a=ed25519-sha256", "a=rsa-md5", "is not known" },
		{ "a=ed25519-sha256", "a=rsa-sha256", "the key is of another kind" },
		{ "c=relaxed/relaxed", "c=relaxed/future", "canonicalization" },
		{ "c=relaxed/relaxed", "c=nofws", "canonicalization" },
		{ "v=1;", "v=1; q=http/get;", "q= names no way" },
		{ "v=1;", "v=1; i=ann@example.com;", "i= is not d= or below it" },
		{ "v=1;", "v=1; i=ann@notexample.org;", "i= is not d= or below it" },
		{ "h=from:from:", "h=", "From is not signed" },
		{ "s=sel-ed;", "s=nobody;", "there is no key at nobody._domainkey.example.org" },
		{ "v=1;", "v=1; l=4000;", "l= says more than the body has" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		changed(k, cases[i].from, cases[i].to, AUTH_PERMERROR, cases[i].why);
}

static void an_expired_signature_is_a_permanent_error(void **state)
{
	KIT;
	k->s.expires_s = KIT_NOW + 100;
	kit_sign(k, kit_message);
	k->o.now_s = KIT_NOW + 100;
	assert_int_equal(kit_only(k).result, AUTH_PASS);
	k->o.now_s = KIT_NOW + 101;
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_PERMERROR);
	assert_int_equal(s.expires_at, KIT_NOW + 100);
	assert_true(kit_why(&s, "has expired"));
}

static void a_signature_from_the_future_is_not_taken(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	k->o.now_s = KIT_NOW - 300;
	assert_int_equal(kit_only(k).result, AUTH_PASS);
	k->o.now_s = KIT_NOW - 301;
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_POLICY);
	assert_true(s.signature_ok && s.body_ok);
}

/* We never sign with l=, so that is made by hand: l= and the hash of the first octets in, then b= made anew over it. */
static void sign_with_length(struct kit *k, size_t l, enum dkim_canon c)
{
	struct str m = str_z(kit_message);
	size_t head = head_length(m);
	struct signer s;
	char length[24];
	struct write_field f = { .name = "DKIM-Signature" };
	snprintf(length, sizeof length, "%zu", l);
	k->s.body = c;
	struct body_hash *body = mem_new(sizeof *body);
	body_hash_init(body, c, DKIM_SHA256);
	assert_true(body_hash_want(body, l));
	body_hash_add(body, str_skip(m, head));
	body_hash_end(body);
	struct buf bh;
	buf_init(&bh, 64);
	base64_add(&bh, str_of(body_hash_at(body, l)->digest, 32));
	assert_int_equal(signer_init(&s, str_head(m, head), str_skip(m, head), &k->s, false, &k->why), RC_OK);
	write_tag(&f, "v", STR("1"));
	write_tag(&f, "a", STR("ed25519-sha256"));
	write_tag(&f, "c", c == DKIM_SIMPLE ? STR("relaxed/simple") : STR("relaxed/relaxed"));
	write_tag(&f, "d", STR("example.org"));
	write_tag(&f, "s", STR("sel-ed"));
	write_tag(&f, "l", str_z(length));
	write_tag(&f, "h", STR("from"));
	s.h = STR("from");
	write_tag(&f, "bh", buf_str(&bh));
	write_tag(&f, "b", STR(""));
	buf_clear(&k->out);
	assert_int_equal(signer_sign(&s, &f, &k->ed.ref, DKIM_RELAXED, &k->out, &k->why), RC_OK);
	buf_add(&k->out, m);
	signer_done(&s);
	buf_done(&bh);
	body_hash_done(body);
	mem_free(body);
}

static void a_length_that_leaves_text_unsigned_is_policy(void **state)
{
	KIT;
	/* the whole is "Dear Bob,\r\n\r\nthis is  all.  \r\n": 30 octets, 27 when relaxed */
	static const struct {
		size_t l;
		enum dkim_canon c;
		enum auth result;
	} cases[] = { { 0, DKIM_SIMPLE, AUTH_POLICY },  { 11, DKIM_SIMPLE, AUTH_POLICY }, { 29, DKIM_SIMPLE, AUTH_POLICY },  { 30, DKIM_SIMPLE, AUTH_PASS },
		      { 0, DKIM_RELAXED, AUTH_POLICY }, { 5, DKIM_RELAXED, AUTH_POLICY }, { 26, DKIM_RELAXED, AUTH_POLICY }, { 27, DKIM_RELAXED, AUTH_PASS } };
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		sign_with_length(k, cases[i].l, cases[i].c);
		struct dkim_signature s = kit_only(k);
		if (s.result != cases[i].result)
			fail_msg("l=%zu: %s: %.*s", cases[i].l, auth_name(s.result), PSTR(s.why));
		assert_true(s.body_ok && s.signature_ok);
		buf_add(&k->out, STR("and a footer\r\n"));
		s = kit_only(k);
		assert_int_equal(s.result, AUTH_POLICY);
		assert_true(kit_why(&s, "of the body unsigned"));
	}
}

static void more_than_ten_signatures_are_counted_and_not_looked_at(void **state)
{
	KIT;
	struct buf m;
	kit_sign(k, kit_message);
	size_t one = k->out.len - strlen(kit_message);
	buf_init(&m, 1 << 20);
	for (int i = 0; i < 99; i++)
		buf_add(&m, str_head(buf_str(&k->out), one));
	buf_add(&m, buf_str(&k->out));
	struct dkim_result r = kit_verify(k, buf_str(&m));
	assert_int_equal(r.n, DKIM_MAX_SIGNATURES);
	assert_int_equal(r.ignored, 90);
	assert_int_equal(r.signature[9].result, AUTH_PASS);
	assert_int_equal(dns_table_asked(k->table), 1);
	buf_done(&m);
}

/* ---- keys ---- */

static void a_signature_in_its_own_list_of_names_means_the_older_ones(void **state)
{
	KIT;
	struct buf first AUTO(buf_done) = { .max = 65536 };
	k->s.headers = STR("from:dkim-signature");
	kit_sign(k, kit_message);
	assert_int_equal(kit_only(k).result, AUTH_PASS);
	buf_add(&first, buf_str(&k->out));
	buf_byte(&first, 0);
	kit_sign(k, first.p);
	struct dkim_result r = kit_verify(k, buf_str(&k->out));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.signature[0].result, AUTH_PASS);
	kit_replace(k, "dkim-signature;", "dkim-signature:x;");
	assert_int_equal(kit_verify(k, buf_str(&k->out)).signature[0].result, AUTH_FAIL);
}

/* ---- hostile ---- */

static void a_megabyte_of_tag_is_no_pass(void **state)
{
	KIT;
	static const char *const at[] = { "v=1;", "bh=", "h=from:", "d=example.org;", "; b=" };
	char *big = mem_new((1 << 20) + 1);
	memset(big, 'A', 1 << 20);
	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
		kit_sign(k, kit_message);
		size_t place = str_find_str(buf_str(&k->out), str_z(at[i])) + strlen(at[i]);
		struct buf m;
		buf_init(&m, 8 << 20);
		buf_add(&m, str_head(buf_str(&k->out), place));
		buf_add(&m, str_of(big, 1 << 20));
		buf_add(&m, str_skip(buf_str(&k->out), place));
		struct dkim_result r = kit_verify(k, buf_str(&m));
		assert_int_equal(r.n, 1);
		assert_int_not_equal(r.signature[0].result, AUTH_PASS);
		buf_done(&m);
	}
	mem_free(big);
}

static void a_header_of_too_many_fields_is_no_pass(void **state)
{
	KIT;
	struct buf m;
	kit_sign(k, kit_message);
	size_t end = str_find_str(buf_str(&k->out), STR("\r\n\r\n")) + 2;
	buf_init(&m, 8 << 20);
	buf_add(&m, str_head(buf_str(&k->out), end));
	for (int i = 0; i < HEAD_MAX_FIELDS; i++)
		buf_add(&m, STR("X: y\r\n"));
	buf_add(&m, str_skip(buf_str(&k->out), end));
	struct dkim_result r = kit_verify(k, buf_str(&m));
	assert_int_equal(r.signature[0].result, AUTH_PERMERROR);
	assert_true(kit_why(&r.signature[0], "more than 10000 fields"));
	buf_done(&m);
}

static void a_nul_in_a_signature_is_no_pass(void **state)
{
	KIT;
	kit_sign(k, kit_message);
	for (size_t i = 0; i + strlen(kit_message) < k->out.len; i++) {
		char was = k->out.p[i];
		k->out.p[i] = 0;
		struct dkim_result r = kit_verify(k, buf_str(&k->out));
		for (size_t s = 0; s < r.n; s++)
			assert_int_not_equal(r.signature[s].result, AUTH_PASS);
		k->out.p[i] = was;
	}
	assert_int_equal(kit_only(k).result, AUTH_PASS);
}

static void what_is_reported_of_a_strangers_field_can_stand_in_a_header(void **state)
{
	KIT;
	static const char *const odd[] = { "v=1; a=rsa\r\n\tx; b=ab\r\n c\"d\r\n\r; d=example.org; s=s;", "\r\n junk\r\n\x01\xff;", "v=1\r\n\t2; a=x;", "v=1; d=exa\r\n\tmple; a=x;", "v=1; s=\"\r\n x;",
		                             "v=1; d=example.org; s=a\r\n\tb; a=x;" };
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		buf_clear(&k->out);
		buf_addf(&k->out, "DKIM-Signature: %s\r\n%s", odd[i], kit_message);
		struct dkim_signature s = kit_only(k);
		assert_int_not_equal(s.result, AUTH_PASS);
		struct str shown[] = { s.why, s.algorithm, s.b_head, s.domain, s.selector, s.identity };
		for (size_t n = 0; n < 6; n++)
			for (size_t at = 0; at < shown[n].n; at++)
				assert_true(shown[n].p[at] >= ' ' && shown[n].p[at] < 0x7f);
	}
	kit_sign(k, kit_message);
	kit_replace(k, "; b=", "; b=\r\n\t");
	struct dkim_signature s = kit_only(k);
	assert_int_equal(s.result, AUTH_PASS);
	assert_int_equal(s.b_head.n, 8);
}

static void a_message_that_begins_with_a_continuation_is_not_signed(void **state)
{
	KIT;
	assert_int_equal(dkim_sign(STR(" x\r\nFrom: a@example.org\r\n\r\n"), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_SYNTAX);
	assert_int_equal(arc_seal(STR("\tx\r\nFrom: a@example.org\r\n\r\n"), &k->ed.ref, STR("mx; none"), AUTH_NONE, &k->s, &k->out, &k->why), RC_SYNTAX);
	assert_int_equal(k->out.len, 0);
}

static void one_failed_allocation_is_never_a_pass(void **state)
{
	KIT;
	struct dns dns = dns_table_dns(k->table);
	kit_sign(k, kit_message);
	kit_replace(k, "Dear Bob", "Dear Rob"); /* so that a pass would be wrong at any time */
	struct str all = buf_str(&k->out);
	size_t head = str_find_str(all, STR("\r\n\r\n")) + 4;
	for (long at = 0; at < 60; at++) {
		struct dkim_verifier *v;
		struct dkim_result r;
		dkim_thread_done();
		mem_fail_at = at;
		if (dkim_verify_new(str_head(all, head), &k->o, &v) == RC_OK) {
			dkim_verify_body(v, str_skip(all, head));
			dkim_verify_end(v, &dns, NULL, &k->a, &r);
			for (size_t s = 0; s < r.n; s++)
				assert_int_not_equal(r.signature[s].result, AUTH_PASS);
			dkim_verify_free(&v);
		}
		mem_fail_at = -1;
		arena_done(&k->a);
	}
}

/* Else a domain's own mail would be refused for good by its policy because of our memory. */
static void one_failed_allocation_makes_no_signature_bad_or_unseen(void **state)
{
	KIT;
	struct dns dns = dns_table_dns(k->table);
	kit_sign(k, kit_message);
	struct str all = buf_str(&k->out);
	size_t head = str_find_str(all, STR("\r\n\r\n")) + 4;
	for (long at = 0; at < 60; at++) {
		struct dkim_verifier *v;
		struct dkim_result r;
		dkim_thread_done();
		mem_fail_at = at;
		if (dkim_verify_new(str_head(all, head), &k->o, &v) == RC_OK) {
			dkim_verify_body(v, str_skip(all, head));
			dkim_verify_end(v, &dns, NULL, &k->a, &r);
			assert_true(r.n == 1 || r.lost);
			for (size_t s = 0; s < r.n; s++)
				assert_true(r.signature[s].result == AUTH_PASS || r.signature[s].result == AUTH_TEMPERROR);
			dkim_verify_free(&v);
		}
		mem_fail_at = -1;
		arena_done(&k->a);
	}
}

static void a_message_without_signatures_needs_no_body(void **state)
{
	KIT;
	struct dkim_verifier *v;
	assert_int_equal(dkim_verify_new(STR("From: a@example.org\r\n\r\n"), &k->o, &v), RC_OK);
	assert_true(dkim_verify_idle(v));
	dkim_verify_free(&v);
	kit_sign(k, kit_message);
	assert_int_equal(dkim_verify_new(buf_str(&k->out), &k->o, &v), RC_OK);
	assert_false(dkim_verify_idle(v));
	dkim_verify_free(&v);
	static const char *const broken[] = { "DKIM-Signature: v=1\r\nFrom: a@example.org\r\n\r\n", "ARC-Seal: i=1\r\nFrom: a@example.org\r\n\r\n" };
	for (size_t i = 0; i < 2; i++) { /* no body is needed for these either, but there is something to tell */
		assert_int_equal(dkim_verify_new(str_z(broken[i]), &k->o, &v), RC_OK);
		assert_false(dkim_verify_idle(v));
		dkim_verify_free(&v);
	}
	k->o.no_dkim = true;
	assert_int_equal(kit_verify(k, buf_str(&k->out)).n, 0);
}

static void an_empty_body_is_one_line_end_or_nothing(void **state)
{
	KIT;
	static const char *const m[] = { "From: a@example.org\r\n\r\n", "From: a@example.org\r\n", "From: a@example.org", "From: a@example.org\r\n\r\n\r\n\r\n" };
	for (size_t i = 0; i < 8; i++) {
		k->s.body = i & 1 ? DKIM_SIMPLE : DKIM_RELAXED;
		kit_sign(k, m[i / 2]);
		assert_int_equal(kit_only(k).result, AUTH_PASS);
	}
	struct buf b;
	buf_init(&b, 64);
	dkim_canon_body(STR(""), DKIM_SIMPLE, &b);
	assert_true(str_eq(buf_str(&b), STR("\r\n")));
	buf_clear(&b);
	dkim_canon_body(STR(" \t\r\n\r\n"), DKIM_RELAXED, &b);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_signed_verifies_in_every_canonicalisation),
		T(a_verifier_is_blind_to_how_the_body_is_split),
		T(bare_line_feeds_are_read_as_line_ends),
		T(lines_of_a_signature_are_at_most_76_octets),
		T(the_sensible_list_signs_from_once_more_than_there_is),
		T(a_field_added_below_is_the_one_that_is_taken),
		T(a_line_that_is_no_field_hides_nothing_below_it),
		T(without_a_from_nothing_is_signed),
		T(what_was_altered_fails),
		T(a_malformed_signature_is_neutral),
		T(what_we_do_not_know_or_must_not_take_is_a_permanent_error),
		T(an_expired_signature_is_a_permanent_error),
		T(a_signature_from_the_future_is_not_taken),
		T(a_length_that_leaves_text_unsigned_is_policy),
		T(more_than_ten_signatures_are_counted_and_not_looked_at),
		T(a_signature_in_its_own_list_of_names_means_the_older_ones),
		T(a_megabyte_of_tag_is_no_pass),
		T(a_header_of_too_many_fields_is_no_pass),
		T(a_nul_in_a_signature_is_no_pass),
		T(what_is_reported_of_a_strangers_field_can_stand_in_a_header),
		T(a_message_that_begins_with_a_continuation_is_not_signed),
		T(one_failed_allocation_is_never_a_pass),
		T(one_failed_allocation_makes_no_signature_bad_or_unseen),
		T(a_message_without_signatures_needs_no_body),
		T(an_empty_body_is_one_line_end_or_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
