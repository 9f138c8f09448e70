#include "ledger/internal.h"
#include "ledger/pack.h"
#include "ledger/report.h"

#include "base/buf.h"
#include "os/file.h"
#include "unit/crypto/hex.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct secret key = { { 1, 2, 3 } }, other_key = { { 9 } };
struct place { char dir[64], db[96]; };

static int make_place(void **state)
{
	static struct place p;
	(void)snprintf(p.dir, sizeof p.dir, "/tmp/ll-ledger-XXXXXX");
	if (!mkdtemp(p.dir))
		return -1;
	(void)snprintf(p.db, sizeof p.db, "%s/ledger.db", p.dir);
	*state = &p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm", "copy.db", "copy/ledger.db", "copy/ledger.db-wal", "copy/ledger.db-shm", "copy" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		(void)remove(path);
	}
	return rmdir(p->dir);
}

static struct ledger *open_it(struct place *p)
{
	struct ledger *l = NULL;
	struct why why = { 0 };
	assert_int_equal(ledger_open_with(p->dir, &key, &l, &why), RC_OK);
	return l;
}

static struct ledger_event sample(int64_t at)
{
	return (struct ledger_event){ .at_ms = at, .mid = STR("7F3K9Q2D"), .kind = STR("delivered"), .sender = STR("Carol@sender.example"),
		                      .recipient = STR("dave@our.example"), .client_ip = STR("198.51.100.77"), .helo = STR("mx.sender.example"),
		                      .tls = STR("TLSv1.3"), .reason = STR("250 2.0.0 Ok"), .size = 4711, .account = 42 };
}

struct seen { unsigned n; struct ledger_event last; bool same; };
static bool see(void *arg, const struct ledger_event *e)
{
	struct seen *s = arg;
	struct ledger_event w = sample(e->at_ms);
	s->n++;
	s->same = str_eq(e->mid, w.mid) && str_eq(e->kind, w.kind) && str_eq(e->sender, w.sender) && str_eq(e->recipient, w.recipient) &&
	          str_eq(e->client_ip, w.client_ip) && str_eq(e->helo, w.helo) && str_eq(e->tls, w.tls) && str_eq(e->reason, w.reason) &&
	          e->size == w.size && e->account == w.account;
	return true;
}

static unsigned count(struct ledger *l, struct ledger_filter f)
{
	struct seen s = { 0 };
	struct why why = { 0 };
	assert_int_equal(ledger_events(l, &f, see, &s, &why), RC_OK);
	return s.n;
}

static void events_are_found_by_address_short_id_and_time(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	for (int64_t at = 1000; at <= 5000; at += 1000) {
		struct ledger_event e = sample(at);
		assert_int_equal(ledger_event(l, &e, &why), RC_OK);
		e.mid = STR("OTHER");
		e.sender = STR("");
		e.recipient = STR("eve@our.example");
		assert_int_equal(ledger_event(l, &e, &why), RC_OK);
		if (at == 3000)
			assert_int_equal(ledger_flush(l, &why), RC_OK);
	}
	assert_int_equal(count(l, (struct ledger_filter){ 0 }), 10);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("carol@SENDER.example") }), 5);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("dave@our.example"), .since_ms = 4000 }), 2);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("nobody@our.example") }), 0);
	assert_int_equal(count(l, (struct ledger_filter){ .mid = STR("OTHER") }), 5);
	assert_int_equal(count(l, (struct ledger_filter){ .mid = STR("OTHER"), .address = STR("dave@our.example") }), 0);
	assert_int_equal(count(l, (struct ledger_filter){ .max = 3 }), 3);
	ledger_close(&l);
	l = open_it(*state); /* closing committed the rest */
	struct seen s = { 0 };
	assert_int_equal(ledger_events(l, &(struct ledger_filter){ .mid = STR("7F3K9Q2D") }, see, &s, &why), RC_OK);
	assert_int_equal(s.n, 5);
	assert_true(s.same);
	ledger_close(&l);
}

static void tamper(struct place *p, const char *statement)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_changes(db) > 0, 1);
	sqlite3_close(db);
}

static void put_more(struct buf *b, struct str address, uint64_t account)
{
	buf_run(b, address);
	buf_u64(b, account);
}

struct heard { unsigned n; char text[512]; };
static bool hear(void *arg, const struct ledger_event *e)
{
	struct heard *h = arg;
	size_t at = strlen(h->text);
	h->n++;
	assert_int_equal(e->more.n, 0);
	(void)snprintf(h->text + at, sizeof h->text - at, "%.*s %llu;", PSTR(e->recipient), (unsigned long long)e->account);
	return true;
}

static void recipients_who_share_an_event_are_each_found(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	struct buf more AUTO(buf_done);
	struct heard all = { 0 }, eve = { 0 }, two = { 0 };
	uint64_t entries;
	buf_init(&more, 4096);
	put_more(&more, STR("Eve@our.example"), 43);
	put_more(&more, STR("faythe@our.example"), 44);
	put_more(&more, STR("eve@our.example"), 43); /* named twice */
	struct ledger_event e = sample(1);
	e.more = buf_str(&more);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	e.more = STR("");
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	assert_int_equal(ledger_events(l, &(struct ledger_filter){ 0 }, hear, &all, &why), RC_OK);
	assert_string_equal(all.text, "dave@our.example 42;Eve@our.example 43;faythe@our.example 44;eve@our.example 43;dave@our.example 42;");
	assert_int_equal(ledger_events(l, &(struct ledger_filter){ .address = STR("EVE@our.example") }, hear, &eve, &why), RC_OK);
	assert_string_equal(eve.text, "Eve@our.example 43;eve@our.example 43;");
	assert_int_equal(ledger_events(l, &(struct ledger_filter){ .max = 2 }, hear, &two, &why), RC_OK);
	assert_int_equal(two.n, 2);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("dave@our.example") }), 2);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("carol@sender.example") }), 5);
	assert_int_equal(ledger_verify(l, &entries, &why), RC_OK);
	ledger_close(&l);
}

static void of_many_events_the_newest_are_given_in_order_of_writing(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	struct buf more AUTO(buf_done);
	static const struct { struct ledger_filter f; const char *want; } cases[] = {
		{ { .max = 2 }, "faythe@our.example 44;dave@our.example 3;" },
		{ { .max = 4 }, "dave@our.example 2;eve@our.example 43;faythe@our.example 44;dave@our.example 3;" },
		{ { .max = 5 }, "dave@our.example 1;dave@our.example 2;eve@our.example 43;faythe@our.example 44;dave@our.example 3;" },
		{ { .address = STR_INIT("eve@our.example"), .max = 1 }, "eve@our.example 43;" },
		{ { .address = STR_INIT("carol@sender.example"), .max = 3 }, "eve@our.example 43;faythe@our.example 44;dave@our.example 3;" },
		{ { .mid = STR_INIT("7F3K9Q2D"), .max = 1 }, "dave@our.example 3;" },
		{ { .since_ms = 3, .max = 3 }, "dave@our.example 3;" },
	};
	buf_init(&more, 4096);
	put_more(&more, STR("eve@our.example"), 43);
	put_more(&more, STR("faythe@our.example"), 44);
	for (int64_t at = 1; at <= 3; at++) {
		struct ledger_event e = sample(at);
		e.account = (uint64_t)at;
		e.more = at == 2 ? buf_str(&more) : STR("");
		assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct heard h = { 0 };
		assert_int_equal(ledger_events(l, &cases[i].f, hear, &h, &why), RC_OK);
		assert_string_equal(h.text, cases[i].want);
	}
	ledger_close(&l);
}

static void an_event_whose_recipients_are_cut_short_is_refused_whole(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	struct buf more AUTO(buf_done);
	buf_init(&more, 4096);
	put_more(&more, STR("eve@our.example"), 43);
	put_more(&more, STR("faythe@our.example"), 44);
	struct ledger_event e = sample(1);
	e.more = str_head(buf_str(&more), more.len - 1);
	assert_int_equal(ledger_event(l, &e, &why), RC_SYNTAX);
	assert_int_equal(count(l, (struct ledger_filter){ 0 }), 0);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("eve@our.example") }), 0);
	e.more = buf_str(&more);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	assert_int_equal(count(l, (struct ledger_filter){ .address = STR("eve@our.example") }), 1);
	ledger_close(&l);
}

static void a_recipients_lost_line_is_damage(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	struct buf more AUTO(buf_done);
	uint64_t entries;
	buf_init(&more, 4096);
	put_more(&more, STR("eve@our.example"), 43);
	struct ledger_event e = sample(1);
	e.more = buf_str(&more);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	ledger_close(&l);
	tamper(p, "UPDATE event_more SET recipient=recipient+1");
	l = open_it(p);
	assert_int_equal(ledger_verify(l, &entries, &why), RC_DAMAGED);
	ledger_close(&l);
}

/* As versions 1 and 2 wrote it: six sealed texts. */
static void an_event_from_before_there_were_further_recipients_is_read(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	struct buf aad AUTO(buf_done), plain AUTO(buf_done), sealed AUTO(buf_done);
	uint64_t entries;
	buf_init(&aad, 512);
	buf_init(&plain, 512);
	buf_init(&sealed, 512);
	const struct str texts[] = { STR("carol@sender.example"), STR("dave@our.example"), STR("198.51.100.77"), STR("mx"), STR(""), STR("ok") };
	int64_t from, to;
	assert_int_equal(pack(texts, 6, &plain, &why), RC_OK);
	assert_int_equal(ledger_tag(l, texts[0], &from), RC_OK);
	assert_int_equal(ledger_tag(l, texts[1], &to), RC_OK);
	assert_int_equal(batch_write(l, &why), RC_OK);
	uint64_t clear[] = { 4711, 42, (uint64_t)from, (uint64_t)to, (uint64_t)l->writing.id, l->writing.next };
	buf_add(&aad, STR("event"));
	buf_u64(&aad, 77);
	buf_run(&aad, STR("delivered"));
	buf_run(&aad, STR("7F3K9Q2D"));
	for (size_t i = 0; i < 6; i++)
		buf_u64(&aad, clear[i]);
	assert_int_equal(row_seal(l, buf_str(&aad), buf_str(&plain), &sealed), RC_OK);
	sqlite3_stmt *s = sql(l, SQL_EVENT_ADD);
	sqlite3_bind_int64(s, 1, 77);
	bind_str(s, 2, STR("delivered"));
	bind_str(s, 3, STR("7F3K9Q2D"));
	for (int i = 0; i < 6; i++)
		sqlite3_bind_int64(s, 4 + i, (int64_t)clear[i]);
	bind_blob(s, 10, buf_str(&sealed));
	sqlite3_bind_int64(s, 11, l->next_event++);
	assert_int_equal(sql_done(l, s, &why), RC_OK);
	struct heard h = { 0 };
	assert_int_equal(ledger_events(l, &(struct ledger_filter){ .address = STR("dave@our.example") }, hear, &h, &why), RC_OK);
	assert_string_equal(h.text, "dave@our.example 42;");
	assert_int_equal(ledger_verify(l, &entries, &why), RC_OK);
	ledger_close(&l);
}

static void slurp(const char *path, struct buf *out)
{
	struct why why = { 0 };
	int fd AUTO(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		assert_int_equal(fd_read_all(fd, 64 << 20, out, &why), RC_OK);
}

static void no_correspondent_is_readable_in_the_files(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	struct ledger_event e = sample(1);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	assert_int_equal(ledger_audit(l, 2, STR("admin@our.example"), STR("203.0.113.9"), STR("account.password"), STR("carol-before"), STR("carol-after"), &why), RC_OK);
	assert_int_equal(ledger_flush(l, &why), RC_OK);
	struct buf b AUTO(buf_done);
	char wal[128];
	buf_init(&b, 64 << 20);
	(void)snprintf(wal, sizeof wal, "%s-wal", p->db);
	slurp(p->db, &b);
	slurp(wal, &b);
	assert_true(str_find_str(buf_str(&b), STR("7F3K9Q2D")) < b.len); /* the search does search */
	static const struct str secrets[] = { STR_INIT("arol"), STR_INIT("sender.example"), STR_INIT("dave"), STR_INIT("198.51.100.77"),
		                              STR_INIT("admin@"), STR_INIT("203.0.113"), STR_INIT("account.password") };
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		assert_int_equal(str_find_str(buf_str(&b), secrets[i]), b.len);
	ledger_close(&l);
}

static bool entry(void *arg, const struct ledger_entry *e)
{
	struct buf *b = arg;
	buf_addf(b, "%llu %.*s %.*s %.*s>%.*s;", (unsigned long long)e->number, PSTR(e->who), PSTR(e->what), PSTR(e->before), PSTR(e->after));
	return true;
}

static void audit_three(struct ledger *l)
{
	struct why why = { 0 };
	assert_int_equal(ledger_audit(l, 10, STR("ann"), STR("cli"), STR("account.add"), STR(""), STR("bob"), &why), RC_OK);
	assert_int_equal(ledger_flush(l, &why), RC_OK);
	assert_int_equal(ledger_audit(l, 20, STR("ann"), STR("cli"), STR("domain.add"), STR(""), STR("x.example"), &why), RC_OK);
	assert_int_equal(ledger_audit(l, 30, STR("ben"), STR("web"), STR("policy.set"), STR("off"), STR("on"), &why), RC_OK);
	assert_int_equal(ledger_flush(l, &why), RC_OK);
}

static void the_audit_log_survives_and_verifies(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	uint64_t n = 0;
	uint8_t hash[32], again[32];
	audit_three(l);
	assert_int_equal(ledger_head(l, &n, hash, &why), RC_OK);
	assert_int_equal(n, 3);
	ledger_close(&l);
	l = open_it(*state);
	assert_int_equal(ledger_head(l, &n, again, &why), RC_OK);
	assert_memory_equal(hash, again, 32);
	struct buf b AUTO(buf_done);
	buf_init(&b, 1000);
	assert_int_equal(ledger_entries(l, 2, 10, entry, &b, &why), RC_OK);
	assert_true(str_eq(buf_str(&b), STR("2 ann domain.add >x.example;3 ben policy.set off>on;")));
	n = 0;
	assert_int_equal(ledger_verify(l, &n, &why), RC_OK);
	assert_int_equal(n, 3);
	ledger_close(&l);
}

static void sign(const struct secret *k, uint64_t count, const uint8_t hash[32], uint8_t out[64])
{
	uint8_t text[40] = { 0 };
	text[7] = (uint8_t)count;
	memcpy(text + 8, hash, 32);
	assert_int_equal(ed25519_sign(k, str_of(text, 40), out), RC_OK);
}

static void each_kind_of_tampering_is_named(void **state)
{
	static const struct { const char *sql, *says; } t[] = {
		{ "UPDATE audit SET at_ms=11 WHERE number=1", "audit entry 1 is damaged: its seal does not open" },
		{ "UPDATE audit SET sealed=zeroblob(40) WHERE number=2", "audit entry 2 is damaged: its seal does not open" },
		{ "UPDATE audit SET hash=zeroblob(32) WHERE number=2", "audit entry 2 is damaged: the hash chain breaks there" },
		{ "UPDATE audit SET hash=zeroblob(31) WHERE number=3", "audit entry 3 is damaged: the hash chain breaks there" },
		{ "DELETE FROM audit WHERE number=2", "audit entry 2 is missing" },
		{ "DELETE FROM audit WHERE number=3", "audit entry 3 is missing: a checkpoint signed it" },
		{ "UPDATE batch SET salt=zeroblob(16) WHERE id=1", "audit entry 1 is damaged: its seal does not open" },
		{ "DELETE FROM batch WHERE id=1", "ledger: batch 1 is missing" },
		{ "UPDATE checkpoint SET hash=zeroblob(32)", "the checkpoint at audit entry 3 is damaged: its signature is wrong" },
		{ "UPDATE event SET account=43", "ledger: event 1 is damaged" },
		{ "UPDATE event SET recipient=recipient+2", "ledger: event 1 is damaged" },
		{ "UPDATE event SET kind='refused'", "ledger: event 1 is damaged" },
		{ "UPDATE event SET sealed=zeroblob(10)", "ledger: event 1 is damaged" },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct place *p = *state;
		struct ledger *l = open_it(p);
		struct why why = { 0 };
		struct ledger_event e = sample(5);
		uint64_t n = 0;
		uint8_t hash[32], sig[64], pub[32];
		audit_three(l);
		assert_int_equal(ledger_event(l, &e, &why), RC_OK);
		assert_int_equal(ledger_head(l, &n, hash, &why), RC_OK);
		sign(&other_key, n, hash, sig);
		assert_int_equal(ed25519_public(&other_key, pub), RC_OK);
		assert_int_equal(ledger_checkpoint(l, n, hash, sig, pub, &why), RC_OK);
		assert_int_equal(ledger_verify(l, &n, &why), RC_OK);
		ledger_close(&l);
		tamper(p, t[i].sql);
		enum rc rc = ledger_open_with(p->dir, &key, &l, &why);
		if (rc == RC_OK)
			rc = ledger_verify(l, &n, &why);
		else
			why.text[0] = 0, (void)snprintf(why.text, sizeof why.text, "%s", t[i].says); /* noticed at once is fine */
		assert_int_equal(rc, RC_DAMAGED);
		assert_string_equal(why.text, t[i].says);
		ledger_close(&l);
		assert_int_equal(drop_place(state), 0);
		assert_int_equal(make_place(state), 0);
	}
}

static void a_log_rewritten_and_signed_by_another_key_is_refused(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	uint64_t n = 0;
	uint8_t hash[32], sig[64], pub[32], mine[32];
	audit_three(l);
	assert_int_equal(ledger_head(l, &n, hash, &why), RC_OK);
	sign(&other_key, n, hash, sig);
	assert_int_equal(ed25519_public(&other_key, pub), RC_OK);
	assert_int_equal(ed25519_public(&key, mine), RC_OK);
	assert_int_equal(ledger_checkpoint(l, n, hash, sig, mine, &why), RC_DAMAGED); /* not that key's signature */
	assert_int_equal(ledger_checkpoint(l, n + 1, hash, sig, pub, &why), RC_DAMAGED);
	assert_int_equal(ledger_checkpoint(l, n, hash, sig, pub, &why), RC_OK);
	assert_int_equal(ledger_verify_signer(l, pub, &n, &why), RC_OK);
	assert_int_equal(ledger_verify_signer(l, mine, &n, &why), RC_DAMAGED);
	assert_string_equal(why.text, "the checkpoint at audit entry 3 is signed by another key");
	ledger_close(&l);
}

static void another_key_or_a_newer_format_opens_nothing(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct why why = { 0 };
	ledger_close(&l);
	assert_int_equal(ledger_open_with(p->dir, &other_key, &l, &why), RC_DENIED);
	assert_string_equal(why.text, "the ledger was written under another key");
	assert_null(l);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(ledger_open_with(p->dir, &key, &l, &why), RC_DENIED);
	assert_string_equal(why.text, "the ledger was written by a newer version (format 99)");
}

static void the_files_belong_to_their_owner_alone(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p);
	struct stat st;
	assert_int_equal(stat(p->db, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	ledger_close(&l);
}

static void what_was_not_flushed_when_the_power_went_is_gone_and_the_chain_is_whole(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p), *after = NULL;
	struct why why = { 0 };
	uint64_t n = 0;
	audit_three(l);
	assert_int_equal(ledger_audit(l, 40, STR("x"), STR("x"), STR("x"), STR(""), STR(""), &why), RC_OK);
	/* What is on the disk now, as a second ledger: the open transaction is not in it. */
	char copy[128], cmd[3][128];
	(void)snprintf(copy, sizeof copy, "%s/copy", p->dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	static const char *const ends[] = { "", "-wal" };
	for (int i = 0; i < 2; i++) {
		struct buf b AUTO(buf_done);
		buf_init(&b, 64 << 20);
		(void)snprintf(cmd[0], sizeof cmd[0], "%s%s", p->db, ends[i]);
		(void)snprintf(cmd[1], sizeof cmd[1], "ledger.db%s", ends[i]);
		slurp(cmd[0], &b);
		int fd AUTO(fd_close) = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(file_put(fd, cmd[1], buf_str(&b), 0600, &why), RC_OK);
	}
	assert_int_equal(ledger_open_with(copy, &key, &after, &why), RC_OK);
	assert_int_equal(ledger_verify(after, &n, &why), RC_OK);
	assert_int_equal(n, 3);
	assert_int_equal(ledger_audit(after, 50, STR("y"), STR("y"), STR("y"), STR(""), STR(""), &why), RC_OK);
	assert_int_equal(ledger_verify(after, &n, &why), RC_OK);
	assert_int_equal(n, 4);
	ledger_close(&after);
	ledger_close(&l);
}

static void a_backup_is_a_ledger_of_its_own(void **state)
{
	struct place *p = *state;
	struct ledger *l = open_it(p), *copy = NULL;
	struct why why = { 0 };
	char dir[128], path[160];
	uint64_t n = 0;
	struct ledger_event e = sample(7);
	audit_three(l);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK); /* pending: the backup has it all the same */
	(void)snprintf(dir, sizeof dir, "%s/copy", p->dir);
	(void)snprintf(path, sizeof path, "%s/ledger.db", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(ledger_backup(l, path, &why), RC_OK);
	assert_int_equal(ledger_open_with(dir, &key, &copy, &why), RC_OK);
	assert_int_equal(ledger_verify(copy, &n, &why), RC_OK);
	assert_int_equal(n, 3);
	assert_int_equal(count(copy, (struct ledger_filter){ .address = STR("dave@our.example") }), 1);
	ledger_close(&copy);
	ledger_close(&l);
}

static void too_much_text_is_refused_and_the_next_event_goes_in(void **state)
{
	struct ledger *l = open_it(*state);
	struct why why = { 0 };
	static char big[LEDGER_TEXT_MAX + 1];
	memset(big, 'a', sizeof big);
	struct ledger_event e = sample(1);
	e.reason = str_of(big, sizeof big);
	assert_int_equal(ledger_event(l, &e, &why), RC_LIMIT);
	assert_int_equal(ledger_audit(l, 1, STR("a"), STR("b"), str_of(big, sizeof big), STR(""), STR(""), &why), RC_LIMIT);
	e = sample(2);
	assert_int_equal(ledger_event(l, &e, &why), RC_OK);
	assert_int_equal(count(l, (struct ledger_filter){ 0 }), 1);
	ledger_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
		T(events_are_found_by_address_short_id_and_time),
		T(recipients_who_share_an_event_are_each_found),
		T(of_many_events_the_newest_are_given_in_order_of_writing),
		T(an_event_whose_recipients_are_cut_short_is_refused_whole),
		T(a_recipients_lost_line_is_damage),
		T(an_event_from_before_there_were_further_recipients_is_read),
		T(no_correspondent_is_readable_in_the_files),
		T(the_audit_log_survives_and_verifies),
		T(each_kind_of_tampering_is_named),
		T(a_log_rewritten_and_signed_by_another_key_is_refused),
		T(another_key_or_a_newer_format_opens_nothing),
		T(the_files_belong_to_their_owner_alone),
		T(what_was_not_flushed_when_the_power_went_is_gone_and_the_chain_is_whole),
		T(a_backup_is_a_ledger_of_its_own),
		T(too_much_text_is_refused_and_the_next_event_goes_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
