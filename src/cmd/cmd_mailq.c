#include "cmd/cmd_queue.h"

#include "base/buf.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* The queue as Postfix's mailq prints it, which scripts and monitoring read: a message's line with id, size, date and sender, under it its recipients, each with
 * its reason in front where that is another one than the last. "*" behind an id: being sent; "!": held. */

enum { REASON_COLUMN = 76, ARENA = 1 << 20, REASON_MAX = 600 };
static const char line_format[] = "%-11s %7s %-20s %s\n";

static void heading(const struct relay_entry *e, struct arena *a)
{
	char id[80], size[24], date[24] = "";
	time_t came = (time_t)(e->created_ms / 1000);
	struct tm t;
	if (!localtime_r(&came, &t) || !strftime(date, sizeof date, "%a %b %e %H:%M:%S", &t))
		(void)snprintf(date, sizeof date, "-");
	(void)snprintf(id, sizeof id, "%.64s%s", e->mid.n ? text_z(a, e->mid) : "-", e->under_way ? "*" : e->state == RELAY_STATE_HELD ? "!" : "");
	(void)snprintf(size, sizeof size, "%7" PRIu64, e->size);
	(void)printf(line_format, id, size, date, e->from.n ? text_z(a, e->from) : "MAILER-DAEMON");
}

static void reason(struct mailq *q, const char *text)
{
	if (strcmp(q->reason, text) == 0)
		return;
	(void)snprintf(q->reason, sizeof q->reason, "%s", text);
	const char *shown = text[0] ? text : "reason unavailable";
	int pad = REASON_COLUMN - (int)strlen(shown);
	(void)printf("%*s(%s)\n", pad > 0 ? pad : 0, "", shown);
}

void mailq_row(void *mailq, const struct relay_entry *e)
{
	struct mailq *q = mailq;
	char text[REASON_MAX];
	struct arena a;
	arena_init(&a, ARENA);
	if (q->letter != e->letter) {
		if (q->messages++)
			(void)printf("\n");
		else
			(void)printf(line_format, "-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------");
		heading(e, &a);
		q->letter = e->letter;
		q->octets += e->size;
		q->reason[0] = 0;
	}
	(void)snprintf(text, sizeof text, "%s", text_z(&a, e->reason));
	reason(q, text);
	(void)printf(line_format, "", "", "", e->unreadable ? "-" : text_z(&a, e->to));
	arena_done(&a);
}

void mailq_end(const struct mailq *q)
{
	if (!q->messages)
		(void)printf("Mail queue is empty\n");
	else
		(void)printf("\n-- %" PRIu64 " Kbytes in %zu Request%s.\n", q->octets / 1024, q->messages, q->messages == 1 ? "" : "s");
}
