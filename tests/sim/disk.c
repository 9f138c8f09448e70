/* Built with -U_FILE_OFFSET_BITS: here both names of each call are defined. */
#include "sim/disk.h"

#include "store/joint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 4096, FDS_MAX = 4096, PATH_LEN = 64, SECTOR = 512 };
enum kind { WRITE, TRUNCATE, SYNC, CREATE, UNLINK };
struct event { enum kind kind; int file; off_t at; size_t n; char *data; bool durable; };
struct file {
	char path[PATH_LEN];            /* below the root */
	bool is_dir, gone;              /* gone: unlinked by now */
	char *base;                     /* contents at the baseline */
	size_t base_n;
	bool had_base;
};
static char root[256];
static bool watching;
static struct file files[FILES_MAX];
static int file_n;
static struct event *events;
static size_t event_n, event_cap;
static int fd_file[FDS_MAX]; /* index + 1, 0 = not ours */
static bool fd_dsync[FDS_MAX];
static const char *ignored = "";

struct disk_totals disk_totals;

uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15ull); /* splitmix64 */
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void disk_ignore_syncs(const char *what) { ignored = what; }
size_t disk_events(void) { return event_n; }

static void join(char *out, size_t cap, const char *a, const char *b)
{
	int n = snprintf(out, cap, "%s%s%s", a, *a && *b ? "/" : "", b);
	if (n < 0 || (size_t)n >= cap)
		abort();
}

/* ---- the record ---- */
static void record(enum kind k, int file, off_t at, const void *p, size_t n, bool durable)
{
	if (event_n == event_cap) {
		event_cap = event_cap ? event_cap * 2 : 1024;
		events = realloc(events, event_cap * sizeof *events);
		if (!events)
			abort();
	}
	disk_totals.writes += k == WRITE;
	disk_totals.syncs += k == SYNC || (k == WRITE && durable);
	disk_totals.created += k == CREATE;
	disk_totals.unlinked += k == UNLINK;
	struct event *e = &events[event_n++];
	*e = (struct event){ .kind = k, .file = file, .at = at, .n = n, .durable = durable };
	if (p) {
		e->data = malloc(n ? n : 1);
		if (!e->data)
			abort();
		memcpy(e->data, p, n);
	}
}

static int find_file(const char *path)
{
	for (int i = file_n; i > 0; i--)
		if (!files[i - 1].gone && strcmp(files[i - 1].path, path) == 0)
			return i - 1;
	return -1;
}

static int add_file(const char *path, bool is_dir)
{
	if (file_n == FILES_MAX)
		abort();
	struct file *f = &files[file_n];
	*f = (struct file){ .is_dir = is_dir };
	join(f->path, sizeof f->path, "", path);
	return file_n++;
}

/* The path below the root behind a descriptor; NULL: not ours. The lock file is no data. */
static const char *path_of(int fd, char out[512])
{
	char link[64];
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, 511);
	size_t len = strlen(root);
	if (n <= 0 || !watching)
		return NULL;
	out[n] = 0;
	if (strncmp(out, root, len) != 0 || (out[len] && out[len] != '/') || strstr(out, "lock.mdb"))
		return NULL;
	return out[len] ? out + len + 1 : "";
}

static int our_open(int dir, const char *path, int flags, mode_t mode)
{
	bool there = !watching || syscall(SYS_faccessat, dir, path, F_OK) == 0;
	int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	char text[512];
	const char *ours = fd >= 0 && fd < FDS_MAX ? path_of(fd, text) : NULL;
	if (fd >= 0 && fd < FDS_MAX)
		fd_file[fd] = 0;
	if (!ours)
		return fd;
	struct stat sb;
	bool is_dir = syscall(SYS_fstat, fd, &sb) == 0 && S_ISDIR(sb.st_mode);
	int f = find_file(ours);
	if (f < 0) {
		f = add_file(ours, is_dir);
		if (!there)
			record(CREATE, f, 0, NULL, 0, false);
	}
	fd_file[fd] = f + 1;
	fd_dsync[fd] = (flags & O_DSYNC) != 0;
	return fd;
}

static int known(int fd) { return fd >= 0 && fd < FDS_MAX ? fd_file[fd] - 1 : -1; }

static bool sync_counts(int f, bool dsync)
{
	if (dsync)
		return strcmp(ignored, "meta") != 0;
	if (files[f].is_dir)
		return strcmp(ignored, "dir") != 0;
	return strcmp(ignored, strstr(files[f].path, ".seg") ? "segment" : "index") != 0;
}

static void note_write(int fd, const void *p, ssize_t n, off_t at)
{
	int f = known(fd);
	if (f >= 0 && n > 0)
		record(WRITE, f, at, p, (size_t)n, fd_dsync[fd] && sync_counts(f, true));
}

static int note_sync(int fd, long answer)
{
	int f = known(fd);
	if (f >= 0 && answer == 0 && sync_counts(f, false))
		record(SYNC, f, 0, NULL, 0, false);
	return (int)answer;
}

static void note_unlink(int dir, const char *path)
{
	char text[512];
	const char *base = NULL;
	if (dir != AT_FDCWD) { /* only segments are unlinked, by name below their directory */
		char joined[600];
		base = path_of(dir, text);
		if (!base)
			return;
		join(joined, sizeof joined, base, path);
		int f = find_file(joined);
		if (f >= 0) {
			record(UNLINK, f, 0, NULL, 0, false);
			files[f].gone = true;
		}
	}
}

/* ---- the calls themselves ---- */
#define BOTH(name) __attribute__((alias(name)))

static int mode_of(int flags, va_list ap) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0; }

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	int mode = mode_of(flags, ap);
	va_end(ap);
	return our_open(AT_FDCWD, path, flags, (mode_t)mode);
}
int open64(const char *path, int flags, ...) BOTH("open");

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	int mode = mode_of(flags, ap);
	va_end(ap);
	return our_open(dir, path, flags, (mode_t)mode);
}
int openat64(int dir, const char *path, int flags, ...) BOTH("openat");

int close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX)
		fd_file[fd] = 0;
	return (int)syscall(SYS_close, fd);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done = syscall(SYS_pwrite64, fd, p, n, at);
	note_write(fd, p, done, at);
	return done;
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) BOTH("pwrite");

ssize_t write(int fd, const void *p, size_t n)
{
	off_t at = known(fd) >= 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	ssize_t done = syscall(SYS_write, fd, p, n);
	note_write(fd, p, done, at);
	return done;
}

static void note_vector(int fd, const struct iovec *v, int n, ssize_t done, off_t at)
{
	for (int i = 0; i < n && done > 0; i++) {
		ssize_t k = (ssize_t)v[i].iov_len < done ? (ssize_t)v[i].iov_len : done;
		note_write(fd, v[i].iov_base, k, at);
		at += k;
		done -= k;
	}
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	ssize_t done = syscall(SYS_pwritev, fd, v, n, at, 0);
	note_vector(fd, v, n, done, at);
	return done;
}
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at) BOTH("pwritev");

ssize_t writev(int fd, const struct iovec *v, int n)
{
	off_t at = known(fd) >= 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	ssize_t done = syscall(SYS_writev, fd, v, n);
	note_vector(fd, v, n, done, at);
	return done;
}

int ftruncate(int fd, off_t n)
{
	int answer = (int)syscall(SYS_ftruncate, fd, n);
	if (answer == 0 && known(fd) >= 0)
		record(TRUNCATE, known(fd), n, NULL, 0, false);
	return answer;
}
int ftruncate64(int fd, off64_t n) BOTH("ftruncate");

int fsync(int fd) { return note_sync(fd, syscall(SYS_fsync, fd)); }
/* The store's own (store/joint.h) may sync a segment in another thread meanwhile: when this call returns, that is done as well. */
int fdatasync(int fd)
{
	int other = joint_beside(), answer = joint_fdatasync(fd);
	if (other >= 0)
		(void)note_sync(other, answer);
	return note_sync(fd, answer);
}

int msync(void *p, size_t n, int flags)
{
	if (watching)
		abort(); /* nothing here is ever written through a map */
	return (int)syscall(SYS_msync, p, n, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
	int answer = (int)syscall(SYS_unlinkat, dir, path, flags);
	if (answer == 0)
		note_unlink(dir, path);
	return answer;
}

int rename(const char *from, const char *to)
{
	if (watching)
		abort(); /* the store renames nothing; when it does, teach the record */
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

/* ---- baseline ---- */
static char *slurp(const char *path, size_t *out_n)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
	struct stat sb;
	if (fd < 0 || syscall(SYS_fstat, fd, &sb) != 0)
		return NULL;
	char *p = malloc((size_t)sb.st_size + 1);
	size_t n = 0;
	for (ssize_t got = 1; p && got > 0 && n < (size_t)sb.st_size; n += got > 0 ? (size_t)got : 0)
		got = syscall(SYS_read, fd, p + n, (size_t)sb.st_size - n);
	(void)syscall(SYS_close, fd);
	*out_n = n;
	return p;
}

static void forget_events(void)
{
	for (size_t i = 0; i < event_n; i++)
		free(events[i].data);
	event_n = 0;
}

static void forget_all(void)
{
	forget_events();
	for (int i = 0; i < file_n; i++)
		free(files[i].base);
	file_n = 0;
	memset(fd_file, 0, sizeof fd_file);
}

void disk_watch(const char *path)
{
	forget_all();
	join(root, sizeof root, "", path);
	watching = true;
}

void disk_stop(void)
{
	watching = false;
	forget_all();
}

void disk_baseline(void)
{
	forget_events();
	for (int i = 0; i < file_n; i++) {
		struct file *f = &files[i];
		char path[400];
		join(path, sizeof path, root, f->path);
		free(f->base);
		f->base = NULL;
		f->had_base = !f->gone;
		if (!f->is_dir && !f->gone)
			f->base = slurp(path, &f->base_n);
	}
}

/* ---- power cut ---- */
struct content { char *p; size_t n, cap; };

static void content_put(struct content *c, size_t at, const char *p, size_t n)
{
	if (at + n > c->cap) {
		size_t cap = (at + n) * 2;
		c->p = realloc(c->p, cap);
		if (!c->p)
			abort();
		memset(c->p + c->cap, 0, cap - c->cap);
		c->cap = cap;
	}
	memcpy(c->p + at, p, n);
	if (at + n > c->n)
		c->n = at + n;
}

enum fate { KEPT, LOST, TORN };

/* Sector by sector, as the disk writes. */
static void put_torn(struct content *c, const struct event *e, struct rng *r)
{
	for (size_t done = 0; done < e->n;) {
		size_t at = (size_t)e->at + done, n = SECTOR - at % SECTOR;
		if (n > e->n - done)
			n = e->n - done;
		if (rng_below(r, 2))
			content_put(c, at, e->data + done, n);
		done += n;
	}
}

/* How this cut treats what was not synced: from "all of it was written" to "none of it was". */
static enum fate draw(struct rng *r, unsigned mood)
{
	if (mood == 0)
		return KEPT;
	if (mood == 1)
		return LOST;
	uint64_t x = rng_below(r, 10);
	return x < mood ? LOST : x < mood + 2 ? TORN : KEPT;
}

static size_t last_event(enum kind k, int file, size_t cut)
{
	for (size_t i = cut; i > 0; i--)
		if (events[i - 1].kind == k && events[i - 1].file == file)
			return i;
	return 0;
}

static int parent_of(int file)
{
	char path[PATH_LEN];
	join(path, sizeof path, "", files[file].path);
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	else
		path[0] = 0;
	for (int i = 0; i < file_n; i++)
		if (files[i].is_dir && strcmp(files[i].path, path) == 0)
			return i;
	return -1;
}

/* Is the file's name on the disk? A name is as durable as the last sync of its directory. */
static bool name_survives(int f, size_t cut, struct rng *r, unsigned mood)
{
	size_t made = last_event(CREATE, f, cut), removed = last_event(UNLINK, f, cut);
	int dir = parent_of(f);
	size_t synced = dir >= 0 ? last_event(SYNC, dir, cut) : 0;
	if (!files[f].had_base && !made)
		return false; /* made after the cut */
	bool there = files[f].had_base || made < synced || draw(r, mood) == KEPT;
	if (there && removed)
		there = removed >= synced && draw(r, mood) != KEPT;
	return there;
}

static void rebuild(int f, size_t cut, struct rng *r, unsigned mood, struct content *c)
{
	size_t synced = last_event(SYNC, f, cut);
	if (files[f].base)
		content_put(c, 0, files[f].base, files[f].base_n);
	for (size_t i = 0; i < cut; i++) {
		const struct event *e = &events[i];
		if (e->file != f || (e->kind != WRITE && e->kind != TRUNCATE))
			continue;
		enum fate fate = i < synced || e->durable ? KEPT : draw(r, mood);
		if (e->kind == TRUNCATE && fate == KEPT && (size_t)e->at < c->n)
			c->n = (size_t)e->at;
		else if (e->kind == WRITE && fate == KEPT)
			content_put(c, (size_t)e->at, e->data, e->n);
		else if (e->kind == WRITE && fate == TORN)
			put_torn(c, e, r);
	}
}

static bool write_file(const char *to, const char *name, const struct content *c)
{
	char path[400];
	join(path, sizeof path, to, name);
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return false;
	size_t n = 0;
	for (ssize_t k = 1; n < c->n && k > 0; n += k > 0 ? (size_t)k : 0)
		k = syscall(SYS_write, fd, c->p + n, c->n - n);
	(void)syscall(SYS_close, fd);
	return n == c->n;
}

bool disk_crash(size_t cut, struct rng *r, const char *to)
{
	static const unsigned moods[] = { 0, 1, 1, 2, 3, 5, 7 };
	unsigned mood = moods[rng_below(r, sizeof moods / sizeof *moods)];
	char path[400];
	bool fine = mkdir(to, 0700) == 0;
	join(path, sizeof path, to, "index");
	fine &= mkdir(path, 0700) == 0;
	join(path, sizeof path, to, "segments");
	fine &= mkdir(path, 0700) == 0;
	for (int f = 0; fine && f < file_n; f++) {
		struct content c = { 0 };
		if (files[f].is_dir || !name_survives(f, cut, r, mood))
			continue;
		rebuild(f, cut, r, mood, &c);
		fine = write_file(to, files[f].path, &c);
		free(c.p);
	}
	return fine;
}
