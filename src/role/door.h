#pragma once
#include "os/stream.h"
#include "role/role.h"

/* What `edge` and `access` share: accepting on their listeners, the PROXY header, limits per network, TLS with keys in the vault. */
struct doors;
struct door_visit {                       /* one connection, handed to the role's `serve` in a fiber of its own */
	struct role_env *e;
	struct stream *stream;
	enum listener_proto proto;
	uint8_t network[16];              /* the client's network for counting */
	char sid[9];                      /* session id for the log */
	int64_t since;
	bool has_uid; uint32_t uid;       /* of who is at the other end of a Unix socket, as the kernel says */
	bool is_own;                      /* root, or the user that the server itself runs as */
};
struct door_config {
	char thing;                       /* letter of its limit keys: 'S' SMTP, 'A' access */
	enum metric open_now[LISTEN_PROTOS], so_far[LISTEN_PROTOS];
	uint64_t (*max_total)(const struct config *c);
	uint64_t (*max_per_network)(const struct config *c);
	uint64_t (*rate_per_network)(const struct config *c);   /* a minute; 0 = no limit */
	/* The text for a connection over a limit, CRLF included, for this protocol. */
	const char *(*busy)(enum listener_proto p);
	void (*serve)(struct door_visit *v);
};
/* In a fiber: fetches certificates from the vault and opens the doors, e->doors. */
MUST_USE enum rc doors_open(struct role_env *e, const struct door_config *c, struct why *why);
void doors_close(struct role_env *e);
/* For the role's table: certificates and ticket keys are fetched again; a connection that another process of this role accepted is served. */
void doors_on_tls_news(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
void doors_on_connection(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
