#include "role/role.h"

#include "base/mem.h"
#include "os/file.h"
#include "os/stream.h"
#include <errno.h>
#include <sys/socket.h>

/* The role `web`. So far it serves one page, on loopback: GET /metrics in Prometheus' text format (version 0.0.4), added up
 * from the shared table. */
enum { REQUEST_LINES = 100, LINE_MAX_OCTETS = 4096, PAGE_MAX = 256 * 1024, PATIENCE_MS = 10000 };

static const struct { const char *kind, *family, *labels, *help; } metrics[METRIC_COUNT] = {
#define METRIC(id, kind, family, labels, help) [M_##id] = { #kind, family, labels, help },
#include "role/metrics.def"
#undef METRIC
};

static void put_metrics(const struct role_env *e, struct buf *b)
{
	buf_addf(b, "# HELP letterlock_build_info The version that runs\n# TYPE letterlock_build_info gauge\nletterlock_build_info{version=\"%s\"} 1\n", LETTERLOCK_VERSION);
	for (int i = 0; i < METRIC_COUNT; i++) {
		int64_t sum = 0;
		for (int s = 0; s < SHARED_SLOTS; s++)
			sum += __atomic_load_n(&e->shared->metrics[s][i], __ATOMIC_RELAXED);
		if (i == 0 || strcmp(metrics[i].family, metrics[i - 1].family) != 0)
			buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].family, metrics[i].help, metrics[i].family, metrics[i].kind);
		buf_addf(b, *metrics[i].labels ? "%s{%s} %lld\n" : "%s%s %lld\n", metrics[i].family, metrics[i].labels, (long long)sum);
	}
}

static void answer(struct stream *s, int code, const char *text, const char *type, struct str body, bool head)
{
	stream_writef(s, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n"
	              "Content-Security-Policy: default-src 'none'\r\nCache-Control: no-store\r\n\r\n", code, text, type, body.n);
	if (!head)
		stream_write(s, body);
}

/* One request, one answer, close: a scraper comes once in some seconds. */
static void serve(struct role_env *e, struct stream *s)
{
	struct str line, method, rest, target;
	char first[256];
	if (stream_line(s, LINE_MAX_OCTETS, &line) != RC_OK || line.n >= sizeof first)
		return;
	memcpy(first, line.p, line.n);
	str_cut(str_of(first, line.n), ' ', &method, &rest);
	str_cut(rest, ' ', &target, &rest);
	for (int i = 0; i < REQUEST_LINES; i++) {
		if (stream_line(s, LINE_MAX_OCTETS, &line) != RC_OK)
			return;
		if (line.n == 0)
			break;
	}
	bool head = str_eq(method, STR("HEAD"));
	struct buf page;
	buf_init(&page, PAGE_MAX);
	if (!head && !str_eq(method, STR("GET")))
		answer(s, 405, "Method Not Allowed", "text/plain", STR("GET only\n"), false);
	else if (!str_eq(target, STR("/metrics")))
		answer(s, 404, "Not Found", "text/plain", STR("Here is only /metrics\n"), head);
	else {
		put_metrics(e, &page);
		answer(s, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", buf_str(&page), head);
	}
	buf_done(&page);
	(void)!stream_flush(s);
}

struct visit { struct role_env *e; int fd; };

static void visit_fiber(void *arg)
{
	struct visit v = *(struct visit *)arg;
	struct stream *s = NULL;
	struct why why;
	mem_free(arg);
	v.e->sessions++;
	if (stream_of_fd(v.e->loop, v.fd, NULL, &s, &why) == RC_OK) {
		stream_timeout(s, PATIENCE_MS);
		serve(v.e, s);
		stream_free(&s);
	}
	v.e->sessions--;
}

struct door { struct role_env *e; const struct role_listener *l; };

static void accept_fiber(void *arg)
{
	struct door d = *(struct door *)arg;
	struct io_poll *poll;
	mem_free(arg);
	if (io_poll_open(d.e->loop, d.l->fd, &poll) != RC_OK)
		return;
	while (!d.e->stopping) {
		int fd = accept4(d.l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (io_poll_wait(poll, IO_READ, NO_DEADLINE) != RC_OK)
				break;
			continue;
		}
		struct visit *v = mem_new(sizeof *v);
		if (v)
			*v = (struct visit){ d.e, fd };
		if (!v || d.e->sessions > 100 || fiber_start(d.e->loop, visit_fiber, v, NULL) != RC_OK) {
			mem_free(v);
			fd_close(&fd);
		}
	}
	io_poll_close(&poll, false);
}

static enum rc start(struct role_env *e, struct why *why)
{
	for (size_t i = 0; i < e->listener_n; i++) {
		struct door *d = mem_new(sizeof *d);
		if (!d)
			FAIL(why, RC_NOMEM, "no memory");
		*d = (struct door){ e, &e->listeners[i] };
		TRY(fiber_start(e->loop, accept_fiber, d, NULL));
	}
	return RC_OK;
}

const struct role_ops role_web = {
	.role = ROLE_WEB,
	.needs = SANDBOX_SOCKETS,
	.start = start,
};
