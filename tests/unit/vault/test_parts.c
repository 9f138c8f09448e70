#include "vault/vault.h"

#include "os/file.h"
#include "unit/vault/place.h"
#include "vault/limiter.h"
#include "vault/record.h"
#include "vault/remember.h"
#include <fcntl.h>
#include <sys/stat.h>

/* The vault's parts alone: limiter, remembered passwords, records, recovery keys, the root key. */

static void the_limiter_counts_within_its_window_and_forgets_the_oldest_network(void **state)
{
	struct limiter l;
	uint8_t net[16] = { 1 };
	limiter_init(&l, &(struct limiter_options){ .pairs = 2, .window_ms = 100, .networks_max = 3 });
	assert_int_equal(limiter_try(&l, 1000, net, 1), 0);
	limiter_passed(&l, net, 1); /* was right: does not count */
	assert_int_equal(limiter_try(&l, 1000, net, 2), 0);
	assert_int_equal(limiter_try(&l, 1050, net, 3), 0);
	assert_int_equal(limiter_try(&l, 1060, net, 4), LIMITER_UNDECIDED); /* both are under way: either may prove right */
	limiter_failed(&l, net, 2);
	limiter_failed(&l, net, 3);
	assert_int_equal(limiter_try(&l, 1060, net, 4), 40);
	assert_int_equal(limiter_try(&l, 1060, net, 3), 0);
	assert_int_equal(limiter_try(&l, 1100, net, 4), 0); /* the first has left the window */
	limiter_failed(&l, net, 4);
	assert_int_equal(limiter_try(&l, 1100, net, 5), 50);
	for (uint8_t i = 2; i <= 4; i++) {
		net[0] = i;
		assert_int_equal(limiter_try(&l, 1100, net, 1), 0);
	}
	assert_int_equal(l.n, 3);
	net[0] = 1;
	assert_int_equal(limiter_try(&l, 1100, net, 5), 0);
	limiter_done(&l);
}

static void remembered_passwords_end_with_their_time_and_the_table_is_bounded(void **state)
{
	struct remember *r = NULL;
	struct secret priv = { { 5 } }, out;
	uint8_t pub[PUB_LEN] = { 6 }, got[PUB_LEN];
	assert_int_equal(remember_new(100, &r), RC_OK);
	remember_put(r, 1000, 1, STR("a"), &priv, pub);
	assert_int_equal(remember_get(r, 1099, 1, STR("a"), &out, got), RC_OK);
	assert_memory_equal(out.k, priv.k, KEY_LEN);
	assert_memory_equal(got, pub, PUB_LEN);
	assert_int_equal(remember_get(r, 1099, 1, STR("b"), &out, got), RC_NOTFOUND);
	assert_int_equal(remember_get(r, 1099, 2, STR("a"), &out, got), RC_NOTFOUND);
	assert_int_equal(remember_get(r, 1100, 1, STR("a"), &out, got), RC_NOTFOUND);
	for (int i = 0; i < 20; i++) { /* one account, many passwords: they share one set */
		char pw = (char)('a' + i);
		remember_put(r, 2000 + i, 3, str_of(&pw, 1), &priv, pub);
	}
	assert_int_equal(remember_get(r, 2020, 3, STR("a"), &out, got), RC_NOTFOUND);
	assert_int_equal(remember_get(r, 2020, 3, STR("t"), &out, got), RC_OK);
	remember_forget(r, 3);
	assert_int_equal(remember_get(r, 2020, 3, STR("t"), &out, got), RC_NOTFOUND);
	remember_free(&r);
}

static void a_recovery_key_reads_back_and_slips_are_noticed(void **state)
{
	uint8_t key[RECOVERY_BITS], back[RECOVERY_BITS];
	char text[RECOVERY_TEXT];
	for (int round = 0; round < 50; round++) {
		assert_int_equal(random_bytes(key, sizeof key), RC_OK);
		assert_int_equal(recovery_format(key, text), RC_OK);
		assert_int_equal(strlen(text), 34);
		assert_int_equal(recovery_parse(str_z(text), back), RC_OK);
		assert_memory_equal(key, back, sizeof key);
		unsigned noticed = 0;
		for (unsigned i = 0; i < 34; i++) {
			char was = text[i];
			if (was == '-')
				continue;
			text[i] = was == '7' ? '8' : '7';
			noticed += recovery_parse(str_z(text), back) != RC_OK;
			text[i] = was;
		}
		assert_true(noticed >= 26); /* 1 in 1,024 goes through, to be refused by the seal */
	}
	assert_int_equal(recovery_parse(STR(""), back), RC_SYNTAX);
	assert_int_equal(recovery_parse(STR("UUUU-UUUU-UUUU-UUUU-UUUU-UUUU-UUUU"), back), RC_SYNTAX);
}

static void wraps_of_types_to_come_are_carried_along(void **state)
{
	struct account_record r = { .id = 4, .mode = MODE_PRIVATE, .made_ms = 99 }, back;
	struct buf b AUTO(buf_done), again AUTO(buf_done);
	buf_init(&b, 4096);
	buf_init(&again, 4096);
	assert_int_equal(record_put(&r, WRAP_PASSWORD, STR("one")), RC_OK);
	assert_int_equal(record_put(&r, (enum wrap_type)200, STR("of the future")), RC_OK);
	assert_int_equal(record_put(&r, WRAP_PASSWORD, STR("two")), RC_OK);
	record_format(&r, &b);
	assert_int_equal(record_parse(4, buf_str(&b), &back), RC_OK);
	assert_int_equal(back.wraps, 2);
	assert_true(str_eq(record_wrap(&back, WRAP_PASSWORD)->bytes, STR("two")));
	record_format(&back, &again);
	assert_true(str_eq(buf_str(&b), buf_str(&again)));
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(record_parse(4, str_of(b.p, n), &back), RC_DAMAGED);
	buf_byte(&b, 0);
	assert_int_equal(record_parse(4, buf_str(&b), &back), RC_DAMAGED);
}

/* ---- the root key ---- */

static void put_key(struct place *p, const char *text, unsigned mode)
{
	struct why why = { 0 };
	int fd AUTO(fd_close) = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_put(fd, "key", str_z(text), mode, &why), RC_OK);
}

static void a_root_key_is_taken_only_from_a_file_of_its_owner(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct secret k;
	char where[128];
	(void)snprintf(where, sizeof where, "file:%s/key", p->dir);
	static const char hex64[] = " 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	static const struct { const char *text; unsigned mode; enum rc rc; const char *says; } c[] = {
		{ hex64, 0600, RC_OK, "" },
		{ hex64, 0400, RC_OK, "" },
		{ "exactly thirty-two octets of key", 0600, RC_OK, "" },
		{ hex64, 0640, RC_DENIED, "others than its owner may read the root key" },
		{ hex64, 0604, RC_DENIED, "others than its owner may read the root key" },
		{ "0001", 0600, RC_SYNTAX, "neither 64 hex digits nor 32 octets" },
		{ "", 0600, RC_SYNTAX, "neither 64 hex digits nor 32 octets" },
	};
	assert_int_equal(root_key_load(where, "/nowhere", false, false, &k, &why), RC_NOTFOUND);
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		put_key(p, c[i].text, c[i].mode);
		assert_int_equal(root_key_load(where, "/nowhere", false, false, &k, &why), c[i].rc);
		if (c[i].rc != RC_OK)
			assert_non_null(strstr(why.text, c[i].says));
		else
			assert_int_equal(k.k[1], c[i].text[0] == ' ' ? 1 : 'x');
	}
	assert_int_equal(root_key_load("tpm:0", "/nowhere", false, false, &k, &why), RC_SYNTAX);
	assert_int_equal(root_key_load("file:relative", "/nowhere", false, false, &k, &why), RC_SYNTAX);
	assert_int_equal(root_key_load("credential:a/b", "/nowhere", false, false, &k, &why), RC_SYNTAX);
}

static void a_root_key_beside_its_data_is_for_the_demo_only(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct secret a, b;
	struct stat st;
	char where[160], path[128], data[96];
	(void)snprintf(path, sizeof path, "%s/sub/key", p->dir);
	(void)snprintf(where, sizeof where, "file:%s", path);
	(void)snprintf(data, sizeof data, "%s/", p->dir);
	assert_int_equal(root_key_load(where, data, true, false, &a, &why), RC_DENIED);
	assert_non_null(strstr(why.text, "lies in the data directory it protects"));
	assert_int_equal(root_key_load(where, data, true, true, &a, &why), RC_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(root_key_load(where, data, false, true, &b, &why), RC_OK);
	assert_memory_equal(a.k, b.k, KEY_LEN);
	assert_int_equal(root_key_load(where, data, false, false, &b, &why), RC_DENIED);
	(void)snprintf(data, sizeof data, "%s/su", p->dir); /* not a directory above it, only alike */
	assert_int_equal(root_key_load(where, data, false, false, &b, &why), RC_OK);
}

static void a_credential_comes_from_the_service_manager(void **state)
{
	struct place *p = *state;
	struct why why = { 0 };
	struct secret k;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(root_key_load("credential:key", "/nowhere", true, false, &k, &why), RC_NOTFOUND);
	put_key(p, "exactly thirty-two octets of key", 0440);
	setenv("CREDENTIALS_DIRECTORY", p->dir, 1);
	assert_int_equal(root_key_load("credential:key", "/nowhere", false, false, &k, &why), RC_OK);
	assert_memory_equal(k.k, "exactly thirty-two octets of key", KEY_LEN);
	unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
		cmocka_unit_test(the_limiter_counts_within_its_window_and_forgets_the_oldest_network),
		cmocka_unit_test(remembered_passwords_end_with_their_time_and_the_table_is_bounded),
		cmocka_unit_test(a_recovery_key_reads_back_and_slips_are_noticed),
		cmocka_unit_test(wraps_of_types_to_come_are_carried_along),
		T(a_root_key_is_taken_only_from_a_file_of_its_owner),
		T(a_root_key_beside_its_data_is_for_the_demo_only),
		T(a_credential_comes_from_the_service_manager),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
