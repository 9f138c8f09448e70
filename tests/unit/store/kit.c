#include "unit/store/kit.h"

#include "store/view.h"
#include "unit/store/tree.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define OK(call)                                                                                        \
	do {                                                                                            \
		enum rc ok_rc = (call);                                                                 \
		if (ok_rc != RC_OK)                                                                     \
			fail_msg("%s: %s (%s)", #call, rc_name(ok_rc), k->why.text);                    \
	} while (0)

void kit_open_in(struct kit *k, const char *parent)
{
	*k = (struct kit){ 0 };
	(void)snprintf(k->dir, sizeof k->dir, "%s/llstore.XXXXXX", parent);
	assert_non_null(mkdtemp(k->dir));
	k->o = (struct store_options){ .dir = k->dir, .map_size = 1ull << 30, .grace_ms = -1 };
	OK(store_open(NULL, &k->o, &k->s, &k->why));
	OK(domain_add(k->s, STR("example.org"), &k->why));
	OK(x25519_pair(&k->owner_private, k->owner_public));
	OK(random_bytes(k->epoch_key.k, KEY_LEN));
	OK(random_bytes(&k->epoch, sizeof k->epoch));
	OK(epoch_keys_new(&k->epoch_key, &k->keys));
}

void kit_open(struct kit *k) { kit_open_in(k, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); }

void kit_reopen(struct kit *k)
{
	store_close(&k->s);
	OK(store_open(NULL, &k->o, &k->s, &k->why));
}

void kit_remove_tree(const char *path) { tree_remove(path); }

void kit_done(struct kit *k)
{
	store_close(&k->s);
	epoch_keys_free(&k->keys);
	kit_remove_tree(k->dir);
}

void kit_account(struct kit *k, uint64_t id, const char *address, uint64_t quota)
{
	struct account a = { .id = id, .address = str_z(address), .name = STR("A Person"), .quota = quota };
	memcpy(a.public_key, k->owner_public, PUB_LEN);
	OK(account_add(k->s, &a, &k->why));
}

enum { COPIES = 64 };

enum rc kit_deliver_out(struct kit *k, uint64_t delivery, struct str plain, const struct kit_copy *c, size_t n, const struct queue_put *puts, size_t put_n,
                        const struct sent_note *sent, struct store_copy_result *out, uint64_t *letters)
{
	uint64_t owner = n ? c[0].account : 1;
	struct blob_id id;
	struct secret body_key;
	struct buf body, records[COPIES], grams[COPIES], epoch;
	struct store_copy copies[COPIES] = { 0 };
	assert_true(n <= COPIES);
	OK(blob_id_new(&id));
	OK(random_bytes(body_key.k, KEY_LEN));
	buf_init(&body, (size_t)256 << 20);
	buf_init(&epoch, 1024);
	OK(blob_seal(&body_key, &id, owner, plain, &body));
	OK(epoch_seal(&k->epoch_key, owner, k->epoch, k->owner_public, &epoch));
	for (size_t i = 0; i < n; i++) {
		struct record_clear clear = { .internal_ms = 1000, .save_ms = 2000, .blob = id, .owner = c[i].account, .epoch = k->epoch, .nonce = k->nonce++ };
		struct record_secret secret = { STR("(envelope)"), STR("(structure)"), STR("(parts)"), STR("preview"), STR("fields"), body_key };
		OK(random_bytes(&clear.email_id, sizeof clear.email_id));
		buf_init(&records[i], 65536);
		buf_init(&grams[i], 65536);
		OK(record_seal(k->keys, &clear, &secret, &records[i]));
		OK(grams_seal(k->keys, &clear, STR("the signature"), &grams[i]));
		copies[i] = (struct store_copy){ .account = c[i].account, .box = c[i].box, .flags = c[i].flags, .keywords = &c[i].keyword,
			                         .keyword_n = c[i].keyword.n ? 1 : 0, .size = plain.n, .email_id = clear.email_id,
			                         .record = buf_str(&records[i]), .grams = buf_str(&grams[i]) };
	}
	struct store_epoch e = { owner, k->epoch, buf_str(&epoch) };
	enum rc rc = store_deliver_out(k->s, delivery, &id, buf_str(&body), &e, n ? 1 : 0, copies, n, puts, put_n, sent, out, letters, &k->why);
	for (size_t i = 0; i < n; i++) {
		buf_done(&records[i]);
		buf_done(&grams[i]);
	}
	buf_done(&body);
	buf_done(&epoch);
	return rc;
}

enum rc kit_deliver(struct kit *k, uint64_t delivery, struct str plain, const struct kit_copy *c, size_t n, struct store_copy_result *out)
{
	return kit_deliver_out(k, delivery, plain, c, n, NULL, 0, NULL, out, NULL);
}

uint64_t kit_letter(struct kit *k, size_t rows)
{
	struct queue_row *r = calloc(rows, sizeof *r);
	struct queue_put put = { STR("a sealed letter"), r, rows };
	uint64_t letter = 0;
	for (size_t i = 0; i < rows; i++)
		r[i] = (struct queue_row){ .state = QUEUE_READY, .priority = 4, .lane = i % 3, .created_ms = 1000, .due_ms = 1000, .expires_ms = 9000, .sealed = STR("sealed row") };
	OK(kit_deliver_out(k, 0, STR("a message that goes out"), NULL, 0, &put, 1, NULL, NULL, &letter));
	free(r);
	return letter;
}

void kit_queue(struct kit *k, bool done, struct buf *out)
{
	struct view *v;
	struct buf page;
	uint64_t letter = 0;
	uint32_t n = 0;
	OK(view_open(k->dir, k->o.map_size, &v, &k->why));
	buf_init(&page, 1 << 20);
	buf_clear(out);
	do {
		struct queue_row r;
		buf_clear(&page);
		OK(view_queue(v, done, letter, n, 200, &page, &letter, &n, &k->why));
		struct cursor c = cursor_of(buf_str(&page));
		while (c.in.n) {
			OK(queue_row_get(&c, &r));
			buf_addf(out, "%s%llu.%u:%u:%u", out->len ? " " : "", (unsigned long long)r.letter, r.n, r.version, r.state);
		}
	} while (letter);
	buf_done(&page);
	view_close(&v);
}

static enum rc read_body(struct kit *k, const struct blob_place *p, const struct secret *key, struct buf *out)
{
	char path[128];
	int fd = -1;
	(void)snprintf(path, sizeof path, "%s/segments", k->dir);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	enum rc rc = segment_open(dir, p->segment, &fd, &k->why);
	(void)close(dir);
	if (rc != RC_OK)
		return rc;
	char *bytes = malloc(p->length);
	assert_int_equal(pread(fd, bytes, p->length, (off_t)p->offset), (ssize_t)p->length);
	(void)close(fd);
	struct str stored = str_of(bytes, p->length);
	struct blob_header h;
	size_t need;
	rc = blob_header_parse(stored, &h, &need, &k->why);
	for (uint32_t i = 0; rc == RC_OK && i < h.chunks; i++) {
		uint64_t off;
		uint32_t len;
		rc = blob_chunk_at(stored, &h, i, &off, &len);
		if (rc == RC_OK)
			rc = blob_chunk_open(key, &h, i, str_head(str_skip(stored, off), len), out);
	}
	free(bytes);
	return rc;
}

enum rc kit_read(struct kit *k, uint64_t account, uint64_t box, uint32_t uid, struct buf *out)
{
	struct view *v;
	struct buf rows, scratch;
	uint32_t next;
	OK(view_open(k->dir, k->o.map_size, &v, &k->why));
	buf_init(&rows, 1 << 20);
	buf_init(&scratch, 1 << 20);
	struct uid_range r = { uid, uid };
	enum rc rc = view_rows(v, account, box, &r, 1, ROW_STATE | ROW_RECORD | ROW_GRAMS | ROW_PLACE, 1 << 20, &rows, &next, &k->why);
	struct row row;
	struct cursor c = cursor_of(buf_str(&rows));
	if (rc == RC_OK)
		rc = row_next(&c, ROW_STATE | ROW_RECORD | ROW_GRAMS | ROW_PLACE, &row);
	struct record_clear clear;
	struct record_secret secret;
	struct str sealed;
	if (rc == RC_OK)
		rc = row.damaged ? RC_DAMAGED : record_clear_parse(row.record, &clear, &sealed);
	if (rc == RC_OK)
		rc = record_open(k->keys, &clear, sealed, &scratch, &secret);
	if (rc == RC_OK)
		rc = read_body(k, &row.place, &secret.body_key, out);
	view_close(&v);
	buf_done(&rows);
	buf_done(&scratch);
	return rc;
}

uint64_t kit_box(struct kit *k, uint64_t account, const char *name)
{
	struct view *v;
	struct arena a;
	struct box_info b = { 0 };
	arena_init(&a, 1 << 20);
	OK(view_open(k->dir, k->o.map_size, &v, &k->why));
	enum rc rc = view_box_named(v, account, str_z(name), &a, &b, &k->why);
	view_close(&v);
	arena_done(&a);
	return rc == RC_OK ? b.id : 0;
}

static void note(void *arg, const char *what)
{
	struct buf *b = arg;
	if (b)
		buf_addf(b, "%s\n", what);
}

uint64_t kit_verify(const char *dir, struct buf *list, struct verify_report *out)
{
	struct verify_report r = { 0 };
	struct why why = { 0 };
	enum rc rc = store_verify(dir, note, list, &r, &why);
	if (rc != RC_OK && rc != RC_DAMAGED)
		fail_msg("verify: %s (%s)", rc_name(rc), why.text);
	if (out)
		*out = r;
	return r.damaged;
}

void kit_list(struct kit *k, uint64_t account, uint64_t box, struct buf *out)
{
	struct view *v;
	struct buf rows;
	uint32_t next = 1;
	OK(view_open(k->dir, k->o.map_size, &v, &k->why));
	buf_clear(out);
	while (next) {
		buf_init(&rows, 1 << 20);
		struct uid_range r = { next, UINT32_MAX };
		OK(view_rows(v, account, box, &r, 1, ROW_STATE, 1 << 16, &rows, &next, &k->why));
		struct cursor c = cursor_of(buf_str(&rows));
		struct row row;
		while (row_next(&c, ROW_STATE, &row) == RC_OK)
			buf_addf(out, "%s%u:%u", out->len ? " " : "", row.uid, row.flags);
		buf_done(&rows);
	}
	view_close(&v);
}

void kit_end_sound(struct kit *k)
{
	struct buf b = { .max = 1 << 20 };
	uint64_t damaged = kit_verify(k->dir, &b, NULL);
	if (damaged)
		fail_msg("%.*s", PSTR(str_head(buf_str(&b), 600)));
	buf_done(&b);
	kit_done(k);
}
