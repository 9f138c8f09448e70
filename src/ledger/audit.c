#include "ledger/internal.h"

#include "base/mem.h"
#include "ledger/pack.h"
#include "ledger/report.h"

/* The chain: hash(n) = SHA-256(label, hash(n - 1), number, time, the batch's salt, place, sealed texts). It is over the sealed bytes,
 * so whoever checks it needs no key for that. */
enum { AUDIT_TEXTS = 5 };

static void aad_of(uint64_t number, int64_t at_ms, int64_t batch, uint64_t place, struct buf *out)
{
	buf_add(out, STR("audit"));
	buf_u64(out, number);
	buf_u64(out, (uint64_t)at_ms);
	buf_u64(out, (uint64_t)batch);
	buf_u64(out, place);
}

static enum rc link_hash(const struct chain *prev, int64_t at_ms, const uint8_t salt[SALT_LEN], uint64_t place, struct str sealed,
                         uint8_t out[HASH_LEN])
{
	struct buf b AUTO(buf_done);
	buf_init(&b, sealed.n + 256);
	buf_add(&b, STR("letterlock audit 1"));
	buf_add(&b, str_of(prev->hash, HASH_LEN));
	buf_u64(&b, prev->count + 1);
	buf_u64(&b, (uint64_t)at_ms);
	buf_add(&b, str_of(salt, SALT_LEN));
	buf_u64(&b, place);
	buf_run(&b, sealed);
	return b.failed ? RC_NOMEM : sha256(buf_str(&b), out);
}

static enum rc insert(struct ledger *l, const struct chain *next, int64_t at_ms, uint64_t place, struct str sealed, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_AUDIT_ADD);
	sqlite3_bind_int64(s, 1, (int64_t)next->count);
	sqlite3_bind_int64(s, 2, at_ms);
	sqlite3_bind_int64(s, 3, l->writing.id);
	sqlite3_bind_int64(s, 4, (int64_t)place);
	bind_blob(s, 5, sealed);
	bind_blob(s, 6, str_of(next->hash, HASH_LEN));
	return sql_done(l, s, why);
}

enum rc ledger_audit(struct ledger *l, int64_t at_ms, struct str who, struct str from, struct str what, struct str before,
                     struct str after, struct why *why)
{
	struct buf plain AUTO(buf_wipe), sealed AUTO(buf_done), aad AUTO(buf_done);
	buf_init(&plain, LEDGER_TEXT_MAX + 64);
	buf_init(&sealed, LEDGER_TEXT_MAX + 128);
	buf_init(&aad, 128);
	const struct str texts[AUDIT_TEXTS] = { who, from, what, before, after };
	TRY(pack(texts, AUDIT_TEXTS, &plain, why));
	TRY(batch_write(l, why));
	struct chain next = { .count = l->head.count + 1 };
	uint64_t place = l->writing.next;
	aad_of(next.count, at_ms, l->writing.id, place, &aad);
	if (aad.failed)
		return RC_NOMEM;
	TRY(row_seal(l, buf_str(&aad), buf_str(&plain), &sealed));
	TRY(link_hash(&l->head, at_ms, l->writing.salt, place, buf_str(&sealed), next.hash));
	TRY(insert(l, &next, at_ms, place, buf_str(&sealed), why));
	l->head = next;
	return ++l->pending >= PENDING_MAX ? ledger_flush(l, why) : RC_OK;
}

/* A row as it is stored, its texts opened into `plain`. */
struct row { struct ledger_entry e; uint64_t place; struct str sealed, hash; };
static enum rc open_row(struct ledger *l, sqlite3_stmt *s, struct buf *plain, struct row *out, struct why *why)
{
	struct row r = { .e.number = (uint64_t)sqlite3_column_int64(s, 0), .e.at_ms = sqlite3_column_int64(s, 1),
		         .place = (uint64_t)sqlite3_column_int64(s, 3), .sealed = column_run(s, 4), .hash = column_run(s, 5) };
	int64_t batch = sqlite3_column_int64(s, 2);
	struct buf aad AUTO(buf_done);
	struct str t[AUDIT_TEXTS];
	buf_init(&aad, 128);
	aad_of(r.e.number, r.e.at_ms, batch, r.place, &aad);
	if (aad.failed)
		return RC_NOMEM;
	TRY(batch_read(l, batch, why));
	enum rc rc = row_open(l, r.place, buf_str(&aad), r.sealed, plain);
	if (rc == RC_OK && !unpack(buf_str(plain), t, AUDIT_TEXTS))
		rc = RC_DAMAGED;
	if (rc == RC_DAMAGED)
		FAIL(why, rc, "audit entry %llu is damaged: its seal does not open", (unsigned long long)r.e.number);
	TRY(rc);
	r.e.who = t[0], r.e.from = t[1], r.e.what = t[2], r.e.before = t[3], r.e.after = t[4];
	*out = r;
	return RC_OK;
}

enum rc ledger_entries(struct ledger *l, uint64_t first, unsigned max, bool (*each)(void *arg, const struct ledger_entry *e), void *arg,
                       struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_AUDIT_FROM);
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, LEDGER_TEXT_MAX + 128);
	sqlite3_bind_int64(s, 1, first > INT64_MAX ? INT64_MAX : (int64_t)first);
	enum rc rc = RC_OK;
	int step = SQLITE_DONE;
	while (max-- && (step = sqlite3_step(s)) == SQLITE_ROW) {
		struct row r;
		rc = open_row(l, s, &plain, &r, why);
		if (rc != RC_OK || !each(arg, &r.e))
			break;
	}
	if (rc == RC_OK && step != SQLITE_ROW && step != SQLITE_DONE)
		rc = sql_fail(l, step, SQL_AT, why);
	sqlite3_reset(s);
	return rc;
}

enum rc ledger_head(struct ledger *l, uint64_t *out_count, uint8_t out_hash[32], struct why *why)
{
	TRY(ledger_flush(l, why)); /* nobody signs what a power cut could take back */
	*out_count = l->head.count;
	memcpy(out_hash, l->head.hash, HASH_LEN);
	return RC_OK;
}

static enum rc check_signature(uint64_t count, const uint8_t *hash, const uint8_t *signature, const uint8_t *public_key)
{
	uint8_t text[8 + HASH_LEN];
	for (unsigned i = 0; i < 8; i++)
		text[i] = (uint8_t)(count >> (56 - 8 * i));
	memcpy(text + 8, hash, HASH_LEN);
	return ed25519_verify(public_key, str_of(text, sizeof text), signature);
}

enum rc ledger_checkpoint(struct ledger *l, uint64_t count, const uint8_t hash[32], const uint8_t signature[64], const uint8_t public_key[32],
                          struct why *why)
{
	if (check_signature(count, hash, signature, public_key) != RC_OK)
		FAIL(why, RC_DAMAGED, "the checkpoint's signature is wrong");
	if (count > l->committed.count)
		FAIL(why, RC_DAMAGED, "a checkpoint past the end of the audit log");
	sqlite3_stmt *s = sql(l, SQL_CHECKPOINT_ADD);
	sqlite3_bind_int64(s, 1, (int64_t)count);
	bind_blob(s, 2, str_of(hash, HASH_LEN));
	bind_blob(s, 3, str_of(signature, 64));
	bind_blob(s, 4, str_of(public_key, PUB_LEN));
	TRY(sql_done(l, s, why));
	return ledger_flush(l, why);
}

/* ---- verify ---- */

/* The next checkpoint that is to be compared, in order of its count; count 0 = no more. */
struct marks { sqlite3_stmt *s; const uint8_t *signer; uint8_t key[PUB_LEN]; bool have_key; uint64_t count; uint8_t hash[HASH_LEN]; };

static enum rc next_mark(struct ledger *l, struct marks *m, struct why *why)
{
	int e = sqlite3_step(m->s);
	m->count = 0;
	if (e == SQLITE_DONE)
		return RC_OK;
	if (e != SQLITE_ROW)
		return sql_fail(l, e, SQL_AT, why);
	uint64_t count = (uint64_t)sqlite3_column_int64(m->s, 0);
	struct str hash = column_run(m->s, 1), sig = column_run(m->s, 2), key = column_run(m->s, 3);
	if (count == 0 || hash.n != HASH_LEN || sig.n != 64 || key.n != PUB_LEN ||
	    check_signature(count, (const uint8_t *)hash.p, (const uint8_t *)sig.p, (const uint8_t *)key.p) != RC_OK)
		FAIL(why, RC_DAMAGED, "the checkpoint at audit entry %llu is damaged: its signature is wrong", (unsigned long long)count);
	const uint8_t *want = m->signer ? m->signer : m->have_key ? m->key : NULL;
	if (want && !ct_eq(want, key.p, PUB_LEN))
		FAIL(why, RC_DAMAGED, "the checkpoint at audit entry %llu is signed by another key", (unsigned long long)count);
	memcpy(m->key, key.p, PUB_LEN);
	m->have_key = true;
	m->count = count;
	memcpy(m->hash, hash.p, HASH_LEN);
	return RC_OK;
}

/* One audit row against the chain so far and the checkpoint that may stand at it. */
static enum rc verify_row(struct ledger *l, struct chain *c, struct marks *m, sqlite3_stmt *s, struct buf *plain, struct why *why)
{
	struct row r;
	uint8_t hash[HASH_LEN];
	if ((uint64_t)sqlite3_column_int64(s, 0) != c->count + 1)
		FAIL(why, RC_DAMAGED, "audit entry %llu is missing", (unsigned long long)c->count + 1);
	TRY(open_row(l, s, plain, &r, why));
	TRY(link_hash(c, r.e.at_ms, l->reading.salt, r.place, r.sealed, hash));
	if (r.hash.n != HASH_LEN || !ct_eq(hash, r.hash.p, HASH_LEN))
		FAIL(why, RC_DAMAGED, "audit entry %llu is damaged: the hash chain breaks there", (unsigned long long)r.e.number);
	c->count++;
	memcpy(c->hash, hash, HASH_LEN);
	if (m->count != c->count)
		return RC_OK;
	if (!ct_eq(m->hash, hash, HASH_LEN))
		FAIL(why, RC_DAMAGED, "audit entry %llu is not the one that the checkpoint signed", (unsigned long long)c->count);
	return next_mark(l, m, why);
}

static enum rc verify_chain(struct ledger *l, const uint8_t *signer, struct chain *out, struct why *why)
{
	struct chain c = { 0 };
	struct marks m = { .s = sql(l, SQL_CHECKPOINTS), .signer = signer };
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, LEDGER_TEXT_MAX + 128);
	TRY(next_mark(l, &m, why));
	sqlite3_stmt *s = sql(l, SQL_AUDIT_FROM);
	sqlite3_bind_int64(s, 1, INT64_MIN);
	int e;
	while ((e = sqlite3_step(s)) == SQLITE_ROW)
		TRY(verify_row(l, &c, &m, s, &plain, why));
	if (e != SQLITE_DONE)
		return sql_fail(l, e, SQL_AT, why);
	if (m.count)
		FAIL(why, RC_DAMAGED, "audit entry %llu is missing: a checkpoint signed it", (unsigned long long)m.count);
	*out = c;
	return RC_OK;
}

static enum rc verify(struct ledger *l, const uint8_t *signer, uint64_t *out_entries, struct why *why)
{
	struct chain c = { 0 };
	sqlite3_stmt *s = sql(l, SQL_CHECK);
	int e = sqlite3_step(s);
	if (e != SQLITE_ROW)
		return sql_fail(l, e, SQL_AT, why);
	if (!str_eq(column_run(s, 0), STR("ok"))) {
		enum rc rc = why_fail(why, RC_DAMAGED, 0, SQL_AT, "ledger: %.150s", (const char *)sqlite3_column_text(s, 0));
		sqlite3_reset(s);
		return rc;
	}
	sqlite3_reset(s);
	enum rc rc = verify_chain(l, signer, &c, why);
	sqlite3_reset(l->stmt[SQL_AUDIT_FROM]);
	sqlite3_reset(l->stmt[SQL_CHECKPOINTS]);
	TRY(rc);
	TRY(ledger_events_verify(l, why));
	TRY(ledger_reports_verify(l, why));
	*out_entries = c.count;
	return RC_OK;
}

enum rc ledger_verify(struct ledger *l, uint64_t *out_entries, struct why *why) { return verify(l, NULL, out_entries, why); }

enum rc ledger_verify_signer(struct ledger *l, const uint8_t signer[32], uint64_t *out_entries, struct why *why)
{
	return verify(l, signer, out_entries, why);
}
