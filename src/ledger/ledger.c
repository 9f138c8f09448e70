#include "ledger/internal.h"

#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { SCHEMA = 3 };
static const char schema[] =
	"CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one=1), salt BLOB NOT NULL, tag BLOB NOT NULL) STRICT;"
	"CREATE TABLE batch(id INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, mid TEXT NOT NULL, size INTEGER NOT NULL,"
	" account INTEGER NOT NULL, sender INTEGER NOT NULL, recipient INTEGER NOT NULL, batch INTEGER NOT NULL, place INTEGER NOT NULL,"
	" sealed BLOB NOT NULL) STRICT;"
	"CREATE INDEX event_mid ON event(mid);"
	"CREATE INDEX event_sender ON event(sender);"
	"CREATE INDEX event_recipient ON event(recipient);"
	"CREATE TABLE audit(number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, batch INTEGER NOT NULL, place INTEGER NOT NULL,"
	" sealed BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
	"CREATE TABLE checkpoint(count INTEGER PRIMARY KEY, hash BLOB NOT NULL, signature BLOB NOT NULL, public_key BLOB NOT NULL) STRICT;"
	"PRAGMA user_version=1;";

/* Version 2 has reports. */
#define SEALED " batch INTEGER NOT NULL, place INTEGER NOT NULL, sealed BLOB NOT NULL"
static const char schema_2[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE report_day(id INTEGER PRIMARY KEY, day INTEGER NOT NULL, domain INTEGER NOT NULL," SEALED ", upto INTEGER NOT NULL DEFAULT 0,"
	" target INTEGER NOT NULL DEFAULT 0, since_ms INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, UNIQUE(day,domain)) STRICT;"
	"CREATE INDEX report_day_due ON report_day(done,day);"
	"CREATE TABLE observation(id INTEGER PRIMARY KEY, day INTEGER NOT NULL, domain INTEGER NOT NULL, count INTEGER NOT NULL," SEALED ") STRICT;"
	"CREATE INDEX observation_day ON observation(day,domain);"
	"CREATE TABLE report_sent(id INTEGER PRIMARY KEY, day INTEGER NOT NULL, domain INTEGER NOT NULL, part INTEGER NOT NULL, receiver INTEGER NOT NULL,"
	" state INTEGER NOT NULL, at_ms INTEGER NOT NULL," SEALED ", UNIQUE(day,domain,part,receiver)) STRICT;"
	"CREATE TABLE report(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, verified INTEGER NOT NULL, domain INTEGER NOT NULL, same INTEGER NOT NULL UNIQUE,"
	" at_ms INTEGER NOT NULL, begin_s INTEGER NOT NULL, end_s INTEGER NOT NULL," SEALED ") STRICT;"
	"CREATE INDEX report_begin ON report(begin_s);"
	"CREATE TABLE report_row(id INTEGER PRIMARY KEY, report INTEGER NOT NULL, kind INTEGER NOT NULL, verified INTEGER NOT NULL, domain INTEGER NOT NULL,"
	" day INTEGER NOT NULL, count INTEGER NOT NULL, facts INTEGER NOT NULL," SEALED ") STRICT;"
	"CREATE INDEX report_row_domain ON report_row(kind,domain,day);"
	"CREATE INDEX report_row_day ON report_row(day);"
	"PRAGMA user_version=2;"
	"COMMIT;";

/* Version 3: a message is one event, whose further recipients have a line each by which they are found. */
static const char schema_3[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE event_more(recipient INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY(recipient,event)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version=3;"
	"COMMIT;";

#define EVENT_COLUMNS "SELECT id,at_ms,kind,mid,size,account,sender,recipient,batch,place,sealed FROM event WHERE at_ms>=?1 AND id>=?3 "
/* The numbers first: SQLite would sort whole rows otherwise, with what is sealed in them. */
#define EVENTS_ADDRESS EVENT_COLUMNS "AND id IN (SELECT id FROM event WHERE sender=?2 UNION ALL SELECT id FROM event WHERE recipient=?2" \
	" UNION ALL SELECT event FROM event_more WHERE recipient=?2) ORDER BY id"
#define DAY_COLUMNS "SELECT id,day,domain,batch,place,sealed,upto,target,since_ms,done,(SELECT coalesce(max(o.id),0) FROM observation o WHERE o.day=d.day" \
	" AND o.domain=d.domain) FROM report_day d WHERE day>=?1 AND day<?2 AND (?3=0 OR domain=?3) AND id>?4 "
#define EXPIRE(table, column) "DELETE FROM " table " WHERE id IN (SELECT id FROM " table " WHERE " column "<?1 LIMIT ?2)"
static const char *const text[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_BATCH_ADD] = "INSERT INTO batch(salt) VALUES(?1)",
	[SQL_BATCH_GET] = "SELECT salt FROM batch WHERE id=?1",
	[SQL_EVENT_ADD] = "INSERT INTO event(at_ms,kind,mid,size,account,sender,recipient,batch,place,sealed,id) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
	[SQL_EVENT_MORE_ADD] = "INSERT OR IGNORE INTO event_more(recipient,event) VALUES(?1,?2)", /* one may be named twice */
	[SQL_EVENT_MORE_HAS] = "SELECT 1 FROM event_more WHERE recipient=?1 AND event=?2",
	[SQL_EVENTS_ALL] = EVENT_COLUMNS "ORDER BY id",
	[SQL_EVENTS_MID] = EVENT_COLUMNS "AND mid=?2 ORDER BY id",
	[SQL_EVENTS_ADDRESS] = EVENTS_ADDRESS,
	[SQL_EVENTS_BACK_ALL] = EVENT_COLUMNS "ORDER BY id DESC",
	[SQL_EVENTS_BACK_MID] = EVENT_COLUMNS "AND mid=?2 ORDER BY id DESC",
	[SQL_EVENTS_BACK_ADDRESS] = EVENTS_ADDRESS " DESC",
	[SQL_AUDIT_ADD] = "INSERT INTO audit(number,at_ms,batch,place,sealed,hash) VALUES(?1,?2,?3,?4,?5,?6)",
	[SQL_AUDIT_FROM] = "SELECT number,at_ms,batch,place,sealed,hash FROM audit WHERE number>=?1 ORDER BY number",
	[SQL_AUDIT_LAST] = "SELECT number,hash FROM audit ORDER BY number DESC LIMIT 1",
	[SQL_CHECKPOINT_ADD] = "INSERT OR REPLACE INTO checkpoint(count,hash,signature,public_key) VALUES(?1,?2,?3,?4)",
	[SQL_CHECKPOINTS] = "SELECT count,hash,signature,public_key FROM checkpoint ORDER BY count",
	[SQL_CHECK] = "PRAGMA integrity_check(1)",
	[SQL_SAVEPOINT] = "SAVEPOINT report",
	[SQL_RELEASE] = "RELEASE report",
	[SQL_ROLLBACK_TO] = "ROLLBACK TO report",
	[SQL_REPORT_DAY_PUT] = "INSERT INTO report_day(day,domain,batch,place,sealed) VALUES(?1,?2,?3,?4,?5) ON CONFLICT(day,domain) DO UPDATE SET"
		" batch=excluded.batch, place=excluded.place, sealed=excluded.sealed, done=0",
	[SQL_REPORT_DAY_SET] = "UPDATE report_day SET upto=?2, target=?3, since_ms=?4, done=?5 WHERE id=?1",
	[SQL_REPORT_DAYS] = DAY_COLUMNS "AND done=0 ORDER BY id LIMIT ?5",
	[SQL_REPORT_DAYS_ALL] = DAY_COLUMNS "ORDER BY id LIMIT ?5",
	[SQL_OBSERVATION_ADD] = "INSERT INTO observation(day,domain,count,batch,place,sealed) VALUES(?1,?2,?3,?4,?5,?6)",
	[SQL_OBSERVATIONS] = "SELECT id,day,domain,count,batch,place,sealed FROM observation WHERE day=?1 AND domain=?2 AND id>?3 AND id<=?4 ORDER BY id LIMIT ?5",
	[SQL_OBSERVATIONS_COUNT] = "SELECT count(*) FROM observation WHERE day=?1 AND domain=?2",
	[SQL_REPORT_SENT_PUT] = "INSERT OR REPLACE INTO report_sent(day,domain,part,receiver,state,at_ms,batch,place,sealed) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[SQL_REPORT_SENT_GET] = "SELECT state,at_ms FROM report_sent WHERE day=?1 AND domain=?2 AND part=?3 AND receiver=?4",
	[SQL_REPORTS_SENT] = "SELECT id,day,domain,part,receiver,state,at_ms,batch,place,sealed FROM report_sent WHERE day>=?1 AND day<?2"
		" AND (?3=0 OR domain=?3) ORDER BY day DESC, id LIMIT ?4",
	[SQL_REPORT_ADD] = "INSERT INTO report(kind,verified,domain,same,at_ms,begin_s,end_s,batch,place,sealed) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[SQL_REPORT_SAME] = "SELECT 1 FROM report WHERE same=?1",
	[SQL_REPORTS] = "SELECT id,kind,verified,domain,same,at_ms,begin_s,end_s,batch,place,sealed FROM report WHERE kind=?1 AND (?2=0 OR domain=?2)"
		" AND begin_s>=?3 AND begin_s<?4 AND id>?5 AND verified>=?6 ORDER BY id LIMIT ?7",
	[SQL_REPORT_ROW_ADD] = "INSERT INTO report_row(report,kind,verified,domain,day,count,facts,batch,place,sealed) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[SQL_REPORT_ROWS] = "SELECT id,report,kind,verified,domain,day,count,facts,batch,place,sealed FROM report_row WHERE kind=?1 AND domain=?2"
		" AND day>=?3 AND day<?4 AND id>?5 AND verified>=?6 ORDER BY id LIMIT ?7",
	[SQL_EXPIRE_DAY] = EXPIRE("report_day", "day"),
	[SQL_EXPIRE_OBSERVATION] = EXPIRE("observation", "day"),
	[SQL_EXPIRE_SENT] = EXPIRE("report_sent", "day"),
	[SQL_EXPIRE_REPORT] = EXPIRE("report", "begin_s"),
	[SQL_EXPIRE_ROW] = EXPIRE("report_row", "day"),
};

enum rc sql_fail(struct ledger *l, int e, const char *at, struct why *why)
{
	enum rc rc = RC_IO;
	switch (e & 0xff) {
	case SQLITE_FULL: rc = RC_FULL; break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: rc = RC_BUSY; break;
	case SQLITE_NOMEM: rc = RC_NOMEM; break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: rc = RC_DAMAGED; break;
	default: break;
	}
	return why_fail(why, rc, 0, at, "ledger: %.150s", l->db ? sqlite3_errmsg(l->db) : sqlite3_errstr(e));
}

sqlite3_stmt *sql(struct ledger *l, enum sql which)
{
	sqlite3_reset(l->stmt[which]);
	sqlite3_clear_bindings(l->stmt[which]);
	return l->stmt[which];
}

enum rc sql_done(struct ledger *l, sqlite3_stmt *s, struct why *why)
{
	int e = sqlite3_step(s);
	enum rc rc = e == SQLITE_DONE || e == SQLITE_ROW ? RC_OK : sql_fail(l, e, SQL_AT, why);
	sqlite3_reset(s);
	return rc;
}

enum rc savepoint_end(struct ledger *l, enum rc rc, struct why *why)
{
	struct why unused;
	if (rc == RC_OK)
		return sql_done(l, sql(l, SQL_RELEASE), why);
	if (!sqlite3_get_autocommit(l->db) && sql_done(l, sql(l, SQL_ROLLBACK_TO), &unused) == RC_OK)
		(void)!sql_done(l, sql(l, SQL_RELEASE), &unused);
	return rc;
}

struct str column_run(sqlite3_stmt *s, int i)
{
	const void *p = sqlite3_column_blob(s, i);
	int n = sqlite3_column_bytes(s, i);
	return str_of(p, n > 0 ? (size_t)n : 0);
}

/* ---- batches and their keys ---- */

void ledger_batch_done(struct batch *b)
{
	aead_free(&b->seal);
	mem_wipe(b, sizeof *b);
}

static enum rc batch_key(struct ledger *l, struct batch *b)
{
	struct secret k AUTO(secret_done) = { { 0 } };
	TRY(hkdf(secret_str(l->key), str_of(b->salt, SALT_LEN), STR("letterlock ledger batch"), &k));
	return aead_new(&k, &b->seal);
}

/* SQLite itself takes a transaction back after some failures: then the chain's head goes back with it. */
static void after_failure(struct ledger *l)
{
	if (!sqlite3_get_autocommit(l->db))
		return;
	ledger_batch_done(&l->writing);
	ledger_batch_done(&l->reading);
	l->head = l->committed;
	l->pending = 0;
}

enum rc batch_write(struct ledger *l, struct why *why)
{
	after_failure(l);
	if (l->writing.id)
		return RC_OK;
	struct batch b = { 0 };
	TRY(random_bytes(b.salt, SALT_LEN));
	if (sqlite3_get_autocommit(l->db))
		TRY(sql_done(l, sql(l, SQL_BEGIN), why));
	sqlite3_stmt *s = sql(l, SQL_BATCH_ADD);
	bind_blob(s, 1, str_of(b.salt, SALT_LEN));
	TRY(sql_done(l, s, why));
	b.id = sqlite3_last_insert_rowid(l->db);
	enum rc rc = batch_key(l, &b);
	if (rc != RC_OK)
		FAIL(why, rc, "ledger: no key for a batch");
	l->writing = b;
	return RC_OK;
}

enum rc batch_read(struct ledger *l, int64_t id, struct why *why)
{
	if (l->reading.id == id)
		return RC_OK;
	ledger_batch_done(&l->reading);
	sqlite3_stmt *s = sql(l, SQL_BATCH_GET);
	sqlite3_bind_int64(s, 1, id);
	int e = sqlite3_step(s);
	if (e != SQLITE_ROW && e != SQLITE_DONE)
		return sql_fail(l, e, SQL_AT, why);
	struct str salt = e == SQLITE_ROW ? column_run(s, 0) : STR("");
	if (salt.n != SALT_LEN)
		FAIL(why, RC_DAMAGED, "ledger: batch %lld is missing", (long long)id);
	memcpy(l->reading.salt, salt.p, SALT_LEN);
	sqlite3_reset(s);
	TRY(batch_key(l, &l->reading));
	l->reading.id = id;
	return RC_OK;
}

enum rc row_seal(struct ledger *l, struct str aad, struct str plain, struct buf *out)
{
	if (!buf_room(out, plain.n + TAG_LEN))
		return RC_NOMEM;
	TRY(aead_seal_with(l->writing.seal, l->writing.next++, aad, plain, (uint8_t *)out->p + out->len));
	out->len += plain.n + TAG_LEN;
	return RC_OK;
}

enum rc row_open(struct ledger *l, uint64_t nonce, struct str aad, struct str sealed, struct buf *out)
{
	if (sealed.n < TAG_LEN || sealed.n > LEDGER_TEXT_MAX + 64 + TAG_LEN)
		return RC_DAMAGED;
	buf_clear(out);
	if (!buf_room(out, sealed.n))
		return RC_NOMEM;
	TRY(aead_open_with(l->reading.seal, nonce, aad, sealed, (uint8_t *)out->p));
	out->len = sealed.n - TAG_LEN;
	return RC_OK;
}

enum rc ledger_flush(struct ledger *l, struct why *why)
{
	if (!sqlite3_get_autocommit(l->db)) {
		enum rc rc = sql_done(l, sql(l, SQL_COMMIT), why);
		if (rc != RC_OK) {
			after_failure(l); /* a transaction that is still open is tried again next time */
			return rc;
		}
	}
	ledger_batch_done(&l->writing);
	l->committed = l->head;
	l->pending = 0;
	return RC_OK;
}

/* ---- opening ---- */

static enum rc exec(struct ledger *l, const char *what, struct why *why)
{
	int e = sqlite3_exec(l->db, what, NULL, NULL, NULL);
	return e == SQLITE_OK ? RC_OK : sql_fail(l, e, SQL_AT, why);
}

static enum rc one_value(struct ledger *l, const char *what, int64_t *out, struct why *why)
{
	sqlite3_stmt *s = NULL;
	int e = sqlite3_prepare_v2(l->db, what, -1, &s, NULL);
	if (e == SQLITE_OK)
		e = sqlite3_step(s);
	if (e == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	enum rc rc = e == SQLITE_ROW ? RC_OK : sql_fail(l, e, SQL_AT, why);
	sqlite3_finalize(s);
	return rc;
}

static enum rc make_schema(struct ledger *l, struct why *why)
{
	uint8_t salt[SALT_LEN], tag[HASH_LEN];
	sqlite3_stmt *s = NULL;
	TRY(random_bytes(salt, SALT_LEN));
	TRY(hmac_sha256(l->key, str_of(salt, SALT_LEN), tag));
	TRY(exec(l, "BEGIN IMMEDIATE", why));
	TRY(exec(l, schema, why));
	int e = sqlite3_prepare_v2(l->db, "INSERT INTO meta(one,salt,tag) VALUES(1,?1,?2)", -1, &s, NULL);
	if (e == SQLITE_OK) {
		bind_blob(s, 1, str_of(salt, SALT_LEN));
		bind_blob(s, 2, str_of(tag, HASH_LEN));
		e = sqlite3_step(s);
	}
	enum rc rc = e == SQLITE_DONE ? RC_OK : sql_fail(l, e, SQL_AT, why);
	sqlite3_finalize(s);
	TRY(rc);
	return exec(l, "COMMIT", why);
}

/* Is this the key that the ledger was made under? */
static enum rc check_key(struct ledger *l, struct why *why)
{
	sqlite3_stmt *s = NULL;
	uint8_t tag[HASH_LEN] = { 0 };
	int e = sqlite3_prepare_v2(l->db, "SELECT salt,tag FROM meta", -1, &s, NULL);
	if (e == SQLITE_OK)
		e = sqlite3_step(s);
	bool fits = e == SQLITE_ROW && hmac_sha256(l->key, column_run(s, 0), tag) == RC_OK && column_run(s, 1).n == HASH_LEN &&
	            ct_eq(tag, column_run(s, 1).p, HASH_LEN);
	enum rc rc = e == SQLITE_ROW || e == SQLITE_DONE ? RC_OK : sql_fail(l, e, SQL_AT, why);
	sqlite3_finalize(s);
	TRY(rc);
	if (!fits)
		FAIL(why, RC_DENIED, "the ledger was written under another key");
	return RC_OK;
}

static enum rc load_head(struct ledger *l, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_AUDIT_LAST);
	int e = sqlite3_step(s);
	if (e == SQLITE_ROW && column_run(s, 1).n == HASH_LEN) {
		l->head.count = (uint64_t)sqlite3_column_int64(s, 0);
		memcpy(l->head.hash, column_run(s, 1).p, HASH_LEN);
	} else if (e != SQLITE_DONE) {
		return e == SQLITE_ROW ? why_fail(why, RC_DAMAGED, 0, SQL_AT, "ledger: the last audit entry is damaged") : sql_fail(l, e, SQL_AT, why);
	}
	sqlite3_reset(s);
	l->committed = l->head;
	return RC_OK;
}

static enum rc set_up(struct ledger *l, const char *path, struct why *why)
{
	/* SQLite would make the file as the umask allows. */
	int fd AUTO(fd_close) = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		FAIL_SYS(why, "cannot open the ledger");
	int e = sqlite3_open_v2(path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (e != SQLITE_OK)
		return sql_fail(l, e, SQL_AT, why);
	sqlite3_extended_result_codes(l->db, 1);
	sqlite3_busy_timeout(l->db, 250);
	int64_t version = 0;
	TRY(exec(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;"
	            "PRAGMA cell_size_check=ON; PRAGMA cache_size=-2000;", why));
	TRY(one_value(l, "PRAGMA user_version", &version, why));
	if (version > SCHEMA)
		FAIL(why, RC_DENIED, "the ledger was written by a newer version (format %lld)", (long long)version);
	if (version == 0)
		TRY(make_schema(l, why));
	TRY(check_key(l, why));
	if (version < 2)
		TRY(exec(l, schema_2, why));
	if (version < 3)
		TRY(exec(l, schema_3, why));
	for (unsigned i = 0; i < SQL_COUNT; i++) {
		e = sqlite3_prepare_v3(l->db, text[i], -1, SQLITE_PREPARE_PERSISTENT, &l->stmt[i], NULL);
		if (e != SQLITE_OK)
			return sql_fail(l, e, SQL_AT, why);
	}
	TRY(one_value(l, "SELECT coalesce(max(id),0)+1 FROM event", &l->next_event, why));
	return load_head(l, why);
}

enum rc ledger_open_with(const char *dir, const struct secret *key, struct ledger **out, struct why *why)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/ledger.db", dir);
	if (n < 0 || (size_t)n >= sizeof path)
		FAIL(why, RC_LIMIT, "the ledger's path is too long");
	TRY(sqlite_load(why));
	struct ledger *l AUTO(ledger_close) = mem_new(sizeof *l);
	if (!l)
		return RC_NOMEM;
	l->key = secret_new();
	l->tag_key = secret_new();
	l->tags = mem_new(TAGS * sizeof *l->tags);
	if (!l->tags)
		return RC_NOMEM;
	if (!l->key || !l->tag_key)
		FAIL(why, RC_NOMEM, "no locked memory for the ledger's key");
	*l->key = *key;
	TRY(hkdf(secret_str(key), STR(""), STR("letterlock ledger tags"), l->tag_key));
	TRY(dir_make(dir, 0700, why));
	TRY(set_up(l, path, why));
	*out = l;
	l = NULL;
	return RC_OK;
}

void ledger_close(struct ledger **l)
{
	if (!*l)
		return;
	if ((*l)->stmt[SQL_COMMIT] && ledger_flush(*l, NULL) != RC_OK)
		sqlite3_exec((*l)->db, "ROLLBACK", NULL, NULL, NULL);
	for (unsigned i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize((*l)->stmt[i]);
	sqlite3_close((*l)->db);
	ledger_batch_done(&(*l)->writing);
	ledger_batch_done(&(*l)->reading);
	secret_free(&(*l)->key);
	secret_free(&(*l)->tag_key);
	if ((*l)->tags)
		mem_wipe((*l)->tags, TAGS * sizeof *(*l)->tags);
	mem_free((*l)->tags);
	mem_free(*l);
	*l = NULL;
}

enum rc ledger_backup(struct ledger *l, const char *to_path, struct why *why)
{
	sqlite3 *to = NULL;
	TRY(ledger_flush(l, why));
	int fd AUTO(fd_close) = open(to_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		FAIL_SYS(why, "cannot make the ledger's copy");
	int e = sqlite3_open_v2(to_path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	sqlite3_backup *b = e == SQLITE_OK ? sqlite3_backup_init(to, "main", l->db, "main") : NULL;
	if (b) {
		(void)sqlite3_backup_step(b, -1);
		e = sqlite3_backup_finish(b);
	} else if (e == SQLITE_OK) {
		e = sqlite3_errcode(to);
	}
	if (e == SQLITE_OK) /* one file that needs no other beside it */
		e = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	enum rc rc = RC_OK;
	if (e != SQLITE_OK) {
		(void)sql_fail(l, e, SQL_AT, why);
		rc = why_fail(why, (e & 0xff) == SQLITE_FULL ? RC_FULL : RC_IO, 0, SQL_AT, "ledger copy: %.150s", to ? sqlite3_errmsg(to) : sqlite3_errstr(e));
	}
	sqlite3_close(to);
	if (rc == RC_OK && fsync(fd) < 0)
		FAIL_SYS(why, "fsync of the ledger's copy");
	return rc;
}
