#include "dkim_kit.h"

#include "base/mem.h"
#include <openssl/rsa.h>

const char kit_message[] = "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
                           "From: Ann <ann@example.org>\r\n"
                           "To: Bob <bob@example.net>\r\n"
                           "Subject: On   folding\r\n"
                           " and unfolding\r\n"
                           "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
                           "Message-ID: <1@example.org>\r\n"
                           "\r\n"
                           "Dear Bob,\r\n"
                           "\r\n"
                           "this is  all.  \r\n"
                           "\r\n"
                           "\r\n";
static const char seed[] = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="; /* RFC 8463 A.1 */
static EVP_PKEY *rsa;

void kit_key(struct kit *k, const char *name, const char *record)
{
	assert_int_equal(dns_table_add(k->table, str_z(name), DNS_TXT, 60, str_z(record), true, &k->why), RC_OK);
}

static void publish(struct kit *k, const struct test_signer *s)
{
	struct buf name, record;
	buf_init(&name, 512);
	buf_init(&record, 2048);
	buf_addf(&name, "%.*s._domainkey.%.*s", PSTR(s->ref.selector), PSTR(s->ref.domain));
	test_signer_record(s, &record);
	assert_int_equal(dns_table_add(k->table, buf_str(&name), DNS_TXT, 60, buf_str(&record), true, &k->why), RC_OK);
	buf_done(&name);
	buf_done(&record);
}

int kit_setup(void **state)
{
	struct kit *k = mem_new(sizeof *k);
	*state = k;
	assert_non_null(k);
	assert_int_equal(dns_table_new(&k->table), RC_OK);
	arena_init(&k->a, 4 << 20);
	buf_init(&k->out, 64 << 20);
	k->o.now_s = k->s.now_s = KIT_NOW;
	k->s.header = k->s.body = DKIM_RELAXED;
	k->s.identity = k->s.headers = STR("");
	assert_true(test_signer_init(&k->ed, STR("example.org"), STR("sel-ed"), str_z(seed)));
	publish(k, &k->ed);
	return 0;
}

int kit_teardown(void **state)
{
	struct kit *k = *state;
	dns_table_free(&k->table);
	arena_done(&k->a);
	buf_done(&k->out);
	test_signer_done(&k->ed);
	test_signer_done(&k->rsa);
	mem_free(k);
	dkim_thread_done();
	return 0;
}

void kit_rsa(struct kit *k)
{
	if (!rsa)
		rsa = EVP_RSA_gen(2048);
	assert_non_null(rsa);
	k->rsa = k->ed;
	assert_true(test_signer_init(&k->rsa, STR("example.org"), STR("sel-rsa"), str_z(seed)));
	EVP_PKEY_free(k->rsa.key);
	EVP_PKEY_up_ref(rsa);
	k->rsa.key = rsa;
	k->rsa.ref.kind = DKIM_RSA;
	publish(k, &k->rsa);
}

struct dkim_result kit_verify(struct kit *k, struct str message)
{
	struct dkim_verifier *v;
	struct dkim_result r;
	struct dns dns = dns_table_dns(k->table);
	size_t at = str_find_str(message, STR("\r\n\r\n")), lf = str_find_str(message, STR("\n\n"));
	size_t head = at < lf ? at + 4 : lf < message.n ? lf + 2 : message.n;
	arena_done(&k->a);
	assert_int_equal(dkim_verify_new(str_head(message, head), &k->o, &v), RC_OK);
	dkim_verify_body(v, str_skip(message, head));
	dkim_verify_end(v, &dns, NULL, &k->a, &r);
	dkim_verify_free(&v);
	assert_null(v);
	return r;
}

struct dkim_signature kit_only(struct kit *k)
{
	struct dkim_result r = kit_verify(k, buf_str(&k->out));
	assert_int_equal(r.n, 1);
	return r.signature[0];
}

void kit_sign(struct kit *k, const char *message)
{
	buf_clear(&k->out);
	assert_int_equal(dkim_sign(str_z(message), &k->ed.ref, 1, &k->s, &k->out, &k->why), RC_OK);
	buf_add(&k->out, str_z(message));
}

void kit_replace(struct kit *k, const char *from, const char *to)
{
	struct str all = buf_str(&k->out);
	size_t at = str_find_str(all, str_z(from));
	struct buf b;
	assert_true(at < all.n);
	buf_init(&b, k->out.max);
	buf_add(&b, str_head(all, at));
	buf_add(&b, str_z(to));
	buf_add(&b, str_skip(all, at + strlen(from)));
	buf_done(&k->out);
	k->out = b;
}

bool kit_why(const struct dkim_signature *s, const char *part)
{
	bool ok = str_find_str(s->why, str_z(part)) < s->why.n;
	if (!ok)
		print_message("%s: %.*s\n", auth_name(s->result), PSTR(s->why));
	return ok;
}

const char *kit_data(void)
{
	const char *env = getenv("LETTERLOCK_TESTDATA");
	return env ? env : TESTDATA_DEFAULT;
}

bool kit_read(const char *path, struct buf *out)
{
	char full[1024];
	snprintf(full, sizeof full, "%s/%s", kit_data(), path);
	FILE *f = fopen(full, "rb");
	buf_init(out, 8 << 20);
	if (!f)
		return false;
	while (buf_room(out, 65536)) {
		size_t n = fread(out->p + out->len, 1, 65536, f);
		if (n == 0)
			break;
		out->len += n;
	}
	(void)fclose(f);
	return !out->failed;
}
