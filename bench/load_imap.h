#pragma once
#include "base/buf.h"
#include "net.h"

/* Shared by load_imap.c (connections and answers) and load_imap_work.c (the actions). */

enum kind { NO_KIND, LOGIN_LOOP, FETCH, STORE, APPEND, SEARCH, IDLE };
enum step { GREETING, LOGIN, SELECT, READY, WORK, LOGOUT, DONE };

struct client {
	struct link link;
	enum step step;
	size_t literal;        /* octets of an incoming literal still to skip */
	bool inside;           /* the next line goes on after a literal */
	long account, exists, rounds, uid;
	long batch;            /* messages of the APPEND under way */
	double since;
	struct buf cmd, tail;
};
struct args {
	const char *host, *port, *pattern, *password, *mailbox, *items, *query, *corpus, *action;
	long connections, count, first, accounts, repeat, multi, hold, opening;
	bool tls;
};
struct run {
	struct net net;
	enum kind kind;
	struct client *clients;
	struct corpus corpus;
	struct result result;
	long opened, opening, ready, finished, asked, next_account, next_mail, exists;
	uint64_t fetched;
	double start, last_exists;
};
extern struct args args;
extern struct run run;

void say(struct client *c, enum step step); /* sends c->cmd */
void work(struct client *c);                /* the next piece of work, or none is left */
void worked(struct client *c);              /* its tagged answer came */
void go_ahead(struct client *c);            /* "+" came */
