#include "vault/file.h"

#include "base/mem.h"
#include "os/file.h"
#include "vault/format.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

const char vault_file_name[] = "keys";
enum { FILE_MAX = 1 << 30, COMPACT_FROM = 256 * 1024, RECORDS_MAX = 4 << 20 };

struct entry { uint8_t key[9]; uint64_t version; size_t length; char frame[]; };
struct vault_file {
	int dir, fd;
	bool read_only;
	bool unsure;                   /* a commit slot may or may not be on the disk: the next change rewrites */
	unsigned damaged;              /* frames that did not parse when the file was read */
	struct secret *root;
	struct format_keys keys;
	struct map map;                /* kind and id -> struct entry */
	uint64_t version, end, live;   /* last version; where the next frame goes; octets of frames in force */
};

static void key_of(enum vault_kind kind, uint64_t id, uint8_t out[9])
{
	out[0] = (uint8_t)kind;
	for (unsigned i = 0; i < 8; i++)
		out[1 + i] = (uint8_t)(id >> (56 - 8 * i));
}

static struct entry *find(const struct vault_file *f, enum vault_kind kind, uint64_t id)
{
	uint8_t key[9];
	key_of(kind, id, key);
	return map_get(&f->map, str_of(key, sizeof key));
}

static void forget_all(struct vault_file *f)
{
	size_t at = 0;
	for (struct entry *e; (e = map_next(&f->map, &at)) != NULL;)
		mem_free(e);
	map_done(&f->map);
	map_init(&f->map, RECORDS_MAX);
	format_keys_done(&f->keys);
	f->live = 0;
}

/* Takes a frame into the map; the older version of the same record goes out of it into *out_old (NULL: there was none). */
static enum rc place(struct vault_file *f, const struct frame *fr, const char *bytes, struct entry **out_old)
{
	struct entry *e = mem_new(sizeof *e + fr->length);
	if (!e)
		return RC_NOMEM;
	key_of(fr->kind, fr->id, e->key);
	e->version = fr->version;
	e->length = fr->length;
	memcpy(e->frame, bytes, fr->length);
	struct entry *old = map_get(&f->map, str_of(e->key, sizeof e->key));
	enum rc rc = map_put(&f->map, str_of(e->key, sizeof e->key), e);
	if (rc != RC_OK) {
		mem_free(e);
		return rc;
	}
	f->live += e->length - (old ? old->length : 0);
	*out_old = old;
	return RC_OK;
}

static enum rc adopt(struct vault_file *f, const struct frame *fr, const char *bytes)
{
	struct entry *old = NULL;
	enum rc rc = place(f, fr, bytes, &old);
	mem_free(old);
	return rc;
}

/* Takes back what place() did: `old` is in force again. */
static void replace(struct vault_file *f, const struct frame *fr, struct entry *old)
{
	struct entry *e = find(f, fr->kind, fr->id);
	f->live -= e->length - (old ? old->length : 0);
	if (!old)
		(void)map_drop(&f->map, str_of(e->key, sizeof e->key));
	else if (map_put(&f->map, str_of(old->key, sizeof old->key), old) != RC_OK)
		abort(); /* replacing a value needs no memory */
	mem_free(e);
}

static uint64_t committed(const struct format_keys *k, struct str file)
{
	uint64_t most = FRAMES_AT;
	struct slot s;
	for (unsigned i = 0; i < 2; i++)
		if (format_slot_get(k, file, i, &s) && s.committed > most)
			most = s.committed;
	return most;
}

/* Reads all frames of a file's image (its head is open already). Past damage it looks for the next frame octet by octet. */
static enum rc load(struct vault_file *f, struct str file)
{
	uint64_t sure = committed(&f->keys, file), at = FRAMES_AT;
	bool in_damage = false;
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, VAULT_VALUE_MAX);
	f->version = 0;
	while (at < file.n) {
		struct frame fr;
		bool ok = format_frame_get(&f->keys, str_skip(file, at), &fr);
		if (ok && at + fr.length > sure) { /* past the last commit: whole, or never happened */
			buf_clear(&plain);
			enum rc rc = format_frame_open(&f->keys, &fr, &plain);
			if (rc == RC_NOMEM)
				return rc;
			ok = rc == RC_OK;
		}
		if (!ok && at >= sure)
			break;
		if (!ok) {
			f->damaged += !in_damage;
			in_damage = true;
			at++;
			continue;
		}
		in_damage = false;
		TRY(adopt(f, &fr, file.p + at));
		if (fr.version > f->version)
			f->version = fr.version;
		at += fr.length;
	}
	if (sure > file.n)
		f->damaged++; /* shorter than what was committed */
	f->end = at > sure ? at : sure;
	return RC_OK;
}

static enum rc write_slot(struct vault_file *f, const struct slot *s, struct why *why)
{
	uint8_t slot[SLOT_LEN];
	format_slot_put(&f->keys, s, slot);
	TRY(fd_pwrite_all(f->fd, str_of(slot, SLOT_LEN), SLOT_AT + (s->version % 2) * SLOT_STEP, why));
	if (fdatasync(f->fd) < 0)
		FAIL_SYS(why, "fdatasync of the vault");
	return RC_OK;
}

/* A new file with the records of `f` but the one at `leave_out`: its image in `out`, its keys and records in `next`. */
static enum rc compose(struct vault_file *f, const struct entry *leave_out, struct vault_file *next, struct buf *out)
{
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, VAULT_VALUE_MAX);
	TRY(format_head_make(f->root, &next->keys, out));
	size_t walk = 0;
	for (struct entry *e; (e = map_next(&f->map, &walk)) != NULL;) {
		struct frame old, new;
		if (e == leave_out)
			continue;
		buf_clear(&plain);
		if (!format_frame_get(&f->keys, str_of(e->frame, e->length), &old))
			return RC_DAMAGED;
		TRY(format_frame_open(&f->keys, &old, &plain));
		size_t at = out->len;
		TRY(format_frame_put(&next->keys, old.kind, old.id, old.version, buf_str(&plain), out)); /* a rewrite changes no version */
		if (!format_frame_get(&next->keys, str_of(out->p + at, out->len - at), &new))
			return RC_DAMAGED;
		TRY(adopt(next, &new, out->p + at));
	}
	next->version = f->version + 1;
	next->end = out->len;
	uint8_t slot[SLOT_LEN];
	for (unsigned i = 0; i < 2; i++) {
		format_slot_put(&next->keys, &(struct slot){ next->version, next->end }, slot);
		memcpy(out->p + SLOT_AT + i * SLOT_STEP, slot, SLOT_LEN);
	}
	return RC_OK;
}

static enum rc open_fd(struct vault_file *f, struct why *why)
{
	fd_close(&f->fd);
	f->fd = openat(f->dir, vault_file_name, (f->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd >= 0)
		return RC_OK;
	if (errno == ENOENT)
		FAIL(why, RC_NOTFOUND, "there is no vault here");
	FAIL_SYS(why, "cannot open the vault");
}

static enum rc rewrite(struct vault_file *f, const struct entry *leave_out, struct why *why)
{
	if (f->damaged)
		FAIL(why, RC_DAMAGED, "the vault has damaged records, so it is not rewritten: run `letterlock verify`, restore a backup");
	struct vault_file next = { 0 };
	struct buf image AUTO(buf_done);
	buf_init(&image, FILE_MAX);
	map_init(&next.map, RECORDS_MAX);
	enum rc rc = compose(f, leave_out, &next, &image);
	if (rc == RC_OK)
		rc = file_put(f->dir, vault_file_name, buf_str(&image), 0600, why);
	else
		(void)why_fail(why, rc, 0, __FILE__ ":" WHY_STR(__LINE__), "the vault cannot be rewritten (%s)", rc_name(rc));
	if (rc != RC_OK) {
		forget_all(&next);
		return rc;
	}
	forget_all(f);
	f->keys = next.keys;
	f->map = next.map;
	f->live = next.live;
	f->version = next.version;
	f->end = next.end;
	f->unsure = false;
	return open_fd(f, why);
}

static enum rc open_existing(struct vault_file *f, struct why *why)
{
	struct buf image AUTO(buf_done);
	buf_init(&image, FILE_MAX);
	TRY(open_fd(f, why));
	TRY(fd_read_all(f->fd, FILE_MAX, &image, why));
	enum rc rc = format_head_open(f->root, buf_str(&image), &f->keys);
	if (rc == RC_DENIED)
		FAIL(why, rc, "the root key does not open this vault (another key, or the vault's head is damaged)");
	TRY(rc);
	return load(f, buf_str(&image));
}

enum rc vault_file_open(const char *dir, const struct secret *root, bool read_only, struct vault_file **out, struct why *why)
{
	struct vault_file *f AUTO(vault_file_close) = mem_new(sizeof *f);
	if (!f)
		return RC_NOMEM;
	f->dir = f->fd = -1;
	f->read_only = read_only;
	map_init(&f->map, RECORDS_MAX);
	f->root = secret_new();
	if (!f->root)
		return RC_NOMEM;
	*f->root = *root;
	TRY(dir_open(dir, &f->dir, why));
	if (!read_only && flock(f->dir, LOCK_EX | LOCK_NB) < 0)
		FAIL(why, RC_BUSY, "another process uses this vault");
	enum rc rc = open_existing(f, why);
	if (rc == RC_NOTFOUND && !read_only)
		rc = rewrite(f, NULL, why); /* of nothing: the new, empty vault */
	TRY(rc);
	*out = f;
	f = NULL;
	return RC_OK;
}

void vault_file_close(struct vault_file **f)
{
	if (!*f)
		return;
	forget_all(*f);
	map_done(&(*f)->map);
	secret_free(&(*f)->root);
	fd_close(&(*f)->fd);
	fd_close(&(*f)->dir);
	mem_free(*f);
	*f = NULL;
}

enum rc vault_file_get(struct vault_file *f, enum vault_kind kind, uint64_t id, struct buf *out, struct why *why)
{
	struct entry *e = find(f, kind, id);
	struct frame fr;
	if (!e)
		FAIL(why, RC_NOTFOUND, "no such record in the vault");
	if (!format_frame_get(&f->keys, str_of(e->frame, e->length), &fr))
		FAIL(why, RC_DAMAGED, "a record of the vault is damaged");
	enum rc rc = format_frame_open(&f->keys, &fr, out);
	if (rc == RC_DAMAGED)
		FAIL(why, rc, "a record of the vault is damaged");
	return rc;
}

uint64_t vault_file_version(const struct vault_file *f, enum vault_kind kind, uint64_t id)
{
	struct entry *e = find(f, kind, id);
	return e ? e->version : 0;
}

void vault_file_each(const struct vault_file *f, enum vault_kind kind, bool (*each)(void *arg, uint64_t id), void *arg)
{
	size_t walk = 0;
	for (const struct entry *e; (e = map_next(&f->map, &walk)) != NULL;) {
		uint64_t id = 0;
		for (unsigned i = 1; i < sizeof e->key; i++)
			id = id << 8 | e->key[i];
		if (e->key[0] == (uint8_t)kind && !each(arg, id))
			return;
	}
}

static enum rc append(struct vault_file *f, struct str frame, struct why *why)
{
	TRY(fd_pwrite_all(f->fd, frame, f->end, why)); /* a torn one lies past the commit */
	/* A failed sync may have thrown pages away, and a slot may or may not have reached the disk: then the file is made anew. */
	f->unsure = true;
	if (fdatasync(f->fd) < 0)
		FAIL_SYS(why, "fdatasync of the vault");
	TRY(write_slot(f, &(struct slot){ f->version + 1, f->end + frame.n }, why));
	f->version++;
	f->end += frame.n;
	f->unsure = false;
	return RC_OK;
}

enum rc vault_file_put(struct vault_file *f, enum vault_kind kind, uint64_t id, struct str value, struct why *why)
{
	if (f->read_only)
		FAIL(why, RC_DENIED, "the vault is open for reading only");
	if (f->unsure || (f->end > COMPACT_FROM && f->live * 2 < f->end && !f->damaged))
		TRY(rewrite(f, NULL, why));
	struct buf frame AUTO(buf_done);
	buf_init(&frame, FRAME_MAX);
	TRY(format_frame_put(&f->keys, kind, id, f->version + 1, value, &frame));
	struct frame fr;
	if (!format_frame_get(&f->keys, buf_str(&frame), &fr))
		return RC_DAMAGED;
	struct entry *old = NULL;
	TRY(place(f, &fr, frame.p, &old));
	enum rc rc = append(f, buf_str(&frame), why);
	if (rc == RC_OK)
		mem_free(old);
	else
		replace(f, &fr, old);
	return rc;
}

enum rc vault_file_drop(struct vault_file *f, enum vault_kind kind, uint64_t id, struct why *why)
{
	struct entry *e = find(f, kind, id);
	if (f->read_only)
		FAIL(why, RC_DENIED, "the vault is open for reading only");
	if (!e)
		FAIL(why, RC_NOTFOUND, "no such record in the vault");
	return rewrite(f, e, why);
}

static enum rc read_again(struct vault_file *f, struct buf *image, struct why *why)
{
	int fd AUTO(fd_close) = openat(f->dir, vault_file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		FAIL_SYS(why, "cannot open the vault");
	return fd_read_all(fd, FILE_MAX, image, why);
}

/* One frame: its seal, and what it says if it is in force. */
static enum rc verify_frame(struct vault_file *f, const struct format_keys *k, const struct frame *fr, uint64_t at, uint64_t sure,
                            const struct vault_check *c)
{
	char text[160];
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, VAULT_VALUE_MAX);
	enum rc rc = format_frame_open(k, fr, &plain);
	const char *bad = rc == RC_DAMAGED && at + fr->length <= sure ? "its seal does not open" : NULL;
	struct entry *e = find(f, fr->kind, fr->id);
	if (rc == RC_OK && e && e->version == fr->version)
		bad = c->check(c->check_arg, fr->kind, fr->id, buf_str(&plain));
	if (bad) {
		(void)snprintf(text, sizeof text, "vault: record at octet %llu: %s", (unsigned long long)at, bad);
		c->damage(c->damage_arg, text);
	}
	return rc == RC_DAMAGED ? RC_OK : rc;
}

enum rc vault_file_verify(struct vault_file *f, const struct vault_check *c, struct why *why)
{
	struct buf image AUTO(buf_done);
	struct format_keys k AUTO(format_keys_done) = { 0 };
	buf_init(&image, FILE_MAX);
	TRY(read_again(f, &image, why));
	struct str file = buf_str(&image);
	enum rc rc = format_head_open(f->root, file, &k);
	if (rc == RC_DENIED) {
		c->damage(c->damage_arg, "vault: the head does not open under the root key");
		return RC_OK;
	}
	TRY(rc);
	struct slot s;
	for (unsigned i = 0; i < 2; i++)
		if (!format_slot_get(&k, file, i, &s))
			c->damage(c->damage_arg, i ? "vault: commit slot 2 is damaged" : "vault: commit slot 1 is damaged");
	if (!format_padding_ok(file))
		c->damage(c->damage_arg, "vault: octets in the head that should be zero are not");
	bool in_damage = false;
	uint64_t at = FRAMES_AT, sure = committed(&k, file);
	while (at < file.n && (at < sure || !in_damage)) {
		struct frame fr;
		if (!format_frame_get(&k, str_skip(file, at), &fr)) {
			char text[100];
			(void)snprintf(text, sizeof text, "vault: no record where one should be, at octet %llu", (unsigned long long)at);
			if (!in_damage && at < sure)
				c->damage(c->damage_arg, text);
			in_damage = true;
			at++;
			continue;
		}
		in_damage = false;
		TRY(verify_frame(f, &k, &fr, at, sure, c));
		at += fr.length;
	}
	if (file.n < sure)
		c->damage(c->damage_arg, "vault: the file is shorter than what was committed");
	return RC_OK;
}

enum rc vault_file_backup(struct vault_file *f, int dir, struct why *why)
{
	struct buf image AUTO(buf_done);
	buf_init(&image, FILE_MAX);
	TRY(read_again(f, &image, why));
	if (image.len > f->end)
		image.len = f->end; /* a torn append is not worth keeping */
	return file_put(dir, vault_file_name, buf_str(&image), 0600, why);
}
