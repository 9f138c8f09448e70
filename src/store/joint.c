#include "store/joint.h"

#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

enum state { IDLE, ASKED, DONE, ENDING };
struct joint {
	pthread_mutex_t lock;
	pthread_cond_t turn;
	pthread_t thread;
	enum state state;
	bool has_thread, probing, works;
	int fd, err;
};
static __thread struct joint *mine; /* set while this thread's commit has a companion (or is probed) */

static void *work(void *arg)
{
	struct joint *j = arg;
	(void)pthread_mutex_lock(&j->lock);
	for (;;) {
		while (j->state != ASKED && j->state != ENDING)
			(void)pthread_cond_wait(&j->turn, &j->lock);
		if (j->state == ENDING)
			break;
		int fd = j->fd;
		(void)pthread_mutex_unlock(&j->lock);
		int err = syscall(SYS_fdatasync, fd) == 0 ? 0 : errno;
		(void)pthread_mutex_lock(&j->lock);
		j->err = err;
		j->state = DONE;
		(void)pthread_cond_broadcast(&j->turn);
	}
	(void)pthread_mutex_unlock(&j->lock);
	return NULL;
}

struct joint *joint_new(void)
{
	struct joint *j = mem_new(sizeof *j);
	if (!j)
		return NULL;
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_cond_init(&j->turn, NULL);
	return j;
}

void joint_free(struct joint **jp)
{
	struct joint *j = *jp;
	*jp = NULL;
	if (!j)
		return;
	if (j->has_thread) {
		(void)pthread_mutex_lock(&j->lock);
		j->state = ENDING;
		(void)pthread_cond_broadcast(&j->turn);
		(void)pthread_mutex_unlock(&j->lock);
		(void)pthread_join(j->thread, NULL);
	}
	(void)pthread_cond_destroy(&j->turn);
	(void)pthread_mutex_destroy(&j->lock);
	mem_free(j);
}

void joint_probe(struct joint *j, bool on)
{
	j->probing = on;
	mine = on ? j : NULL;
}

bool joint_works(const struct joint *j) { return j->works; }

bool joint_start(struct joint *j, int fd)
{
	if (!j->works)
		return false;
	if (!j->has_thread)
		j->has_thread = pthread_create(&j->thread, NULL, work, j) == 0;
	if (!j->has_thread)
		return false;
	(void)pthread_mutex_lock(&j->lock);
	j->fd = fd;
	j->state = ASKED;
	(void)pthread_cond_broadcast(&j->turn);
	(void)pthread_mutex_unlock(&j->lock);
	mine = j;
	return true;
}

static int wait_done(struct joint *j)
{
	(void)pthread_mutex_lock(&j->lock);
	while (j->state == ASKED)
		(void)pthread_cond_wait(&j->turn, &j->lock);
	int err = j->state == DONE ? j->err : 0;
	(void)pthread_mutex_unlock(&j->lock);
	return err;
}

int joint_end(struct joint *j)
{
	mine = NULL;
	int err = wait_done(j);
	j->state = IDLE;
	return err;
}

int joint_beside(void) { return mine && !mine->probing ? mine->fd : -1; }

int joint_fdatasync(int fd)
{
	int answer = (int)syscall(SYS_fdatasync, fd);
	struct joint *j = mine;
	if (!j)
		return answer;
	if (j->probing) {
		j->works = true;
		return answer;
	}
	int keep = errno, err = wait_done(j);
	errno = err ? err : keep;
	return err ? -1 : answer;
}

/* Weak, so that a test may put its own in this place (and call joint_fdatasync() from there). */
__attribute__((weak)) int fdatasync(int fd) { return joint_fdatasync(fd); }
