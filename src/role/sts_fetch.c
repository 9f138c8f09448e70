#include "role/sts_fetch.h"

#include "base/arena.h"
#include "base/mem.h"
#include "origin/mta_sts.h"
#include "os/loop.h"
#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

enum { ADDRESSES_MAX = 8, SOCKETS_MAX = 4, GLANCE_MS = 20, URL_MAX = 400, RESOLVE_MAX = 1024, ANSWER_ROOM = 1 << 20 };

#define SYMBOLS(X) X(global_init) X(easy_init) X(easy_setopt) X(easy_getinfo) X(easy_cleanup) X(easy_strerror) X(slist_append) X(slist_free_all) X(multi_init) X(multi_setopt) \
	X(multi_add_handle) X(multi_remove_handle) X(multi_socket_action) X(multi_info_read) X(multi_cleanup)

struct sts_fetcher {
	struct buf roots;
	uint16_t port;
	unsigned timeout_ms;
#define X(name) __typeof__(&curl_##name) name;
	struct { SYMBOLS(X) } f;
#undef X
};
#ifdef curl_easy_setopt /* checking macros of the header: our calls go through pointers */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt
#endif

/* One fetch; lies in memory of its own, since worker threads write to it. */
struct fetch {
	struct sts_fetcher *house;
	CURL *easy;
	CURLM *multi;
	struct curl_slist *resolve;
	struct buf *out;
	size_t start;                  /* what was in `out` before */
	bool too_large, done;
	CURLcode code;
	struct { curl_socket_t fd; int want; } socket[SOCKETS_MAX];
	size_t sockets;
	int64_t timer_at;              /* -1: none */
	curl_socket_t ready; int ready_for; /* what the next step is told */
	char url[URL_MAX], at[RESOLVE_MAX], error[CURL_ERROR_SIZE];
};

static enum rc load(struct sts_fetcher *h, struct why *why)
{
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		FAIL(why, RC_NOTFOUND, "libcurl.so.4 cannot be loaded: install the package libcurl4, or set sts.fetch = false");
#define X(name)                                                             \
	if (!(h->f.name = (__typeof__(&curl_##name))dlsym(library, "curl_" #name))) \
		FAIL(why, RC_NOTFOUND, "libcurl has no curl_" #name);
	SYMBOLS(X)
#undef X
	if (h->f.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		FAIL(why, RC_NOMEM, "libcurl could not start");
	return RC_OK;
}

enum rc sts_fetcher_open(struct str roots_pem, uint16_t port, unsigned timeout_ms, struct sts_fetcher **out, struct why *why)
{
	struct sts_fetcher *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory");
	*h = (struct sts_fetcher){ .roots = { .max = roots_pem.n + 1 }, .port = port, .timeout_ms = timeout_ms };
	buf_add(&h->roots, roots_pem);
	enum rc rc = h->roots.failed ? why_fail(why, RC_NOMEM, 0, __FILE__, "no memory for the roots") : load(h, why);
	if (rc != RC_OK)
		sts_fetcher_close(&h);
	else
		*out = h;
	return rc;
}

void sts_fetcher_close(struct sts_fetcher **hp)
{
	if (!*hp)
		return;
	buf_done(&(*hp)->roots);
	mem_free(*hp); /* the library stays loaded */
	*hp = NULL;
}

/* ---- what libcurl calls, on a worker thread ---- */

/* The loop's clock, read afresh: worker threads need it, too. */
static int64_t now_of(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t on_octets(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *x = arg;
	if (x->out->len - x->start + size * n > MTA_STS_POLICY_MAX) {
		x->too_large = true;
		return 0;
	}
	buf_add(x->out, str_of(p, size * n));
	return x->out->failed ? 0 : size * n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
	struct fetch *x = arg;
	size_t i = 0;
	(void)easy;
	(void)mine;
	while (i < x->sockets && x->socket[i].fd != fd)
		i++;
	if (what == CURL_POLL_REMOVE) {
		if (i < x->sockets)
			x->socket[i] = x->socket[--x->sockets];
		return 0;
	}
	if (i == SOCKETS_MAX)
		return -1;
	if (i == x->sockets)
		x->sockets++;
	x->socket[i].fd = fd;
	x->socket[i].want = what;
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	((struct fetch *)arg)->timer_at = ms < 0 ? -1 : now_of() + ms;
	return 0;
}

static void step(void *arg)
{
	struct fetch *x = arg;
	const struct sts_fetcher *h = x->house;
	int running = 0, left;
	if (x->ready == CURL_SOCKET_TIMEOUT)
		x->timer_at = -1; /* it fires once; on_timer() says when again */
	if (h->f.multi_socket_action(x->multi, x->ready, x->ready_for, &running) != CURLM_OK) {
		x->done = true;
		x->code = CURLE_FAILED_INIT;
	}
	for (CURLMsg *m; (m = h->f.multi_info_read(x->multi, &left));)
		if (m->msg == CURLMSG_DONE) {
			x->done = true;
			x->code = m->data.result;
		}
}

/* ---- addresses ---- */

static void put_addresses(const struct dns_answer *x, int family, struct buf *list, size_t *n)
{
	char text[INET6_ADDRSTRLEN];
	for (size_t i = 0; x->status == DNS_OK && i < x->records && *n < ADDRESSES_MAX; i++) {
		if (x->record[i].data.n != (family == AF_INET ? 4u : 16u) || !inet_ntop(family, x->record[i].data.p, text, sizeof text))
			continue;
		buf_addf(list, family == AF_INET ? "%s%s" : "%s[%s]", (*n)++ ? "," : "", text);
	}
}

/* CURLOPT_RESOLVE's entry: libcurl asks nobody for a name. */
static enum rc resolve(struct fetch *x, const struct dns *dns, const char *host, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = ANSWER_ROOM };
	AUTO(buf_done) struct buf list = { .max = RESOLVE_MAX - 1 };
	struct dns_answer v4, v6;
	size_t n = 0;
	dns_ask(dns, DNS_AAAA, str_z(host), &a, &v6);
	dns_ask(dns, DNS_A, str_z(host), &a, &v4);
	buf_addf(&list, "%s:%u:", host, x->house->port);
	put_addresses(&v6, AF_INET6, &list, &n);
	put_addresses(&v4, AF_INET, &list, &n);
	if (!n)
		FAIL(why, RC_NOTFOUND, "%.120s has no address (%s)", host, dns_status_name(v4.status == DNS_OK || v4.status == DNS_NODATA ? v6.status : v4.status));
	if (list.failed)
		FAIL(why, RC_NOMEM, "no memory for the addresses");
	memcpy(x->at, list.p, list.len);
	x->resolve = x->house->f.slist_append(NULL, x->at);
	return x->resolve ? RC_OK : RC_NOMEM;
}

/* ---- one fetch ---- */

static bool set_options(struct fetch *x)
{
	const struct sts_fetcher *h = x->house;
	struct curl_blob roots = { .data = h->roots.p, .len = h->roots.len, .flags = CURL_BLOB_NOCOPY };
	bool bad = false;
#define SET(option, value) bad = bad || h->f.easy_setopt(x->easy, option, value) != CURLE_OK
	SET(CURLOPT_URL, x->url);
	SET(CURLOPT_RESOLVE, x->resolve);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL); /* the roots given, and none of the system's besides */
	SET(CURLOPT_CAINFO_BLOB, &roots);
	/* RFC 8461 3.3: "HTTP 3xx redirects MUST NOT be followed" */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_TIMEOUT_MS, (long)h->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)h->timeout_ms);
	SET(CURLOPT_MAXFILESIZE, (long)MTA_STS_POLICY_MAX);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_USERAGENT, "Letterlock/" LETTERLOCK_VERSION);
	SET(CURLOPT_ERRORBUFFER, x->error);
	SET(CURLOPT_WRITEFUNCTION, on_octets);
	SET(CURLOPT_WRITEDATA, x);
#undef SET
	return !bad && h->f.multi_setopt(x->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK && h->f.multi_setopt(x->multi, CURLMOPT_SOCKETDATA, x) == CURLM_OK &&
	       h->f.multi_setopt(x->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK && h->f.multi_setopt(x->multi, CURLMOPT_TIMERDATA, x) == CURLM_OK;
}

/* Waits for what libcurl waits for, and says in `ready` what came. While two addresses are tried side by side there are two sockets; then each is only glanced at in turn. */
static enum rc await(struct fetch *x, int64_t deadline, size_t *turn)
{
	int64_t now = now_of(), until = x->timer_at >= 0 && x->timer_at < deadline ? x->timer_at : deadline;
	x->ready = CURL_SOCKET_TIMEOUT;
	x->ready_for = 0;
	if (!x->sockets)
		return until > now ? fiber_sleep((unsigned)(until - now)) : RC_OK;
	size_t i = (*turn)++ % x->sockets;
	bool in = x->socket[i].want & CURL_POLL_IN, out = x->socket[i].want & CURL_POLL_OUT;
	curl_socket_t fd = x->socket[i].fd;
	int64_t glance = now + GLANCE_MS;
	bool only_glance = x->sockets > 1 && glance < until;
	enum rc rc = io_wait(fd, (enum io_want)((in ? IO_READ : 0) | (out ? IO_WRITE : 0)), only_glance ? glance : until);
	if (rc == RC_LATE && only_glance)
		return RC_AGAIN;
	if (rc == RC_OK) {
		x->ready = fd;
		x->ready_for = (in ? CURL_CSELECT_IN : 0) | (out ? CURL_CSELECT_OUT : 0);
	}
	return rc == RC_LATE ? RC_OK : rc;
}

static enum rc run(struct fetch *x)
{
	int64_t deadline = now_of() + x->house->timeout_ms + 1000; /* libcurl has its own before */
	size_t turn = 0;
	x->ready = CURL_SOCKET_TIMEOUT;
	for (;;) {
		TRY(worker_run(step, x));
		if (x->done)
			return RC_OK;
		enum rc rc = RC_AGAIN;
		while (rc == RC_AGAIN) {
			if (now_of() >= deadline)
				return RC_LATE;
			rc = await(x, deadline, &turn);
		}
		TRY(rc);
	}
}

static bool is_text_plain(struct str type)
{
	(void)str_cut(type, ';', &type, &(struct str){ 0 });
	return str_ieq(str_trim(type), STR("text/plain"));
}

static enum rc judge(struct fetch *x, const char **result, struct why *why)
{
	const struct sts_fetcher *h = x->house;
	const char *type = NULL;
	long code = 0;
	if (x->too_large || x->code == CURLE_FILESIZE_EXCEEDED)
		FAIL(why, RC_LIMIT, "the policy is larger than %d octets", MTA_STS_POLICY_MAX);
	if (x->code == CURLE_PEER_FAILED_VERIFICATION) {
		*result = "sts-webpki-invalid";
		FAIL(why, RC_DENIED, "the certificate does not hold: %.120s", x->error[0] ? x->error : h->f.easy_strerror(x->code));
	}
	if (x->code == CURLE_OPERATION_TIMEDOUT)
		FAIL(why, RC_LATE, "no answer in time: %.120s", x->error);
	if (x->code != CURLE_OK)
		FAIL(why, RC_IO, "%.150s", x->error[0] ? x->error : h->f.easy_strerror(x->code));
	(void)h->f.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &code);
	(void)h->f.easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
	if (code != 200)
		FAIL(why, RC_NOTFOUND, "the web server answered %ld%s", code, code / 100 == 3 ? ", a redirect, which does not count" : "");
	/* RFC 8461 3.2: "The media type of the resource returned MUST be "text/plain"" as a guard against what users may put on a web server */
	if (!is_text_plain(str_z(type)))
		FAIL(why, RC_SYNTAX, "the web server calls the policy \"%.60s\", not text/plain", type ? type : "");
	return RC_OK;
}

static void done(struct fetch *x)
{
	const struct sts_fetcher *h = x->house;
	if (x->multi && x->easy)
		(void)h->f.multi_remove_handle(x->multi, x->easy);
	if (x->easy)
		h->f.easy_cleanup(x->easy);
	if (x->multi)
		(void)h->f.multi_cleanup(x->multi);
	h->f.slist_free_all(x->resolve);
	mem_free(x);
}

static enum rc fetch_with(struct fetch *x, const struct dns *dns, struct str domain, const char **result, struct why *why)
{
	const struct sts_fetcher *h = x->house;
	char host[300];
	int n = snprintf(host, sizeof host, "mta-sts.%.*s", PSTR(str_head(domain, 253)));
	if (n < 0 || n > 253)
		FAIL(why, RC_NOTFOUND, "the name mta-sts.%.*s... is too long", PSTR(str_head(domain, 60)));
	if (h->port == 443)
		(void)snprintf(x->url, sizeof x->url, "https://%s/.well-known/mta-sts.txt", host);
	else
		(void)snprintf(x->url, sizeof x->url, "https://%s:%u/.well-known/mta-sts.txt", host, h->port);
	TRY(resolve(x, dns, host, why));
	x->easy = h->f.easy_init();
	x->multi = h->f.multi_init();
	if (!x->easy || !x->multi || !set_options(x) || h->f.multi_add_handle(x->multi, x->easy) != CURLM_OK)
		FAIL(why, RC_NOMEM, "libcurl refused: %.100s", x->error);
	enum rc rc = run(x);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_LATE ? "no answer in time" : "the fetch was given up");
	return judge(x, result, why);
}

enum rc sts_fetch(struct sts_fetcher *f, const struct dns *dns, struct str domain, struct buf *out, const char **out_result, struct why *why)
{
	struct fetch *x = mem_new(sizeof *x);
	assert(fiber_self());
	*out_result = "sts-policy-fetch-error";
	if (!x)
		FAIL(why, RC_NOMEM, "no memory");
	*x = (struct fetch){ .house = f, .out = out, .start = out->len, .timer_at = -1 };
	enum rc rc = fetch_with(x, dns, domain, out_result, why);
	if (rc != RC_OK && !out->failed)
		out->len = x->start;
	done(x);
	return rc;
}
