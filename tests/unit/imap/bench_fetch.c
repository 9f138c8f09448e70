/* How fast rows become answers when they cost nothing to get: FETCH 1:* over a made-up mailbox. Prints rows a second. */
#include "imap/session.h"

#include "os/loop.h"
#include <stdio.h>
#include <time.h>

static const char envelope[] = "(\"Mon, 7 Feb 1994 21:52:25 -0800\" \"Re: the minutes of last week's meeting and what follows from them\" ((\"Bob Builder\" NIL \"bob\" "
                               "\"corp.example\")) ((\"Bob Builder\" NIL \"bob\" \"corp.example\")) ((\"Bob Builder\" NIL \"bob\" \"corp.example\")) ((\"Alice Liddell\" NIL \"alice\" "
                               "\"corp.example\")) NIL NIL \"<20260101120000.1234@corp.example>\" \"<20260101120000.1234567@corp.example>\")";
enum { ROWS = 300000 };
static uint32_t at;
static struct imap_range all = { 1, ROWS };

static enum rc h_connect(void *h, const struct stream_facts *f, struct why *w) { return RC_OK; }
static enum rc h_login(void *h, struct str u, struct str p, struct why *w) { return RC_OK; }
static void h_logout(void *h) {}
static enum rc h_folders(void *h, struct arena *a, struct imap_folder **out, size_t *n, struct why *w)
{
	static struct imap_folder inbox = { .name = STR_INIT("INBOX"), .id = 1, .selectable = true, .exists = true };
	*out = &inbox;
	*n = 1;
	return RC_OK;
}
static enum rc h_status(void *h, uint64_t b, struct arena *a, struct imap_box *out, struct why *w)
{
	*out = (struct imap_box){ .id = 1, .uidvalidity = 1, .uidnext = ROWS + 1, .exists = ROWS, .highestmodseq = 1, .runs = &all, .run_count = 1 };
	for (unsigned i = 0; i < 64; i++)
		out->keywords[i] = STR("");
	return RC_OK;
}
static enum rc h_open(void *h, uint64_t b, bool r, struct arena *a, struct imap_box *out, struct why *w) { return h_status(h, b, a, out, w); }
static void h_close(void *h, uint64_t b) {}
static enum rc h_changes(void *h, uint64_t b, uint64_t s, struct arena *a, struct imap_change **o, size_t *n, uint64_t *m, bool *more, struct why *w)
{
	*n = 0;
	*m = s;
	*more = false;
	return RC_OK;
}
static enum rc h_recent(void *h, uint64_t b, uint32_t before, uint32_t *out_first, struct why *w)
{
	*out_first = before;
	return RC_OK;
}
static enum rc h_fetch_open(void *h, uint64_t b, const struct imap_range *r, size_t n, unsigned want, void **c, struct why *w)
{
	at = 0;
	*c = &at;
	return RC_OK;
}
static enum rc h_fetch_next(void *h, void *c, struct imap_row *out, struct why *w)
{
	if (at == ROWS)
		return RC_NOTFOUND;
	at++;
	*out = (struct imap_row){ .uid = at, .flags = at & 31, .size = 1000 + at % 90000, .internal_ms = 1700000000000 + at * 1000ll,
	                          .envelope = { envelope, sizeof envelope - 1 }, .structure = { envelope, 200 } };
	return RC_OK;
}
static void h_fetch_close(void *h, void *c) {}

static double run(const char *items, size_t *out_octets)
{
	struct imap_hooks hooks = { .connect = h_connect, .login = h_login, .logout = h_logout, .folders = h_folders, .status = h_status, .open = h_open,
	                            .close = h_close, .changes = h_changes, .recent = h_recent, .fetch_open = h_fetch_open, .fetch_next = h_fetch_next, .fetch_close = h_fetch_close };
	struct imap_config config = { .hostname = STR("x"), .plaintext_login = true, .idle_ms = 1800000, .prelogin_ms = 60000, .max_errors = 10 };
	struct buf in, out;
	struct timespec t0, t1;
	buf_init(&in, 10000);
	buf_init(&out, 1u << 30);
	if (!buf_room(&out, 400u << 20))
		return 0;
	memset(out.p, 0, out.cap);
	buf_addf(&in, "a login x y\r\nb select INBOX\r\nc fetch 1:* %s\r\nd logout\r\n", items);
	struct stream *s = stream_of_memory((struct stream_memory){ .in = buf_str(&in), .out = &out, .fail_at = -1 });
	clock_gettime(CLOCK_MONOTONIC, &t0);
	enum rc rc = imap_serve(s, &config, &hooks);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	stream_free(&s);
	*out_octets = out.len;
	buf_done(&in);
	buf_done(&out);
	return rc == RC_OK ? (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9 : 0;
}

int main(void)
{
	static const char *const items[] = { "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", "FLAGS", "BODYSTRUCTURE" };
	for (size_t i = 0; i < 3; i++) {
		size_t octets = 0;
		double sec = run(items[i], &octets);
		if (sec <= 0)
			return 1;
		fprintf(stderr, "FETCH 1:* %-48s %8.2f M rows/s, %7.1f MB/s\n", items[i], ROWS / sec / 1e6, (double)octets / sec / 1e6);
	}
	return 0;
}
