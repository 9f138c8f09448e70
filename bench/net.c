#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void net_fds(unsigned n)
{
	struct rlimit r;
	getrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_cur >= n + 100)
		return;
	r.rlim_cur = n + 100;
	if (r.rlim_max < r.rlim_cur) /* works only with CAP_SYS_RESOURCE */
		r.rlim_max = r.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		die("room for %u descriptors: %s", n, strerror(errno));
}

void net_init(struct net *n, const char *host, const char *where, bool tls, size_t in_cap)
{
	*n = (struct net){ .epoll = epoll_create1(EPOLL_CLOEXEC), .in_cap = in_cap };
	uint64_t port;
	if (n->epoll < 0)
		die("epoll: %s", strerror(errno));
	if (str_u64(str_z(where), 65535, &port)) {
		n->to.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
		if (inet_pton(AF_INET, host, &n->to.in.sin_addr) != 1)
			die("%s: not an IPv4 address", host);
		n->to_len = sizeof n->to.in;
	} else {
		n->to.un.sun_family = AF_UNIX;
		if (strlen(where) >= sizeof n->to.un.sun_path)
			die("%s: path too long", where);
		memcpy(n->to.un.sun_path, where, strlen(where) + 1);
		n->to_len = sizeof n->to.un;
	}
	if (tls) {
		n->tls = SSL_CTX_new(TLS_client_method());
		if (!n->tls)
			die("TLS: no memory");
		/* The certificates here are self-made; verifying them is not what is measured. */
		SSL_CTX_set_verify(n->tls, SSL_VERIFY_NONE, NULL);
		SSL_CTX_set_mode(n->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
		SSL_CTX_set_read_ahead(n->tls, 0);
	}
}

static void watch(struct net *n, struct link *l, bool add)
{
	/* In clear each arrival is told once. OpenSSL reads record by record, and leaves more than it tells. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | (l->ssl ? 0u : (unsigned)EPOLLET) | (l->want_write || l->connecting ? EPOLLOUT : 0u), .data.ptr = l };
	if (epoll_ctl(n->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, l->fd, &ev) != 0)
		die("epoll: %s", strerror(errno));
}

void link_open(struct net *n, struct link *l)
{
	int one = 1;
	l->fd = socket(n->to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		die("socket: %s", strerror(errno));
	if (n->to.sa.sa_family == AF_INET)
		setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	l->closed = l->want_write = l->more = l->ended = false;
	l->at = l->end = 0;
	l->out_n = 0;
	l->connecting = true;
	if (connect(l->fd, &n->to.sa, n->to_len) != 0 && errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	if (n->tls) {
		l->ssl = SSL_new(n->tls);
		if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
			die("TLS: no memory");
		SSL_set_connect_state(l->ssl);
	}
	watch(n, l, true);
}

void link_close(struct net *n, struct link *l)
{
	(void)n;
	if (l->ssl)
		SSL_free(l->ssl);
	l->ssl = NULL;
	if (l->fd > 0)
		close(l->fd);
	l->fd = 0;
	mem_free(l->in);
	l->in = NULL;
	l->cap = 0;
	l->closed = true;
}

/* How many octets went out; 0 = not now; -1 = broken. */
static long push(struct link *l)
{
	if (l->ssl) {
		ERR_clear_error();
		int n = SSL_write(l->ssl, l->out[0].p, l->out[0].n < 1 << 20 ? (int)l->out[0].n : 1 << 20);
		if (n > 0)
			return n;
		int e = SSL_get_error(l->ssl, n);
		return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
	}
	struct iovec v[LINK_PIECES];
	for (unsigned i = 0; i < l->out_n; i++)
		v[i] = (struct iovec){ (void *)(uintptr_t)l->out[i].p, l->out[i].n };
	ssize_t n = l->out_n == 1 ? send(l->fd, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL) : writev(l->fd, v, (int)l->out_n);
	return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void drain(struct net *n, struct link *l)
{
	while (l->out_n) {
		long k = push(l);
		if (k < 0)
			l->closed = true;
		if (k <= 0)
			break;
		size_t left = (size_t)k;
		while (left) {
			size_t take = left < l->out[0].n ? left : l->out[0].n;
			l->out[0] = str_skip(l->out[0], take);
			left -= take;
			if (l->out[0].n == 0) {
				l->out_n--;
				memmove(l->out, l->out + 1, l->out_n * sizeof *l->out);
			}
		}
	}
	bool want = l->out_n > 0 && !l->closed;
	if (want != l->want_write) {
		l->want_write = want;
		watch(n, l, false);
	}
}

void link_send(struct net *n, struct link *l, struct str s)
{
	if (s.n == 0)
		return;
	if (l->out_n == LINK_PIECES)
		die("too many pieces under way");
	l->out[l->out_n++] = s;
	if (!l->connecting && l->out_n == 1)
		drain(n, l);
}

bool link_sent(const struct link *l) { return l->out_n == 0; }

static bool room(struct net *n, struct link *l)
{
	if (!l->in) {
		l->cap = n->in_cap;
		l->in = mem_new(l->cap);
		if (!l->in)
			die("no memory");
	}
	if (l->at) {
		memmove(l->in, l->in + l->at, l->end - l->at);
		l->end -= l->at;
		l->at = 0;
	}
	return l->end < l->cap;
}

/* One read. */
static void pull(struct net *n, struct link *l)
{
	if (!room(n, l))
		die("an answer longer than %zu octets in one piece", l->cap);
	if (l->ssl) {
		ERR_clear_error();
		int k = SSL_read(l->ssl, l->in + l->end, (int)(l->cap - l->end));
		int e = SSL_get_error(l->ssl, k);
		if (k > 0)
			l->end += (size_t)k;
		else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			l->closed = true;
		return;
	}
	size_t most = l->most && l->most < l->cap - l->end ? l->most : l->cap - l->end;
	ssize_t k = recv(l->fd, l->in + l->end, most, 0);
	if (k > 0)
		l->end += (size_t)k;
	else if (k == 0 || (errno != EAGAIN && errno != EINTR))
		l->closed = true;
	l->more = k > 0 && ((size_t)k == most || l->ended);
}

bool net_turn(struct net *n, int ms, void (*on)(struct link *l))
{
	struct epoll_event ev[256];
	int k = epoll_wait(n->epoll, ev, 256, ms);
	if (k < 0 && errno != EINTR)
		die("epoll: %s", strerror(errno));
	for (int i = 0; i < k; i++) {
		struct link *l = ev[i].data.ptr;
		if (l->fd == 0)
			continue;
		if (l->connecting && (ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
			int err = 0;
			socklen_t err_n = sizeof err;
			getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &err_n);
			l->connecting = false;
			l->closed = err != 0;
			if (!l->closed)
				watch(n, l, false);
			if (!l->closed && l->ssl)
				SSL_do_handshake(l->ssl);
		}
		if (!l->closed && !l->connecting && l->out_n)
			drain(n, l);
		bool more = !l->closed && !l->connecting && (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP));
		l->ended = l->ended || (!l->connecting && (ev[i].events & (EPOLLHUP | EPOLLRDHUP)));
		do {
			if (more)
				pull(n, l);
			on(l);
			/* TLS keeps decrypted octets that epoll does not know of. */
			more = l->fd && !l->closed && (l->ssl ? SSL_pending(l->ssl) > 0 : l->more);
		} while (more);
	}
	return k > 0;
}

size_t link_skip(struct link *l, size_t n)
{
	if (l->ssl || l->at < l->end)
		return 0;
	ssize_t k = recv(l->fd, NULL, n, MSG_TRUNC | MSG_DONTWAIT);
	if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
		l->closed = true;
	l->more = k > 0 && ((size_t)k == n || l->ended);
	return k > 0 ? (size_t)k : 0;
}

bool link_more(struct net *n, struct link *l)
{
	size_t had = l->end - l->at;
	pull(n, l);
	return l->end - l->at > had;
}

bool link_line(struct link *l, struct str *out)
{
	const char *p = l->in + l->at;
	const char *lf = l->in ? memchr(p, '\n', l->end - l->at) : NULL;
	if (!lf)
		return false;
	size_t n = (size_t)(lf - p);
	*out = str_of(p, n && p[n - 1] == '\r' ? n - 1 : n);
	l->at += n + 1;
	return true;
}

/* ---- latencies ---- */

void lat_add(struct lat *l, double s)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 65536;
		float *v = mem_grow(l->v, l->cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (float)s;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

double lat_ms(struct lat *l, double quantile)
{
	if (l->n == 0)
		return 0;
	qsort(l->v, l->n, sizeof *l->v, by_size);
	return (double)l->v[(size_t)((double)(l->n - 1) * quantile)] * 1e3;
}

/* ---- options ---- */

static const struct opt *find(const struct opt *opts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(str_z(name), str_z(opts[i].name)))
			return &opts[i];
	return NULL;
}

static void usage(const char *what, const struct opt *opts, size_t n)
{
	printf("%s\n", what);
	for (size_t i = 0; i < n; i++) {
		printf("  --%-16s %s", opts[i].name, opts[i].help);
		if (opts[i].number)
			printf(" (%ld)", *opts[i].number);
		else if (opts[i].text && *opts[i].text)
			printf(" (%s)", *opts[i].text);
		printf("\n");
	}
	exit(0);
}

void options(int argc, char **argv, const char *what, const struct opt *opts, size_t n)
{
	for (int i = 1; i < argc; i++) {
		if (str_eq(str_z(argv[i]), STR("--help")))
			usage(what, opts, n);
		const struct opt *o = argv[i][0] == '-' && argv[i][1] == '-' ? find(opts, n, argv[i] + 2) : NULL;
		if (!o)
			die("%s: no such option; --help lists them", argv[i]);
		if (o->flag) {
			*o->flag = true;
			continue;
		}
		if (++i == argc)
			die("--%s needs a value", o->name);
		uint64_t v;
		if (o->text)
			*o->text = argv[i];
		else if (str_u64(str_z(argv[i]), INT32_MAX, &v))
			*o->number = (long)v;
		else
			die("--%s %s: not a number", o->name, argv[i]);
	}
}

/* ---- corpora ---- */

static char *slurp(const char *path, size_t *out_n)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	if (!f || fstat(fileno(f), &st) != 0)
		die("%s: %s", path, strerror(errno));
	char *p = mem_new((size_t)st.st_size + 1);
	if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		die("%s: cannot be read", path);
	fclose(f);
	*out_n = (size_t)st.st_size;
	return p;
}

/* RFC 5321 4.5.2, done once, before the clock runs. */
static struct str stuff(struct str s)
{
	size_t extra = 8, n = 0;
	for (size_t i = 0; i < s.n; i++)
		extra += s.p[i] == '.';
	char *p = mem_new(s.n + extra);
	if (!p)
		die("no memory for the corpus");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && (i == 0 || s.p[i - 1] == '\n'))
			p[n++] = '.';
		p[n++] = s.p[i];
	}
	memcpy(p + n, ".\r\n", 3);
	return str_of(p, n + 3);
}

void corpus_load(const char *path, bool dot_stuffed, struct corpus *out)
{
	size_t n, at = 5, cap = 0;
	char *p = slurp(path, &n);
	*out = (struct corpus){ 0 };
	if (n < 5 || !str_eq(str_of(p, 5), STR("LLC1\n")))
		die("%s: not a container made by mkcorpus", path);
	while (at + 4 <= n) {
		uint32_t len;
		memcpy(&len, p + at, 4);
		at += 4;
		if (len > n - at)
			die("%s: cut short", path);
		if (out->n == cap) {
			size_t more = cap ? cap * 2 : 1024;
			out->mail = mem_grow(out->mail, cap * sizeof *out->mail, more * sizeof *out->mail);
			if (!out->mail)
				die("no memory for the corpus");
			cap = more;
		}
		struct str mail = str_of(p + at, len);
		out->mail[out->n++] = dot_stuffed ? stuff(mail) : mail;
		at += len;
	}
	if (out->n == 0)
		die("%s: no message", path);
}

/* ---- result ---- */

void result_error(struct result *r, struct str what)
{
	if (r->errors++ > 0)
		return;
	size_t n = 0;
	for (size_t i = 0; i < what.n && n + 1 < sizeof r->first_error; i++) {
		char c = what.p[i];
		r->first_error[n++] = c < ' ' || c == '"' || c == '\\' || c > '~' ? '?' : c;
	}
}

void result_print(struct result *r)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	printf("{\"tool\":\"%s\",\"action\":\"%s\",\"count\":%llu,\"bytes\":%llu,\"seconds\":%.4f,\"rate\":%.1f,\"mb_per_s\":%.2f,"
	       "\"errors\":%llu,\"first_error\":\"%s\",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"generator_cpu_s\":%.3f}\n",
	       r->tool, r->action, (unsigned long long)r->count, (unsigned long long)r->bytes, r->seconds,
	       r->seconds > 0 ? (double)r->count / r->seconds : 0, r->seconds > 0 ? (double)r->bytes / r->seconds / 1e6 : 0,
	       (unsigned long long)r->errors, r->first_error, lat_ms(&r->lat, .5), lat_ms(&r->lat, .99), cpu);
	fflush(stdout);
}
