/* Puts letters into the queue of a stopped server, as its edge would, for tests and measurements of `relay`:
 *   queue_fill DATA_DIR ROOT_KEY_FILE [key=value ...] <message
 * sender= owner= (empty: null) to=PATTERN (first %d = letter, second = recipient) letters=1 rcpts=1 age_s=0 (came so long ago) life_s=432000 wait_s=0 notify=0 attempts=0
 * priority=4 held=0 mid=PREFIX sealed_to_nobody=0 (a letter that relay cannot open). Prints the letters' numbers as "first last". */
#include "base/codec.h"
#include "crypto/crypto.h"
#include "os/file.h"
#include "role/letter.h"
#include "vault/vault.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 << 20, AT_ONCE = 200, ARENA = 256 << 20 };

struct fill {
	struct str data_dir, sender, owner, mid;
	const char *to;
	long letters, rcpts, age_s, life_s, wait_s, notify, attempts, priority, held, sealed_to_nobody;
	uint8_t queue_public[PUB_LEN], hash_key[16];
	struct buf message;
	struct store *store;
};

static bool fail(const char *what, const struct why *why)
{
	(void)fprintf(stderr, "queue_fill: %s: %s\n", what, why->text);
	return false;
}

static bool take(struct fill *f, const char *arg)
{
	static const struct { const char *key; size_t at; } numbers[] = { { "letters", offsetof(struct fill, letters) }, { "rcpts", offsetof(struct fill, rcpts) },
		{ "age_s", offsetof(struct fill, age_s) }, { "life_s", offsetof(struct fill, life_s) }, { "wait_s", offsetof(struct fill, wait_s) },
		{ "notify", offsetof(struct fill, notify) }, { "attempts", offsetof(struct fill, attempts) }, { "priority", offsetof(struct fill, priority) },
		{ "held", offsetof(struct fill, held) }, { "sealed_to_nobody", offsetof(struct fill, sealed_to_nobody) } };
	struct str key, value;
	str_cut(str_z(arg), '=', &key, &value);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (str_eq(key, str_z(numbers[i].key)))
			return *(long *)(void *)((char *)f + numbers[i].at) = strtol(value.p, NULL, 10), true;
	if (str_eq(key, STR("sender")))
		return f->sender = value, true;
	if (str_eq(key, STR("owner")))
		return f->owner = value, true;
	if (str_eq(key, STR("mid")))
		return f->mid = value, true;
	if (str_eq(key, STR("to")))
		return f->to = value.p, true;
	return false;
}

static bool keys(struct fill *f, const char *root_file)
{
	char dir[4096];
	struct why why = { 0 };
	struct vault *v = NULL;
	struct loop *l = NULL;
	struct buf hex = { .max = 200 }, raw = { .max = 200 };
	struct vault_options o = { .dir = dir };
	(void)snprintf(dir, sizeof dir, "%.*s/vault", PSTR(f->data_dir));
	int fd = open(root_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_all(fd, 100, &hex, &why) != RC_OK)
		return fail(root_file, &why);
	fd_close(&fd);
	struct str text = str_trim(buf_str(&hex));
	if (text.n == 64 ? hex_decode(text, &raw) != RC_OK : text.n != 32)
		return fail("not a root key", &why);
	memcpy(o.root.k, text.n == 64 ? raw.p : text.p, KEY_LEN);
	if (loop_open(&l, &why) != RC_OK || vault_open(l, &o, &v, &why) != RC_OK || vault_queue_key(v, NULL, f->queue_public, &why) != RC_OK)
		return fail("vault", &why);
	vault_hash_key(v, f->hash_key);
	vault_close(&v);
	loop_close(&l);
	buf_done(&hex);
	buf_done(&raw);
	return true;
}

/* "user%d.%d@example.net": letter and recipient in place of the first and second %d. */
static struct str address_of(const struct fill *f, long letter, long rcpt, struct arena *a)
{
	struct buf b = { .max = 1000 };
	long v[2] = { letter, rcpt };
	for (size_t i = 0, k = 0; f->to[i]; i++)
		if (f->to[i] == '%' && f->to[i + 1] == 'd' && k < 2) {
			buf_num(&b, (uint64_t)v[k++]);
			i++;
		} else {
			buf_byte(&b, f->to[i]);
		}
	struct str s = arena_str(a, buf_str(&b));
	buf_done(&b);
	return s;
}

static struct str domain_of(struct str address)
{
	struct str local, domain;
	str_cut(address, '@', &local, &domain);
	return domain;
}

static enum rc seal_rows(const struct fill *f, long number, const struct secret *row_key, struct queue_row *rows, struct arena *a)
{
	int64_t now = wall_ms(), created = now - f->age_s * 1000;
	for (long i = 0; i < f->rcpts; i++) {
		struct buf b = { .max = QUEUE_ROW_MAX };
		struct letter_rcpt r = { .address = address_of(f, number, i, a), .orcpt_type = STR(""), .orcpt = STR(""), .notify = (uint8_t)f->notify, .reply = STR(""),
			.host = STR(""), .tls = STR("") };
		TRY(letter_rcpt_seal(row_key, 1, (uint32_t)i, &r, &b));
		rows[i] = (struct queue_row){ .state = f->held ? QUEUE_HELD : QUEUE_READY, .priority = (uint8_t)f->priority, .attempts = (uint32_t)f->attempts,
			.lane = letter_lane(f->hash_key, domain_of(r.address)), .created_ms = created, .due_ms = now + f->wait_s * 1000, .expires_ms = created + f->life_s * 1000,
			.sealed = arena_str(a, buf_str(&b)) };
		buf_done(&b);
	}
	return RC_OK;
}

static enum rc make_letter(const struct fill *f, long number, const struct blob_id *id, const struct secret *body_key, struct arena *a, struct queue_put *out)
{
	struct buf sealed = { .max = QUEUE_LETTER_MAX };
	struct queue_row *rows = arena_new(a, (size_t)f->rcpts * sizeof *rows);
	char mid[32];
	(void)snprintf(mid, sizeof mid, "%.*s%06ld", PSTR(f->mid), number % 1000000);
	struct letter l = { .body_key = *body_key, .mid = str_z(mid), .sender = f->sender, .owner = f->owner, .prefix = STR(""), .size = f->message.len, .envid = STR(""),
		.created_ms = wall_ms() - f->age_s * 1000, .subject = STR("a test"), .from = f->sender };
	if (!rows)
		return RC_NOMEM;
	uint8_t nobody[PUB_LEN];
	TRY(random_bytes(l.row_key.k, KEY_LEN));
	TRY(random_bytes(nobody, sizeof nobody));
	TRY(seal_rows(f, number, &l.row_key, rows, a));
	TRY(letter_seal(f->sealed_to_nobody ? nobody : f->queue_public, id, &l, &sealed));
	*out = (struct queue_put){ .letter = arena_str(a, buf_str(&sealed)), .rows = rows, .row_n = (size_t)f->rcpts };
	buf_done(&sealed);
	return a->full ? RC_NOMEM : RC_OK;
}

/* Each letter its own body, as if each had been submitted by itself; many letters of many recipients share a commit. */
static bool put(struct fill *f, long number, uint64_t *out_letter)
{
	struct blob_id id;
	struct secret key;
	struct buf body = { .max = MESSAGE_MAX * 2 };
	struct queue_put p;
	struct arena a;
	uint64_t delivery = 0;
	struct why why = { 0 };
	arena_init(&a, ARENA);
	bool fine = random_bytes(&delivery, sizeof delivery) == RC_OK && random_bytes(key.k, KEY_LEN) == RC_OK && blob_id_new(&id) == RC_OK &&
	            blob_seal(&key, &id, 0, buf_str(&f->message), &body) == RC_OK && make_letter(f, number, &id, &key, &a, &p) == RC_OK &&
	            store_deliver_out(f->store, delivery | 1, &id, buf_str(&body), NULL, 0, NULL, 0, &p, 1, NULL, NULL, out_letter, &why) == RC_OK;
	buf_done(&body);
	arena_done(&a);
	return fine || fail("a letter", &why);
}

struct lot { struct fill *f; long from, to; uint64_t first, last; unsigned running; bool failed; struct loop *l; long next; };
static void putter(void *arg)
{
	struct lot *x = arg;
	while (x->next < x->to && !x->failed) {
		uint64_t letter = 0;
		long number = x->next++;
		if (!put(x->f, number, &letter))
			x->failed = true;
		x->first = !x->first || letter < x->first ? letter : x->first;
		x->last = letter > x->last ? letter : x->last;
	}
	if (--x->running == 0)
		loop_stop(x->l);
}

int main(int argc, char **argv)
{
	struct fill f = { .sender = STR("ann@demo.test"), .owner = STR("ann@demo.test"), .mid = STR("T"), .to = "user%d@example.net", .letters = 1, .rcpts = 1, .life_s = 432000, .priority = 4 };
	struct why why = { 0 };
	if (argc < 3)
		return (void)fprintf(stderr, "queue_fill DATA_DIR ROOT_KEY_FILE [key=value ...] <message\n"), 2;
	f.data_dir = str_z(argv[1]);
	for (int i = 3; i < argc; i++)
		if (!take(&f, argv[i]))
			return (void)fprintf(stderr, "queue_fill: what is %s?\n", argv[i]), 2;
	buf_init(&f.message, MESSAGE_MAX);
	if (fd_read_all(0, MESSAGE_MAX, &f.message, &why) != RC_OK || !keys(&f, argv[2]))
		return 1;
	struct lot x = { .f = &f, .to = f.letters };
	struct store_options o = { .dir = argv[1] };
	if (loop_open(&x.l, &why) != RC_OK || store_open(x.l, &o, &f.store, &why) != RC_OK)
		return fail("store", &why), 1;
	for (long i = 0; i < AT_ONCE && i < f.letters; i++)
		if (fiber_start(x.l, putter, &x, NULL) == RC_OK)
			x.running++;
	loop_run(x.l);
	store_close(&f.store);
	loop_close(&x.l);
	buf_done(&f.message);
	if (!x.failed)
		printf("%llu %llu\n", (unsigned long long)x.first, (unsigned long long)x.last);
	return x.failed;
}
