#include "vault/vault.h"

#include "base/mem.h"
#include "crypto/tls.h"
#include "os/file.h"
#include "unit/vault/place.h"
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct vault *open_it(struct place *p)
{
	struct vault *v = NULL;
	struct why why = { 0 };
	assert_int_equal(vault_open(NULL, &p->o, &v, &why), RC_OK);
	return v;
}

struct who { uint64_t id; uint8_t pub[PUB_LEN]; char recovery[64]; };
static struct who make(struct vault *v, enum vault_mode mode, const char *password)
{
	struct who w = { 0 };
	struct arena a;
	struct str recovery = { "", 0 };
	struct why why = { 0 };
	arena_init(&a, 4096);
	assert_int_equal(vault_account_make(v, mode, str_z(password), &w.id, w.pub, &recovery, &a, &why), RC_OK);
	assert_int_equal(w.id >> 63, 0); /* what edge and access make up for unknown names has it */
	assert_true(recovery.n < sizeof w.recovery);
	memcpy(w.recovery, recovery.p, recovery.n);
	arena_done(&a);
	return w;
}

static enum rc login_from(struct vault *v, uint64_t id, const char *password, uint8_t network, struct secret *priv, struct why *why)
{
	uint8_t pub[PUB_LEN];
	const struct vault_login in = { .id = id, .password = str_z(password), .client_network = { network }, .protocol = STR("imap") };
	return vault_login(v, &in, priv, pub, why);
}

static enum rc login(struct vault *v, uint64_t id, const char *password)
{
	struct secret priv;
	struct why why = { 0 };
	return login_from(v, id, password, 1, &priv, &why);
}

static void slurp(struct place *p, struct buf *out)
{
	struct why why = { 0 };
	int fd AUTO(fd_close) = open(p->file, O_RDONLY | O_CLOEXEC);
	buf_clear(out);
	assert_int_equal(fd_read_all(fd, 16 << 20, out, &why), RC_OK);
}

static void spit(struct place *p, const struct buf *b)
{
	struct why why = { 0 };
	int fd AUTO(fd_close) = open(p->vault, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_put(fd, "keys", buf_str(b), 0600, &why), RC_OK);
}

struct damage { unsigned n; char first[200]; };
static void note(void *arg, const char *what)
{
	struct damage *d = arg;
	if (d->n++ == 0)
		(void)snprintf(d->first, sizeof d->first, "%s", what);
}

static struct damage verify(struct vault *v)
{
	struct damage d = { 0 };
	struct why why = { 0 };
	assert_int_equal(vault_verify(v, note, &d, &why), RC_OK);
	return d;
}

static void the_right_password_gives_the_key_that_opens_the_accounts_mail(void **state)
{
	struct vault *v = open_it(*state);
	struct who w = make(v, MODE_ORGANISATION, "correct horse");
	vault_close(&v);
	v = open_it(*state); /* from the disk */
	struct secret priv;
	struct why why = { 0 };
	assert_int_equal(login_from(v, w.id, "correct horse", 1, &priv, &why), RC_OK);
	struct buf sealed AUTO(buf_done), plain AUTO(buf_done);
	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	assert_int_equal(seal_to(w.pub, STR("c"), STR("mail"), &sealed), RC_OK);
	assert_int_equal(seal_open(&priv, w.pub, STR("c"), buf_str(&sealed), &plain), RC_OK);
	assert_true(str_eq(buf_str(&plain), STR("mail")));
	vault_close(&v);
}

static void wrong_and_unknown_get_the_same_answer(void **state)
{
	struct vault *v = open_it(*state);
	struct who w = make(v, MODE_ORGANISATION, "correct horse");
	const struct { uint64_t id; const char *pw; } c[] = { { w.id, "correct hors" }, { w.id, "" }, { 0, "correct horse" }, { w.id + 1, "correct horse" } };
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct secret priv;
		struct why why = { 0 };
		assert_int_equal(login_from(v, c[i].id, c[i].pw, 1, &priv, &why), RC_DENIED);
		assert_string_equal(why.text, "wrong address or password");
	}
	vault_close(&v);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void a_remembered_login_costs_no_argon2(void **state)
{
	struct vault *v = open_it(*state);
	struct who w = make(v, MODE_ORGANISATION, "pw");
	assert_int_equal(login(v, w.id, "pw"), RC_OK);
	double t = seconds();
	for (int i = 0; i < 1000; i++)
		assert_int_equal(login(v, w.id, "pw"), RC_OK);
	t = (seconds() - t) * 1000; /* us each */
	print_message("a remembered login: %.1f us\n", t);
	assert_true(t < 1000); /* an Argon2id is 20,000; the margin is for sanitizers and busy machines */
	assert_int_equal(login(v, w.id, "pW"), RC_DENIED);
	vault_close(&v);
}

static void a_change_of_password_forgets_the_old_one_at_once(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	struct who w = make(v, MODE_ORGANISATION, "first");
	assert_int_equal(login(v, w.id, "first"), RC_OK);
	assert_int_equal(vault_password_change(v, w.id, STR("wrong"), STR("second"), &why), RC_DENIED);
	assert_string_equal(why.text, "the old password is wrong");
	assert_int_equal(vault_password_change(v, w.id, STR("first"), STR("second"), &why), RC_OK);
	assert_int_equal(login(v, w.id, "first"), RC_DENIED);
	assert_int_equal(login(v, w.id, "second"), RC_OK);
	assert_int_equal(vault_password_set(v, w.id, STR("third"), &why), RC_OK);
	assert_int_equal(login(v, w.id, "second"), RC_DENIED);
	assert_int_equal(login(v, w.id, "third"), RC_OK);
	vault_close(&v);
	v = open_it(*state);
	assert_int_equal(login(v, w.id, "second"), RC_DENIED);
	assert_int_equal(login(v, w.id, "third"), RC_OK);
	assert_int_equal(verify(v).n, 0);
	vault_close(&v);
}

static void a_private_account_refuses_the_administrator_and_takes_its_recovery_key(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	struct who w = make(v, MODE_PRIVATE, "secret"), other = make(v, MODE_PRIVATE, "secret");
	struct secret before;
	assert_int_equal(login_from(v, w.id, "secret", 1, &before, &why), RC_OK);
	assert_int_equal(vault_password_set(v, w.id, STR("new"), &why), RC_DENIED);
	assert_string_equal(why.text, "this account is private: only its recovery key can set a new password");
	assert_int_equal(vault_recover(v, w.id, str_z(other.recovery), STR("new"), &why), RC_DENIED);
	w.recovery[20] = 0; /* half of it */
	assert_int_equal(vault_recover(v, w.id, str_z(w.recovery), STR("new"), &why), RC_SYNTAX);
	vault_close(&v);
}

static void recovery_gives_the_same_key_under_the_new_password(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	struct who w = make(v, MODE_PRIVATE, "forgotten");
	struct secret before, after;
	assert_int_equal(login_from(v, w.id, "forgotten", 1, &before, &why), RC_OK);
	for (char *c = w.recovery; *c; c++) /* as people type: lower case, blanks, O for 0 */
		*c = *c == '-' ? ' ' : *c == '0' ? 'o' : ascii_lower(*c);
	assert_int_equal(vault_recover(v, w.id, str_z(w.recovery), STR("new"), &why), RC_OK);
	assert_int_equal(login_from(v, w.id, "new", 1, &after, &why), RC_OK);
	assert_memory_equal(before.k, after.k, KEY_LEN);
	assert_int_equal(login(v, w.id, "forgotten"), RC_DENIED);
	vault_close(&v);
}

static void another_root_key_opens_nothing(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	(void)make(v, MODE_ORGANISATION, "pw");
	vault_close(&v);
	p->o.root.k[31] ^= 1;
	assert_int_equal(vault_open(NULL, &p->o, &v, &why), RC_DENIED);
	assert_string_equal(why.text, "the root key does not open this vault (another key, or the vault's head is damaged)");
	assert_null(v);
}

static void a_second_process_is_kept_out_and_a_reader_is_not(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p), *second = NULL;
	struct why why = { 0 };
	struct who w = make(v, MODE_ORGANISATION, "pw");
	assert_int_equal(vault_open(NULL, &p->o, &second, &why), RC_BUSY);
	p->o.read_only = true;
	assert_int_equal(vault_open(NULL, &p->o, &second, &why), RC_OK);
	assert_int_equal(verify(second).n, 0);
	assert_int_equal(login(second, w.id, "pw"), RC_OK);
	assert_int_equal(vault_password_set(second, w.id, STR("x"), &why), RC_DENIED);
	assert_int_equal(vault_account_drop(second, w.id, &why), RC_DENIED);
	vault_close(&second);
	vault_close(&v);
}

static void dropping_an_account_leaves_none_of_its_bytes_in_the_file(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct buf before AUTO(buf_done), after AUTO(buf_done);
	buf_init(&before, 16 << 20);
	buf_init(&after, 16 << 20);
	struct who stays = make(v, MODE_ORGANISATION, "stays");
	slurp(p, &before);
	size_t from = before.len;
	struct who goes = make(v, MODE_ORGANISATION, "goes");
	slurp(p, &before);
	assert_int_equal(login(v, goes.id, "goes"), RC_OK); /* remembered */
	assert_int_equal(vault_account_drop(v, goes.id, &why), RC_OK);
	slurp(p, &after);
	assert_true(before.len > from + 200);
	/* Past marker, length, version and kind (20 octets), which all records have alike: id, check, salt, seal. */
	for (size_t at = from + 20; at + 8 <= before.len; at++)
		assert_int_equal(str_find_str(buf_str(&after), str_of(before.p + at, 8)), after.len);
	assert_int_not_equal(memcmp(before.p + 8, after.p + 8, 80), 0); /* a new vault key under a new wrap */
	assert_int_equal(login(v, goes.id, "goes"), RC_DENIED);
	assert_int_equal(login(v, stays.id, "stays"), RC_OK);
	assert_int_equal(vault_account_drop(v, goes.id, &why), RC_NOTFOUND);
	vault_close(&v);
	v = open_it(p);
	assert_int_equal(login(v, stays.id, "stays"), RC_OK);
	assert_int_equal(verify(v).n, 0);
	vault_close(&v);
}

static void every_flipped_bit_of_the_file_is_reported(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct buf b AUTO(buf_done);
	buf_init(&b, 16 << 20);
	(void)make(v, MODE_ORGANISATION, "pw");
	slurp(p, &b);
	assert_int_equal(verify(v).n, 0);
	/* Every octet, another bit each time. */
	for (size_t i = 0; i < b.len; i += i < 1500 && i > 100 ? 13 : 1) {
		char was = b.p[i];
		b.p[i] = (char)(was ^ 1 << i % 8);
		spit(p, &b);
		struct damage d = verify(v);
		if (d.n == 0)
			print_message("octet %zu of %zu\n", i, b.len);
		assert_true(d.n > 0);
		b.p[i] = was;
	}
	b.len--;
	spit(p, &b);
	assert_true(verify(v).n > 0);
	vault_close(&v);
}

static void a_damaged_record_hides_no_other_and_is_not_rewritten_away(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct buf b AUTO(buf_done);
	buf_init(&b, 16 << 20);
	struct who first = make(v, MODE_ORGANISATION, "one");
	slurp(p, &b);
	size_t end_of_first = b.len;
	struct who second = make(v, MODE_ORGANISATION, "two"), third = make(v, MODE_ORGANISATION, "three");
	vault_close(&v);
	slurp(p, &b);
	b.p[end_of_first + 6] ^= 1; /* the length of the second's record */
	spit(p, &b);
	v = open_it(p);
	assert_int_equal(login(v, first.id, "one"), RC_OK);
	assert_int_equal(login(v, third.id, "three"), RC_OK);
	assert_int_equal(login(v, second.id, "two"), RC_DENIED);
	assert_int_equal(vault_account_drop(v, first.id, &why), RC_DAMAGED);
	assert_int_equal(vault_password_set(v, first.id, STR("new"), &why), RC_OK);
	struct damage d = verify(v);
	assert_int_equal(d.n, 1);
	assert_non_null(strstr(d.first, "no record where one should be"));
	vault_close(&v);
}

static void a_torn_append_is_dropped_and_nothing_else(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct buf b AUTO(buf_done), whole AUTO(buf_done);
	buf_init(&b, 16 << 20);
	buf_init(&whole, 16 << 20);
	struct who w = make(v, MODE_ORGANISATION, "pw");
	slurp(p, &b);
	struct who torn = make(v, MODE_ORGANISATION, "late");
	slurp(p, &whole);
	vault_close(&v);
	size_t n = b.len;
	for (size_t cut = n + 1; cut < whole.len; cut += 37) { /* the old slots, and the first octets of the new record */
		b.len = n;
		buf_add(&b, str_of(whole.p + n, cut - n));
		spit(p, &b);
		v = open_it(p);
		assert_int_equal(verify(v).n, 0);
		assert_int_equal(login(v, torn.id, "late"), RC_DENIED);
		vault_close(&v);
	}
	v = open_it(p);
	struct who next = make(v, MODE_ORGANISATION, "next");
	vault_close(&v);
	v = open_it(p);
	assert_int_equal(login(v, w.id, "pw"), RC_OK);
	assert_int_equal(login(v, next.id, "next"), RC_OK);
	assert_int_equal(verify(v).n, 0);
	vault_close(&v);
}

static void a_backup_opens_under_the_same_root_key(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct who w = make(v, MODE_ORGANISATION, "pw");
	char copy[96];
	(void)snprintf(copy, sizeof copy, "%s/copy", p->dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	{
		int fd AUTO(fd_close) = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(vault_backup(v, fd, &why), RC_OK);
	}
	vault_close(&v);
	p->o.dir = copy;
	v = open_it(p);
	assert_int_equal(verify(v).n, 0);
	assert_int_equal(login(v, w.id, "pw"), RC_OK);
	vault_close(&v);
}

static void keys_that_stay_are_the_same_after_a_restart(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	uint8_t hash[2][16], sig[64], pub[2][32];
	struct secret ledger[2];
	for (int i = 0; i < 2; i++) {
		vault_hash_key(v, hash[i]);
		assert_int_equal(vault_ledger_key(v, &ledger[i]), RC_OK);
		assert_int_equal(vault_audit_sign(v, STR("head"), sig, pub[i], &why), RC_OK);
		assert_int_equal(ed25519_verify(pub[i], STR("head"), sig), RC_OK);
		vault_close(&v);
		v = open_it(*state);
	}
	assert_memory_equal(hash[0], hash[1], 16);
	assert_memory_equal(ledger[0].k, ledger[1].k, KEY_LEN);
	assert_memory_equal(pub[0], pub[1], 32);
	struct buf t AUTO(buf_done);
	buf_init(&t, 1000);
	vault_tickets(v, &t);
	assert_int_equal(t.len, 48);
	vault_close(&v);
}

static void the_queues_keys_are_made_once_and_carried_by_a_backup(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct secret queue[3], srs[3];
	uint8_t pub[3][PUB_LEN];
	char copy[96];
	struct buf sealed AUTO(buf_done), plain AUTO(buf_done);
	(void)snprintf(copy, sizeof copy, "%s/copy", p->dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vault_queue_key(v, &queue[i], pub[i], &why), RC_OK);
		assert_int_equal(vault_srs_key(v, &srs[i], &why), RC_OK);
		assert_int_equal(verify(v).n, 0);
		if (i == 1) {
			int fd AUTO(fd_close) = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			assert_int_equal(vault_backup(v, fd, &why), RC_OK);
			p->o.dir = copy;
		}
		vault_close(&v);
		v = open_it(p);
	}
	for (int i = 1; i < 3; i++) {
		assert_memory_equal(queue[0].k, queue[i].k, KEY_LEN);
		assert_memory_equal(srs[0].k, srs[i].k, KEY_LEN);
		assert_memory_equal(pub[0], pub[i], PUB_LEN);
	}
	assert_memory_not_equal(queue[0].k, srs[0].k, KEY_LEN);
	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	assert_int_equal(seal_to(pub[0], STR("x"), STR("for the queue"), &sealed), RC_OK); /* the halves belong together */
	assert_int_equal(seal_open(&queue[0], pub[0], STR("x"), buf_str(&sealed), &plain), RC_OK);
	vault_close(&v);
}

static void a_vault_that_is_only_read_makes_no_queue_key(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct secret key;
	uint8_t pub[PUB_LEN];
	vault_close(&v);
	p->o.read_only = true;
	v = open_it(p);
	assert_int_equal(vault_queue_key(v, NULL, pub, &why), RC_NOTFOUND);
	assert_int_equal(vault_srs_key(v, &key, &why), RC_NOTFOUND);
	vault_close(&v);
}

static void too_many_different_failures_make_a_network_wait_and_nobody_else(void **state)
{
	struct place *p = *state;
	p->o.failures = 3;
	p->o.failures_window_ms = 5000;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct secret priv;
	struct who w = make(v, MODE_ORGANISATION, "right"), friend = make(v, MODE_ORGANISATION, "mine");
	assert_int_equal(login_from(v, friend.id, "mine", 9, &priv, &why), RC_OK);
	for (int i = 0; i < 5; i++) /* one stale password, again and again, is one failure */
		assert_int_equal(login_from(v, w.id, "stale", 9, &priv, &why), RC_DENIED);
	assert_int_equal(login_from(v, w.id, "guess1", 9, &priv, &why), RC_DENIED);
	assert_int_equal(login_from(v, w.id, "guess2", 9, &priv, &why), RC_DENIED);
	assert_int_equal(login_from(v, w.id, "guess3", 9, &priv, &why), RC_BUSY);
	assert_non_null(strstr(why.text, "too many failed logins from your network, please wait "));
	assert_int_equal(login_from(v, w.id, "right", 9, &priv, &why), RC_BUSY);
	assert_int_equal(login_from(v, friend.id, "mine", 9, &priv, &why), RC_OK); /* remembered: never blocked */
	assert_int_equal(login_from(v, w.id, "right", 8, &priv, &why), RC_OK);     /* the owner elsewhere is not locked out */
	vault_close(&v);
}

/* ---- in fibers: workers, queues, shared attempts ---- */

enum { AT_ONCE = 24 };
struct crowd { struct vault *v; struct loop *l; uint64_t id; unsigned done, ok, denied, other; const char *password[AT_ONCE]; unsigned next; bool many_networks; };
static void one_login(void *arg)
{
	struct crowd *c = arg;
	struct secret priv;
	struct why why = { 0 };
	unsigned i = c->next++;
	enum rc rc = login_from(c->v, c->id, c->password[i], c->many_networks ? (uint8_t)(i + 1) : 1, &priv, &why);
	*(rc == RC_OK ? &c->ok : rc == RC_DENIED ? &c->denied : &c->other) += 1;
	if (++c->done == AT_ONCE)
		loop_stop(c->l);
}

static void crowd(struct place *p, struct crowd *c)
{
	struct why why = { 0 };
	assert_int_equal(loop_open(&c->l, &why), RC_OK);
	assert_int_equal(vault_open(c->l, &p->o, &c->v, &why), RC_OK);
	c->id = make(c->v, MODE_ORGANISATION, "right").id;
	for (unsigned i = 0; i < AT_ONCE; i++)
		assert_int_equal(fiber_start(c->l, one_login, c, NULL), RC_OK);
	loop_run(c->l);
	vault_close(&c->v);
	loop_close(&c->l);
}

static void logins_of_one_password_at_once_share_one_hash(void **state)
{
	struct crowd c = { 0 };
	for (unsigned i = 0; i < AT_ONCE; i++)
		c.password[i] = "right";
	struct crowd wrong = c;
	double t = seconds();
	crowd(*state, &c);
	t = seconds() - t;
	assert_int_equal(c.ok, AT_ONCE);
	print_message("%d logins at once: %.0f ms\n", AT_ONCE, t * 1000);
	for (unsigned i = 0; i < AT_ONCE; i++)
		wrong.password[i] = "wrong";
	crowd(*state, &wrong);
	assert_int_equal(wrong.denied, AT_ONCE);
}

static void a_hundred_guesses_at_once_are_not_more_than_one_after_the_other(void **state)
{
	struct place *p = *state;
	struct crowd c = { 0 };
	static char guess[AT_ONCE][8];
	p->o.failures = 4;
	for (unsigned i = 0; i < AT_ONCE; i++) {
		(void)snprintf(guess[i], sizeof guess[i], "g%u", i);
		c.password[i] = guess[i];
	}
	crowd(p, &c);
	assert_int_equal(c.denied, 4);
	assert_int_equal(c.other, AT_ONCE - 4);
}

static void different_guesses_from_many_networks_all_get_their_turn_on_two_workers(void **state)
{
	struct crowd c = { .many_networks = true };
	static char guess[AT_ONCE][8];
	for (unsigned i = 0; i < AT_ONCE; i++) {
		(void)snprintf(guess[i], sizeof guess[i], "g%u", i);
		c.password[i] = i == 17 ? "right" : guess[i];
	}
	crowd(*state, &c);
	assert_int_equal(c.ok, 1);
	assert_int_equal(c.denied, AT_ONCE - 1);
}

/* ---- TLS keys ---- */

static void a_key_of_the_last_configuration_still_signs_until_the_next_but_one(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	struct buf key[2], cert[2], sig AUTO(buf_done);
	uint64_t id[2], got;
	struct str pem;
	buf_init(&sig, 1000);
	for (int i = 0; i < 2; i++) {
		buf_init(&key[i], 4096);
		buf_init(&cert[i], 4096);
		assert_int_equal(tls_key_make(&key[i]), RC_OK);
		assert_int_equal(tls_ca_make(buf_str(&key[i]), "x", &cert[i], &why), RC_OK);
	}
	assert_int_equal(vault_tls_add(v, buf_str(&cert[0]), buf_str(&key[1]), &id[0], &why), RC_DENIED);
	assert_int_equal(vault_tls_add(v, buf_str(&cert[0]), buf_str(&key[0]), &id[0], &why), RC_OK);
	vault_tls_clear(v);
	assert_int_equal(vault_tls_count(v), 0);
	assert_int_equal(vault_tls_add(v, buf_str(&cert[1]), buf_str(&key[1]), &id[1], &why), RC_OK);
	vault_tls_get(v, 0, &got, &pem);
	assert_true(got == id[1] && str_eq(pem, buf_str(&cert[1])));
	struct str digest = STR("0123456789abcdef0123456789abcdef");
	assert_int_equal(vault_tls_sign(v, id[0], TLS_ECDSA, digest, &sig, &why), RC_OK);
	assert_int_equal(vault_tls_sign(v, id[1], TLS_ECDSA, digest, &sig, &why), RC_OK);
	assert_int_equal(vault_tls_sign(v, id[1], TLS_ECDSA, STR("short"), &sig, &why), RC_SYNTAX);
	vault_tls_clear(v);
	assert_int_equal(vault_tls_sign(v, id[0], TLS_ECDSA, digest, &sig, &why), RC_NOTFOUND);
	assert_int_equal(vault_tls_sign(v, id[1], TLS_ECDSA, digest, &sig, &why), RC_OK);
	for (int i = 0; i < 2; i++) {
		buf_wipe(&key[i]);
		buf_done(&cert[i]);
	}
	vault_close(&v);
}

static void an_rsa_key_signs_digests_and_no_raw_block(void **state)
{
	struct vault *v = open_it(*state);
	struct why why = { 0 };
	struct buf key, cert, sig AUTO(buf_done);
	uint64_t id;
	buf_init(&sig, TLS_SIGNATURE_MAX);
	buf_init(&key, 8192);
	buf_init(&cert, 8192);
	BIO *b = BIO_new(BIO_s_mem());
	EVP_PKEY *k = EVP_RSA_gen(2048);
	char *p = NULL;
	assert_int_equal(PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
	long n = BIO_get_mem_data(b, &p);
	buf_add(&key, str_of(p, (size_t)n));
	BIO_free(b);
	assert_int_equal(tls_ca_make(buf_str(&key), "x", &cert, &why), RC_OK);
	assert_int_equal(vault_tls_add(v, buf_str(&cert), buf_str(&key), &id, &why), RC_OK);
	struct str digest = STR("0123456789abcdef0123456789abcdef");
	assert_int_equal(vault_tls_sign(v, id, TLS_RSA_PSS_SHA256, digest, &sig, &why), RC_OK);
	assert_int_equal(sig.len, 256);
	/* Looked at with the public half, by OpenSSL's own rules. */
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
	assert_int_equal(EVP_PKEY_verify_init(c), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(c, 32), 1);
	assert_int_equal(EVP_PKEY_verify(c, (uint8_t *)sig.p, sig.len, (const uint8_t *)digest.p, digest.n), 1);
	EVP_PKEY_CTX_free(c);
	buf_clear(&sig);
	char block[256] = { 0 };
	assert_int_equal(vault_tls_sign(v, id, (enum tls_scheme)0, str_of(block, sizeof block), &sig, &why), RC_SYNTAX);
	assert_string_equal(why.text, "scheme 0 over 256 octets is nothing that this key signs");
	assert_int_equal(vault_tls_sign(v, id, TLS_RSA_PKCS1_SHA256, str_of(block, sizeof block), &sig, &why), RC_SYNTAX);
	assert_int_equal(vault_tls_sign(v, id, TLS_ECDSA, digest, &sig, &why), RC_SYNTAX);
	assert_int_equal(sig.len, 0);
	EVP_PKEY_free(k);
	buf_wipe(&key);
	buf_done(&cert);
	vault_close(&v);
}

static void every_allocation_of_a_change_may_fail_and_nothing_is_half_done(void **state)
{
	struct place *p = *state;
	struct vault *v = open_it(p);
	struct why why = { 0 };
	struct who w = make(v, MODE_ORGANISATION, "old");
	unsigned failed = 0;
	for (long at = 0; at < 60; at++) {
		mem_count = 0;
		mem_fail_at = at;
		enum rc rc = vault_password_set(v, w.id, STR("new"), &why);
		mem_fail_at = -1;
		if (rc == RC_OK)
			break;
		failed++;
		assert_int_equal(rc, RC_NOMEM);
		if (at % 4 == 0)
			assert_int_equal(login_from(v, w.id, "old", (uint8_t)at, &(struct secret){ { 0 } }, &why), RC_OK);
	}
	print_message("%u failed allocations\n", failed);
	assert_true(failed >= 5);
	assert_int_equal(login(v, w.id, "new"), RC_OK);
	assert_int_equal(verify(v).n, 0);
	vault_close(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
		T(the_right_password_gives_the_key_that_opens_the_accounts_mail),
		T(wrong_and_unknown_get_the_same_answer),
		T(a_remembered_login_costs_no_argon2),
		T(a_change_of_password_forgets_the_old_one_at_once),
		T(a_private_account_refuses_the_administrator_and_takes_its_recovery_key),
		T(recovery_gives_the_same_key_under_the_new_password),
		T(another_root_key_opens_nothing),
		T(a_second_process_is_kept_out_and_a_reader_is_not),
		T(dropping_an_account_leaves_none_of_its_bytes_in_the_file),
		T(every_flipped_bit_of_the_file_is_reported),
		T(a_damaged_record_hides_no_other_and_is_not_rewritten_away),
		T(a_torn_append_is_dropped_and_nothing_else),
		T(a_backup_opens_under_the_same_root_key),
		T(keys_that_stay_are_the_same_after_a_restart),
		T(the_queues_keys_are_made_once_and_carried_by_a_backup),
		T(a_vault_that_is_only_read_makes_no_queue_key),
		T(too_many_different_failures_make_a_network_wait_and_nobody_else),
		T(logins_of_one_password_at_once_share_one_hash),
		T(a_hundred_guesses_at_once_are_not_more_than_one_after_the_other),
		T(different_guesses_from_many_networks_all_get_their_turn_on_two_workers),
		T(a_key_of_the_last_configuration_still_signs_until_the_next_but_one),
		T(an_rsa_key_signs_digests_and_no_raw_block),
		T(every_allocation_of_a_change_may_fail_and_nothing_is_half_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
