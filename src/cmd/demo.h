#pragma once
#include "cmd/ctl.h"
#include <sys/stat.h>
#include <sys/types.h>

/* `letterlock demo`: inside src/cmd only. demo.c plans, starts and keeps the server; demo_setup.c writes its files and makes its accounts;
 * demo_mail.c speaks SMTP to it once, so that there is something to read. */
enum { DEMO_PORTS = 8, DEMO_PATH = 4096 };
#define DEMO_PASSWORD "demo-only"
struct demo {
	const struct call *call;
	char state[DEMO_PATH], config_path[DEMO_PATH + 32], control[128], binary[DEMO_PATH];
	unsigned ports[DEMO_PORTS];       /* by place in demo_ports */
	bool v6[DEMO_PORTS];              /* ::1 has that port free too */
	unsigned accounts;                /* u1 ... uN */
	unsigned loaded;                  /* messages preloaded now */
	pid_t server;
	bool stopped;                     /* it ended because it was asked to */
	bool hopeless;                    /* it said that starting it again cannot help */
	struct config config;
	struct buf zone;                  /* demo.zone as it is */
	struct stat vault;                /* the vault's file when the zone was held against it */
};
struct demo_port { const char *name; unsigned usual, offset; };
extern const struct demo_port demo_ports[DEMO_PORTS];
enum { DEMO_SMTP, DEMO_SUBMISSION, DEMO_SUBMISSIONS, DEMO_IMAP, DEMO_IMAPS, DEMO_POP3, DEMO_POP3S, DEMO_METRICS };
extern const char *const demo_people[3]; /* "alice", "bob", "carol" */

MUST_USE enum rc demo_write_files(struct demo *d, struct why *why);
/* Waits until every process is ready, then makes what is missing of domains and accounts. */
MUST_USE enum rc demo_make_accounts(struct demo *d, struct why *why);
/* As whoever publishes a zone would: the records of keys that were made or revoked since go into demo.zone, and the server reads it again. Cheap while
 * the vault's file has not changed. */
void demo_follow_keys(struct demo *d);
/* Delivers the 40 messages by SMTP, once per state directory. */
MUST_USE enum rc demo_load_mail(struct demo *d, struct why *why);
/* A connection to a port on loopback; the first line that it says, when `greeting` is not NULL. -1: nobody answers. */
int demo_dial(unsigned port);
