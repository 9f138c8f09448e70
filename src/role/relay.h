#pragma once
#include "base/map.h"
#include "crypto/tls_client.h"
#include "origin/tls_policy.h"
#include "role/body_reader.h"
#include "role/letter.h"
#include "role/relay_queue.h"
#include "role/relay_rule.h"
#include "role/role.h"
#include "role/sts_cache.h"
#include "role/sts_fetch.h"
#include "smtp/client.h"
#include "store/route.h"

/* Shared by the files of the role `relay`: mail to other servers. One fiber per job (a connection to one destination) takes letters and rows from the store, delivers,
 * and has each outcome committed before its next command.
 *
 *   role_relay.c     the role's life          relay_queue*.c which row next (pure)      relay_rule.c   when again, who is told (pure)
 *   relay_load.c     letters and rows         relay_commit.c outcomes to the store      relay_tell.c   ledger, log, metrics
 *   relay_route.c    where a message goes     relay_host.c   hosts, idle connections    relay_conn.c   dialling, TLS
 *   relay_send.c     one job                  relay_bounce.c reports, suppression       relay_ctl.c    steering by hand
 *   relay_probe.c    `probe send` */

struct relay_host;
struct relay_conn;

struct relay_house {
	struct role_env *e;
	struct rq *q;
	struct waitlist work;          /* the giver of jobs waits here for news */
	struct waitlist load;          /* the loader, for letters */
	bool load_news;                /* something came since it began to look last */
	bool loaded;                   /* everything that was there at the start is in `q` */
	uint64_t next_letter; uint32_t next_n; /* where the loader goes on */
	uint64_t left_out;             /* the first letter with a row that found no room in `q`; 0: none */
	uint64_t read_to;              /* letters before this one were read before */
	bool look_again;               /* for those that were left out */
	unsigned jobs;                 /* fibers of jobs */

	struct secret *queue_key;      /* of letters, passwords, notes */
	uint8_t queue_public[PUB_LEN];
	struct secret history_key;     /* of what stays of rows that are done */
	struct unsealer *unsealer;
	uint8_t hash_key[16];

	struct segment_files files;
	struct relay_letter *letters;  /* opened ones, newest use first */
	unsigned letter_n;
	struct map rows;               /* (letter, n) mixed -> struct relay_hot: sealed rows that are due and were read in passing */
	size_t rows_octets;

	struct relay_pending *first, *last; /* outcomes for the store */
	struct waitlist commit;
	unsigned commits;              /* under way */

	struct dns_cache *cache;
	struct dns behind, dns;
	struct tls_client *tls;
	struct way *ways; size_t way_n;
	struct arena ways_memory;
	bool ways_known;
	bool started;                  /* keys, DNS and policies are there */
	unsigned ways_news;            /* counted: an answer that was under way when they changed is not the last word */
	bool rates_news, rating;       /* ways or configuration have changed; lanes are told */
	struct sts_fetcher *fetcher;   /* NULL: policies are not fetched; those that are kept hold */
	struct sts_cache *sts;
	int64_t refreshed;             /* when the kept policies were looked at last, loop_now() */

	struct map hosts;              /* "ip port" -> struct relay_host */
	unsigned connections, probes;

	struct map lanes;              /* lane -> struct relay_lane: what is known of a destination besides its hash */
	struct buf events;             /* for the ledger, not yet told */
	int64_t told, oldest_ms, looked;
	struct ticker *tick;
};

struct relay_times relay_times_of(const struct role_env *e);
struct str relay_name(const struct role_env *e);          /* ours in EHLO */
void relay_kick(struct relay_house *h);                 /* there may be work */

/* ---- relay_load.c ---- */
struct relay_letter {
	struct relay_letter *next;
	uint64_t number;
	unsigned refs;
	struct arena a;
	struct letter l;
	struct blob_id blob;
};
struct relay_row { struct queue_row row; struct letter_rcpt rcpt; bool readable; };
void relay_load_fiber(void *house);                     /* reads the queue, then waits for news */
void relay_load_kick(struct relay_house *h);            /* there may be letters that it has not seen: it looks, now or after what it is at */
/* With a reference. RC_NOTFOUND: gone; RC_DAMAGED. */
MUST_USE enum rc relay_letter_get(struct relay_house *h, uint64_t number, struct relay_letter **out, struct why *why);
void relay_letter_unref(struct relay_house *h, struct relay_letter **l);
void relay_letters_done(struct relay_house *h);
/* The rows n[] of a letter, ascending, memory in `a`; those that are gone are left out. */
MUST_USE enum rc relay_rows_get(struct relay_house *h, const struct relay_letter *l, const uint32_t *n, size_t count, struct arena *a, struct relay_row *out, size_t *out_n,
                                struct why *why);
void relay_hot_forget(struct relay_house *h);

/* ---- relay_commit.c ---- */
struct relay_pending { struct relay_pending *next; struct queue_change *list; size_t n; enum rc rc; bool done; struct waitlist waiter; };
/* Suspends until the store has answered for all of them, however long it takes; RC_CLOSED: we are shutting down, and nothing is known. Each one's rc is set. `p` is the caller's
 * memory, so that an outcome is not lost for want of any. */
MUST_USE enum rc relay_commit(struct relay_house *h, struct relay_pending *p, struct queue_change *list, size_t n);
/* What stays of a row that is done, sealed under the history's key; and back. */
struct relay_done { struct str mid, sender, from; struct letter_rcpt rcpt; };
MUST_USE enum rc relay_done_seal(const struct relay_house *h, const struct relay_done *d, struct buf *out);
MUST_USE enum rc relay_done_open(const struct relay_house *h, struct str sealed, struct arena *a, struct relay_done *out);

/* ---- relay_route.c ---- */
struct relay_mx { struct str host; unsigned preference; };
struct relay_route {
	struct str next_hop;           /* the recipient's domain, or the smarthost */
	bool smarthost, mx_secure;
	bool implicit;                 /* no MX records: the domain itself is its server */
	uint16_t port; bool implicit_tls;
	enum tls_directory directory;
	struct str user, password_sealed;
	uint32_t max_connections;
	struct relay_mx *mx; size_t n; /* in the order to be tried */
	bool later;                    /* n == 0: the DNS gave no answer */
	struct relay_outcome none;     /* n == 0: why */
};
bool relay_is_early(struct role_env *e, struct ipc_call *call, int *fd); /* true: start is not over, and the call is answered */
MUST_USE enum rc relay_ways_get(struct relay_house *h, struct why *why); /* the directory's ways, once until they change */
const struct way *relay_way_for(const struct way *ways, size_t n, struct str sender, struct str domain); /* pure; NULL: none */
/* How many may leave for that destination: its way says, else the configuration. False: the directory does not answer. */
bool relay_rate_of(struct relay_house *h, struct str domain, struct rate *out);
void relay_rates_new(struct relay_house *h);             /* it may be another now, also for who waits for a slot */
void relay_route_find(struct relay_house *h, struct str sender, struct str domain, struct arena *a, struct relay_route *out);

/* ---- relay_host.c ---- */
struct relay_host {
	char key[64];                  /* "192.0.2.1 25" */
	unsigned open, limit16;        /* connections; how many it may have, in 1/16 */
	unsigned waiting;              /* jobs that wait for one: not more than it may have at most */
	unsigned failures;
	int64_t until, seen;           /* left alone until then; loop_now() */
	char reason[200];
	struct waitlist room;
	struct relay_conn *idle;
};
struct relay_host *relay_host_get(struct relay_house *h, const char *ip, uint16_t port); /* NULL: no memory */
/* A place for one more connection, or an idle one that fits (*out_idle). RC_LATE: it is left alone, `reason` says why; RC_BUSY: no place within a minute, or enough
 * wait for one. */
MUST_USE enum rc relay_host_enter(struct relay_house *h, struct relay_host *host, uint64_t fit, unsigned most, struct relay_conn **out_idle);
void relay_host_leave(struct relay_house *h, struct relay_host *host);
void relay_host_tell(struct relay_house *h, struct relay_host *host, enum rq_news news, const char *reason);
void relay_hosts_forgive(struct relay_house *h);         /* somebody wants it tried now: none is left alone any more */
void relay_hosts_sweep(struct relay_house *h, bool all);  /* idle connections that waited long enough are closed; hosts nobody needs are forgotten */

/* ---- relay_conn.c ---- */
struct relay_target {                  /* one address of one mail server, and what is asked of the connection */
	const struct relay_route *route;
	const struct tls_policy_out *policy;
	struct str name;               /* the host's */
	char ip[46];
	uint16_t port;
	uint64_t fit;                  /* connections with the same one may stand in for each other */
};
struct relay_conn {
	struct relay_conn *next;
	struct relay_host *host;
	uint64_t fit;
	struct stream *stream;
	struct tls_peer *peer;
	struct smtp_client *client;
	unsigned used;                 /* transactions so far */
	int64_t idle_since;
	char name[256], ip[46], tls[160]; /* tls: for people */
	bool secure;
};
struct relay_watch { void (*line)(void *arg, char direction, struct str text); void (*note)(void *arg, const char *text); void *arg; }; /* for `probe send` */
/* NULL: *out says why, and what is known of the host is noted. `fresh`: no idle one. */
struct relay_conn *relay_conn_get(struct relay_house *h, const struct relay_target *t, bool fresh, const struct relay_watch *watch, struct relay_outcome *out);
void relay_conn_keep(struct relay_house *h, struct relay_conn **c);  /* for the next one, if it is good for that */
void relay_conn_end(struct relay_house *h, struct relay_conn **c);   /* QUIT where that is polite */
void relay_conn_drop(struct relay_house *h, struct relay_conn **c);  /* at once */
const char *relay_address_refused(const struct role_env *e, const char *ip); /* why nothing is delivered there; NULL: it may be */

/* ---- relay_try.c: one transaction by any of a destination's servers ---- */
struct relay_try {
	struct relay_house *h;
	struct relay_letter *letter;
	struct relay_row *rows; size_t n;
	size_t tried;                  /* out: the first so many rows have their outcome; the rest is for another call */
	struct str domain;
	struct arena *a;
	struct relay_conn *conn;       /* in: one that may be used; out: the one that was */
	struct relay_outcome *out;     /* [n] */
	struct str *host;              /* [n] "mx.example.net [192.0.2.1]" */
	bool peer_dsn, reached;        /* reached: some server spoke with us in an orderly way */
	bool crowded;                  /* it wants fewer connections, or broke this one */
	bool lost;                     /* some server spoke with us, and the connection broke before it had anything of the message */
	unsigned put_off;              /* servers that answered MAIL with 4xx */
	struct str said_by;            /* whose words the last answer of a server to all of it is, as `host` */
	size_t withheld;               /* all its servers, where none was asked because of what this message alone demands: nothing is known of them; else 0 */
	const struct mta_sts_policy *sts; /* the domain's, while it is tried */
	bool sts_later;                /* it could not be had anew, or not at all */
	bool no_data;                  /* stop when the recipients are answered */
	struct str text;               /* the message itself; "" = the letter's prefix and body */
	const struct relay_watch *watch;
};
void relay_try(struct relay_try *t);

/* ---- relay_send.c ---- */
void relay_give_fiber(void *house);                     /* takes jobs from the queue as long as there are places */

/* ---- relay_bounce.c ---- */
struct relay_told { const struct relay_row *row; const struct relay_outcome *outcome; enum relay_report report; struct str host; };
/* One message to the letter's owner about some of its recipients: durable when RC_OK, and never twice. */
MUST_USE enum rc relay_bounce(struct relay_house *h, struct relay_letter *l, const struct relay_told *list, size_t n, struct why *why);
void relay_suppress(struct relay_house *h, struct str address, struct str reason);

/* ---- relay_tell.c ---- */
void relay_tell_rows(struct relay_house *h, const struct relay_letter *l, const char *kind, const struct relay_row *rows, const size_t *which, size_t n,
                     const struct relay_conn *c, const char *reason);
void relay_tell_tls(struct relay_house *h, const struct relay_target *t, const char *local_ip, bool tls, bool ok, const char *result, const char *reason);
void relay_flush_events(struct relay_house *h);
void relay_gauges(struct relay_house *h);

/* ---- relay_ctl.c ---- */
void relay_on_queue_state(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void relay_on_queue_find(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void relay_on_queue_act(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void relay_on_queue_pause(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void relay_on_suppressed(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void relay_on_probe_send(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd); /* relay_probe.c */
MUST_USE enum rc relay_pauses_load(struct relay_house *h, struct why *why);

/* What is known of a lane besides its hash: learnt when a row of it is opened. */
struct relay_lane { uint64_t lane; char domain[256]; char last[300]; /* why it does not answer */ };
struct relay_lane *relay_lane_of(struct relay_house *h, uint64_t lane, struct str domain); /* "" = do not make it; NULL */
