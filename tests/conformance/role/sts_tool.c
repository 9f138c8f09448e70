/* Looks MTA-STS policies up from inside the sandbox of a role that dials out. Arguments: zone file, roots, port, timeout in ms; domains on standard input, one a line, all at
 * once. Prints "n domain ms: MODE mx ..." or "n domain ms: none STATE RESULT: why" each when it is there. For sts_lookups.py. */
#include "role/sts_cache.h"
#include "role/sts_fetch.h"

#include "os/file.h"
#include "os/loop.h"
#include "os/sandbox.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOMAINS = 400 };
static struct world {
	struct loop *loop;
	struct sts_fetcher *fetcher;
	struct sts_cache *cache;
	struct dns dns;
	size_t left;
	struct asked { char name[300]; } domain[DOMAINS];
} w;

static enum rc fetch(void *house, struct str domain, struct buf *out, const char **result, struct why *why) { return sts_fetch(w.fetcher, &w.dns, domain, out, result, why); }
static enum rc note_get(void *house, struct str key, struct buf *out, struct why *why) { return RC_NOTFOUND; }
static enum rc note_put(void *house, struct str key, struct str value, struct why *why) { return RC_OK; }
static enum rc note_list(void *house, struct str prefix, struct str after, struct buf *out, bool *more, struct why *why) { return RC_NOTFOUND; }

static void one(void *arg)
{
	static const char *const states[] = { "none", "fetched", "kept", "stale", "failed" };
	AUTO(arena_done) struct arena a = { .max = 1 << 18 };
	size_t i = (size_t)((struct asked *)arg - w.domain);
	struct mta_sts_policy p;
	struct sts_status s;
	struct why why = { 0 };
	int64_t began = wall_ms();
	enum rc rc = sts_policy_for(w.cache, str_z(w.domain[i].name), &a, &p, &s, &why);
	printf("%zu\t%s\t%lld\t", i, w.domain[i].name, (long long)(wall_ms() - began));
	if (rc == RC_OK) {
		printf("%s", mta_sts_mode_name(p.mode));
		for (size_t k = 0; k < p.mx_n; k++)
			printf(" %.*s", PSTR(p.mx[k]));
		printf("\n");
	} else {
		printf("none\t%s\t%s\t%s\n", states[s.state], s.result, why.text);
	}
	(void)fflush(stdout);
	if (--w.left == 0)
		loop_stop(w.loop);
}

static enum rc read_file(const char *path, struct buf *out, struct why *why)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL(why, RC_IO, "%s cannot be opened", path);
	return fd_read_all(fd, 4 << 20, out, why);
}

static enum rc setup(char **argv, struct why *why)
{
	static const uint8_t key[16] = "a test's key ...";
	AUTO(buf_done) struct buf zone = { .max = 8 << 20 }, roots = { .max = 8 << 20 };
	struct dns_table *t;
	uint16_t port = (uint16_t)strtoul(argv[3], NULL, 10);
	TRY(read_file(argv[1], &zone, why));
	TRY(read_file(argv[2], &roots, why));
	TRY(dns_table_new(&t));
	TRY(dns_table_read(t, buf_str(&zone), STR(""), why));
	w.dns = dns_table_dns(t);
	TRY(loop_open(&w.loop, why));
	TRY(sts_fetcher_open(buf_str(&roots), port, (unsigned)strtoul(argv[4], NULL, 10), &w.fetcher, why));
	struct sandbox box = { .needs = SANDBOX_SOCKETS | SANDBOX_CONNECT | SANDBOX_THREADS, .ports = &port, .port_n = 1, .max_memory = 1ul << 30 };
	TRY(sandbox_enter(&box, why));
	struct sts_hooks hooks = { .dns = w.dns, .fetch = fetch, .note_get = note_get, .note_put = note_put, .note_list = note_list, .now_ms = wall_ms };
	return sts_cache_new(&hooks, key, &w.cache);
}

int main(int argc, char **argv)
{
	struct why why = { 0 };
	size_t n = 0;
	if (argc != 5 || setup(argv, &why) != RC_OK) {
		fprintf(stderr, "sts_tool: %s\n", why.text);
		return 1;
	}
	printf("sandbox %s\n", sandbox_text());
	while (n < DOMAINS && fgets(w.domain[n].name, sizeof w.domain[n].name, stdin)) {
		w.domain[n].name[strcspn(w.domain[n].name, "\n")] = '\0';
		n++;
	}
	w.left = n;
	for (size_t i = 0; i < n; i++)
		if (fiber_start(w.loop, one, &w.domain[i], NULL) != RC_OK)
			return 1;
	loop_run(w.loop);
	sts_cache_free(&w.cache);
	sts_fetcher_close(&w.fetcher);
	loop_close(&w.loop);
	return 0;
}
