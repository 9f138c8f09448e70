#include "cmd/verbs.h"
#include "os/file.h"
#include "role/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* probe mime FILE... */

enum { MESSAGE_MAX = 256 << 20, DESCRIPTION_MAX = 1 << 30 };

static enum rc read_message(const char *path, struct buf *out, struct why *why)
{
	AUTO(fd_close) int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL_SYS(why, "%s", strerror(errno));
	return fd_read_all(fd, MESSAGE_MAX, out, why);
}

static enum status probe(const struct call *c, const char *path)
{
	AUTO(buf_done) struct buf message = { .max = MESSAGE_MAX };
	AUTO(buf_done) struct buf out = { .max = DESCRIPTION_MAX };
	struct why why = { 0 };
	enum rc rc = read_message(path, &message, &why);
	if (rc == RC_OK)
		rc = probe_mime(str_z(path), buf_str(&message), c->json, &out, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, path, why.text, NULL);
	(void)fwrite(out.p, 1, out.len, stdout);
	if (out.len && out.p[out.len - 1] != '\n')
		say("%s", "");
	return STATUS_OK;
}

enum status run_probe_mime(struct call *c)
{
	enum status worst = STATUS_OK;
	for (int i = 0; i < c->arg_n; i++) {
		enum status s = probe(c, c->args[i]);
		worst = s == STATUS_OK ? worst : s;
	}
	return worst;
}
