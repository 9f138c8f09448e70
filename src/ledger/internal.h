#pragma once
#include "ledger/ledger.h"
#include "base/buf.h"
#include "ledger/sqlite.h"

/* Prepared once, by number; the text is in ledger.c. */
enum sql {
	SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_BATCH_ADD, SQL_BATCH_GET, SQL_EVENT_ADD, SQL_EVENT_MORE_ADD, SQL_EVENTS_ALL, SQL_EVENTS_MID, SQL_EVENTS_ADDRESS,
	SQL_EVENTS_BACK_ALL, SQL_EVENTS_BACK_MID, SQL_EVENTS_BACK_ADDRESS,
	SQL_AUDIT_ADD, SQL_AUDIT_FROM, SQL_AUDIT_LAST, SQL_CHECKPOINT_ADD, SQL_CHECKPOINTS, SQL_CHECK, SQL_EVENT_MORE_HAS,
	SQL_SAVEPOINT, SQL_RELEASE, SQL_ROLLBACK_TO, SQL_REPORT_DAY_PUT, SQL_REPORT_DAY_SET, SQL_REPORT_DAYS, SQL_REPORT_DAYS_ALL, SQL_OBSERVATION_ADD,
	SQL_OBSERVATIONS, SQL_OBSERVATIONS_COUNT, SQL_REPORT_SENT_PUT, SQL_REPORT_SENT_GET, SQL_REPORTS_SENT, SQL_REPORT_ADD, SQL_REPORT_SAME, SQL_REPORTS,
	SQL_REPORT_ROW_ADD, SQL_REPORT_ROWS, SQL_EXPIRE_DAY, SQL_EXPIRE_OBSERVATION, SQL_EXPIRE_SENT, SQL_EXPIRE_REPORT, SQL_EXPIRE_ROW,
	SQL_COUNT
};
struct chain { uint64_t count; uint8_t hash[HASH_LEN]; };
enum { SALT_LEN = 16, PENDING_MAX = 5000 };
struct batch { int64_t id; uint64_t next; uint8_t salt[SALT_LEN]; struct aead *seal; }; /* id 0 = none */
/* The tag of an address met a moment ago: a sender with ten recipients is hashed once. The addresses are in this memory anyway. */
enum { TAGS = 2048, TAG_TEXT_MAX = 120 };
struct tag { int64_t tag; unsigned char n; char text[TAG_TEXT_MAX]; };
struct ledger {
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_COUNT];
	struct secret *key, *tag_key;
	struct batch writing, reading;
	unsigned pending;
	int64_t next_event;            /* the id of the next one */
	struct tag *tags;              /* TAGS of them, by a checksum of the text */
	struct chain head, committed;  /* of the audit log: with and without the open transaction */
};
enum rc sql_fail(struct ledger *l, int e, const char *at, struct why *why);
#define SQL_AT __FILE__ ":" WHY_STR(__LINE__)
sqlite3_stmt *sql(struct ledger *l, enum sql which);              /* reset, no bindings left */
MUST_USE enum rc sql_done(struct ledger *l, sqlite3_stmt *s, struct why *why); /* runs a statement that gives no row */
static inline void bind_str(sqlite3_stmt *s, int i, struct str v) { sqlite3_bind_text64(s, i, v.p, v.n, SQLITE_STATIC, SQLITE_UTF8); }
static inline void bind_blob(sqlite3_stmt *s, int i, struct str v) { sqlite3_bind_blob64(s, i, v.p, v.n, SQLITE_STATIC); }
/* After SQL_SAVEPOINT: keeps what came since, or takes it back and answers with the failure it is given. */
MUST_USE enum rc savepoint_end(struct ledger *l, enum rc rc, struct why *why);
struct str column_run(sqlite3_stmt *s, int i);                    /* text or blob, until the next step */

MUST_USE enum rc ledger_events_verify(struct ledger *l, struct why *why); /* opens each, and looks whether its recipients can be found */
MUST_USE enum rc batch_write(struct ledger *l, struct why *why);  /* an open transaction with a batch; its key in l->writing */
MUST_USE enum rc batch_read(struct ledger *l, int64_t id, struct why *why); /* its key in l->reading */
void ledger_batch_done(struct batch *b);
/* A row's place in its batch is its nonce; every batch has a key of its own, from a random salt. */
MUST_USE enum rc row_seal(struct ledger *l, struct str aad, struct str plain, struct buf *out);
MUST_USE enum rc row_open(struct ledger *l, uint64_t nonce, struct str aad, struct str sealed, struct buf *out);
